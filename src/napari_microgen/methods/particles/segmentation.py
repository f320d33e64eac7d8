"""From a grey CT volume to numbered particles (paper 004, section 2.1), step by step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

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
    filled : ndarray of bool
        With the closed pores inside [ours]: the shell is the outer surface.
    basins : ndarray of int32
        Watershed of the distance to what is not filled.
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
    filled: NDArray[np.bool_]
    basins: NDArray[np.int32]
    pieces: NDArray[np.int32]
    merged: NDArray[np.int32]
    particles: NDArray[np.int32]

    @cached_property
    def contrast(self) -> float:
        """Share of the grey values' variance that the threshold explains (Otsu's criterion).

        1 for two grey values, and 2 / pi for noise that is cut in two.
        """
        share = float(self.bright.mean())
        bright, dark = self.smoothed[self.bright], self.smoothed[~self.bright]
        apart = float(bright.mean()) - float(dark.mean())
        return share * (1 - share) * apart**2 / float(self.smoothed.var())

    @cached_property
    def bulge(self) -> float:
        """How much the bright phase bulges into the dark one, -1 to 1.

        What it gains where its surface moves out by two voxels, less what it loses where that
        moves in, over their sum: above 0 for bright bodies, below 0 for dark ones.
        """
        size = int(np.count_nonzero(self.bright))
        grown = ndimage.binary_dilation(self.bright, iterations=2)
        eroded = ndimage.binary_erosion(self.bright, iterations=2, border_value=1)
        gained, lost = int(np.count_nonzero(grown)) - size, size - int(np.count_nonzero(eroded))
        return (gained - lost) / max(gained + lost, 1)


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
    filled = ndimage.binary_fill_holes(bright)
    depth = ndimage.distance_transform_edt(filled)
    # Smoothed, as the distance of a voxelised particle has many small peaks.
    peaks = peak_local_max(
        ndimage.gaussian_filter(depth, 1.0), min_distance=apart, labels=filled, exclude_border=False
    )
    markers = np.zeros(grey.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    basins = watershed(-depth, markers, mask=filled).astype(np.int32)
    pieces = label(basins, connectivity=1, background=0).astype(np.int32)
    merged = merge_pieces(pieces, smallest, least_sphericity)
    particles = drop_border(merged)
    if not particles.any():
        raise InputError(
            "No whole particle was found in the CT volume; the particles must be brighter than "
            "what is between them and some of them must lie inside, so invert or enlarge it."
        )
    return Segmentation(smoothed, threshold, bright, filled, basins, pieces, merged, particles)


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
    merged = measured.numbers[order][odd[order]].tolist()
    for number in merged:
        shared = faces.pop(number, {})
        goal = max(shared, key=lambda other: shared[other].rank, default=0)
        owner[number] = goal
        _join(faces, number, goal, shared)
    for number in reversed(merged):  # what it has gone to may have gone on later
        owner[number] = owner[owner[number]]
    return np.asarray(owner[pieces], np.int32)


class _Contact(NamedTuple):
    """Voxel faces between two particles, and the first two pieces that share some of them."""

    faces: int
    first: int

    @property
    def rank(self) -> tuple[int, int]:
        """What the best neighbour has most of; of equal ones, the first is taken."""
        return self.faces, -self.first


def _shared_faces(pieces: NDArray[np.int32]) -> dict[int, dict[int, _Contact]]:
    """Return the neighbours of every piece that touches others."""
    codes, base = [], int(pieces.max()) + 1
    for axis in range(3):
        a, b = np.delete(pieces, -1, axis).ravel(), np.delete(pieces, 0, axis).ravel()
        touching = (a != b) & (a > 0) & (b > 0)
        a, b = a[touching].astype(np.int64), b[touching].astype(np.int64)
        codes.append(np.minimum(a, b) * base + np.maximum(a, b))
    unique, counts = np.unique(np.concatenate(codes), return_counts=True)
    found: dict[int, dict[int, _Contact]] = {}
    for code, count in zip(unique.tolist(), counts.tolist(), strict=True):
        a, b = divmod(code, base)
        found.setdefault(a, {})[b] = found.setdefault(b, {})[a] = _Contact(count, code)
    return found


def _join(
    faces: dict[int, dict[int, _Contact]], number: int, goal: int, shared: dict[int, _Contact]
) -> None:
    """Give the contacts of a particle to the one that it has gone to."""
    for other, contact in shared.items():
        del faces[other][number]
        if other != goal:
            before = faces[goal].get(other, _Contact(0, contact.first))
            joined = _Contact(before.faces + contact.faces, min(before.first, contact.first))
            faces[goal][other] = faces[other][goal] = joined


def fill_pores(numbered: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give the closed pores inside a particle to it: its shell is its outer surface."""
    filled = numbered.copy()
    for number, box in enumerate(ndimage.find_objects(numbered), 1):
        if box is not None:
            solid = ndimage.binary_fill_holes(numbered[box] == number)
            filled[box][solid & (numbered[box] == 0)] = number
    return filled


def drop_border(numbered: NDArray[np.int32]) -> NDArray[np.int32]:
    """Remove what meets the border of the volume, and number the rest from 1."""
    if int(numbered.max()) > numbered.size:  # else the tables below outgrow the memory
        labels = np.union1d([0], numbered)
        numbered = np.searchsorted(labels, numbered).astype(np.int32)
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
