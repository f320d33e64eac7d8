"""Field-GAN with one thing done as in its prototype, to measure what that thing is good for."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_microgen.methods.excursion.fields import white_noise
from napari_microgen.methods.fieldgan import adversarial
from napari_microgen.methods.fieldgan.balls import STREAM, ball_fields
from napari_microgen.methods.fieldgan.inputs import input_channels
from napari_microgen.methods.fieldgan.networks import (
    LOGIT_SCALE,
    FieldNetwork,
    cropped,
    leaky,
)
from napari_microgen.methods.fieldgan.refiner import answered, balance, shifted

STRIDE = 4


class FreeConvolution(nn.Conv3d):
    """A convolution in place of a symmetric one, with a kernel like any other."""

    def __init__(self, inputs, outputs, step, groups) -> None:
        super().__init__(inputs, outputs, 3, dilation=step)

    def forward(self, values, first=0):
        return super().forward(values)


class StridedNetwork(FieldNetwork):
    """The prototype's network: a coarse branch at every fourth voxel, interpolated."""

    radius = 16
    WIDTHS = (16, 16, 16)
    bands = (3.0, 12.0, 24.0)

    def __init__(self, n_phases, groups, radii) -> None:
        super().__init__(n_phases, groups, radii)
        inputs, width = input_channels(n_phases, self.bands, radii), self.WIDTHS[-1]
        widths = (inputs, *self.WIDTHS)
        self.layers = nn.ModuleList(nn.Conv3d(a, b, 3) for a, b in pairwise(widths))
        self.near = nn.Conv3d(width + inputs, width, 3)
        self.mix = nn.Conv3d(width, width, 1)

    def correction(self, inputs, first=0):
        scaled = torch.cat(
            [inputs[:, : self.n_phases] / LOGIT_SCALE, inputs[:, self.n_phases :]], 1
        )
        coarse = functional.avg_pool3d(padded(scaled), STRIDE)
        for layer in self.layers:
            coarse = leaky(layer(coarse))
        fine = functional.interpolate(coarse, scale_factor=STRIDE, mode="trilinear")
        sides = [n - 2 * self.radius + 2 for n in inputs.shape[2:]]
        for axis, side in enumerate(sides, start=2):
            fine = fine.narrow(axis, (self.radius - 1) - 3 * STRIDE, side)
        x = torch.cat([fine, cropped(scaled, self.radius - 1)], 1)
        return LOGIT_SCALE * self.last(leaky(self.mix(leaky(self.near(x)))))


def padded(values):
    """Repeat the far ends until whole coarse voxels are filled; what they say is cropped."""
    missing = [-n % STRIDE for n in reversed(values.shape[2:])]
    return functional.pad(values, [v for n in missing for v in (0, n)], mode="replicate")


@contextmanager
def free_kernels():
    with patch("napari_microgen.methods.fieldgan.networks.SymmetricConvolution", FreeConvolution):
        yield


@contextmanager
def strided():
    with patch.object(adversarial, "FieldNetwork", StridedNetwork):
        yield


@contextmanager
def without_balls():
    with patch.object(adversarial, "ball_radii", lambda images: ()):
        yield


@contextmanager
def balls_anywhere():
    """Place balls by noise and not where their phase is."""

    def anywhere(radii, logits, first, start, shape, seed, periods, stretch):
        noise = white_noise(logits.shape[1:], first, periods, len(logits), seed + 7 * STREAM)
        return ball_fields(radii, noise, first, start, shape, seed, periods, stretch)

    with patch("napari_microgen.methods.fieldgan.inputs.ball_fields", anywhere):
        yield


@contextmanager
def without_critics():
    with patch.multiple(adversarial, CRITIC_WEIGHT=0.0):
        yield


@contextmanager
def without_paths():
    with patch.multiple(adversarial, PATH_WEIGHT=0.0):
        yield


@contextmanager
def slow_average():
    with patch.multiple(adversarial, AVERAGING=0.99):
        yield


@contextmanager
def following_bias():
    """Let the bias go a fifth of the way in every step."""
    bias = None

    def following(logits, calibrated):
        nonlocal bias
        wanted = balance(logits, calibrated)
        bias = torch.lerp(torch.zeros_like(wanted) if bias is None else bias, wanted, 0.2)
        return answered(shifted(logits, bias))

    with patch.object(adversarial, "held", following):
        yield


@contextmanager
def fractions_after():
    """Leave the volume fractions to the loss, and set the bias at the end only."""
    with patch.object(adversarial, "held", lambda logits, calibrated: logits):
        yield


ABLATIONS = {
    "product": nullcontext,
    "free kernels": free_kernels,
    "strided": strided,
    "without balls": without_balls,
    "balls anywhere": balls_anywhere,
    "without critics": without_critics,
    "without paths": without_paths,
    "following bias": following_bias,
    "slow average": slow_average,
    "fractions after": fractions_after,
}


def modulation(volumes) -> float:
    """Return by how much the density of interfaces varies with the place within four voxels.

    The largest deviation from the mean over the places along an axis and over the axes, less
    what volumes without any order have by chance.
    """
    found = []
    for axis in range(3):
        changes = [np.diff(np.moveaxis(v, axis, 0), axis=0) != 0 for v in volumes]
        planes = np.mean([c.mean((1, 2)) for c in changes], 0)
        planes = planes[: len(planes) // STRIDE * STRIDE].reshape(-1, STRIDE)
        # Four places next to each other share the material, so chance is small.
        found.append(np.abs(planes.mean(0) / planes.mean() - 1).max())
    return float(np.max(found))
