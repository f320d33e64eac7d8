"""What is read off the images before anything is calibrated: curves, scale and stretch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_microgen.methods.excursion.anisotropy import RESOLVED, estimate_stretch
from napari_microgen.methods.excursion.estimator import (
    SMALLEST_SIDE,
    CoverageTarget,
    check_side,
    estimate_coverage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.phases import PhaseImage

LONGEST = 40
"""Correlation length in voxels above which the image is coarsened."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """Images that are ready to be calibrated to.

    Attributes
    ----------
    source : PhaseImage
        Sections normal to z, 2D or 3D, as the user gave them.
    sections : tuple of PhaseImage
        Images that contain z, normal to y and to x.
    image : PhaseImage
        The source, coarsened if its correlation length takes too many voxels.
    target : CoverageTarget
        Its two-point coverage functions.
    seen : CoverageTarget
        Those of the source; the same if it was not coarsened.
    stretch : float or None
        Factor by which the images are longer along z; None where none of them shows z.
    """

    source: PhaseImage
    sections: tuple[PhaseImage, ...]
    image: PhaseImage
    target: CoverageTarget
    seen: CoverageTarget
    stretch: float | None


def prepare(data: Sequence[PhaseImage]) -> Preparation:
    """Estimate coverage functions and stretch.

    Pairs of voxels are taken within the sections normal to z, unless a volume is no longer
    along z than across.

    Raises
    ------
    InputError
        If the first image is smaller than 32 voxels along an axis, or has no two phases.
    """
    source, *sections = data
    stretch = find_stretch(data)
    in_voxels = (stretch or 1.0) * source.voxel_size[-1] / source.voxel_size[0]
    planar = is_stack(source) or bool(sections) or abs(in_voxels - 1) > RESOLVED
    check_side(source, planar)
    seen = estimate_coverage(source, planar)
    factor = coarsening(seen)
    image = source if factor == 1 else coarsened(source, factor, planar)
    target = seen if factor == 1 else estimate_coverage(image, planar)
    return Preparation(source, tuple(sections), image, target, seen, stretch)


def find_stretch(data: Sequence[PhaseImage]) -> float | None:
    """Return how much longer images are along z, None if none shows z.

    What cannot be told from 1 is 1.
    """
    source, *sections = data
    if not sections and (source.ndim == 2 or is_stack(source)):
        return None
    stretch = estimate_stretch(source, sections)
    return 1.0 if abs(stretch - 1) <= RESOLVED else stretch


def is_stack(image: PhaseImage) -> bool:
    """Whether a 3D image is too thin to be a volume: it is a stack of sections normal to z."""
    return image.ndim == 3 and image.shape[0] < SMALLEST_SIDE


def coarsening(target: CoverageTarget) -> int:
    """Return how many voxels wide the voxels of a calibration must be."""
    return -(-target.correlation_length // LONGEST)


def coarsened(image: PhaseImage, factor: int, planar: bool = False) -> PhaseImage:
    """Return every `factor`-th voxel of an image; with `planar` every section of a volume."""
    edges = (1, factor, factor) if planar and image.ndim == 3 else (factor,) * image.ndim
    size = tuple(s * n for s, n in zip(image.voxel_size, edges, strict=True))
    step = tuple(slice(None, None, n) for n in edges)
    return replace(image, data=image.data[step], voxel_size=size, _cache={})
