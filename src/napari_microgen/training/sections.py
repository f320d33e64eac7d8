"""Cutting planar sections out of generated volumes, and reading an image's symmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage
    from napari_microgen.training.patches import Symmetry

SYMMETRY_LAG = 16
SYMMETRY_TOLERANCE = 0.06


def straight_sections(volumes: Tensor, axis: int, planes: Tensor) -> Tensor:
    """Cut sections normal to an axis.

    Parameters
    ----------
    volumes : Tensor, shape (batch, channels, z, y, x)
    axis : int
        0, 1 or 2 for z, y or x.
    planes : Tensor of int
        Positions along the axis.

    Returns
    -------
    Tensor, shape (batch * len(planes), channels, rows, columns)
        Rows and columns are the two other axes in their order.
    """
    sections = volumes.index_select(2 + axis, planes).movedim(2 + axis, 1)
    return sections.flatten(0, 1)


def diagonal_sections(volumes: Tensor, axes: tuple[int, int], start: int, mirrored: bool) -> Tensor:
    """Cut one section per volume that contains the diagonal of two axes and the third axis.

    Voxels are taken at unit steps along the diagonal, the nearest ones, so the section has the
    same scale as a straight one (paper 003, section 5, proposes such sections for row F).

    Parameters
    ----------
    volumes : Tensor, shape (batch, channels, n, n, n)
        Cubes.
    axes : tuple of int
        The two axes, ascending, whose diagonal the section follows.
    start : int
        First position along both axes.
    mirrored : bool
        Take the other diagonal.

    Returns
    -------
    Tensor, shape (batch, channels, n, n)
        The diagonal stands where ``axes[1]`` stands in a section normal to ``axes[0]``.
    """
    side = volumes.shape[-1]
    steps = torch.arange(side, device=volumes.device)
    along = (start + steps / 2**0.5).round().long().clamp(max=side - 1)
    second = side - 1 - along if mirrored else along
    moved = volumes.movedim((2 + axes[0], 2 + axes[1]), (2, 3))
    sections = moved[:, :, along, second]
    third = 3 - sum(axes)
    return sections if third > axes[1] else sections.transpose(2, 3)


def diagonal_starts(side: int) -> int:
    """Return how many starts `diagonal_sections` allows in a cube of `side`."""
    return side - int(np.floor((side - 1) / 2**0.5 + 0.5))


def image_symmetry(image: PhaseImage) -> Symmetry:
    """Which symmetries of the square the two-point correlation of an image has.

    Parameters
    ----------
    image : PhaseImage
        Labels, 2D or a stack of sections.

    Returns
    -------
    {"square", "mirror", "none"}
        Square if the correlation is unchanged by mirrors and by exchanging the axes, mirror if
        only by mirrors, to within `SYMMETRY_TOLERANCE` of its range.
    """
    correlation = _correlation_map(image)
    mirrored = correlation[:, ::-1]
    if np.sqrt(np.mean((correlation - mirrored) ** 2)) > SYMMETRY_TOLERANCE:
        return "none"
    transposed = correlation.T
    if np.sqrt(np.mean((correlation - transposed) ** 2)) > SYMMETRY_TOLERANCE:
        return "mirror"
    return "square"


def _correlation_map(image: PhaseImage) -> NDArray[np.float64]:
    """Autocorrelation of the phases at lags up to `SYMMETRY_LAG`, 1 at lag 0, about 0 far off."""
    stack = image.data if image.ndim == 3 else image.data[None]
    sections = stack[:: max(1, len(stack) // 8)]
    lag = min(SYMMETRY_LAG, min(sections.shape[1:]) // 4)
    total = np.zeros((2 * lag + 1, 2 * lag + 1))
    for phase, fraction in enumerate(image.fractions):
        field = np.where(sections == 255, 0.0, (sections == phase) - fraction)
        padded = [n + lag for n in sections.shape[1:]]
        spectrum = np.fft.rfft2(field, padded)
        product = np.fft.irfft2((np.abs(spectrum) ** 2).sum(0), padded)
        lags = np.arange(-lag, lag + 1)
        total += product[np.ix_(lags, lags)]
    return np.asarray(total / total[lag, lag])
