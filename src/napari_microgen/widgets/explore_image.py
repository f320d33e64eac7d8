"""The image that a model's curves are held against; read in a thread, without Qt."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from napari_microgen.errors import InputError
from napari_microgen.methods.excursion.estimator import CoverageTarget, estimate_coverage
from napari_microgen.metrics.pairing import same_phases
from napari_microgen.phases import PhaseImage

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Layer

    from napari_microgen.methods.excursion.exploration import Exploration
    from napari_microgen.phases import Zero
    from napari_microgen.widgets.tasks import Stopping

SAME = 0.01
"""Relative difference of voxel sizes that counts as none."""


def target_steps(
    layer: Layer, zero: Zero, exploration: Exploration, stopping: Stopping
) -> Generator[None, None, CoverageTarget | None]:
    """Estimate the two-point functions of a layer, for a model's phases and voxels.

    Raises
    ------
    InputError
        If the layer shows other phases or its voxels are larger than the model's.
    """
    image = image_for(exploration, PhaseImage.from_layer(layer, zero=zero))
    yield
    return None if stopping() else estimate_coverage(image)


def image_for(exploration: Exploration, image: PhaseImage) -> PhaseImage:
    """Return an image with a model's phases, coarsened to its voxels as the calibration does."""
    like = dataclasses.replace(image, phases=exploration.phases, name=exploration.name, _cache={})
    image = same_phases(like, image)
    ratio = 1.0
    if image.unit == exploration.base.origin.unit:
        ratio = exploration.voxel / image.voxel_size[-1]
    factor = round(ratio)
    if factor < 1 or abs(ratio / factor - 1) > SAME:
        unit = image.unit
        raise InputError(
            f"'{image.name}' has voxels of {image.voxel_size[-1]:g} {unit} and the model of "
            f"{exploration.voxel:g} {unit}; choose an image with the model's voxels."
        )
    step = (slice(None, None, factor),) * image.ndim
    return dataclasses.replace(image, data=image.data[step], _cache={}) if factor > 1 else image
