"""Which axes a material does not tell apart, and which sections show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.methods.fieldgan.networks import ISOTROPIC, ORTHOTROPIC, TRANSVERSE, Groups
from napari_microgen.methods.fieldgan.sections import SIDE
from napari_microgen.training.orientations import Orientation
from napari_microgen.training.sections import image_symmetry

if TYPE_CHECKING:
    from napari_microgen.methods.excursion.preparation import Preparation
    from napari_microgen.phases import PhaseImage


@dataclass(frozen=True)
class MaterialSymmetry:
    """What the images say of the material's directions.

    Attributes
    ----------
    orientations : tuple of Orientation
        Every image, or direction of a volume, with the axes that it shows the sections of.
    groups : Groups
        Axes that are alike.
    stretch : float
        Factor by which the material is longer along z than across.
    """

    orientations: tuple[Orientation, ...]
    groups: Groups
    stretch: float


def find_symmetry(prepared: Preparation, stretch: float) -> MaterialSymmetry:
    """Read a material's symmetry from its images.

    One image, or a volume that is no longer along z than across, stands for all directions. Of
    a material that is stretched only what images show is learned: its sections normal to z, and
    those that contain z where there are some on the same voxels.

    Parameters
    ----------
    prepared : Preparation
    stretch : float
        Given by the user, or 0 for that of the images.
    """
    stretch = stretch or prepared.stretch or 1.0
    image = prepared.image
    if stretch == 1 and not prepared.sections:
        whole = Orientation((0, 1, 2), image, "square")
        return MaterialSymmetry((whole,), ISOTROPIC, stretch)
    shown = {0: image.sections(0)}
    if prepared.sections:
        last = len(prepared.sections) - 1
        shown |= {axis: prepared.sections[min(axis - 1, last)] for axis in (1, 2)}
    elif image.ndim == 3:
        shown |= {axis: image.sections(axis) for axis in (1, 2)}
    usable = {0: shown.pop(0)} | {a: s for a, s in shown.items() if _usable(s, image)}
    groups = _grouped(usable)
    across = image_symmetry(usable[0]) == "square"
    return MaterialSymmetry(
        tuple(Orientation(axes, i, image_symmetry(i)) for axes, i in groups),
        TRANSVERSE if across else ORTHOTROPIC, stretch,
    )  # fmt: skip


def _usable(section: PhaseImage, image: PhaseImage) -> bool:
    """Whether a section is large enough to learn from, and on the voxels that are generated."""
    edge = image.voxel_size[-1]
    return min(section.shape[-2:]) >= SIDE and bool(
        np.allclose(section.voxel_size[-2:], edge, rtol=0.01)
    )


def _grouped(images: dict[int, PhaseImage]) -> list[tuple[tuple[int, ...], PhaseImage]]:
    """Put axes that one image shows together."""
    found: dict[str, list[int]] = {}
    for axis, image in images.items():
        found.setdefault(image.digest, []).append(axis)
    return [(tuple(axes), images[axes[0]]) for axes in found.values()]
