"""What a result shows in tables: numbers with their hints and grades, columns for features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.metrics.report import Report
from napari_microgen.metrics.scalars import DEFINITIONS, VOLUME_METRICS, Key
from napari_microgen.metrics.tables import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.metrics.sides import SideReport
    from napari_microgen.widgets.comparison import Result

NAMES = {
    "volume_fraction": "volume fraction",
    "ssa": "surface area",
    "ssa_faces": "surface area, faces",
    "interphase_area": "interface, faces",
    "tpb_density": "TPB density",
    "tpb_fraction": "TPB share of edges",
    "mean_chord": "mean chord",
    "d_rel": "relative diffusivity",
    "tortuosity_factor": "tortuosity factor",
    "geodesic_tortuosity": "path tortuosity",
    "constrictivity": "constrictivity",
}
"""What the table calls the scalars; their order is that of the rows."""

GOOD, FAIR = 1.0, 2.0
"""Differences, in standard deviations between pieces of the real image, that count as such."""


@dataclass(frozen=True)
class Cell:
    """One cell of the table: what it shows, what it is sorted by, and what hovering says."""

    text: str
    key: Any
    hint: str = ""
    grade: str = ""


COMPARED_COLUMNS = ("Phase", "Metric", "Axis", "Real", "Generated", "Error", "Noise")
MEASURED_COLUMNS = ("Phase", "Metric", "Axis", "Value")
PHASE, METRIC, AXIS = range(3)
"""Positions of the columns that both have."""

COLUMN_HINTS = {
    "Phase": "Name of the phase, or of two for their interface. z: along z. ⊥z: in sections "
    "normal to z.",
    "Real": "Mean over pieces of the real image.",
    "Generated": "Mean over pieces of the generated volume.",
    "Error": "Generated over real, minus 1.",
    "Noise": "Difference over the standard deviation between pieces of the real image.",
    "Value": "Of the whole image.",
}


def table_columns(result: Result) -> tuple[str, ...]:
    """Return the header of a result's table."""
    return COMPARED_COLUMNS if isinstance(result, Report) else MEASURED_COLUMNS


def table_rows(result: Result) -> list[tuple[Cell, ...]]:
    """Return the rows of a result's table, sorted by metric, phase and axis."""
    if isinstance(result, Report):
        return _compared_rows(result)
    keys = sorted(result.scalars, key=_order)
    letters = "zyx"[-result.ndim :]
    return [
        (
            *_name_cells(result, k, letters),
            _number(result, k, [result.scalars[k]], "what was measured"),
        )
        for k in keys
    ]


def _compared_rows(report: Report) -> list[tuple[Cell, ...]]:
    section = len(report.part_shape) == 2
    rows: list[tuple[Cell, ...]] = []
    for row in sorted(report.rows, key=lambda r: _order(r.key)):
        normal = section and row.key.metric not in ("mean_chord", *VOLUME_METRICS)
        missing = "there is no real volume to measure it in" if section else "it is undefined"
        rows.append((
            *_name_cells(report.real, row.key, "zyx", normal),
            _number(report.real, row.key, row.real, missing),
            _number(report.generated, row.key, row.generated, "it is undefined"),
            _error(row.relative_error),
            _noise(row.deviation),
        ))  # fmt: skip
    return rows


def _order(key: Key) -> tuple[int, tuple[int, ...], int]:
    return list(NAMES).index(key.metric), key.phases, -1 if key.axis is None else key.axis


def _name_cells(
    side: SideReport, key: Key, letters: str, normal: bool = False
) -> tuple[Cell, Cell, Cell]:
    about = describe(key, side.phases, side.unit, section=side.ndim == 2)
    phase = "–".join(side.phases[k].name for k in key.phases) or "all"
    unit = about["unit"].replace("^2", "²")
    metric = NAMES[key.metric] + (f" ({unit})" if unit else "")
    axis = "" if key.axis is None else letters[key.axis]
    hint = f"{metric}: {about['convention']}"
    place = ""
    if axis:
        place = f"in sections normal to {axis}" if normal else f"along {axis}"
    order = _order(key)
    return (
        Cell(phase, order[1], phase),
        Cell(metric, order[0], hint),
        Cell(("⊥" if normal else "") + axis, order[2], place),
    )


