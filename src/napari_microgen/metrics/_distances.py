"""Squared Euclidean distances on a grid of voxels, up to a limit, in little memory.

Squares are whole numbers wherever those of the voxel's edges are (over the smallest), so that
equal distances are equal numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def square_weights(sizes: Sequence[float]) -> tuple[float, ...]:
    """Return the squared edges of a voxel over the smallest, rounded so that 4 is 4."""
    return tuple(round((s / min(sizes)) ** 2, 9) for s in sizes)


def squared_distances(
    seeds: NDArray[np.bool_],
    weights: Sequence[float],
    periodic: Sequence[bool],
    limit: float | None = None,
) -> NDArray[Any]:
    """Return the squared distance of every voxel to the nearest seed.

    Parameters
    ----------
    seeds : ndarray of bool
        2D or 3D.
    weights : sequence of float
        Result of `square_weights`.
    periodic : sequence of bool
        Axes along which the image repeats.
    limit : float, optional
        Where it is not below this, the result is this, and the sooner it is found; without a
        seed it is larger than any distance in the image.

    Returns
    -------
    ndarray of uint16 or int32, or float64 for weights that are no whole numbers
    """
    thin = seeds.ndim == 2
    grid = seeds[None] if thin else seeds
    wz, wy, wx = (1.0, *weights) if thin else weights
    pz, py, px = (False, *periodic) if thin else periodic
    if limit is None:
        limit = 1 + sum(w * n**2 for w, n in zip((wz, wy, wx), grid.shape, strict=True))
    result = np.empty(grid.shape, _dtype(limit, (wz, wy, wx)))
    for z in range(grid.shape[0]):
        rows = np.minimum(_along_rows(grid[z], px) ** 2 * wx, limit).astype(result.dtype)
        result[z] = _spread(rows, wy, py, limit)
    for y in range(grid.shape[1]):
        result[:, y] = _spread(np.ascontiguousarray(result[:, y]), wz, pz, limit)
    return result[0] if thin else result


def _dtype(limit: float, weights: Sequence[float]) -> type[np.generic]:
    """Return the smallest type that holds twice the limit."""
    if any(w != round(w) for w in weights) or limit >= 2**30:
        return np.float64
    return np.uint16 if limit < 2**15 else np.int32


def _along_rows(seeds: NDArray[np.bool_], around: bool) -> NDArray[np.float64]:
    """Return the number of voxels from every voxel to the nearest seed of its row."""
    n = seeds.shape[1]
    margin = n // 2 + 1 if around else 0
    wide = np.pad(seeds, ((0, 0), (margin, margin)), mode="wrap")
    here = np.arange(wide.shape[1], dtype=np.int32)
    far = np.int32(2**30)
    before = here - np.maximum.accumulate(np.where(wide, here, -far), axis=1)
    after = np.minimum.accumulate(np.where(wide, here, far)[:, ::-1], axis=1)[:, ::-1] - here
    return np.minimum(before, after)[:, margin : margin + n].astype(np.float64)


def _spread(block: NDArray[Any], weight: float, around: bool, limit: float) -> NDArray[Any]:
    """Return the least of ``block[j] + weight (i - j)^2`` over j, for every i of the first axis."""
    n = len(block)
    longest = n // 2 if around else n - 1
    reach = min(longest, int((float(block.max()) / weight) ** 0.5))
    edges: dict[str, Any] = {"mode": "wrap"} if around else {"constant_values": limit}
    wide = np.pad(block, ((reach, reach), (0, 0)), **edges)
    least, other = block.copy(), np.empty_like(block)
    for k in range(1, reach + 1):
        step = block.dtype.type(k**2 * weight)
        if step >= least.max():
            break
        np.minimum(wide[reach - k :][:n], wide[reach + k :][:n], out=other)
        other += step
        np.minimum(least, other, out=least)
    return least
