"""Particles one by one, and the grains of a section through a particle.

The images here hold a number per particle or grain, and 0 where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_microgen.errors import InputError
from napari_microgen.metrics._grid import per_axis
from napari_microgen.metrics.surfaces import ssa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Particles:
    """Size and shape of particles, arrays of shape ``(n_particles,)`` in the order of `numbers`.

    Attributes
    ----------
    numbers : ndarray of int
        Values in the image.
    volumes : ndarray
        Voxels times their volume.
    surfaces : ndarray
        Area by Crofton's formula in 13 directions; where the border of the image cuts a
        particle, the cut counts as its surface.
    sphericities : ndarray
        Surface of the ball of the same volume over `surfaces`, ``pi^(1/3) (6 V)^(2/3) / A``.
    """

    numbers: NDArray[np.int64]
    volumes: NDArray[np.float64]
    surfaces: NDArray[np.float64]
    sphericities: NDArray[np.float64]


def measure_particles(
    numbered: NDArray[np.integer], *, voxel_size: float | Sequence[float] = 1.0
) -> Particles:
    """Measure every particle of a volume.

    Parameters
    ----------
    numbered : ndarray of int
        Number of the particle in every voxel, 0 for none; shape ``(z, y, x)``.
    voxel_size : float or sequence of float
        Edge lengths of a voxel.

    Raises
    ------
    InputError
        If it is not 3D.

    References
    ----------
    The NMC particle paper, equation 20.
    """
    if numbered.ndim != 3:
        raise InputError(f"Particles need a volume, not an array of shape {numbered.shape}.")
    sizes = per_axis(voxel_size, 3)
    cell = float(np.prod(sizes))
    numbers, volumes, surfaces = [], [], []
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        if box is None:
            continue
        # Wrapped, so that there are as many pairs as voxels in every direction; the layer of
        # empty voxels keeps the particle from meeting itself.
        inside = numbered[box] == number
        alone = np.pad(inside, 1).astype(np.uint8)
        numbers.append(number)
        volumes.append(float(np.count_nonzero(inside)) * cell)
        surfaces.append(
            float(ssa(alone, 2, voxel_size=sizes, periodic=True)[1]) * alone.size * cell
        )
    v, a = np.array(volumes), np.array(surfaces)
    spheres = np.pi ** (1 / 3) * (6 * v) ** (2 / 3)
    return Particles(np.array(numbers, np.int64), v, a, spheres / a)


@dataclass(frozen=True, eq=False)
class GrainSections:
    """Size, shape and direction of the grains of a section, in the order of `numbers`.

    Attributes
    ----------
    numbers : ndarray of int
        Values in the image.
    areas : ndarray
        Pixels times their area.
    aspect_ratios : ndarray
        Long over short axis of the ellipse with the same second moments, at least 1.
    angles : ndarray
        Angle between a grain's long axis and the direction from the origin to its centre,
        0 (it points to the origin) to pi/2, in radians.
    per_area : float
        Grains per area covered by grains.
    """

    numbers: NDArray[np.int64]
    areas: NDArray[np.float64]
    aspect_ratios: NDArray[np.float64]
    angles: NDArray[np.float64]
    per_area: float


def measure_grain_sections(
    numbered: NDArray[np.integer],
    *,
    origin: tuple[float, float] | None = None,
    voxel_size: float | Sequence[float] = 1.0,
) -> GrainSections:
    r"""Measure the grains of a planar section.

    With v the first principal component of a grain's pixels and c its centre seen from the
    origin, the angle is :math:`\theta = \arccos(|v \cdot c| / |v| |c|)`.

    Parameters
    ----------
    numbered : ndarray of int
        Number of the grain in every pixel, 0 for none; shape ``(y, x)``.
    origin : tuple of float, optional
        Centre ``(y, x)`` of the particle in pixels; default the centre of mass of all grains.
    voxel_size : float or sequence of float
        Edge lengths of a pixel.

    Raises
    ------
    InputError
        If it is not 2D or holds no grain.

    References
    ----------
    The NMC particle paper, equation 4.
    """
    places = np.argwhere(numbered > 0)
    if numbered.ndim != 2 or not len(places):
        raise InputError("Grain sections need a 2D image with a number above 0 per grain.")
    sizes = np.array(per_axis(voxel_size, 2))
    numbers, owner = np.unique(numbered[numbered > 0], return_inverse=True)
    points = places * sizes
    pixels = np.bincount(owner)
    centres = np.stack([np.bincount(owner, p) / pixels for p in points.T], axis=1)
    off = points - centres[owner]
    moments = np.empty((len(numbers), 2, 2))
    for i in range(2):
        for j in range(2):
            moments[:, i, j] = np.bincount(owner, off[:, i] * off[:, j]) / pixels
    moments += np.diag(sizes**2 / 12)  # a pixel is no point
    values, vectors = np.linalg.eigh(moments)
    from_origin = centres - (points.mean(axis=0) if origin is None else origin * sizes)
    distance = np.maximum(np.linalg.norm(from_origin, axis=1), 1e-12)
    cosine = np.abs(np.sum(vectors[:, :, 1] * from_origin, axis=1)) / distance
    areas = np.asarray(pixels * np.prod(sizes), np.float64)
    return GrainSections(
        numbers.astype(np.int64), areas, np.sqrt(values[:, 1] / values[:, 0]),
        np.arccos(np.clip(cosine, 0, 1)), len(numbers) / float(areas.sum()),
    )  # fmt: skip
