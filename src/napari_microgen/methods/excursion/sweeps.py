"""Virtual materials testing: volumes measured over a grid of a model's parameters."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.io.tiff import write_sample
from napari_microgen.methods.excursion.model import WHOLE
from napari_microgen.metrics.scalars import Key, check_families, scalar_steps
from napari_microgen.phases import to_indices
from napari_microgen.resources import check_disk, check_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from napari_microgen.methods.base import Sample
    from napari_microgen.methods.excursion.exploration import Exploration, Parameter

MOST_POINTS = 10_000
LONGEST_HOURS = 72.0
LEAST_SIDE = 16

SECONDS_PER_VOXEL = {
    "surfaces": 1e-8, "tpb": 2e-9, "chords": 2e-9, "transport": 1.5e-6, "geodesic": 3e-7,
    "constrictivity": 1e-6,
}  # fmt: skip
"""What measuring takes per phase, on one core of a laptop; for estimates."""

GENERATING = 4e-7
"""The same for making a volume."""

BYTES_PER_FIELD, BYTES_MEASURING = 16, 64
"""Memory per voxel while a volume is made in one piece, and while it is measured."""


@dataclass(frozen=True)
class Axis:
    """A parameter that a sweep steps through.

    Attributes
    ----------
    parameter : Parameter
        One of a model's parameters or of its volume fractions.
    low, high : float
        First and last value.
    steps : int
        Number of values, equally far apart; by equal factors for logarithmic parameters.
    """

    parameter: Parameter
    low: float
    high: float
    steps: int

    @property
    def count(self) -> int:
        """Number of values; there are no more whole numbers than lie in the range."""
        between = round(self.high) - round(self.low) + 1
        return min(self.steps, between) if self.parameter.whole else self.steps

    @property
    def values(self) -> list[float]:
        """The values, the smaller first."""
        space = np.geomspace if self.parameter.logarithmic else np.linspace
        found = space(self.low, self.high, self.steps)
        if self.parameter.whole:
            found = np.unique(found.round())
        return [float(v) for v in found]


@dataclass(frozen=True, eq=False)
class Row:
    """One point of a sweep.

    Attributes
    ----------
    changes : dict of str to float
        Values of the swept parameters.
    values : dict of str to float
        Values of all parameters; empty where there is no such material.
    predicted, measured : dict of Key to float
        Numbers in closed form, and those of the volume.
    note : str
        Why there is no such material, or where the volume was saved.
    sample : Sample or None
        The volume, if it is kept.
    """

    changes: Mapping[str, float]
    values: Mapping[str, float]
    predicted: Mapping[Key, float]
    measured: Mapping[Key, float]
    note: str = ""
    sample: Sample | None = None


@dataclass(frozen=True, eq=False)
class Sweep:
    """What to step through, and what to measure at every step.

    Attributes
    ----------
    exploration : Exploration
    values : dict of str to float
        Values of the parameters that stay.
    axes : tuple of Axis
        One or two.
    side : int
        Edge of the cubes that are made, in voxels; they are periodic.
    families : tuple of str
        What to measure, of `FAMILIES`; volume fractions come always.
    keep : bool
        Whether to hand out the volumes with the rows.
    folder : Path or None
        Where to save the volumes as TIFF.
    """

    exploration: Exploration
    values: Mapping[str, float]
    axes: tuple[Axis, ...]
    side: int = 96
    families: tuple[str, ...] = ("surfaces", "chords")
    keep: bool = False
    folder: Path | None = None

    @property
    def points(self) -> list[dict[str, float]]:
        """The values of the swept parameters, the last one changing fastest."""
        names = [axis.parameter.name for axis in self.axes]
        grid = itertools.product(*(axis.values for axis in self.axes))
        return [dict(zip(names, point, strict=True)) for point in grid]

    @property
    def count(self) -> int:
        """Number of points."""
        return math.prod(axis.count for axis in self.axes)

    @property
    def seconds_needed(self) -> float:
        """About how long it takes on one core."""
        n = len(self.exploration.phases)
        per_voxel = GENERATING + sum(n * SECONDS_PER_VOXEL.get(f, 1e-6) for f in self.families)
        return self.count * self.side**3 * per_voxel

    @property
    def bytes_needed(self) -> int:
        """Memory that it takes at most; that of the kept volumes included."""
        base, voxels = self.exploration.base, self.side**3
        if voxels <= WHOLE:
            making = BYTES_PER_FIELD * len(base.formula.noises) * voxels
        else:
            making = base.bytes_needed((self.side,) * 3)
        return making + BYTES_MEASURING * voxels + self.keep * self.count * voxels

    def check(self) -> None:
        """Raise `InputError` if it cannot be done, or not within memory, disk or reason."""
        check_families(self.families)
        names = [axis.parameter.name for axis in self.axes]
        if not names or len(set(names)) < len(names):
            raise InputError("Choose one parameter to step through, or two different ones.")
        for axis in self.axes:
            _check_axis(axis)
        self._check_thresholds(names)
        if self.side < LEAST_SIDE:
            raise InputError(f"The volumes should be at least {LEAST_SIDE} voxels wide.")
        if self.count > MOST_POINTS:
            raise InputError(
                f"{self.count:,} points are more than {MOST_POINTS:,}; take fewer steps."
            )
        check_memory(self.bytes_needed, "This sweep", "take fewer steps or smaller volumes")
        hours = self.seconds_needed / 3600
        if hours > LONGEST_HOURS:
            raise InputError(
                f"This sweep would take about {hours:,.0f} hours; take fewer steps, smaller "
                "volumes or quicker metrics."
            )
        if self.folder is not None:
            check_disk(self.folder / _file_name(0), self.count * self.side**3)
            if (self.folder / _file_name(0)).exists():
                raise InputError(
                    f"'{self.folder}' holds the volumes of another sweep; choose an empty folder."
                )

    def _check_thresholds(self, names: list[str]) -> None:
        """Refuse two axes that move the same threshold."""
        fractions = [n for n in names if n.startswith("fraction_")]
        two_phases = len(self.exploration.phases) == 2
        roles = self.exploration.base.fit.candidate.roles
        if two_phases and len(fractions) == 2:
            raise InputError("The fractions of two phases sum to 1; step through one of them only.")
        for name in fractions:
            first = int(name.removeprefix("fraction_")) - 1 == roles[0]
            if ("threshold_1" if first or two_phases else "threshold_2") in names:
                raise InputError(
                    "This fraction is set by the very threshold that is stepped through too; "
                    "choose another parameter beside it."
                )


def sweep_steps(
    sweep: Sweep, stopping: Callable[[], bool] = lambda: False
) -> Generator[tuple[float, str, Row | None], None, None]:
    """Measure every point of a sweep.

    A point without a material, such as fractions that sum to more than 1, is passed over with
    the reason in its row.

    Yields
    ------
    tuple of float, str and (Row or None)
        Share done, what was done, and the row whenever one is complete.

    Raises
    ------
    InputError
        As `Sweep.check`.
    RunError
        If a volume cannot be saved.
    """
    sweep.check()
    points = sweep.points
    for i, changes in enumerate(points):
        where = f"{i + 1} of {len(points)}"
        row = yield from _row_steps(sweep, changes, i, len(points), stopping)
        if row is None:
            return
        yield (i + 1) / len(points), f"measured {where}", row


def _row_steps(
    sweep: Sweep, changes: Mapping[str, float], index: int, count: int, stopping: Callable[[], bool]
) -> Generator[tuple[float, str, None], None, Row | None]:
    """Make and measure one volume; returns None if it was stopped."""
    exploration = sweep.exploration
    try:
        values = exploration.moved(sweep.values, changes)
    except InputError as error:
        return Row(changes, {}, {}, {}, str(error))
    model = exploration.model(values)
    shape = (sweep.side,) * 3
    making = model.generate_steps(shape, exploration.seed(values), periodic=(True,) * 3)
    while True:
        yield index / count, f"making {index + 1} of {count}", None
        if stopping():
            return None
        try:
            next(making)
        except StopIteration as end:
            sample: Sample = end.value
            break
    measuring = scalar_steps(
        to_indices(sample.data, sample.phases), len(sample.phases), sweep.families,
        voxel_size=sample.voxel_size, periodic=True,
    )  # fmt: skip
    while True:
        if stopping():
            return None
        try:
            share, text = next(measuring)
        except StopIteration as end:
            measured = end.value
            break
        yield (index + share) / count, f"{text}, {index + 1} of {count}", None
    note = ""
    if sweep.folder is not None:
        note = str(write_sample(sweep.folder / _file_name(index), sample))
    return Row(
        changes, values, predicted_numbers(exploration, values), measured, note,
        sample if sweep.keep else None,
    )  # fmt: skip


def predicted_numbers(exploration: Exploration, values: Mapping[str, float]) -> dict[Key, float]:
    """Return what is known in closed form under the keys that measurements have."""
    found = exploration.predict(values)
    numbers: dict[Key, float] = {}
    for k in range(len(exploration.phases)):
        numbers[Key("volume_fraction", (k,))] = float(found.fractions[k])
        numbers[Key("ssa", (k,))] = float(found.surfaces[k])
        for axis in range(3):
            numbers[Key("mean_chord", (k,), axis)] = float(found.chords[k, axis])
    return numbers


def _check_axis(axis: Axis) -> None:
    p = axis.parameter
    if axis.steps < 2:
        raise InputError(f"'{p.title}' needs at least two steps.")
    if not axis.low < axis.high:
        raise InputError(f"'{p.title}' should go from a lower to a higher value.")
    bounded = p.logarithmic or p.whole or p.name.startswith(("share", "fraction_"))
    if bounded and not p.low <= axis.low < axis.high <= p.high:
        raise InputError(
            f"'{p.title}' goes from {p.low:g} to {p.high:g}, not from {axis.low:g} to "
            f"{axis.high:g}."
        )


def _file_name(index: int) -> str:
    return f"volume_{index + 1:04d}.tif"
