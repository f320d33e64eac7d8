"""Surface areas, interfaces and triple-phase boundaries, each with its convention in its name.

Parameters that all functions share
-----------------------------------
data : ndarray of uint8
    Phase indices ``0..n_phases-1``, 255 unlabelled; shape ``(y, x)`` or ``(z, y, x)``.
voxel_size : float or sequence of float
    Edge lengths of a voxel; results are in units of it (area per volume: 1/length).
periodic : bool or sequence of bool
    Axes along which the volume repeats; elsewhere only interior faces and pairs are counted.
stacked : bool
    Whether the first axis counts independent sections, which are then measured in 2D and pooled.

Pairs with an unlabelled voxel are left out, and volumes are those of labelled voxels.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from napari_microgen.metrics._grid import check_indices, flags, has_gaps, pair, per_axis, wrap
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class Direction(NamedTuple):
    """A lattice direction of Crofton's formula: offset, its length, its share of all directions."""

    offset: tuple[int, ...]
    length: float
    weight: float


@cache
def crofton_directions(voxel_size: tuple[float, ...]) -> tuple[Direction, ...]:
    """Return the 4 (2D) or 13 (3D) lattice directions to nearest neighbours with their weights.

    A direction's weight is its share of the half circle or half sphere, measured by Voronoi
    cells; for cubic voxels .0915558, .0739613 and .0703913 along edges, face and body diagonals.

    References
    ----------
    Schladitz, Ohser, Nagel, "Measuring intrinsic volumes in digital 3d images", DGCI 2006.
    """
    from scipy.spatial import SphericalVoronoi

    ndim = len(voxel_size)
    offsets = [o for o in itertools.product((-1, 0, 1), repeat=ndim) if o > (0,) * ndim]
    vectors = np.array(offsets) * voxel_size
    lengths = np.linalg.norm(vectors, axis=1)
    units = vectors / lengths[:, None]
    if ndim == 2:
        angles = np.arctan2(units[:, 0], units[:, 1]) % np.pi
        order = np.argsort(angles)
        gaps = np.diff(angles[order], append=angles[order[0]] + np.pi)
        weights = np.empty(len(offsets))
        weights[order] = (gaps + np.roll(gaps, 1)) / (2 * np.pi)
    else:
        areas = SphericalVoronoi(np.concatenate((units, -units))).calculate_areas()
        weights = areas[: len(offsets)] / (2 * np.pi)
    return tuple(
        Direction(o, float(d), float(w)) for o, d, w in zip(offsets, lengths, weights, strict=True)
    )


def ssa(
    data: NDArray[np.uint8],
    n_phases: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
) -> NDArray[np.float64]:
    r"""Return the specific surface area of every phase by Crofton's formula, unbiased.

    .. math:: S_V = 2 \sum_k c_k \frac{T_k}{P_k d_k}
       \qquad\text{in 2D}\qquad L_A = \frac{\pi}{2} \sum_k c_k \frac{T_k}{P_k d_k}

    with :math:`T_k` of :math:`P_k` pairs at distance :math:`d_k` in direction k that have one
    voxel in the phase. In 2D it is the perimeter per area.

    Returns
    -------
    ndarray of float64, shape (n_phases,)
        Surface area between the phase and the rest, per volume, in 1/length.

    References
    ----------
    Schladitz, Ohser, Nagel, DGCI 2006.
    """
    ndim = check_indices(data, stacked)
    directions = crofton_directions(per_axis(voxel_size, ndim))
    total = np.zeros(n_phases)
    unlike = _unlike_shares(data, n_phases, [d.offset for d in directions], periodic, stacked)
    for direction, shares in zip(directions, unlike, strict=True):
        total += direction.weight / direction.length * shares
    return total * (2 if ndim == 3 else np.pi / 2)


def ssa_faces(
    data: NDArray[np.uint8],
    n_phases: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
) -> NDArray[np.float64]:
    """Return the area of the voxel faces between every phase and the rest, per volume.

    1.5 times the true area of a smooth isotropic surface (4/pi times the perimeter in 2D).

    Returns
    -------
    ndarray of float64, shape (n_phases,)
        In 1/length.
    """
    areas = _faces(data, n_phases, voxel_size, periodic)
    return areas.sum(axis=1) / _labelled_volume(data, voxel_size)


