"""Drawing random cubes from a volume, without storing them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from napari_microgen.errors import InputError
from napari_microgen.training.sections import SYMMETRY_LAG, SYMMETRY_TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

CubeSymmetry = Literal["cube", "mirror", "none"]

NEAR = 0.1
"""Correlation, averaged over the symmetries of the cube, below which mostly noise is seen."""


class CubeSampler:
    """Draws cubes at random places, never one with an unlabelled voxel.

    Parameters
    ----------
    image : PhaseImage
        A volume of labels.
    side : int
        Side of a cube in voxels.
    symmetry : {"cube", "mirror", "none"}
        Cubes are turned at random by the 48 rotations and mirrors of a cube, by mirrors along the
        axes, or not at all.

    Raises
    ------
    InputError
        If the volume is smaller than a cube, or no cube is free of unlabelled voxels.
    """

    def __init__(self, image: PhaseImage, side: int, symmetry: CubeSymmetry) -> None:
        self.image, self.side, self.symmetry = image, side, symmetry
        if min(image.shape) < side:
            raise InputError(
                f"'{image.name}' has {' x '.join(map(str, image.shape))} voxels, but cubes of "
                f"{side} x {side} x {side} are drawn from it; {_way_out(image.shape)}."
            )
        self._places = tuple(n - side + 1 for n in image.shape)
        self._complete = _complete_cubes(image.labelled, side)
        if self._complete is not None and self._complete.size == 0:
            raise InputError(
                f"'{image.name}' has no cube of {side} voxels a side without unlabelled ones; "
                "label more of it, or crop it to a labelled part."
            )

    def draw(self, count: int, random: np.random.Generator) -> torch.Tensor:
        """Draw cubes encoded for a network.

        Returns
        -------
        Tensor of float32, shape (count, phases, side, side, side)
        """
        flat = (
            random.integers(int(np.prod(self._places)), size=count)
            if self._complete is None
            else self._complete[random.integers(self._complete.size, size=count)]
        )
        corners = np.stack(np.unravel_index(flat, self._places), axis=1)
        cubes = [self._turned(self._cut(corner), random) for corner in corners]
        return torch.from_numpy(self.image.encode(np.stack(cubes))).movedim(-1, 1).contiguous()

    def _cut(self, corner: NDArray[np.integer]) -> NDArray[np.generic]:
        z, y, x = (slice(int(c), int(c) + self.side) for c in corner)
        return self.image.data[z, y, x]

    def _turned(
        self, cube: NDArray[np.generic], random: np.random.Generator
    ) -> NDArray[np.generic]:
        order, mirrored = random.permutation(3), random.integers(2, size=3)
        if self.symmetry == "none":
            return cube
        if self.symmetry == "cube":
            cube = cube.transpose(order)
        return cube[tuple(slice(None, None, -1 if m else 1) for m in mirrored)]


def _way_out(shape: tuple[int, ...]) -> str:
    if min(shape) >= 32:
        return "set 'side' to 32, or bring a larger volume"
    return "bring a larger volume, or train SliceGAN on its sections"


def _complete_cubes(labelled: NDArray[np.bool_], side: int) -> NDArray[np.int64] | None:
    """Flat indices of the places whose cube is fully labelled; None if that is everywhere."""
    if labelled.all():
        return None
    gaps = (~labelled).astype(np.int64)
    for axis in range(3):
        sums = np.pad(gaps.cumsum(axis), [(int(a == axis), 0) for a in range(3)])
        ends = np.arange(side, sums.shape[axis])
        gaps = sums.take(ends, axis) - sums.take(ends - side, axis)
    return np.flatnonzero(gaps == 0)


def volume_symmetry(image: PhaseImage) -> CubeSymmetry:
    """Which symmetries of the cube the two-point correlation of a volume has.

    Parameters
    ----------
    image : PhaseImage
        A volume of labels.

    Returns
    -------
    {"cube", "mirror", "none"}
        Cube if the correlation is unchanged by exchanging and mirroring axes, mirror if only by
        mirrors, to within `SYMMETRY_TOLERANCE` of its range where it stands out of the noise.
    """
    correlation = _correlation_map(image)
    orders = list(itertools.permutations(range(3)))
    mean = np.mean([correlation.transpose(order) for order in orders], axis=0)
    for axis in range(3):
        mean = (mean + np.flip(mean, axis)) / 2
    near = mean > NEAR

    def differs(other: NDArray[np.float64]) -> bool:
        squares = (correlation - other)[near] ** 2
        return bool(np.sqrt(squares.mean()) > SYMMETRY_TOLERANCE)

    if any(differs(np.flip(correlation, axis)) for axis in range(3)):
        return "none"
    return "mirror" if any(differs(correlation.transpose(o)) for o in orders) else "cube"


def _correlation_map(image: PhaseImage) -> NDArray[np.float64]:
    """Autocorrelation of the phases at lags up to `SYMMETRY_LAG`, 1 at lag 0, about 0 far off."""
    from scipy import fft

    lag = min(SYMMETRY_LAG, min(image.shape) // 4)
    padded = [fft.next_fast_len(n + lag, real=True) for n in image.shape]
    total = np.zeros((2 * lag + 1,) * 3)
    lags = np.arange(-lag, lag + 1)
    for phase, fraction in enumerate(image.fractions):
        field = np.where(image.labelled, (image.data == phase) - fraction, 0.0)
        spectrum = fft.rfftn(field.astype(np.float32), padded)
        product = fft.irfftn(np.abs(spectrum) ** 2, padded)
        total += product[np.ix_(lags, lags, lags)]
    return np.asarray(total / total[lag, lag, lag])
