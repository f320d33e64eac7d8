"""Making two images comparable: the same classes, phases and voxel size, parts of one shape."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.metrics.sides import spread
from napari_microgen.phases import UNLABELLED
from napari_microgen.units import length_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

MAX_PARTS = 27
"""Largest number of sub-volumes, or of pieces of sections per axis, on each side."""

PART_SIDE = 64
"""Largest side of a sub-volume, as in the DC-GAN and SuperRes papers."""

SECTION_SIDE = 256
"""Largest side of a piece of a section."""


KINDS = {
    "labels": "labels", "grey": "grey values", "colour": "colours", "numbered": "numbered particles"
}  # fmt: skip
"""What images of each kind hold."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What both sides are measured in: parts of one shape, by the axis they are normal to."""

    shape: tuple[int, ...]
    real: Mapping[int | None, list[NDArray[np.uint8]]]
    generated: Mapping[int | None, list[NDArray[np.uint8]]]


def same_kind(real: PhaseImage, generated: PhaseImage) -> PhaseImage:
    """Give `generated` the phases of `real`, or express its values on the scale of `real`.

    Raises
    ------
    InputError
        If one holds labels and the other values, or the phases differ.
    """
    if real.kind != generated.kind:
        raise InputError(
            f"'{real.name}' holds {KINDS[real.kind]} and '{generated.name}' "
            f"{KINDS[generated.kind]}; compare images of the same kind."
        )
    if real.kind == "labels":
        return same_phases(real, generated)
    low, high = generated.value_range
    start, stop = real.value_range
    data = (generated.data * (high - low) + low - start) / (stop - start)
    return dataclasses.replace(generated, data=data, value_range=real.value_range, _cache={})


def same_classes(real: PhaseImage, generated: PhaseImage) -> tuple[PhaseImage, PhaseImage]:
    """Give both images the same phases; grey and colour images are cut at the same levels."""
    generated = same_kind(real, generated)
    if real.kind == "labels":
        return real, generated
    return real.as_labels(), generated.as_labels(real.tercile_levels)


def same_phases(real: PhaseImage, generated: PhaseImage) -> PhaseImage:
    """Give `generated` the phases of `real`, and its indices."""
    values = [p.value for p in real.phases]
    extra = [p.value for p in generated.phases if p.value not in values]
    if extra:
        raise InputError(
            f"'{generated.name}' holds the phases {[p.value for p in generated.phases]} and "
            f"'{real.name}' {values}; give the same phases the same labels."
        )
    table = np.full(256, UNLABELLED, np.uint8)
    for k, phase in enumerate(generated.phases):
        table[k] = values.index(phase.value)
    return dataclasses.replace(generated, data=table[generated.data], phases=real.phases, _cache={})


def same_voxel_size(
    real: PhaseImage,
    generated: PhaseImage,
    stacked: bool,
    warnings: list[str],
    axes: Sequence[int] = (0, 1, 2),
) -> tuple[PhaseImage, PhaseImage]:
    """Check that both voxel sizes agree; lend a known one to an image without.

    Real sections are held against sections of a volume normal to `axes`.
    """
    if real.unit != generated.unit and "pixel" in (real.unit, generated.unit):
        known, other = (real, generated) if generated.unit == "pixel" else (generated, real)
        if len(set(known.voxel_size)) > 1 and known.ndim != other.ndim:
            raise InputError(
                f"'{other.name}' has no voxel size and that of '{known.name}' differs by axis; "
                "set the scale and units of both."
            )
        sizes = (known.voxel_size * 3)[: other.ndim]
        lent = dataclasses.replace(other, voxel_size=sizes, unit=known.unit)
        warnings.append(
            f"'{other.name}' has no voxel size; that of '{known.name}' was taken for it."
        )
        return (real, lent) if known is real else (lent, generated)
    generated = _in_unit(generated, real.unit)
    mine, its = real.voxel_size, generated.voxel_size
    if len(its) == 3 and (stacked or len(mine) == 2):
        pairs = [(mine[-2:], [s for k, s in enumerate(its) if k != axis]) for axis in axes]
    else:
        pairs = [(mine[-len(its) :], list(its))]
    same = all(np.allclose(a, b, 1e-3, 0) for a, b in pairs)
    if real.unit != generated.unit or not same:
        raise InputError(
            f"'{real.name}' has voxels of {_size_text(real)} and '{generated.name}' of "
            f"{_size_text(generated)}; resample one of them, or correct its scale and units."
        )
    return real, generated


