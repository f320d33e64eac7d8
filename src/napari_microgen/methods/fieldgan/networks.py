"""What refines the logits of a calibrated excursion set: networks that treat all places alike.

All convolutions are valid ones: what a network sees beyond its output is handed in, so a volume
does not know where its tiles end. Nothing is strided, so nothing repeats.

Kernels are symmetric by construction. Axes that a material does not tell apart form a group; a
kernel is unchanged by mirroring any axis and by exchanging axes of one group. An isotropic
material has the one group (z, y, x).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_microgen.methods.fieldgan.balls import LARGEST_CHORD, RADIUS, SMALLEST_CHORD
from napari_microgen.methods.fieldgan.inputs import input_channels
from napari_microgen.training import losses

if TYPE_CHECKING:
    from collections.abc import Sequence

Groups = tuple[tuple[int, ...], ...]
"""Axes (0, 1, 2 for z, y, x) in groups of those that are alike."""

ISOTROPIC: Groups = ((0, 1, 2),)
TRANSVERSE: Groups = ((0,), (1, 2))
ORTHOTROPIC: Groups = ((0,), (1,), (2,))

INDICATOR_SHARPNESS = 8.0
"""Steepness of `indicators`; ten times steeper than the interface is smooth."""

STRAIGHT_SHARPNESS = 0.5
"""Steepness of the gradient of `straight_through`; it reaches voxels deep within a phase."""

PART = 32
"""Side of the parts in which a large volume is refined."""

LOGIT_SCALE = 4.0
"""Size of logits some voxels from an interface; networks work with numbers of size 1."""


class Refinement(nn.Module, ABC):
    """Turns the inputs into refined logits.

    Attributes
    ----------
    radius : int
        Voxels that it sees beyond its output, on every side.
    bands : tuple of float
        Correlation lengths of the fields it wants besides the calibrated ones.
    radii : tuple of float
        Median radius of every phase's balls, whose distances it wants; 0 or empty for none.
    numbers_per_voxel : int
        Values that it holds per voxel at a time.
    bias : Tensor, shape (n_phases,)
        Added to the logits, so that the volume fractions are kept; set, not learned.
    """

    radius: int
    bands: tuple[float, ...] = ()
    radii: tuple[float, ...]
    numbers_per_voxel: int
    bias: Tensor

    def __init__(self, n_phases: int, groups: Groups, radii: Sequence[float] = ()) -> None:
        super().__init__()
        self.n_phases, self.groups, self.radii = n_phases, groups, tuple(radii)
        self.register_buffer("bias", torch.zeros(n_phases))

    @abstractmethod
    def correction(self, inputs: Tensor, first: int = 0) -> Tensor:
        """Return what is added to the logits, `radius` voxels smaller on every side.

        Parameters
        ----------
        inputs : Tensor, shape (batch, channels, z, y, x)
        first : int
            Axis along which they are thinnest; see `SymmetricConvolution`.
        """

    def forward(self, inputs: Tensor) -> Tensor:
        """Refine.

        Parameters
        ----------
        inputs : Tensor, shape (batch, channels, z, y, x)
            Calibrated logits, then the fields of `bands`, then two distances per phase with balls.

        Returns
        -------
        Tensor, shape (batch, n_phases, z - 2 radius, y - 2 radius, x - 2 radius)
        """
        logits = cropped(inputs[:, : self.n_phases], self.radius)
        return logits + self.correction(inputs) + self.bias[:, None, None, None]

    @torch.no_grad()
    def refined(self, inputs: Tensor) -> Tensor:
        """Refine a large volume part by part, where no gradient is asked for.

        Memory of small parts is used again and again; asking the system for large pieces of it
        takes several times as long as the network.
        """
        shape = [n - 2 * self.radius for n in inputs.shape[2:]]
        result = inputs.new_empty(len(inputs), self.n_phases, *shape)
        for z, y, x in product(*(range(0, n, PART) for n in shape)):
            part = inputs
            for axis, start in enumerate((z, y, x), start=2):
                length = min(PART, shape[axis - 2] - start) + 2 * self.radius
                part = part.narrow(axis, start, length)
            result[..., z : z + PART, y : y + PART, x : x + PART] = self(part)
        return result


class FilterNetwork(Refinement):
    """A linear filter: logits plus mixtures of their differences from their Gaussian means.

    Parameters
    ----------
    n_phases : int
    groups : Groups
        The means are taken over the axes of one group at a time.
    """

    WIDTHS = (0.6, 1.0, 1.6)
    """Standard deviations of the Gaussians in voxels."""

    radius = 4
    numbers_per_voxel = 64

    def __init__(self, n_phases: int, groups: Groups, radii: Sequence[float] = ()) -> None:
        super().__init__(n_phases, groups, ())
        features = n_phases * len(self.WIDTHS) * len(groups)
        self.mixture = nn.Parameter(torch.zeros(n_phases, features))

    def features(self, inputs: Tensor) -> Tensor:
        """Return the differences that are mixed, shape ``(batch, features, ...)``, cropped."""
        logits = inputs[:, : self.n_phases]
        middle = cropped(logits, self.radius)
        found = []
        for width in self.WIDTHS:
            taps = gaussian_taps(width, self.radius).to(logits)
            for group in self.groups:
                others = [axis for axis in range(3) if axis not in group]
                mean = cropped(logits, self.radius, others)
                for axis in group:
                    mean = convolved(mean, taps, axis)
                found.append(mean - middle)
        return torch.cat(found, 1)

    def mixed(self, features: Tensor) -> Tensor:
        """Return the mixtures of `features`, of which sections do as well."""
        return torch.einsum("of,bf...->bo...", self.mixture, features)

    def correction(self, inputs: Tensor, first: int = 0) -> Tensor:
        """See `Refinement.correction`; the order of the axes does not matter here."""
        return self.mixed(self.features(inputs))


class FieldNetwork(Refinement):
    """A convolutional network on logits and further fields, from far neighbours to near ones.

    Every layer looks half as far as the one before it, at neighbours a power of two away along
    every axis (convolutions with holes: Holschneider et al. 1990, Yu and Koltun 2016).

    Parameters
    ----------
    n_phases : int
    groups : Groups
    radii : sequence of float
    """

    STEPS = (4, 2, 1)
    WIDTHS = (32, 48, 48)

    radius = sum(STEPS)
    bands = (3.0, 16.0)
    numbers_per_voxel = 384

    def __init__(self, n_phases: int, groups: Groups, radii: Sequence[float] = ()) -> None:
        super().__init__(n_phases, groups, radii)
        inputs, width = input_channels(n_phases, self.bands, radii), self.WIDTHS[-1]
        widths = (inputs, *self.WIDTHS)
        self.layers = nn.ModuleList(
            SymmetricConvolution(a, b, step, groups)
            for a, b, step in zip(widths, widths[1:], self.STEPS, strict=False)
        )
        self.mix = nn.Conv3d(width + inputs, width, 1)
        self.last = nn.Conv3d(width, n_phases, 1, bias=False)
        nn.init.zeros_(self.last.weight)

    def correction(self, inputs: Tensor, first: int = 0) -> Tensor:
        """See `Refinement.correction`."""
        n = self.n_phases
        scaled = torch.cat([inputs[:, :n] / LOGIT_SCALE, inputs[:, n:]], 1)
        x = scaled
        for layer in self.layers:
            x = leaky(layer(x, first))
        x = torch.cat([x, cropped(scaled, self.radius)], 1)
        correction: Tensor = LOGIT_SCALE * self.last(leaky(self.mix(x)))
        return correction


@torch.no_grad()
def normalise(network: Refinement, inputs: Tensor) -> None:
    """Scale and shift all convolutions, so that their outputs have mean 0 and variance 1.

    Otherwise what comes from far neighbours fades from layer to layer, and takes long to be
    heard of (layer-sequential unit variance; Mishkin and Matas, ICLR 2016).

    Parameters
    ----------
    network : Refinement
    inputs : Tensor, shape (1, channels, z, y, x)
        What it acts on.
    """

    def settle(layer: nn.Module, _: object, output: Tensor) -> Tensor:
        assert isinstance(layer, nn.Conv3d) and layer.bias is not None
        spread, mean = torch.std_mean(output, (0, 2, 3, 4))
        layer.weight.div_(spread.reshape(-1, 1, 1, 1, 1))
        layer.bias.sub_(mean).div_(spread)
        return (output - mean[:, None, None, None]) / spread[:, None, None, None]

    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv3d)]
    hooks = [c.register_forward_hook(settle) for c in convolutions if c.bias is not None]
    network.correction(inputs)
    for hook in hooks:
        hook.remove()


class SymmetricConvolution(nn.Module):
    """A valid convolution of 3 x 3 x 3 voxels, some steps apart, with symmetric kernels.

    A kernel has one weight for all elements that the symmetries exchange: in an isotropic
    material for the middle, the 6 faces, the 12 edges and the 8 corners. So their means are
    taken first, and weighted by a convolution of one voxel: a seventh of the work.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    step : int
        Voxels between the elements.
    groups : Groups
    """

    def __init__(self, inputs: int, outputs: int, step: int, groups: Groups) -> None:
        super().__init__()
        self.step, self.groups = step, groups
        keys = product(*(range(len(group) + 1) for group in groups))
        self._elements = {
            key: math.prod(math.comb(len(g), n) * 2**n for g, n in zip(groups, key, strict=True))
            for key in keys
        }
        self.weights = nn.Conv3d(inputs * len(self._elements), outputs, 1)

    def forward(self, values: Tensor, first: int = 0) -> Tensor:
        """Convolve; every side becomes 2 `step` voxels shorter.

        Parameters
        ----------
        values : Tensor, shape (batch, inputs, z, y, x)
        first : int
            Axis along which is added first. Soonest done where `values` are thin along it, but
            in another order sums are rounded otherwise.
        """
        outer = {(0,) * len(self.groups): values}
        for axis in sorted(range(3), key=lambda axis: axis != first):
            group = next(i for i, members in enumerate(self.groups) if axis in members)
            outer = self._along(axis, group, outer)
        means = [outer[key] / elements for key, elements in self._elements.items()]
        result: Tensor = self.weights(torch.cat(means, 1))
        return result

    def _along(
        self, axis: int, group: int, outer: dict[tuple[int, ...], Tensor]
    ) -> dict[tuple[int, ...], Tensor]:
        """Add up elements along an axis by how many coordinates of a group are outer ones."""
        found: dict[tuple[int, ...], Tensor] = {}
        for key, values in outer.items():
            more = tuple(n + (i == group) for i, n in enumerate(key))
            length = values.shape[axis - 3] - 2 * self.step
            middle = values.narrow(axis - 3, self.step, length)
            both = values.narrow(axis - 3, 0, length) + values.narrow(
                axis - 3, 2 * self.step, length
            )
            found[key] = found[key] + middle if key in found else middle
            found[more] = found[more] + both if more in found else both
        return found


def leaky(values: Tensor) -> Tensor:
    """Rectify with a slope of .2 below zero."""
    return nn.functional.leaky_relu(values, 0.2)


def indicators(logits: Tensor) -> Tensor:
    """Return nearly sharp indicators of the phases, through which a gradient passes.

    Steep enough that statistics of them are those of the phases, and smooth enough that a phase
    boundary feels the push of the voxels it passes. The gradient of a statistic points where
    finite differences of that statistic do; that of the straight-through estimator, which is
    taken at sharp indicators, points elsewhere (docs/fieldgan.md).

    Parameters
    ----------
    logits : Tensor, shape (batch, n_phases, ...)
    """
    return torch.softmax(INDICATOR_SHARPNESS * logits, 1)


def straight_through(logits: Tensor) -> Tensor:
    """Return indicators of the phases, 0 and 1, with the gradient of soft ones (SliceGAN).

    The gradient is not that of the indicators, which only moves phase boundaries: it also reaches
    the voxels within, so that a phase can come up in the middle of another one.

    Parameters
    ----------
    logits : Tensor, shape (batch, n_phases, ...)
    """
    return losses.straight_through(torch.softmax(STRAIGHT_SHARPNESS * logits, 1))


def sharp(logits: Tensor) -> Tensor:
    """Return indicators of the phases, 0 and 1; no gradient passes."""
    largest = logits.detach().argmax(1, keepdim=True)
    return torch.zeros_like(logits).scatter_(1, largest, 1.0)


def gaussian_taps(width: float, radius: int) -> Tensor:
    """Return the weights of a Gaussian at -radius..radius voxels, of sum 1."""
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    taps = torch.exp(-0.5 * (places / width) ** 2)
    return (taps / taps.sum()).float()


def convolved(values: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Convolve along one of the three last axes with symmetric taps; only what is complete."""
    radius = len(taps) // 2
    along = axis - 3
    length = values.shape[along] - 2 * radius
    result = taps[radius] * values.narrow(along, radius, length)
    for step in range(1, radius + 1):
        both = values.narrow(along, radius - step, length)
        both = both + values.narrow(along, radius + step, length)
        result = result + taps[radius + step] * both
    return result


