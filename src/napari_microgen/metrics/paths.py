"""Shortest paths through one phase."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.metrics._grid import check_indices, flags, per_axis
from napari_microgen.metrics._steps import finish

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step

WALL = -1.0
"""Length that no path undercuts, so that none enters."""


@dataclass(frozen=True)
class GeodesicTortuosity:
    """How much longer than straight the shortest paths through a phase are.

    Attributes
    ----------
    mean : float
        Mean length over the voxels of the first layer that reach the last one, over the
        distance of the two layers; infinite if none does.
    reaching : float
        Share of the phase's voxels in the first layer that reach the last one.
    """

    mean: float
    reaching: float


def geodesic_tortuosity(
    data: NDArray[np.uint8],
    phase: int,
    axis: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
) -> GeodesicTortuosity:
    """Measure the shortest paths from the first to the last layer along an axis.

    A path goes from voxel centre to voxel centre, over corners too (26 neighbours, 8 in 2D);
    unlabelled voxels block. Takes about 14 bytes of memory per voxel.

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices, 255 unlabelled; ``(y, x)`` or ``(z, y, x)``.
    phase : int
        Index of the phase.
    axis : int
        Direction of the paths.
    voxel_size : float or sequence of float
        Edge lengths of a voxel; only their ratios matter.
    periodic : bool or sequence of bool
        Axes whose sides are joined; elsewhere sides are walls. The entry of `axis` is not used.

    Raises
    ------
    InputError
        If the image has a single layer along the axis.

    References
    ----------
    Denardo, Fox, "Shortest-route methods: 1. Reaching, pruning, and buckets", Oper. Res. 27, 1979.
    """
    steps = geodesic_steps(data, phase, axis, voxel_size=voxel_size, periodic=periodic)
    return finish(steps)


def geodesic_steps(
    data: NDArray[np.uint8],
    phase: int,
    axis: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
) -> Generator[Step, None, GeodesicTortuosity]:
    """Do what `geodesic_tortuosity` does step by step; yield the share of the phase reached."""
    ndim = check_indices(data)
    sizes, around = per_axis(voxel_size, ndim), flags(periodic, ndim)
    layers = data.shape[axis]
    if layers < 2:
        raise InputError(f"Paths along axis {axis} need at least two layers of voxels there.")
    order = [axis, *(i for i in range(ndim) if i != axis)]
    mask = np.ascontiguousarray(np.transpose(data == phase, order))
    inlets = int(np.count_nonzero(mask[0]))
    lengths = yield from _length_steps(
        mask, [sizes[i] for i in order], [False, *(around[i] for i in order[1:])]
    )
    if not lengths.size:
        return GeodesicTortuosity(float("inf"), 0.0)
    straight = (layers - 1) * sizes[axis]
    return GeodesicTortuosity(float(lengths.mean()) / straight, lengths.size / inlets)


def _length_steps(
    mask: NDArray[np.bool_], sizes: Sequence[float], around: Sequence[bool]
) -> Generator[Step, None, NDArray[np.float64]]:
    """Return the shortest paths to the last layer from the voxels of the first that reach it.

    Voxels are settled in the order of their distance, a step's width at a time: no path to them
    can be shortened any more, since it would take another step.
    """
    walls = [0 if p else 1 for p in around]
    lengths = np.where(np.pad(mask, [(w, w) for w in walls]), np.inf, WALL)
    inside = lengths[tuple(slice(w, n - w) for w, n in zip(walls, lengths.shape, strict=True))]
    inside[-1][mask[-1]] = 0
    flat = lengths.ravel()
    moves = [m for m in itertools.product((-1, 0, 1), repeat=mask.ndim) if any(m)]
    costs = [float(np.linalg.norm(np.multiply(m, sizes))) for m in moves]
    reached = np.flatnonzero(flat == 0)
    voxels, settled, told = max(np.count_nonzero(mask), 1), 0, 0.0
    while reached.size:
        known = flat[reached]
        final = known < known.min() + min(sizes)
        front, known = reached[final], known[final]
        steps = _steps(front, lengths.shape, around)
        found = [reached[~final]]
        for move, cost in zip(moves, costs, strict=True):
            to = front + sum(steps[i][m] for i, m in enumerate(move))
            new = known + cost
            shorter = new < flat[to]
            to = to[shorter]
            flat[to] = new[shorter]
            found.append(to)
        reached = np.unique(np.concatenate(found))
        settled += front.size
        if settled / voxels > told + 0.01:
            told = settled / voxels
            yield told, "shortest paths"
    entered = inside[0][mask[0]]
    return np.asarray(entered[np.isfinite(entered)])


def _steps(
    places: NDArray[np.intp], shape: Sequence[int], around: Sequence[bool]
) -> list[dict[int, NDArray[np.intp] | int]]:
    """Return for every axis by how much a flat index changes per move of -1, 0 and 1 along it."""
    result: list[dict[int, NDArray[np.intp] | int]] = []
    stride = int(np.prod(shape))
    for n, joined in zip(shape, around, strict=True):
        stride //= n
        step: dict[int, NDArray[np.intp] | int] = {-1: -stride, 0: 0, 1: stride}
        if joined:
            place = places // stride % n
            step[1] = np.where(place == n - 1, stride - n * stride, stride)
            step[-1] = np.where(place == 0, n * stride - stride, -stride)
        result.append(step)
    return result
