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
from dataclasses import dataclass
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
    unlike = _unlike_shares(data, n_phases, [d.offset for d in directions], periodic, stacked)
    per_length = np.array([d.weight / d.length for d in directions])
    return np.asarray(per_length @ unlike * (2 if ndim == 3 else np.pi / 2))


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
    areas = _faces(data, n_phases, voxel_size, periodic).sum(axis=1)
    return np.asarray(areas / _labelled_volume(data, voxel_size))


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
    faces = _faces(data, n_phases, voxel_size if per == "volume" else 1.0, periodic)
    if per == "volume":
        return faces / _labelled_volume(data, voxel_size)
    known = wrap(data != UNLABELLED, flags(periodic, data.ndim))
    pairs = [pair(known, data.shape, offset) for offset in _unit_offsets(data.ndim)]
    return faces / max(sum(int(np.count_nonzero(near & far)) for near, far in pairs), 1)


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
    wrapped = _wrap_sections(data, periodic, stacked)
    gaps = has_gaps(data)
    result = np.full(ndim, np.nan)
    for axis, size in enumerate(per_axis(voxel_size, ndim)):
        near, far = pair(wrapped, data.shape, _in_section(_unit_offsets(ndim)[axis], stacked))
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
    return _unlike_shares(data, n_phases, _unit_offsets(ndim), periodic, stacked).T


@dataclass(frozen=True)
class TriplePhaseBoundary:
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
    sizes = per_axis(voxel_size, check_indices(data))
    count, length, interior = 0, 0.0, 0
    for axis, bits in _edges(data, periodic):
        found = int(np.count_nonzero(_three_or_more(bits)))
        count += found
        length += found * (1.0 if axis is None else sizes[axis])
        interior += int(np.count_nonzero(bits < _UNLABELLED_BIT))
    return TriplePhaseBoundary(
        count, length / _labelled_volume(data, voxel_size), count / max(interior, 1)
    )


def triple_phase_points(
    data: NDArray[np.uint8], periodic: bool | Sequence[bool] = False
) -> NDArray[np.float64]:
    """Return the middle of every voxel edge (in 2D corner) where at least three phases meet.

    Returns
    -------
    ndarray of float64, shape (count, ndim)
        In voxels; the centre of the first voxel is at 0.
    """
    points = []
    for axis, bits in _edges(data, periodic):
        shift = np.array([0.0 if other == axis else 0.5 for other in range(data.ndim)])
        points.append(np.argwhere(_three_or_more(bits)) + shift)
    return np.concatenate(points)


_UNLABELLED_BIT = 1 << 15


def _edges(
    data: NDArray[np.uint8], periodic: bool | Sequence[bool]
) -> Iterator[tuple[int | None, NDArray[np.uint16]]]:
    """Yield for every direction of edges (in 2D None) the phases around each interior edge.

    Every phase sets its own bit, so that the phases around an edge are the OR of four voxels.
    """
    ndim = check_indices(data)
    around = flags(periodic, ndim)
    table = np.full(256, _UNLABELLED_BIT, np.uint16)
    table[:15] = 1 << np.arange(15)
    voxels = table[data]
    for axis in range(3) if ndim == 3 else (None,):
        bits = wrap(voxels, [p and other != axis for other, p in enumerate(around)])
        for other in range(ndim):
            if other != axis:
                before = (slice(None),) * other
                bits = bits[(*before, slice(None, -1))] | bits[(*before, slice(1, None))]
        yield axis, bits


def _three_or_more(bits: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Tell where at least three phases are set and no voxel is unlabelled."""
    rest = bits & (bits - np.uint16(1))  # clears the lowest bit
    rest &= rest - np.uint16(1)
    return np.asarray((rest != 0) & (bits < _UNLABELLED_BIT))


def _unit_offsets(ndim: int) -> list[tuple[int, ...]]:
    return [tuple(int(i == axis) for i in range(ndim)) for axis in range(ndim)]


def _in_section(offset: tuple[int, ...], stacked: bool) -> tuple[int, ...]:
    return (0, *offset) if stacked else offset


def _wrap_sections(
    data: NDArray[np.uint8], periodic: bool | Sequence[bool], stacked: bool
) -> NDArray[np.uint8]:
    """Wrap periodic axes; the axis of a stack never is one."""
    around = flags(periodic, data.ndim - stacked)
    return wrap(data, (False, *around) if stacked else around)


def _unlike_shares(
    data: NDArray[np.uint8],
    n_phases: int,
    offsets: Sequence[tuple[int, ...]],
    periodic: bool | Sequence[bool],
    stacked: bool,
) -> NDArray[np.float64]:
    """Return for every offset the share of pairs with exactly one voxel in each phase.

    Shape ``(len(offsets), n_phases)``.
    """
    wrapped = _wrap_sections(data, periodic, stacked)
    places = [_in_section(offset, stacked) for offset in offsets]
    gaps = has_gaps(data)
    known = wrapped != UNLABELLED
    shares = np.zeros((len(places), n_phases))
    # In the outer loop, so that one mask at a time is held for all directions.
    for k in range(n_phases):
        phase = wrapped == k
        for i, place in enumerate(places):
            near, far = pair(phase, data.shape, place)
            unlike = near ^ far
            total = unlike.size
            if gaps:
                near, far = pair(known, data.shape, place)
                both = near & far
                unlike &= both
                total = int(np.count_nonzero(both))
            shares[i, k] = np.count_nonzero(unlike) / max(total, 1)
    return shares


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
    result = np.zeros((n_phases, n_phases))
    for axis, offset in enumerate(_unit_offsets(ndim)):
        face = float(np.prod(sizes)) / sizes[axis]
        near, far = pair(wrapped, data.shape, offset)
        for i in range(n_phases):
            here, there = near == i, far == i
            for j in range(i + 1, n_phases):
                count = np.count_nonzero(here & (far == j)) + np.count_nonzero(there & (near == j))
                result[i, j] += count * face
                result[j, i] += count * face
    return result


def _labelled_volume(data: NDArray[np.uint8], voxel_size: float | Sequence[float]) -> float:
    voxels = max(int(np.count_nonzero(data != UNLABELLED)), 1)
    return voxels * float(np.prod(per_axis(voxel_size, data.ndim)))
