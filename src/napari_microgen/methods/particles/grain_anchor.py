"""Sizes, shapes and directions of grains in cutouts, matched besides the adversarial loss [ours].

A discriminator alone lets the markers circle around the data's. The squared energy distance
between the grains of generated and real cutouts holds them there: it is zero only where both
distributions agree, it needs no training, and it has a gradient through the tessellation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_microgen.methods.particles.cutouts import grid_points
from napari_microgen.methods.particles.sections import WINDOW

if TYPE_CHECKING:
    from napari_microgen.methods.particles.cutouts import SectionCutouts

SMALLEST = 4.0
"""Grains of fewer points are too small for a shape."""

AT_BORDER = 0.02
"""Share of a grain's points on the border of the cutout above which it is not whole."""

SCALES = (0.7, 0.3, 0.3)
"""Spread of the features in the paper's kind of data, so that they count alike."""

CUTOUTS, GRAINS = 200, 1500


def grain_features(shares: Tensor, distances: Tensor) -> Tensor:
    """Describe the whole grains of cutouts.

    Parameters
    ----------
    shares : Tensor, shape (n, 1024, grains)
        How much every point belongs to every grain.
    distances : Tensor, shape (n,)
        Distances p of the cutouts from the particle's centre.

    Returns
    -------
    Tensor, shape (whole grains, 3)
        Logarithm of the area, and the anisotropy of the second moments along and across the
        radius through the grain's centre (their difference over their sum), over `SCALES`.
    """
    points = grid_points().to(shares)
    points = torch.stack([points[:, 0] + (WINDOW + 1) / 2, points[:, 1]], 1)
    limit = (WINDOW - 1) / 2
    border = (points - points.mean(0)).abs().amax(1) >= limit
    mass = shares.detach().sum(1)
    whole = (mass > SMALLEST) & (shares.detach()[:, border].sum(1) < AT_BORDER * mass)
    cutout, grain = whole.nonzero(as_tuple=True)
    own = shares[cutout, :, grain]
    area = own.sum(1)
    first, second = points.T
    along, across = own @ first / area, own @ second / area
    pixel = 1 / 12
    aa = own @ first.square() / area - along.square() + pixel
    cc = own @ second.square() / area - across.square() + pixel
    ac = own @ (first * second) / area - along * across
    stretch, shear = (aa - cc) / (aa + cc), 2 * ac / (aa + cc)
    radial = along + distances.to(shares)[cutout]
    squared = radial.square() + across.square()
    cosine, sine = (radial.square() - across.square()) / squared, 2 * radial * across / squared
    turned = (stretch * cosine + shear * sine, shear * cosine - stretch * sine)
    scaled = [v / s for v, s in zip((area.log(), *turned), SCALES, strict=True)]
    return torch.stack(scaled, 1)


class GrainAnchor:
    """Distance of the grains of generated cutouts from those of real ones.

    Parameters
    ----------
    cutouts : SectionCutouts
    random : numpy Generator
    """

    def __init__(self, cutouts: SectionCutouts, random: np.random.Generator) -> None:
        numbers, distances = cutouts.draw(CUTOUTS, random)
        features = []
        for each, p in zip(numbers, distances, strict=True):
            values = np.unique(each)
            shares = torch.from_numpy(each.reshape(-1, 1) == values).float()
            features.append(grain_features(shares[None], torch.tensor([p]).float()))
        real = torch.cat(features)
        kept = random.permutation(len(real))[:GRAINS]
        self.real = real[torch.from_numpy(kept)]
        self._within = float(_mean_distance(self.real, self.real, within=True))

    def loss(self, shares: Tensor, distances: Tensor) -> Tensor:
        """Return the squared energy distance, without bias; 0 if there is hardly a whole grain."""
        made = grain_features(shares, distances)
        if len(made) < 2 or len(self.real) < 2:
            return shares.sum() * 0
        between = _mean_distance(made, self.real.to(made))
        return 2 * between - _mean_distance(made, made, within=True) - self._within


def _mean_distance(a: Tensor, b: Tensor, within: bool = False) -> Tensor:
    """Return the mean distance of all pairs; `within` one sample, of different ones."""
    distance = ((a[:, None] - b).square().sum(-1) + 1e-6).sqrt()
    if not within:
        return distance.mean()
    return (distance.sum() - distance.diagonal().sum()) / max(1, len(a) * (len(a) - 1))


def flatness(diagonals: Tensor) -> Tensor:
    """Return how far grains are from equally wide in both directions across the radius.

    The mean of ``log(D2 / D3)^2``. A section through the centre shows but one of these directions,
    so flat grains turned at random and round ones of mixed widths look alike in it, and are not in
    3D; of both, the round ones are taken [ours].

    Parameters
    ----------
    diagonals : Tensor, shape (n, 3)
    """
    return (diagonals[:, 1] / diagonals[:, 2]).log().square().mean()
