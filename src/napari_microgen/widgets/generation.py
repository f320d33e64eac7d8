"""What is known of a volume before it is generated, and generating it; without Qt."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.generation.ensemble import ensemble_steps
from napari_microgen.io.layers import METADATA_KEY, phase_colormap, sample_layers
from napari_microgen.methods.particles.bed import bed_steps
from napari_microgen.methods.particles.centred import CentredModel
from napari_microgen.methods.particles.shell_model import ShellModel
from napari_microgen.methods.particles.whole import ParticleModel, check_seeds, write_particles
from napari_microgen.metrics.chords import mean_chords
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.phases import Phase
from napari_microgen.resources import check_memory

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.types import LayerDataTuple

    from napari_microgen.methods.base import Disagreement, Model, Periodic, Sample, Shape
    from napari_microgen.widgets.tasks import Stopping

Result = TypeVar("Result")

PINK = "#ff3d7f"

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
    ensemble : int
        Number of seeds whose volumes are counted voxel by voxel; below 2 for none. The
        probabilities are then shares of seeds.
    disagreement : bool
        Whether to show where the volume does not look like what it was made from.
    at : tuple of float
        Where the image that the volume is made from lies in the world, along z, y, x.
    count : int
        Particles side by side, with the seeds that follow; `shape` then counts for nothing.
    surface : bool
        Whether to add the particle's surface.
    """

    model: Model
    shape: Shape
    seed: int = 0
    periodic: Periodic = (False, False, False)
    confidence: bool = True
    probabilities: bool = False
    ensemble: int = 0
    disagreement: bool = False
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    count: int = 1
    surface: bool = False

    @property
    def title(self) -> str:
        """Name of the volume's layer."""
        if self.count > 1:
            return f"generated, seeds {self.seed}-{self.seed + self.count - 1}"
        return f"generated, seed {self.seed}"

    @property
    def bytes_needed(self) -> int:
        """Memory that generating takes."""
        if self.count > 1:  # most particles are as large as the first, some larger
            return 2 * self.count * self.model.bytes_needed(self.shape)
        entropy = 4 * int(np.prod(self.shape, dtype=object)) if self.ensemble > 1 else 0
        return self.model.bytes_needed(self.shape, self.probabilities) + entropy

    @property
    def remarks(self) -> list[str]:
        """What to know of the volume before it is generated."""
        return self.model.remarks(self.seed)

    def check(self) -> None:
        """Raise `InputError` if the volume is impossible or too large, or one seed an ensemble."""
        if self.ensemble == 1:
            raise InputError(
                "An ensemble of one seed differs nowhere; choose two seeds or more, or 0 for none."
            )
        self.model.check_shape(self.shape, self.periodic)
        check_seeds(self.seed, self.count)
        mend = (
            "choose fewer particles or a larger voxel size" if self.count > 1 else self.model.mend
        )
        check_memory(self.bytes_needed, "This volume", mend)


@dataclasses.dataclass(frozen=True)
class Generated:
    """Layers to add to the viewer.

    Attributes
    ----------
    layers : list of LayerDataTuple
        The volume last.
    seconds : float
        How long they took.
    marks : list of LayerDataTuple
        What to lay over the volume.
    placed : bool
        Whether all lie where they belong, on the image that the volume was made from.
    remark : str
        What to know about the volume; may be empty.
    """

    layers: list[LayerDataTuple]
    seconds: float
    marks: list[LayerDataTuple] = dataclasses.field(default_factory=list)
    placed: bool = False
    remark: str = ""


def generation_steps(
    plan: GenerationPlan, stopping: Stopping
) -> Generator[float, None, Generated | None]:
    """Generate and measure a volume; yields the share done, returns None if it was stopped."""
    started = time.perf_counter()
    plan.check()
    if plan.count > 1:
        return (yield from _bed(plan, stopping, started))
    runs = 1 + plan.ensemble if plan.ensemble > 1 else 1
    sample = yield from _part(
        model_steps(
            plan.model, plan.shape, stopping, plan.seed, plan.periodic,
            plan.probabilities and runs == 1,
        ),
        0.0, 1 / runs,
    )  # fmt: skip
    if sample is None:
        return None
    if not plan.confidence:
        sample = dataclasses.replace(sample, confidence=None)
    if runs > 1:
        steps = ensemble_steps(
            plan.model, plan.shape, plan.ensemble, plan.seed, probabilities=plan.probabilities
        )
        ensemble = yield from _part(stoppable(steps, stopping), 1 / runs, 1.0)
        if ensemble is None:
            return None
        sample = dataclasses.replace(
            sample, entropy=ensemble.entropy, probabilities=ensemble.probabilities
        )
    placed = sample.place is not None
    if sample.place is not None:
        z, y, x = (a + p for a, p in zip(plan.at, sample.place, strict=True))
        sample = dataclasses.replace(sample, place=(z, y, x))
    layers = sample_layers(sample, plan.title, phase_columns(sample, plan.periodic))
    if plan.surface:
        layers.insert(0, surface_layer(plan, sample))
    found = plan.model.disagreement(sample)
    marks = []
    if found is not None and plan.disagreement and found.where.size:
        marks.append(disagreement_layer(found, plan, sample))
    return Generated(layers, time.perf_counter() - started, marks, placed, remark(found, sample))


