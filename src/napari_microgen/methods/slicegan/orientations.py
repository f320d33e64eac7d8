"""Which image shows the sections normal to which axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from napari_microgen.errors import InputError
from napari_microgen.training.sections import image_symmetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.slicegan.config import SliceGANConfig
    from napari_microgen.phases import PhaseImage
    from napari_microgen.training.patches import Symmetry


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


def find_orientations(
    data: Sequence[PhaseImage], config: SliceGANConfig
) -> tuple[Orientation, ...]:
    """Assign images to axes; axes with the same image share one orientation.

    One 2D image shows every axis (isotropic). One 3D volume shows its own sections along each
    axis. Of two images for three axes the first shows z, the second y and x. Otherwise there is
    one image, or stack of sections, per axis in the order z, y, x.

    Raises
    ------
    InputError
        If the number of images fits neither, or phases, kinds or pixel sizes differ.
    """
    axes = tuple("zyx".index(a) for a in config.axes)
    images = _per_axis(data, axes)
    _check_alike(data)
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


def _check_alike(data: Sequence[PhaseImage]) -> None:
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
        ratio = image.voxel_size[-1] / first.voxel_size[-1]
        if image.unit != first.unit or not 0.99 < ratio < 1.01:
            raise InputError(
                f"'{first.name}' has pixels of {first.voxel_size[-1]:g} {first.unit} but "
                f"'{image.name}' of {image.voxel_size[-1]:g} {image.unit}; resample one of them, "
                "or correct the layer scale."
            )


def _symmetry(image: PhaseImage, axes: Sequence[int], config: SliceGANConfig) -> Symmetry:
    if config.symmetry != "auto":
        return cast("Symmetry", config.symmetry)
    if len(axes) == 3:
        return "square"
    return image_symmetry(image.as_labels())
