"""Scale factors: how many high-resolution voxels make a low-resolution one."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.training.adversarial_config import SIDE
from napari_microgen.units import METRES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.phases import PhaseImage

SIDES = (8, SIDE)
"""Smallest and largest side of a low-resolution training cube (paper 001, section 3)."""

TOLERANCE = 0.01


def nearest_factor(value: float) -> Fraction:
    """Return the possible scale factor 64/d, with a whole d from 8 to 64, nearest to a number.

    Raises
    ------
    InputError
        If the number is below 1 or above 8.
    """
    largest, smallest = (SIDE / d for d in SIDES)
    if not smallest * (1 - TOLERANCE) <= value <= largest * (1 + TOLERANCE):
        raise InputError(
            f"The scale factor must be from {smallest:g} to {largest:g}, not {value:.3g}."
        )
    sides = range(SIDES[0], SIDES[1] + 1)
    return min((Fraction(SIDE, d) for d in sides), key=lambda f: abs(float(f) / value - 1))


def voxel_ratio(images: Sequence[PhaseImage], low: PhaseImage) -> float:
    """Return how many pixels of the images fit along an edge of a voxel of the volume.

    Raises
    ------
    InputError
        If a voxel size is missing, or the volume is the finer one or more than eight times as
        coarse.
    """
    ratio = stated_ratio(images, low)
    if ratio is None:
        raise InputError(
            f"The voxel sizes of '{images[0].name}' and '{low.name}' are needed to derive the "
            "scale factor from; set the scale of both layers, or the setting scale_factor."
        )
    ends = f"the voxels of '{low.name}' ({_text(low)}) are {{}} the pixels of " + (
        f"'{images[0].name}' ({_text(images[0])})"
    )
    if ratio < 1 - TOLERANCE:
        raise InputError(
            f"The scale factor would be {ratio:.3g}, as {ends.format('smaller than')}; exchange "
            "the images, or correct the layer scales."
        )
    if ratio > SIDE / SIDES[0] * (1 + TOLERANCE):
        raise InputError(
            f"The scale factor would be {ratio:.3g}, as {ends.format('so much larger than')}; at "
            "most 8 is possible, so coarsen the image, or correct the layer scales."
        )
    return ratio


def stated_ratio(images: Sequence[PhaseImage], low: PhaseImage) -> float | None:
    """Return the ratio of voxel to pixel as the sizes have it; None where they tell nothing."""
    if not _comparable([*images, low]):
        return None
    return float(_metres(low)[0] / np.mean([_metres(image)[-2:] for image in images]))


def check_edges(images: Sequence[PhaseImage], low: PhaseImage) -> None:
    """Raise `InputError` where voxels are no cubes or pixels no squares."""
    for image, edges, shape in (
        *((i, i.voxel_size[-2:], "pixels of '{}' are no squares") for i in images),
        (low, low.voxel_size, "voxels of '{}' are no cubes"),
    ):
        if max(edges) > (1 + TOLERANCE) * min(edges):
            raise InputError(
                f"The {shape.format(image.name)} ({_text(image)}); resample it first, or correct "
                "the layer scale."
            )


def _comparable(images: Sequence[PhaseImage]) -> bool:
    """Whether the voxel sizes say how large the voxels of one image are in another."""
    if all(image.unit == "pixel" for image in images):
        return any(size != 1.0 for image in images for size in image.voxel_size)
    return all(image.unit in METRES for image in images)


def _metres(image: PhaseImage) -> list[float]:
    unit = METRES.get(image.unit, 1.0)
    return [unit * size for size in image.voxel_size]


def _text(image: PhaseImage) -> str:
    return " x ".join(f"{s:g}" for s in image.voxel_size) + f" {image.unit}"