def _number(side: SideReport, key: Key, values: Sequence[float], missing: str) -> Cell:
    """Return the mean of some values, or why there is none."""
    absent = [side.phases[k].name for k in key.phases
              if side.scalars[Key("volume_fraction", (k,))] == 0]  # fmt: skip
    if absent:
        return Cell("absent", -np.inf, f"'{side.name}' holds no {' and no '.join(absent)}")
    if not len(values) or np.isnan(values).any():
        return Cell("–", -np.inf, missing)
    mean = float(np.mean(values))
    if np.isinf(mean):
        return Cell("∞", mean, _endless(key, values))
    hint = f"{mean:.6g}"
    if len(values) > 1:
        hint += f", standard deviation {np.std(values):.3g} between {len(values)} pieces"
    if key.metric == "d_rel" and mean == 0:
        hint = "0: no path leads from face to face"
    return Cell(number_text(mean), mean, hint)


def _endless(key: Key, values: Sequence[float]) -> str:
    if key.metric == "mean_chord":
        return "no line along this axis leaves the phase"
    if len(values) == 1:
        return "no path leads from face to face"
    return f"in {np.isinf(values).sum()} of {len(values)} pieces no path leads from face to face"


def _error(relative: float) -> Cell:
    if np.isnan(relative):
        return Cell("–", -np.inf, "one side has no finite value to compare with")
    return Cell(f"{100 * relative:+.1f} %", abs(relative), "sorted by size")


def _noise(deviation: float) -> Cell:
    if not np.isfinite(deviation):
        return Cell("–", -np.inf, "the real image shows no spread to compare with")
    name = grade(deviation)
    return Cell(f"{deviation:.1f}", deviation, f"{name}: {COLUMN_HINTS['Noise']}", name)


def grade(deviation: float) -> str:
    """Return how a difference compares with the spread of the real image's pieces."""
    return "good" if deviation <= GOOD else "fair" if deviation <= FAIR else "poor"


def legend(report: Report) -> str:
    """Return what the numbers that are graded mean."""
    pieces = " × ".join(str(n) for n in report.part_shape)
    return (
        f"Noise: the difference, in standard deviations between pieces ({pieces}) of the real "
        "image."
    )


def number_text(value: float) -> str:
    """Return a number in four significant digits or fewer."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e")


def as_text(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table as lines of tab-separated fields under its header, for a spreadsheet."""
    lines = [columns, *([cell.text for cell in row] for row in rows)]
    return "\n".join("\t".join(line) for line in lines)


# ---------------------------------------------------------------------- per phase


def phase_columns(side: SideReport) -> dict[str, list[float]]:
    """Return every number that belongs to one phase as columns, an entry per phase."""
    columns: dict[str, list[float]] = {}
    for metric, definition in DEFINITIONS.items():
        unit = definition.unit.format(unit=side.unit)
        for axis in (None, *range(side.ndim)):
            keys = [Key(metric, (k,), axis) for k in range(len(side.phases))]
            if any(key in side.scalars for key in keys):
                name = COLUMN_NAMES.get(metric, metric.replace("_", " "))
                name += f" along {'zyx'[-side.ndim :][axis]}" if axis is not None else ""
                values = [_if_present(side, key) for key in keys]
                columns[name + (f" ({unit})" if unit else "")] = values
    return columns


COLUMN_NAMES = {
    "ssa": "specific surface area",
    "ssa_faces": "specific surface area by faces",
    "d_rel": "relative diffusivity",
}
"""Metrics whose columns are not called as their field is."""


def _if_present(side: SideReport, key: Key) -> float:
    """Return a number; NaN where its phase is absent, but for the volume fraction itself."""
    absent = side.scalars[Key("volume_fraction", key.phases)] == 0
    if absent and key.metric != "volume_fraction":
        return float("nan")
    return float(side.scalars.get(key, np.nan))


def representativity_rows(side: SideReport) -> list[tuple[str, str, str, str]]:
    """Return phase, volume fraction, its standard error and the side that 1 % needs."""
    noise = side.representativity
    voxel = float(np.prod(side.voxel_size) ** (1 / side.ndim))
    rows = []
    for k, phase in enumerate(side.phases):
        if noise.volume_fractions[k] == 0:
            rows.append((phase.name, "absent", "", ""))
            continue
        needed = noise.sides[k] / voxel
        rows.append((
            phase.name, f"{noise.volume_fractions[k]:.4f}", f"± {noise.standard_errors[k]:.4f}",
            f"{needed:,.0f}" if needed >= 1 else "1",
        ))  # fmt: skip
    return rows
