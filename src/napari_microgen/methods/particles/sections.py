"""Planar sections through a particle's centre: numbered grains ready to be learned from.

The paper's lengths are pixels of its EBSD maps, at which grains are about six pixels wide. Here
sections are measured in *units*, chosen so that a square of 32 x 32 units holds 28 grains, as the
paper's do, whatever the pixel size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_microgen.errors import InputError
from napari_microgen.units import count_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

WINDOW = 32
"""Side of a cutout in units."""

GRAINS_PER_WINDOW = 28
MOST_UNINDEXED = 0.5
FEWEST = 30


@dataclass(frozen=True, eq=False)
class Section:
    """A planar section through the centre of a particle.

    Attributes
    ----------
    numbers : ndarray of int32, shape (y, x)
        Grain of every pixel of the particle, unindexed ones filled; 0 outside.
    centre : tuple of float
        Centre of the particle in pixels.
    unindexed : float
        Share of the particle's pixels that had no grain.
    name : str
    left_out : float
        Share of the map's indexed pixels that lie outside the particle.
    """

    numbers: NDArray[np.int32]
    centre: tuple[float, float]
    unindexed: float
    name: str
    left_out: float = 0.0

    @property
    def largest(self) -> tuple[int, float]:
        """Number of the largest grain, and its share of the particle."""
        numbers, sizes = np.unique(self.numbers[self.numbers > 0], return_counts=True)
        return int(numbers[sizes.argmax()]), float(sizes.max() / self.area)

    @property
    def area(self) -> int:
        """Pixels of the particle."""
        return int(np.count_nonzero(self.numbers))

    @property
    def n_grains(self) -> int:
        """Grains in the section, those at its border included."""
        return len(np.unique(self.numbers[self.numbers > 0]))

    @property
    def radius(self) -> float:
        """Radius of the disc of the same area, in pixels."""
        return sqrt(self.area / pi)


def read_section(image: PhaseImage, centre: tuple[float, float] | None = None) -> Section:
    """Prepare a section: find the particle's outline, and fill what was not indexed.

    Pixels between grains that are closer than a grain's width to indexed ones belong to the
    particle; each goes to the nearest grain. Of several particles it is that of the centre, or
    the largest.

    Parameters
    ----------
    image : PhaseImage
        2D and numbered, 0 for what was not indexed or lies outside.
    centre : tuple of float, optional
        Centre of the particle, ``(y, x)`` in pixels; default the centroid of the particle.

    Raises
    ------
    InputError
        If there are too few grains, too many pixels without a grain, or the centre is outside.
    """
    indexed = image.data > 0
    width = sqrt(np.count_nonzero(indexed) / _count_grains(image, indexed))
    place = None if centre is None else _pixel(centre, indexed.shape)
    particle = _closed(indexed, width, place)
    left_out = np.count_nonzero(indexed & ~particle) / np.count_nonzero(indexed)
    indexed &= particle
    _count_grains(image, indexed)
    unindexed = 1 - np.count_nonzero(indexed) / np.count_nonzero(particle)
    if unindexed > MOST_UNINDEXED:
        raise InputError(
            f"{100 * unindexed:.0f} % of the particle in '{image.name}' is not indexed (label 0); "
            "clean the map, or fill its gaps, until most pixels have a grain."
        )
    nearest = ndimage.distance_transform_edt(~indexed, return_distances=False, return_indices=True)
    numbers = np.where(particle, image.data[tuple(nearest)], 0).astype(np.int32)
    if centre is None:
        y, x = np.argwhere(particle).mean(axis=0)
        centre = (float(y), float(x))
        if not particle[_pixel(centre, indexed.shape)]:
            raise InputError(
                f"The centroid of '{image.name}', ({y:.5g}, {x:.5g}), lies outside its particle; "
                "give the particle's centre, or leave the section out."
            )
    elif place is None or not particle[place]:
        raise InputError(
            f"The centre ({centre[0]:.5g}, {centre[1]:.5g}) lies outside the particle of "
            f"'{image.name}'; place the point on the particle's middle, or leave it out."
        )
    return Section(numbers, centre, float(unindexed), image.name, float(left_out))


def _count_grains(image: PhaseImage, where: NDArray[np.bool_]) -> int:
    """Return how many grains there are; raise `InputError` if they are too few."""
    count = len(np.unique(image.data[where]))
    if count < FEWEST:
        raise InputError(
            f"The particle of '{image.name}' shows {count_text(count, 'grain')}; at least {FEWEST} "
            "are needed to learn from it."
        )
    return count


def _pixel(place: tuple[float, float], shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the pixel in which a place lies; None outside the image."""
    y, x = (round(p) for p in place)
    return (y, x) if 0 <= y < shape[0] and 0 <= x < shape[1] else None


def _closed(
    indexed: NDArray[np.bool_], width: float, place: tuple[int, int] | None
) -> NDArray[np.bool_]:
    """Close gaps narrower than a width, keep the part at a place or the largest, and fill it."""
    reach = int(np.ceil(width)) + 1
    padded = np.pad(indexed, reach)
    grown = ndimage.distance_transform_edt(~padded) <= width / 2
    closed = ndimage.distance_transform_edt(grown) > width / 2
    parts, count = ndimage.label(closed | padded)
    if count > 1:
        here = 0 if place is None else parts[place[0] + reach, place[1] + reach]
        closed = parts == (here or 1 + np.bincount(parts.ravel())[1:].argmax())
    else:
        closed = parts > 0
    inner = (slice(reach, -reach),) * 2
    return np.asarray(ndimage.binary_fill_holes(closed)[inner])


def unit_length(sections: Sequence[Section]) -> float:
    """Return the length of a unit in pixels."""
    per_pixel = sum(s.n_grains for s in sections) / sum(s.area for s in sections)
    return sqrt(GRAINS_PER_WINDOW / WINDOW**2 / per_pixel)


def pooled(
    descriptors: Sequence[Mapping[str, NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    """Put the descriptors of several sections or volumes together."""
    return {name: np.concatenate([d[name] for d in descriptors]) for name in descriptors[0]}


def grains_per_area(numbers: Sequence[NDArray[np.integer]]) -> float:
    """Return how many grains there are per pixel of sections."""
    count = sum(len(np.unique(n[n > 0])) for n in numbers)
    return float(count / sum(np.count_nonzero(n) for n in numbers))