def _bed(
    plan: GenerationPlan, stopping: Stopping, started: float
) -> Generator[float, None, Generated | None]:
    """Generate several particles side by side."""
    assert isinstance(plan.model, CentredModel)
    seeds = range(plan.seed, plan.seed + plan.count)
    sample = yield from stoppable(bed_steps(plan.model, seeds), stopping)
    if sample is None:
        return None
    return Generated(sample_layers(sample, plan.title), time.perf_counter() - started)


def surface_layer(plan: GenerationPlan, sample: Sample) -> LayerDataTuple:
    """Return the surface of a particle as a layer that lies on its voxels."""
    assert isinstance(plan.model, ShellModel | ParticleModel)
    vertices, triangles = plan.model.mesh(plan.seed)
    middle = np.array(sample.data.shape) // 2
    options: dict[str, Any] = {
        "name": f"{plan.title} surface",
        "scale": sample.voxel_size,
        "units": (sample.unit,) * 3,
        "axis_labels": ("z", "y", "x"),
        "metadata": {METADATA_KEY: dict(sample.provenance)},
        "shading": "smooth",
        "colormap": "gray",
        "opacity": 0.35,
        "visible": False,
    }
    return (vertices / np.array(sample.voxel_size) + middle, triangles), options, "surface"


def writing_steps(
    plan: GenerationPlan, folder: str, stopping: Stopping
) -> Generator[float, None, dict[str, Any] | None]:
    """Write particles as a data set; yields the share done, returns None if it was stopped."""
    assert isinstance(plan.model, CentredModel)
    steps = write_particles(plan.model, Path(folder), plan.count, plan.seed)
    return (yield from stoppable(steps, stopping))


def disagreement_layer(found: Disagreement, plan: GenerationPlan, sample: Sample) -> LayerDataTuple:
    """Return a layer that marks where a volume does not look like what it was made from."""
    options: dict[str, Any] = {
        "name": f"{plan.title} disagreement",
        "scale": found.voxel_size,
        "units": (found.unit,) * 3,
        "axis_labels": ("z", "y", "x"),
        "translate": [a + p for a, p in zip(plan.at, found.place, strict=True)],
        "colormap": phase_colormap([Phase(1, "disagrees", PINK)]),
        "features": {"index": [1], "name": ["disagrees"], "volume fraction": [found.share]},
        "metadata": {METADATA_KEY: dict(sample.provenance)},
        "visible": False,
    }
    return found.where.astype(np.uint8), options, "labels"


def remark(found: Disagreement | None, sample: Sample) -> str:
    """Return how well a volume agrees with what it was made from, and how sure it is."""
    told = []
    if found is not None and found.where.size == 0:
        told.append("It is too small to be compared with the low-resolution volume.")
    elif found is not None:
        told.append(f"{100 * found.share:.1f} % of the low-resolution voxels look different in it.")
    if sample.entropy is not None:
        told.append(f"Mean entropy over the seeds: {sample.entropy.mean(dtype=float):.3f} of 1.")
    return " ".join(told)


def _part(
    steps: Generator[float, None, Result], start: float, stop: float
) -> Generator[float, None, Result]:
    """Pass on the progress of a part of the work as a part of the whole."""
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        yield start + done * (stop - start)


def stoppable(
    steps: Generator[float, None, Result], stopping: Stopping
) -> Generator[float, None, Result | None]:
    """Go through steps until they end, or return None as soon as it is asked for."""
    while not stopping():
        try:
            yield next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
    return None


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
    return (yield from stoppable(steps, stopping))


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
