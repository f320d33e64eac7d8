"""From a grey CT volume to numbered particles (paper 004, section 2.1), step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.segmentation import watershed

from napari_microgen.errors import InputError
from napari_microgen.metrics.particles import measure_particles

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLUR = 1.8
SMALLEST = 10
LEAST_SPHERICITY = 0.5
APART = 5


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Every step from grey values to particles, arrays of shape ``(z, y, x)``.

    Attributes
    ----------
    smoothed : ndarray of float32
        Grey values after the Gaussian.
    threshold : float
        Otsu's threshold of `smoothed`.
    bright : ndarray of bool
        Above the threshold.
    basins : ndarray of int32
        Watershed of the distance to the dark phase.
    pieces : ndarray of int32
        Connected pieces of the basins.
    merged : ndarray of int32
        Small and non-spherical pieces given to their neighbours, or dropped.
    particles : ndarray of int32
        Without those that meet the border; numbered from 1.
    """

    smoothed: NDArray[np.float32]
    threshold: float
    bright: NDArray[np.bool_]
    basins: NDArray[np.int32]
    pieces: NDArray[np.int32]
    merged: NDArray[np.int32]
    particles: NDArray[np.int32]


def segment_particles(
    grey: NDArray[np.floating],
    *,
    blur: float = BLUR,
    apart: int = APART,
    smallest: int = SMALLEST,
    least_sphericity: float = LEAST_SPHERICITY,
) -> Segmentation:
    """Segment and number the bright particles of a CT volume.

    Parameters
    ----------
    grey : ndarray, shape (z, y, x)
    blur : float
        Standard deviation of the Gaussian in voxels; 1.8 in the paper.
    apart : int
        Least distance between the centres of two particles, in voxels [ours: the paper does not
        say how its watershed finds its starting points].
    smallest : int
        Pieces of fewer voxels are merged or dropped; 10 in the paper.
    least_sphericity : float
        So are pieces of lower sphericity; 0.5 in the paper.

    Raises
    ------
    InputError
        If it is not 3D, or nothing is left.
    """
    if grey.ndim != 3:
        raise InputError("Particles are segmented in 3D; choose a CT volume, not a section.")
    smoothed = ndimage.gaussian_filter(np.asarray(grey, np.float32), blur)
    threshold = float(threshold_otsu(smoothed))
    bright = smoothed > threshold
    depth = ndimage.distance_transform_edt(bright)
    # Smoothed, as the distance of a voxelised particle has many small peaks.
    peaks = peak_local_max(
        ndimage.gaussian_filter(depth, 1.0), min_distance=apart, labels=bright, exclude_border=False
    )
    markers = np.zeros(grey.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    basins = watershed(-depth, markers, mask=bright).astype(np.int32)
    pieces = label(basins, connectivity=1, background=0).astype(np.int32)
    merged = merge_pieces(pieces, smallest, least_sphericity)
    particles = drop_border(merged)
    if not particles.any():
        raise InputError(
            "No whole particle was found in the CT volume; the particles must be brighter than "
            "what is between them and some of them must lie inside, so invert or enlarge it."
        )
    return Segmentation(smoothed, threshold, bright, basins, pieces, merged, particles)


def merge_pieces(
    pieces: NDArray[np.int32],
    smallest: int = SMALLEST,
    least_sphericity: float = LEAST_SPHERICITY,
) -> NDArray[np.int32]:
    """Give small and non-spherical pieces to the neighbour they share most faces with.

    Pieces without a neighbour are dropped. The smallest piece is merged first.
    """
    measured = measure_particles(pieces)
    odd = (measured.volumes < smallest) | (measured.sphericities < least_sphericity)
    order = np.argsort(measured.volumes)
    faces = _shared_faces(pieces)
    owner = np.arange(int(pieces.max()) + 1)
    for number in measured.numbers[order][odd[order]]:
        if owner[number] != number:
            continue  # it has gone to a neighbour with another piece
        goal = _best_neighbour(faces, owner, int(number))
        owner[owner == number] = goal
    return np.asarray(owner[pieces], np.int32)


def _shared_faces(pieces: NDArray[np.int32]) -> dict[tuple[int, int], int]:
    """Count the voxel faces between every two pieces that touch."""
    pairs = []
    for axis in range(3):
        a, b = np.delete(pieces, -1, axis).ravel(), np.delete(pieces, 0, axis).ravel()
        touching = (a != b) & (a > 0) & (b > 0)
        pairs.append(np.sort(np.stack([a[touching], b[touching]], axis=1), axis=1))
    unique, counts = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    return {(int(a), int(b)): int(n) for (a, b), n in zip(unique, counts, strict=True)}


def _best_neighbour(
    faces: dict[tuple[int, int], int], owner: NDArray[np.int64], number: int
) -> int:
    """Return the particle that shares most faces with a piece; 0 if there is none."""
    shared: dict[int, int] = {}
    for (a, b), count in faces.items():
        a, b = int(owner[a]), int(owner[b])
        if number in (a, b) and a != b:
            other = b if a == number else a
            shared[other] = shared.get(other, 0) + count
    shared.pop(0, None)
    return max(shared, key=lambda other: shared[other], default=0)


def drop_border(numbered: NDArray[np.int32]) -> NDArray[np.int32]:
    """Remove what meets the border of the volume, and number the rest from 1."""
    cut = np.zeros(int(numbered.max()) + 1, bool)
    for axis in range(3):
        for face in (0, -1):
            cut[np.unique(numbered.take(face, axis))] = True
    present = np.bincount(numbered.ravel(), minlength=len(cut)) > 0
    kept = present & ~cut
    kept[0] = False
    numbers = np.zeros(len(cut), np.int32)
    numbers[kept] = np.arange(1, np.count_nonzero(kept) + 1)
    return numbers[numbered]
