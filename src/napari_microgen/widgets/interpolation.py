"""What is known of an interpolation before it is made, and making it; without Qt.

Volumes on the way between the latents of two seeds show what a generator has learned: if they
change smoothly, it has not stored its training data (paper 000, section J and figure S8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.io.layers import METADATA_KEY, sample_layers
from napari_microgen.metrics._steps import share, telling
from napari_microgen.metrics.scalars import DEFINITIONS, Key, scalar_steps
from napari_microgen.metrics.tables import plain, write_csv
from napari_microgen.phases import smallest_integers, to_indices
from napari_microgen.resources import check_memory

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from napari.types import LayerDataTuple
    from numpy.typing import NDArray

    from napari_microgen.generation.latent_model import LatentModel
    from napari_microgen.methods.base import Periodic, Sample, Shape
    from napari_microgen.metrics._steps import Step
    from napari_microgen.phases import Phase

    Numbers = Mapping[Key, float]
    News = tuple["Numbers", ...]

STEP_UNIT = "pixel"
"""Unit of the axis of steps; napari has none for counts."""


@dataclass(frozen=True)
class InterpolationPlan:
    """Volumes to make.

    Attributes
    ----------
    model : LatentModel
    seeds : tuple of int
        Where the way begins and ends.
    steps : int
        Volumes on it, both ends included.
    shape, periodic
        As in `Model.generate`.
    diffusion : bool
        Whether to measure relative diffusivities too.
    """

    model: LatentModel
    seeds: tuple[int, int]
    steps: int
    shape: Shape
    periodic: Periodic = (False, False, False)
    diffusion: bool = False

    @property
    def title(self) -> str:
        """Name of the layer."""
        return f"seed {self.seeds[0]} to {self.seeds[1]}"

    @property
    def shares(self) -> list[float]:
        """Share of the second seed in every volume."""
        return [float(s) for s in np.linspace(0, 1, self.steps)]

    @property
    def bytes_needed(self) -> int:
        """Memory that all volumes take, and making one of them."""
        origin = self.model.origin
        values = [p.value for p in origin.phases] or [0]
        width = {"labels": smallest_integers(min(values), max(values)).itemsize, "colour": 3}
        voxels = int(np.prod(self.shape, dtype=object))
        return self.steps * voxels * width.get(origin.kind, 4) + self.model.bytes_needed(self.shape)

    def check(self) -> None:
        """Raise `InputError` if the seeds are one, or the volumes cannot be made or held."""
        if self.seeds[0] == self.seeds[1]:
            raise InputError(f"Both ends have the seed {self.seeds[0]}; choose two seeds.")
        self.model.check_shape(self.shape, self.periodic)
        check_memory(
            self.bytes_needed, f"These {self.steps} volumes", "choose fewer steps or smaller ones"
        )


@dataclass(frozen=True, eq=False)
class Interpolation:
    """Volumes between two seeds, and what was measured on them.

    Attributes
    ----------
    plan : InterpolationPlan
    volumes : ndarray, shape (steps, z, y, x) or (steps, z, y, x, 3)
        As in `Sample.data`.
    first : Sample
        The first of them.
    numbers : tuple of dict from Key to float
        What was measured on each; empty where the model makes no phases.
    """

    plan: InterpolationPlan
    volumes: NDArray[Any]
    first: Sample
    numbers: News

    def layer(self) -> LayerDataTuple:
        """Return the volumes as one layer whose first axis is the step."""
        _, how, kind = sample_layers(self.first, self.plan.title)[-1]
        how = {k: v for k, v in how.items() if k != "features"}  # fractions of the first alone
        if self.first.phases:
            how["features"] = {
                "index": [p.value for p in self.first.phases],
                "name": [p.name for p in self.first.phases],
            }
        how["scale"] = (1.0, *how["scale"])
        how["units"] = (STEP_UNIT, *how["units"])
        how["axis_labels"] = ("step", *how["axis_labels"])
        way = {"seeds": list(self.plan.seeds), "shares": self.plan.shares}
        told = {k: v for k, v in self.first.provenance.items() if k != "towards"}
        how["metadata"] = {METADATA_KEY: {**told, "interpolation": way}}
        return self.volumes, how, kind


def interpolation_steps(
    plan: InterpolationPlan,
) -> Generator[tuple[float, str, News], None, Interpolation]:
    """Make and measure the volumes; yields the share done, what was done, and the numbers.

    Raises
    ------
    InputError
        If the plan is impossible.
    """
    plan.check()
    volumes: NDArray[Any] | None = None
    first: Sample | None = None
    numbers: News = ()
    for i, beta in enumerate(plan.shares):
        model = plan.model.towards(plan.seeds[1], beta)
        text = f"volume {i + 1} of {plan.steps}, "
        begin, middle, end = (i / plan.steps for i in (i, i + 0.5, i + 1))
        making = share(_generate(model, plan), begin, middle, text)
        sample = yield from telling(making, numbers)
        if first is None or volumes is None:
            first = sample
            volumes = np.empty((plan.steps, *sample.data.shape), sample.data.dtype)
        volumes[i] = sample.data
        if sample.kind == "labels":
            measuring = share(_measure(sample, plan), middle, end, text)
            numbers = (*numbers, (yield from telling(measuring, numbers)))
        yield end, f"volume {i + 1} of {plan.steps}", numbers
    assert volumes is not None and first is not None
    return Interpolation(plan, volumes, first, numbers)


def _generate(model: LatentModel, plan: InterpolationPlan) -> Generator[Step, None, Sample]:
    steps = model.generate_steps(plan.shape, plan.seeds[0], periodic=plan.periodic)
    while True:
        try:
            yield next(steps), "generating"
        except StopIteration as end:
            sample: Sample = end.value
            return sample


def _measure(sample: Sample, plan: InterpolationPlan) -> Generator[Step, None, dict[Key, float]]:
    indices = to_indices(sample.data, sample.phases)
    families = ("surfaces", "tpb", *(("transport",) if plan.diffusion else ()))
    return scalar_steps(
        indices, len(sample.phases), families, voxel_size=sample.voxel_size,
        periodic=plan.periodic, tolerance=1e-3,
    )  # fmt: skip


# ---------------------------------------------------------------------- what is seen of it

MEASURED = ("volume_fraction", "ssa", "tpb_density", "d_rel")
"""Metrics that are followed along the way."""


def measured(numbers: News) -> list[str]:
    """Return the metrics that are there."""
    found = {key.metric for each in numbers for key in each}
    return [name for name in MEASURED if name in found]


def series(numbers: News, phases: Sequence[Phase], metric: str) -> dict[str, list[float]]:
    """Return a metric along the way by phase name; diffusivities are means over the axes."""
    if metric == "tpb_density":
        return {"all": [each[Key(metric)] for each in numbers]}
    return {p.name: [_of_phase(each, metric, k) for each in numbers] for k, p in enumerate(phases)}


def _of_phase(numbers: Numbers, metric: str, k: int) -> float:
    """Return a number of a phase, the mean over the axes; NaN where the phase is absent."""
    values = [v for key, v in numbers.items() if key.metric == metric and key.phases == (k,)]
    return float(np.mean(values)) if values else float("nan")


def unit_of(metric: str, unit: str) -> str:
    """Return the unit of a metric where lengths are in `unit`."""
    return DEFINITIONS[metric].unit.format(unit=unit)


def save_numbers(plan: InterpolationPlan, numbers: News, path: str) -> None:
    """Write a line per volume: step, share of the second seed, and all that was measured.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    origin = plan.model.origin
    table: dict[str, Sequence[float]] = {"step": range(len(numbers)), "share": plan.shares}
    for metric in measured(numbers):
        unit = unit_of(metric, origin.unit)
        for name, values in series(numbers, origin.phases, metric).items():
            title = f"{metric} of {name}" + (f" ({unit})" if unit else "")
            table[title] = [plain(v) for v in values]
    rows = (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=False))
    write_csv(path, list(table), rows)