def interphase_areas(
    data: NDArray[np.uint8],
    n_phases: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
    per: Literal["volume", "face"] = "volume",
) -> NDArray[np.float64]:
    """Return the area of the voxel faces between every two phases.

    Parameters
    ----------
    data, n_phases, voxel_size, periodic
        See the module.
    per : {"volume", "face"}
        Area per volume (1/length), or the share of all interior faces, a third of it for
        cubic voxels, which is the convention of the SuperRes paper.

    Returns
    -------
    ndarray of float64, shape (n_phases, n_phases)
        Symmetric, zero on the diagonal.
    """
    if per == "volume":
        return _faces(data, n_phases, voxel_size, periodic) / _labelled_volume(data, voxel_size)
    ndim = data.ndim
    faces = _faces(data, n_phases, 1.0, periodic)
    sides = wrap(data, flags(periodic, ndim))
    total = 0
    for offset in np.eye(ndim, dtype=int):
        near, far = pair(sides, data.shape, offset)
        total += int(np.count_nonzero((near != UNLABELLED) & (far != UNLABELLED)))
    return faces / max(total, 1)


def interface_densities(
    data: NDArray[np.uint8],
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
) -> NDArray[np.float64]:
    """Return the number of interfaces between any two phases per length of line, along each axis.

    Returns
    -------
    ndarray of float64, shape (ndim,)
        In 1/length; NaN along an axis without a pair of labelled voxels.
    """
    ndim = check_indices(data, stacked)
    sizes = per_axis(voxel_size, ndim)
    stack, wrapped = _stack(data, periodic, stacked)
    gaps = has_gaps(data)
    result = np.full(ndim, np.nan)
    for axis, size in enumerate(sizes):
        offset = [0] * stack.ndim
        offset[axis + stack.ndim - ndim] = 1
        near, far = pair(wrapped, stack.shape, offset)
        different = near != far
        count = different.size
        if gaps:
            both = (near != UNLABELLED) & (far != UNLABELLED)
            different &= both
            count = int(np.count_nonzero(both))
        if count:
            result[axis] = np.count_nonzero(different) / count / size
    return result


def unlike_fractions(
    data: NDArray[np.uint8],
    n_phases: int,
    *,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
) -> NDArray[np.float64]:
    """Return the share of neighbours along each axis of which exactly one is in the phase.

    This is T in ``mean chord = phi / (T/2)`` and ``phi - S2(1) = T/2``.

    Returns
    -------
    ndarray of float64, shape (n_phases, ndim)
    """
    ndim = check_indices(data, stacked)
    offsets = [tuple(int(i == axis) for i in range(ndim)) for axis in range(ndim)]
    return np.stack(list(_unlike_shares(data, n_phases, offsets, periodic, stacked)), axis=1)


class TriplePhaseBoundary(NamedTuple):
    """Where three phases meet.

    Attributes
    ----------
    count : int
        Voxel edges (corners in 2D) that touch at least three phases.
    density : float
        Their length per volume in 1/length^2 (in 2D points per area). A chain of voxel edges is
        1.5 times as long as the isotropic smooth line it follows; this is not corrected.
    fraction : float
        Their share of all interior voxel edges, the convention of TauFactor.
    """

    count: int
    density: float
    fraction: float


def triple_phase_boundary(
    data: NDArray[np.uint8],
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
) -> TriplePhaseBoundary:
    """Count the voxel edges whose four voxels show at least three phases.

    Edges with an unlabelled voxel, and edges on the outer sides unless those are periodic, are
    left out.
    """
    ndim = check_indices(data)
    sizes = per_axis(voxel_size, ndim)
    count, length, interior = 0, 0.0, 0
    for axis, bits in triple_phase_edges(data, periodic):
        found = int(np.count_nonzero(bits))
        count += found
        length += found * (sizes[axis] if ndim == 3 else 1.0)
        interior += _interior_edges(data, axis, flags(periodic, ndim))
    return TriplePhaseBoundary(
        count, length / _labelled_volume(data, voxel_size), count / max(interior, 1)
    )


