"""Which image shows the sections normal to which axis."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.training.sections import image_symmetry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_microgen.phases import PhaseImage
    from napari_microgen.training.patches import Symmetry
    from napari_microgen.training.section_config import SectionConfig


@dataclass(frozen=True)
class Orientation:
    """Axes whose sections look alike, the image that shows them, and how it may be turned.

    Attributes
    ----------
    axes : tuple of int
        0, 1, 2 for z, y, x.
    image : PhaseImage
        2D, or a stack of sections along its first axis.
    symmetry : {"square", "mirror", "none"}
        As in `PatchSampler`.
    """

    axes: tuple[int, ...]
    image: PhaseImage
    symmetry: Symmetry


def find_orientations(data: Sequence[PhaseImage], config: SectionConfig) -> tuple[Orientation, ...]:
    """Assign images to axes; axes with the same image share one orientation.

    One 2D image shows every axis (isotropic). One 3D volume shows its own sections along each
    axis. Of two images for three axes the first shows z, the second y and x. Otherwise there is
    one image, or stack of sections, per axis in the order z, y, x.

    Raises
    ------
    InputError
        If the number of images fits neither, or phases, kinds, units or pixel sizes differ.
    """
    axes = tuple("zyx".index(a) for a in config.axes)
    images = _per_axis(data, axes)
    check_alike(data)
    if len(data) > 1:
        _check_edges(images)
    merged: dict[tuple[str, int], list[int]] = {}
    for axis, image in images.items():
        merged.setdefault((image.digest, image.ndim), []).append(axis)
    return tuple(
        Orientation(tuple(group), images[group[0]], _symmetry(images[group[0]], group, config))
        for group in merged.values()
    )


def is_isotropic(orientations: Sequence[Orientation]) -> bool:
    """Whether one image shows all three axes."""
    return len(orientations) == 1 and len(orientations[0].axes) == 3


def generated_voxel_size(orientations: Sequence[Orientation]) -> tuple[float, float, float]:
    """Return the edge lengths of generated voxels along z, y, x: those of the sections.

    One 2D image for all axes has no say on the third axis, so its voxels are cubes.
    """
    if is_isotropic(orientations):
        size = orientations[0].image.voxel_size[-1]
        return (size, size, size)
    z, y, x = _edges({axis: o.image for o in orientations for axis in o.axes})
    return (z[0][0], y[0][0], x[0][0])


def _per_axis(data: Sequence[PhaseImage], axes: tuple[int, ...]) -> dict[int, PhaseImage]:
    if len(data) == 1:
        return {axis: data[0].sections(axis) for axis in axes}
    if len(data) == 2 and len(axes) == 3:
        return {0: data[0], 1: data[1], 2: data[1]}
    if len(data) == len(axes):
        return dict(zip(axes, data, strict=True))
    raise InputError(
        f"{len(data)} images were given for the {len(axes)} axes '{'zyx' if len(axes) == 3 else ''}"
        f"{'' if len(axes) == 3 else ''.join('zyx'[a] for a in axes)}'; give one image for all, "
        "or one per axis."
    )


def check_alike(data: Sequence[PhaseImage]) -> None:
    """Raise `InputError` if images are not of one kind, with the same phases, in one unit."""
    first = data[0]
    for image in data[1:]:
        if image.kind != first.kind:
            raise InputError(
                f"'{first.name}' holds {first.kind} values but '{image.name}' holds {image.kind} "
                "values; all orientations must be of one kind."
            )
        ours, theirs = ([p.value for p in i.phases] for i in (first, image))
        if ours != theirs:
            raise InputError(
                f"'{first.name}' has the phases {ours} but '{image.name}' has {theirs}; every "
                "orientation must show the same phases."
            )
        if image.unit != first.unit:
            raise InputError(
                f"'{first.name}' is measured in {first.unit} but '{image.name}' in {image.unit}; "
                "give both in one unit."
            )


def _edges(images: Mapping[int, PhaseImage]) -> list[list[tuple[float, PhaseImage]]]:
    """Collect for z, y, x how long voxels are along it, and which image says so.

    Sections normal to one axis show the two others, in order.
    """
    edges: list[list[tuple[float, PhaseImage]]] = [[], [], []]
    for normal, image in images.items():
        shown = [axis for axis in range(3) if axis != normal]
        for axis, length in zip(shown, image.voxel_size[-2:], strict=True):
            edges[axis].append((length, image))
    return edges


def _check_edges(images: Mapping[int, PhaseImage]) -> None:
    for axis, stated in zip("zyx", _edges(images), strict=True):
        (low, one), (high, other) = (f(stated, key=itemgetter(0)) for f in (min, max))
        if high > 1.01 * low:
            raise InputError(
                f"Along {axis} the pixels of '{one.name}' are {low:g} {one.unit} long but those of "
                f"'{other.name}' {high:g} {other.unit}; resample one of them, or correct the layer "
                "scale."
            )


def _symmetry(image: PhaseImage, axes: Sequence[int], config: SectionConfig) -> Symmetry:
    if config.symmetry != "auto":
        return cast("Symmetry", config.symmetry)
    if len(axes) == 3:
        return "square"
    return image_symmetry(image.as_labels())


def mean_fractions(orientations: Sequence[Orientation]) -> list[float]:
    """Volume fractions over all axes, each axis counted alike."""
    axes = [o.image.fractions for o in orientations for _ in o.axes]
    return [float(f) for f in np.mean(axes, axis=0)]
