"""Chord lengths: how long a line along an axis stays in a phase, by differencing.

A chord that the border of the image, or an unlabelled voxel, cuts is longer than it looks, so the
histogram of a window is biased short (by 7-12 % and more). `Chords.survival` is unbiased: it
counts the ends of chords followed by at least r voxels of the phase, over the number of places
where the window could have shown one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from napari_microgen.metrics._grid import check_indices, flags, per_axis
from napari_microgen.metrics.fractions import volume_fractions
from napari_microgen.metrics.surfaces import unlike_fractions
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CHUNK = 2**24
"""Voxels that are differenced at a time, to bound memory."""


@dataclass(frozen=True, eq=False)
class Chords:
    """Chords of every phase along one axis, by observed length in voxels.

    Attributes
    ----------
    counts : ndarray of int64, shape (n_phases, n + 1)
        Number of chords by length, cut ones included.
    ends : ndarray of int64, shape (n_phases, n + 1)
        Number of their ends that are seen (0, 1 or 2 each), by length.
    places : ndarray of int64, shape (n + 1,)
        Number of places where an end followed by that many voxels could have been seen.
    """

    counts: NDArray[np.int64]
    ends: NDArray[np.int64]
    places: NDArray[np.int64]

    def distribution(self, weight: Literal["number", "length"]) -> NDArray[np.float64]:
        """Return the share of chords of each length; weighted by length, of voxels in them.

        Returns
        -------
        ndarray of float64, shape (n_phases, n + 1)
            Every row sums to 1, or is zero for an absent phase. The SuperRes paper weights by
            length. Window counts, so biased short.
        """
        lengths = np.arange(self.counts.shape[1]) if weight == "length" else 1
        shares = self.counts * lengths
        return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1))

    def survival(self) -> NDArray[np.float64]:
        """Return the probability that a chord has at least r voxels, unbiased by the window.

        Returns
        -------
        ndarray of float64, shape (n_phases, n + 1)
            By r; 1 at r = 0 and 1, zero for a phase without a seen end. It may rise by noise
            where r nears the side of the image.
        """
        at_least = np.cumsum(self.ends[:, ::-1], axis=1)[:, ::-1]
        rate = at_least / np.maximum(self.places, 1)
        first = np.where(rate[:, 1:2] > 0, rate[:, 1:2], 1)
        result = np.minimum(rate / first, 1)
        result[:, 0] = result[:, 1]
        return result


def chords(
    data: NDArray[np.uint8],
    n_phases: int,
    axis: int,
    *,
    periodic: bool | Sequence[bool] = False,
) -> Chords:
    """Measure the chords of every phase along one axis.

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices, 255 unlabelled; ``(y, x)`` or ``(z, y, x)``. A stack of independent
        sections may be passed as a volume, since lines along other axes stay in their section.
    n_phases : int
        Number of phases.
    axis : int
        Axis of the lines.
    periodic : bool or sequence of bool
        Axes along which the image repeats; a line wholly in one phase then has no end.
    """
    around = flags(periodic, check_indices(data))[axis]
    n = data.shape[axis]
    lines = np.moveaxis(data, axis, -1).reshape(-1, n)
    counts = np.zeros((n_phases, n + 1), np.int64)
    ends = np.zeros((n_phases, n + 1), np.int64)
    places = np.zeros(n + 1, np.int64)
    r = np.arange(n + 1)
    step = max(1, CHUNK // n)
    for start in range(0, len(lines), step):
        part = np.ascontiguousarray(lines[start : start + step])
        runs = _runs(part, around)
        inside = runs.values < n_phases
        where = runs.values[inside].astype(np.int64) * (n + 1) + runs.lengths[inside]
        counts += _histogram(where, None, counts.shape)
        ends += _histogram(where, runs.seen_ends[inside], counts.shape)
        known = part != UNLABELLED
        if known.all():
            places += len(part) * (np.full(n + 1, n) if around else n - r)
        else:
            spans = _runs(known.view(np.uint8), around)
            lengths = np.bincount(spans.lengths[spans.values == 1], minlength=n + 1)
            closed = lengths[n] if around else 0
            lengths[n] -= closed
            # sum over spans of max(length - r, 0)
            longer = np.cumsum(lengths[::-1])[::-1]
            places += np.append(np.cumsum(longer[:0:-1])[::-1], 0) + closed * n
    return Chords(counts, ends, places)


def chord_lengths(
    data: NDArray[np.uint8],
    phase: int,
    axis: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
) -> NDArray[np.float64]:
    """Return the length of every chord of a phase along one axis, cut ones included, ascending.

    Returns
    -------
    ndarray of float64
        In units of the voxel size.
    """
    size = per_axis(voxel_size, data.ndim)[axis]
    counts = chords(data, phase + 1, axis, periodic=periodic).counts[phase]
    return np.repeat(np.arange(counts.size), counts) * size


def mean_chords(
    data: NDArray[np.uint8],
    n_phases: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
) -> NDArray[np.float64]:
    """Return the mean chord length ``phi / (T/2)`` of every phase along each axis.

    T is the share of neighbours along the axis of which exactly one is in the phase. Unlike the
    mean of the chords in a window it is not biased by the chords that the border cuts.

    Returns
    -------
    ndarray of float64, shape (n_phases, ndim)
        In units of the voxel size; NaN for an absent phase, infinite where no line leaves it.
    """
    ndim = check_indices(data, stacked)
    fractions = volume_fractions(data, n_phases)[:, None]
    unlike = unlike_fractions(data, n_phases, periodic=periodic, stacked=stacked)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(fractions / (unlike / 2) * per_axis(voxel_size, ndim))


class _Runs(NamedTuple):
    values: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    seen_ends: NDArray[np.int64]


def _runs(lines: NDArray[np.uint8], periodic: bool) -> _Runs:
    """Return the runs of equal values in every row of a C-ordered array."""
    change = np.empty(lines.shape, bool)
    change[:, 0] = True
    np.not_equal(lines[:, 1:], lines[:, :-1], out=change[:, 1:])
    starts = np.flatnonzero(change)
    last = np.cumsum(np.count_nonzero(change, axis=1)) - 1
    first = np.append(0, last[:-1] + 1)
    del change
    values = lines.ravel()[starts]
    lengths = np.diff(starts, append=lines.size)
    before = np.roll(values, 1)
    before[first] = values[last] if periodic else UNLABELLED
    after = np.roll(values, -1)
    after[last] = values[first] if periodic else UNLABELLED
    start_seen, end_seen = before != UNLABELLED, after != UNLABELLED
    if not periodic:
        return _Runs(values, lengths, start_seen.astype(np.int64) + end_seen)
    closed = first == last
    start_seen[first[closed]] = end_seen[last[closed]] = False
    joined = (values[first] == values[last]) & ~closed
    head, tail = first[joined], last[joined]
    lengths[head] += lengths[tail]
    start_seen[head] = start_seen[tail]
    keep = np.ones(values.size, bool)
    keep[tail] = False
    seen = start_seen.astype(np.int64) + end_seen
    return _Runs(values[keep], lengths[keep], seen[keep])


def _histogram(
    where: NDArray[np.int64], weights: NDArray[np.int64] | None, shape: tuple[int, int]
) -> NDArray[np.int64]:
    size = shape[0] * shape[1]
    return np.rint(np.bincount(where, weights, minlength=size)).astype(np.int64).reshape(shape)