def triple_phase_edges(
    data: NDArray[np.uint8], periodic: bool | Sequence[bool] = False
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield for every direction of edges where an edge touches at least three phases.

    Yields
    ------
    axis : int
        Direction of the edges; -1 in 2D, where the edge stands on the image.
    found : ndarray of bool
        True where the edge between voxels i and i + 1 along both other axes is a triple line.
    """
    ndim = check_indices(data)
    # One bit per phase, so that the phases around an edge are the OR of four voxels; bit 15
    # marks unlabelled voxels.
    table = np.full(256, 1 << 15, np.uint16)
    table[:15] = 1 << np.arange(15)
    bits = wrap(table[data], flags(periodic, ndim))
    for axis in range(3) if ndim == 3 else (-1,):
        around = bits
        for other in range(ndim):
            if other == axis:
                # The layer that only repeats the first one has no edges of its own.
                around = np.take(around, range(data.shape[axis]), axis=axis) if (
                    around.shape[axis] != data.shape[axis]
                ) else around  # fmt: skip
            else:
                near, far = _halves(around, other)
                around = near | far
        labelled = around < (1 << 15)
        around = around & (around - 1)  # clears the lowest bit
        around &= around - 1
        yield axis, (around != 0) & labelled


def _halves(array: NDArray[np.uint16], axis: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    before = (slice(None),) * axis
    return array[(*before, slice(None, -1))], array[(*before, slice(1, None))]


def _interior_edges(data: NDArray[np.uint8], axis: int, periodic: Sequence[bool]) -> int:
    if not has_gaps(data):
        sides = (
            n if i == axis else n - 1 + p
            for i, (n, p) in enumerate(zip(data.shape, periodic, strict=True))
        )
        return int(np.prod([int(s) for s in sides]))
    whole = wrap((data != UNLABELLED).view(np.uint8), periodic)
    if axis >= 0:
        whole = whole[(slice(None),) * axis + (slice(0, data.shape[axis]),)]
    for other in range(data.ndim):
        if other != axis:
            near, far = _halves(whole, other)  # type: ignore[arg-type]
            whole = near & far
    return int(whole.sum(dtype=np.int64))


def _stack(
    data: NDArray[np.uint8], periodic: bool | Sequence[bool], stacked: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the data and the same with periodic axes wrapped; the axis of a stack never is."""
    around = flags(periodic, data.ndim - stacked)
    return data, wrap(data, (False, *around) if stacked else around)


def _unlike_shares(
    data: NDArray[np.uint8],
    n_phases: int,
    offsets: Sequence[tuple[int, ...]],
    periodic: bool | Sequence[bool],
    stacked: bool,
) -> Iterator[NDArray[np.float64]]:
    """Yield for every offset the share of pairs with exactly one voxel in each phase."""
    _, wrapped = _stack(data, periodic, stacked)
    shape = data.shape
    places = [(0, *o) if stacked else o for o in offsets]
    gaps = has_gaps(data)
    counts = np.zeros((len(places), n_phases))
    totals = np.zeros(len(places))
    known = wrapped != UNLABELLED
    both = []
    for i, place in enumerate(places):
        near, far = pair(known, shape, place)  # type: ignore[arg-type]
        totals[i] = near.size
        if gaps:
            both.append(near & far)
            totals[i] = np.count_nonzero(both[-1])
    for k in range(n_phases):
        if k == 1 and n_phases == 2:
            counts[:, 1] = counts[:, 0]
            break
        phase = wrapped == k
        for i, place in enumerate(places):
            near, far = pair(phase, shape, place)  # type: ignore[arg-type]
            unlike = near ^ far
            if gaps:
                unlike &= both[i]
            counts[i, k] = np.count_nonzero(unlike)
    yield from counts / np.maximum(totals, 1)[:, None]


def _faces(
    data: NDArray[np.uint8],
    n_phases: int,
    voxel_size: float | Sequence[float],
    periodic: bool | Sequence[bool],
) -> NDArray[np.float64]:
    """Return the area of faces between every two phases, shape ``(n_phases, n_phases)``."""
    ndim = check_indices(data)
    sizes = per_axis(voxel_size, ndim)
    wrapped = wrap(data, flags(periodic, ndim))
    phases = [wrapped == k for k in range(n_phases)]
    result = np.zeros((n_phases, n_phases))
    for axis, offset in enumerate(np.eye(ndim, dtype=int)):
        face = np.prod(sizes) / sizes[axis]
        views = [pair(p, data.shape, offset) for p in phases]  # type: ignore[arg-type]
        for i, j in itertools.combinations(range(n_phases), 2):
            count = np.count_nonzero(views[i][0] & views[j][1])
            count += np.count_nonzero(views[j][0] & views[i][1])
            result[i, j] += count * face
            result[j, i] += count * face
    return result


def _labelled_volume(data: NDArray[np.uint8], voxel_size: float | Sequence[float]) -> float:
    voxels = max(int(np.count_nonzero(data != UNLABELLED)), 1)
    return voxels * float(np.prod(per_axis(voxel_size, data.ndim)))
