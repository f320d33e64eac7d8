"""Linear resampling between grids of different voxel size, by absolute position.

Every grid begins at the same corner: voxel ``i`` of a grid of voxel size ``a`` lies at
``(i + 1/2) a``. Weights are worked out in whole numbers from absolute positions, so a part of a
volume is resampled exactly as it is within the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

Span = tuple[int, int]
"""First position of a part of a grid, and the one after its last."""


def interpolation(source: Span, target: Span, factor: Fraction) -> NDArray[np.float64]:
    """Return the matrix that interpolates linearly from one grid to another, along one axis.

    Parameters
    ----------
    source, target : Span
        Positions on either grid. What lies beyond `source` is taken as its outermost value.
    factor : Fraction
        Target voxels per source voxel.

    Returns
    -------
    ndarray, shape (target length, source length)
        Every row sums to 1.
    """
    p, q = factor.numerator, factor.denominator
    # The middle of target voxel i lies at ((2 i + 1) q - p) / (2 p) on the source grid.
    numerators = (2 * np.arange(*target) + 1) * q - p
    lower = numerators // (2 * p)
    upper_share = (numerators % (2 * p)) / (2 * p)
    matrix = np.zeros((len(lower), source[1] - source[0]))
    rows = np.arange(len(lower))
    for position, share in ((lower, 1 - upper_share), (lower + 1, upper_share)):
        columns = np.clip(position - source[0], 0, matrix.shape[1] - 1)
        np.add.at(matrix, (rows, columns), share)
    return matrix


def nearest(source: Span, target: Span, factor: Fraction) -> NDArray[np.float64]:
    """Return the matrix that takes the source voxel in which each target voxel has its middle.

    Parameters as of `interpolation`.
    """
    p, q = factor.numerator, factor.denominator
    position = (2 * np.arange(*target) + 1) * q // (2 * p)
    columns = np.clip(position - source[0], 0, source[1] - source[0] - 1)
    return np.eye(source[1] - source[0])[columns]


def along_axes(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Apply one matrix along each of the last three axes.

    Parameters
    ----------
    values : Tensor, shape (..., z, y, x)
    matrices : sequence of three Tensor
        Shapes ``(new, old)`` for z, y, x.

    Returns
    -------
    Tensor, shape (..., new z, new y, new x)
    """
    along_z, along_y, along_x = matrices
    values = values @ along_x.T
    values = along_y @ values
    planes = along_z @ values.flatten(-2)
    return planes.view(*planes.shape[:-1], *values.shape[-2:])


def as_tensors(matrices: Sequence[NDArray[np.float64]], like: Tensor) -> list[Tensor]:
    """Return matrices in the type and on the device of a tensor."""
    return [torch.from_numpy(m).to(like) for m in matrices]