def _in_unit(image: PhaseImage, unit: str) -> PhaseImage:
    """Express an image's voxel size in another unit, if both are lengths."""
    factor = length_ratio(image.unit, unit)
    if image.unit == unit or factor is None:
        return image
    # Rounded, so that 0.02 um are 20 nm.
    sizes = tuple(float(f"{s * factor:.9g}") for s in image.voxel_size)
    return dataclasses.replace(image, voxel_size=sizes, unit=unit)


def _shape_text(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)


def _size_text(image: PhaseImage) -> str:
    return " x ".join(f"{s:g}" for s in image.voxel_size) + f" {image.unit}"


def volume_parts(real: PhaseImage, generated: PhaseImage) -> Parts:
    """Cut both volumes into sub-volumes of one shape, half the smaller volume at most."""
    pairs = zip(real.shape, generated.shape, strict=True)
    shape = tuple(min(PART_SIDE, max(min(a, b) // 2, 1)) for a, b in pairs)
    if min(shape) < 8:
        raise InputError(
            f"'{real.name}' ({_shape_text(real.shape)}) or '{generated.name}' "
            f"({_shape_text(generated.shape)}) is too small to be split into sub-volumes; at "
            "least 16 voxels are needed along every axis."
        )
    real_parts, generated_parts = _blocks(real.data, shape), _blocks(generated.data, shape)
    return Parts(shape, {None: real_parts}, {None: generated_parts})


def section_parts(real: PhaseImage, generated: PhaseImage, axes: Sequence[int]) -> Parts:
    """Cut the real sections, and sections of the generated volume, into pieces of one shape."""
    stack = real.data[None] if real.ndim == 2 else real.data
    volume = generated.data[None] if generated.ndim == 2 else generated.data
    stacks = {axis: np.moveaxis(volume, axis, 0) for axis in axes}
    smallest = np.min([s.shape[1:] for s in stacks.values()], axis=0)
    whole = len(stack) >= 8
    pairs = zip(stack.shape[1:], smallest, strict=True)
    shape = tuple(min(SECTION_SIDE, a if whole else a // 2, int(b)) for a, b in pairs)
    if min(shape) < 8:
        raise InputError(
            f"'{real.name}' ({_shape_text(real.shape)}) or '{generated.name}' "
            f"({_shape_text(generated.shape)}) is too small to be compared in sections; at least "
            "16 pixels are needed along every side."
        )
    pieces = [p[0] for p in _blocks(stack, (1, *shape))]
    return Parts(
        shape,
        dict.fromkeys(axes, pieces),
        {axis: [p[0] for p in _blocks(s, (1, *shape))] for axis, s in stacks.items()},
    )


def _blocks(data: NDArray[np.uint8], shape: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Return up to `MAX_PARTS` blocks spread evenly, overlapping by half if they are few."""
    for overlap in (1, 2):
        counts = [overlap * (n // s - 1) + 1 for n, s in zip(data.shape, shape, strict=True)]
        if np.prod(counts) >= 8:
            break
    starts = [
        np.rint(np.linspace(0, n - s, c)).astype(int)
        for n, s, c in zip(data.shape, shape, counts, strict=True)
    ]
    places = spread(list(itertools.product(*starts)), MAX_PARTS)
    blocks = [
        data[tuple(slice(p, p + s) for p, s in zip(place, shape, strict=True))] for place in places
    ]
    labelled = [b for b in blocks if np.mean(b != UNLABELLED) > 0.5]
    return labelled or blocks
