"""What is known of a volume before it is generated, and generating it; without Qt."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.io.layers import sample_layers
from napari_microgen.metrics.chords import mean_chords
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.resources import check_memory

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.types import LayerDataTuple

    from napari_microgen.methods.base import Model, Periodic, Sample, Shape
    from napari_microgen.widgets.tasks import Stopping

LARGEST_PERIOD = 1024
"""Longest side that is tried when a periodic shape is looked for, in voxels."""


@dataclasses.dataclass(frozen=True)
class GenerationPlan:
    """A volume to generate.

    Attributes
    ----------
    model : Model
    shape, seed, periodic
        As in `Model.generate`.
    confidence, probabilities : bool
        Which maps to show beside the volume.
    """

    model: Model
    shape: Shape
    seed: int = 0
    periodic: Periodic = (False, False, False)
    confidence: bool = True
    probabilities: bool = False

    @property
    def title(self) -> str:
        """Name of the volume's layer."""
        return f"generated, seed {self.seed}"

    @property
    def bytes_needed(self) -> int:
        """Memory that generating takes."""
        return self.model.bytes_needed(self.shape, self.probabilities)

    def check(self) -> None:
        """Raise `InputError` if the shape is impossible or does not fit into memory."""
        self.model.check_shape(self.shape, self.periodic)
        check_memory(self.bytes_needed, "This volume", "choose a smaller shape")


@dataclasses.dataclass(frozen=True)
class Generated:
    """Layers to add to the viewer, the volume last, and how long they took in seconds."""

    layers: list[LayerDataTuple]
    seconds: float


def generation_steps(
    plan: GenerationPlan, stopping: Stopping
) -> Generator[float, None, Generated | None]:
    """Generate and measure a volume; yields the share done, returns None if it was stopped."""
    started = time.perf_counter()
    plan.check()
    sample = yield from model_steps(
        plan.model, plan.shape, stopping, plan.seed, plan.periodic, plan.probabilities
    )
    if sample is None:
        return None
    if not plan.confidence:
        sample = dataclasses.replace(sample, confidence=None)
    layers = sample_layers(sample, plan.title, phase_columns(sample, plan.periodic))
    return Generated(layers, time.perf_counter() - started)


def model_steps(
    model: Model,
    shape: Shape,
    stopping: Stopping,
    seed: int = 0,
    periodic: Periodic = (False, False, False),
    probabilities: bool = False,
) -> Generator[float, None, Sample | None]:
    """Generate a volume; yields the share done, returns None if it was stopped."""
    steps = model.generate_steps(shape, seed, periodic=periodic, probabilities=probabilities)
    while not stopping():
        try:
            yield next(steps)
        except StopIteration as end:
            sample: Sample = end.value
            return sample
    return None


def phase_columns(sample: Sample, periodic: Periodic) -> dict[str, list[Any]]:
    """Return specific surface area and mean chords of every phase of a label volume."""
    if sample.kind != "labels":
        return {}
    indices = np.zeros(sample.data.shape, np.uint8)
    for i, phase in enumerate(sample.phases):
        indices[sample.data == phase.value] = i
    count = len(sample.phases)
    options: dict[str, Any] = {"voxel_size": sample.voxel_size, "periodic": periodic}
    surface = ssa(indices, count, **options)
    chords = mean_chords(indices, count, **options)
    unit = sample.unit
    return {
        f"specific surface area (1/{unit})": surface.tolist(),
        **{
            f"mean chord along {axis} ({unit})": chords[:, i].tolist()
            for i, axis in enumerate("zyx")
        },
    }


def next_period(model: Model, axis: int, length: int) -> int | None:
    """Return the shortest length not below `length` that may be periodic along an axis.

    None if there is none below `LARGEST_PERIOD`.
    """
    periodic = [False, False, False]
    periodic[axis] = True
    for n in range(max(1, length), max(LARGEST_PERIOD, length) + 1):
        shape = [1, 1, 1]
        shape[axis] = n
        try:
            model.check_shape(shape, periodic)
        except InputError:
            continue
        return n
    return None
