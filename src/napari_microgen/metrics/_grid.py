"""What every metric needs of a grid of voxels: sizes, periodic axes, neighbouring pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def check_indices(data: NDArray[np.uint8], stacked: bool = False) -> int:
    """Return the number of spatial axes of an array of phase indices.

    Raises
    ------
    InputError
        If it is not 2D or 3D, or empty.
    """
    ndim = data.ndim - stacked
    if ndim not in (2, 3) or data.size == 0:
        raise InputError(f"Metrics need a 2D or 3D image, not an array of shape {data.shape}.")
    return ndim


def per_axis(value: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    """Return one voxel size per axis.

    Raises
    ------
    InputError
        If there are not as many as axes, or one is not positive.
    """
    given = np.asarray(value, float)
    sizes = tuple(float(s) for s in (np.full(ndim, given) if given.ndim == 0 else given))
    if len(sizes) != ndim or not all(s > 0 for s in sizes):
        raise InputError(f"The voxel size {sizes} does not fit {ndim} axes; give one per axis.")
    return sizes


def flags(value: bool | Sequence[bool], ndim: int) -> tuple[bool, ...]:
    """Return for every axis whether it is periodic.

    Raises
    ------
    InputError
        If there are not as many flags as axes.
    """
    found = (value,) * ndim if isinstance(value, bool) else tuple(bool(v) for v in value)
    if len(found) != ndim:
        raise InputError(f"'periodic' has {len(found)} entries for {ndim} axes; give one per axis.")
    return found


def wrap(data: NDArray[Scalar], periodic: Sequence[bool]) -> NDArray[Scalar]:
    """Repeat the first layer behind the last one along periodic axes."""
    if not any(periodic):
        return data
    return np.pad(data, [(0, int(p)) for p in periodic], mode="wrap")


def pair(
    wrapped: NDArray[Scalar], shape: Sequence[int], offset: Sequence[int]
) -> tuple[NDArray[Scalar], NDArray[Scalar]]:
    """Return two views: every voxel that has a neighbour at `offset` (-1, 0, 1), and that one.

    Parameters
    ----------
    wrapped : ndarray
        Result of `wrap`.
    shape : sequence of int
        Shape before wrapping.
    offset : sequence of int
        One of -1, 0, 1 per axis.
    """
    near, far = [], []
    for o, n in zip(offset, shape, strict=True):
        near.append({0: slice(0, n), 1: slice(None, -1), -1: slice(1, None)}[o])
        far.append({0: slice(0, n), 1: slice(1, None), -1: slice(None, -1)}[o])
    return wrapped[tuple(near)], wrapped[tuple(far)]


def has_gaps(data: NDArray[np.uint8]) -> bool:
    """Tell whether some voxels are unlabelled."""
    return bool((data == UNLABELLED).any())
