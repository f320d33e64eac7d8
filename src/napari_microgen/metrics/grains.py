"""The grains of a particle in 3D, and which grains are whole.

The images here hold a number per grain, and 0 outside the particle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_microgen.errors import InputError
from napari_microgen.metrics._grid import per_axis
from napari_microgen.metrics.particles import measure_grain_sections, measure_particles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def grains_inside(numbered: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the numbers that touch neither 0 nor the border of the image, in ascending order."""
    framed = np.pad(numbered, 1)
    cut = [np.zeros(0, numbered.dtype)]
    for axis in range(framed.ndim):
        a, b = np.delete(framed, -1, axis), np.delete(framed, 0, axis)
        cut += [np.unique(a[b == 0]), np.unique(b[a == 0])]
    return np.setdiff1d(numbered, np.concatenate([*cut, np.zeros(1, numbered.dtype)]))


@dataclass(frozen=True, eq=False)
class Grains:
    """Size, shape and direction of grains, arrays of shape ``(n,)`` in the order of `numbers`.

    Attributes
    ----------
    numbers : ndarray of int
        Values in the image.
    volumes : ndarray
        Voxels times their volume.
    sphericities : ndarray
        As in `Particles`.
    aspect_ratios : ndarray
        Longest over shortest axis of the ellipsoid with the same second moments.
    angles : ndarray
        Angle between a grain's long axis and the direction from the origin to its centre, 0 (it
        points to the origin) to pi/2, in radians; evenly distributed directions have a mean of 1.
    largest_shares : ndarray
        Share of the largest connected part of the grain; below 1 it is in pieces.
    """

    numbers: NDArray[np.int64]
    volumes: NDArray[np.float64]
    sphericities: NDArray[np.float64]
    aspect_ratios: NDArray[np.float64]
    angles: NDArray[np.float64]
    largest_shares: NDArray[np.float64]


def measure_grains(
    numbered: NDArray[np.integer],
    *,
    origin: Sequence[float] | None = None,
    voxel_size: float | Sequence[float] = 1.0,
    whole: bool = True,
) -> Grains:
    """Measure the grains of a particle.

    Parameters
    ----------
    numbered : ndarray of int, shape (z, y, x)
    origin : sequence of float, optional
        Centre of the particle ``(z, y, x)`` in voxels; default the centre of mass of all grains.
    voxel_size : float or sequence of float
        Edge lengths of a voxel.
    whole : bool
        Only the grains that neither the particle's surface nor the border of the image cuts.

    Raises
    ------
    InputError
        If it is not 3D or holds no grain.
    """
    if numbered.ndim != 3 or not numbered.any():
        raise InputError("Grains need a volume with a number above 0 per grain.")
    sizes = np.array(per_axis(voxel_size, 3))
    if origin is None:
        origin = np.argwhere(numbered > 0).mean(axis=0)
    kept = grains_inside(numbered) if whole else np.unique(numbered[numbered > 0])
    order = np.zeros(int(numbered.max()) + 1, np.int64)
    order[kept] = np.arange(1, len(kept) + 1)
    alone = order[numbered]
    bodies = measure_particles(alone, voxel_size=sizes.tolist())
    rows = [
        _shape(alone[box] == n, np.array([s.start for s in box]), np.asarray(origin), sizes)
        for n, box in enumerate(ndimage.find_objects(alone), 1)
    ]
    aspects, angles, shares = np.array(rows, float).reshape(-1, 3).T
    return Grains(
        kept.astype(np.int64), bodies.volumes, bodies.sphericities, aspects, angles, shares
    )


def _shape(
    inside: NDArray[np.bool_],
    start: NDArray[np.integer],
    origin: NDArray[np.float64],
    sizes: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Return aspect ratio, angle to the radius and share of the largest part of one grain."""
    places = np.argwhere(inside)
    points = places * sizes
    centre = points.mean(axis=0)
    moments = np.cov(points.T, bias=True).reshape(3, 3) + np.diag(sizes**2 / 12)
    values, vectors = np.linalg.eigh(moments)
    radius = centre + (start - origin) * sizes
    cosine = abs(float(vectors[:, 2] @ radius)) / max(float(np.linalg.norm(radius)), 1e-12)
    parts, count = ndimage.label(inside)
    share = 1.0 if count == 1 else np.bincount(parts[inside]).max() / len(places)
    return float(np.sqrt(values[2] / values[0])), float(np.arccos(min(cosine, 1.0))), float(share)


def section_descriptors(
    numbered: NDArray[np.integer],
    origin: tuple[float, float] | None = None,
    voxel_size: float | Sequence[float] = 1.0,
) -> dict[str, NDArray[np.float64]]:
    """Return descriptors of the whole grains of a section, by name.

    ``"angle"`` between long axis and radius in degrees, ``"aspect"`` (long over short axis) and
    ``"area"``; see `measure_grain_sections`.
    """
    measured = measure_grain_sections(numbered, origin=origin, voxel_size=voxel_size)
    inside = np.isin(measured.numbers, grains_inside(numbered))
    return {
        "angle": np.degrees(measured.angles[inside]),
        "aspect": measured.aspect_ratios[inside],
        "area": measured.areas[inside],
    }


def volume_descriptors(
    numbered: NDArray[np.integer],
    origin: Sequence[float] | None = None,
    voxel_size: float | Sequence[float] = 1.0,
) -> dict[str, NDArray[np.float64]]:
    """Return descriptors of the whole grains of a volume, by name; see `measure_grains`."""
    measured = measure_grains(numbered, origin=origin, voxel_size=voxel_size)
    return {
        "angle": np.degrees(measured.angles),
        "aspect": measured.aspect_ratios,
        "volume": measured.volumes,
        "sphericity": measured.sphericities,
        "largest share": measured.largest_shares,
    }