def cropped(values: Tensor, margin: int, axes: Sequence[int] = (0, 1, 2)) -> Tensor:
    """Take `margin` voxels off either end of some of the three last axes."""
    for axis in axes:
        values = values.narrow(axis - 3, margin, values.shape[axis - 3] - 2 * margin)
    return values


def describe_network(network: Refinement) -> list[float]:
    """Return what `rebuild_network` needs beside the weights."""
    symmetry = float(SYMMETRIES.index(network.groups))
    kind = float(KINDS.index(type(network)))
    return [kind, float(network.n_phases), symmetry, *network.radii]


def rebuild_network(description: Sequence[float]) -> Refinement:
    """Return an untrained network as `describe_network` described it.

    Raises
    ------
    ValueError, IndexError
        If there is no such network.
    """
    kind, n_phases, symmetry = (int(v) for v in description[:3])
    radii = description[3:]
    possible = (not r or SMALLEST_CHORD <= r / RADIUS <= LARGEST_CHORD for r in radii)
    if not all(possible) or len(radii) not in (0, n_phases):
        raise ValueError("radii")
    if min(kind, symmetry) < 0:
        raise IndexError("kind or symmetry")
    return KINDS[kind](n_phases, SYMMETRIES[symmetry], radii)


SYMMETRIES = (ISOTROPIC, TRANSVERSE, ORTHOTROPIC)
KINDS: tuple[type[Refinement], ...] = (FilterNetwork, FieldNetwork)
