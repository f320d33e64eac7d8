"""Constrictivity: the bottlenecks of one phase against its wide places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.metrics._clusters import among, label_clusters
from napari_microgen.metrics._distances import square_weights, squared_distances
from napari_microgen.metrics._grid import check_indices, flags, per_axis
from napari_microgen.metrics._steps import finish, share

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step

    Holds = Callable[[int, Sequence[int]], Sequence[bool]]


@dataclass(frozen=True)
class Constrictivity:
    """Bottlenecks of a phase against its wide places.

    Attributes
    ----------
    values : tuple of float
        ``(r_min / r_max)^2`` along each axis, 1 for no bottleneck; 0 if balls of any size
        that enter on that side reach less than half of the phase.
    r_max : float
        Largest radius whose balls, wherever they fit, cover half of the phase.
    r_min : tuple of float
        The same for balls that come in through the first layer along each axis.
    """

    values: tuple[float, ...]
    r_max: float
    r_min: tuple[float, ...]


def constrictivity(
    data: NDArray[np.uint8],
    phase: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
) -> Constrictivity | None:
    """Measure the constrictivity of a phase along each axis.

    Radii are distances from voxel centre to voxel centre, so features of about three voxels give
    little more than one radius to choose from, and a constrictivity that means little.
    Takes about 14 bytes of memory per voxel; up to 26 where sides are periodic, or where the
    squared ratios of a voxel's edges are no whole numbers.

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices; everything else, unlabelled voxels included, is a wall.
    phase : int
        Index of the phase.
    voxel_size : float or sequence of float
        Edge lengths of a voxel.
    periodic : bool or sequence of bool
        Axes along which the image repeats; balls that come in along an axis do not cross over
        from its first to its last layer.

    Returns
    -------
    Constrictivity or None
        None if the phase is absent, or fills the image, so that it has no width.

    Notes
    -----
    The radii are found by bisection among those that occur, which takes some ten openings. On a
    grid a larger ball may now and then cover a few voxels more than a smaller one; "largest" then
    means a radius whose next one covers less than half.

    References
    ----------
    Muench, Holzer, "Contradicting geometrical concepts in pore size analysis attained with
    electron microscopy and mercury intrusion", J. Am. Ceram. Soc. 91, 2008.
    """
    return finish(constrictivity_steps(data, phase, voxel_size=voxel_size, periodic=periodic))


def constrictivity_steps(
    data: NDArray[np.uint8],
    phase: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
) -> Generator[Step, None, Constrictivity | None]:
    """Do what `constrictivity` does step by step, an opening in each."""
    ndim = check_indices(data)
    sizes, around = per_axis(voxel_size, ndim), flags(periodic, ndim)
    weights = square_weights(sizes)
    mask = data == phase
    if mask.all() or not mask.any():
        return None
    room = squared_distances(~mask, weights, around)
    squares = np.unique(room[mask])
    half = int(np.count_nonzero(mask)) / 2
    del mask

    def cover_half(centres: NDArray[np.bool_], square: Any) -> bool:
        number = int(np.count_nonzero(centres))
        if not 0 < number < half:
            return number >= half
        covered = squared_distances(centres, weights, around, square) < square
        return bool(np.count_nonzero(covered) >= half)

    def opened(index: int, _: Sequence[int]) -> list[bool]:
        return [cover_half(room >= squares[index], squares[index])]

    def entered(index: int, axes: Sequence[int]) -> list[bool]:
        centres = room >= squares[index]
        clusters: dict[tuple[bool, ...], NDArray[np.int32]] = {}
        known: dict[tuple[tuple[bool, ...], bytes], bool] = {}
        results = []
        for axis in axes:
            joined = tuple(p and i != axis for i, p in enumerate(around))
            if joined not in clusters:
                clusters[joined] = label_clusters(centres, joined, corners=True)
            labels = clusters[joined]
            entries = np.unique(np.take(labels, 0, axis=axis))
            # More often than not the same clusters are entered along all axes.
            which = joined, entries.tobytes()
            if which not in known:
                known[which] = cover_half(among(labels, entries), squares[index])
            results.append(known[which])
        return results

    yield 0.1, "distances from the walls"
    (widest,) = yield from share(_largest_steps(len(squares), 1, opened), 0.1, 0.5)
    narrowest = yield from share(_largest_steps(widest + 1, ndim, entered), 0.5, 1.0)
    least = [float(squares[i]) if i >= 0 else 0.0 for i in narrowest]
    radii = [min(sizes) * s**0.5 for s in (float(squares[widest]), *least)]
    values = tuple(s / float(squares[widest]) for s in least)
    return Constrictivity(values, radii[0], tuple(radii[1:]))


def _largest_steps(count: int, sides: int, hold: Holds) -> Generator[Step, None, list[int]]:
    """Return for every side the largest index below `count` that holds, -1 if none does.

    By bisection; ``hold(index, sides)`` tells it of an index and those sides that ask for it, so
    that they share the work.
    """
    low, high = [-1] * sides, [count] * sides
    while True:
        open_ = [i for i in range(sides) if high[i] - low[i] > 1]
        if not open_:
            return low
        widest = max(high[i] - low[i] for i in open_)
        yield 1 - np.log(widest) / np.log(count + 1), "openings"
        index = max((low[i] + high[i]) // 2 for i in open_)
        asking = [i for i in open_ if (low[i] + high[i]) // 2 == index]
        for i, holds in zip(asking, hold(index, asking), strict=True):
            if holds:
                low[i] = index
            else:
                high[i] = index
