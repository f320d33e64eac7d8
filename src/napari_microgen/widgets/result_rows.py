"""What a result shows in tables: numbers with their hints and grades, columns for features."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.metrics.report import Report
from napari_microgen.metrics.scalars import DEFINITIONS, WHOLE_METRICS, Key
from napari_microgen.metrics.tables import describe, finite_mean, finite_share, finite_std

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.metrics.report import Row
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


COMPARED_COLUMNS = ("Phase", "Metric", "Axis", "Real", "Generated", "Error", "Noise", "Spread")
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
    "Spread": "Standard deviation between pieces, generated over real: 1 if both vary as much, far "
    "below if all generated pieces are alike.",
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
    missing = "there is no real volume to measure it in" if section else "it is undefined"
    return [
        (
            *_name_cells(report.real, row.key, "zyx"),
            _number(report.real, row.key, row.real, missing),
            _number(report.generated, row.key, row.generated, "it is undefined"),
            _error(row.relative_error),
            _noise(row),
            _spread(row),
        )
        for row in sorted(report.rows, key=lambda r: _order(r.key))
    ]


def _order(key: Key) -> tuple[int, tuple[int, ...], int]:
    return list(NAMES).index(key.metric), key.phases, -1 if key.axis is None else key.axis


def _name_cells(side: SideReport, key: Key, letters: str) -> tuple[Cell, Cell, Cell]:
    about = describe(key, side.phases, side.unit, section=side.ndim == 2, axes=letters)
    phase = "–".join(side.phases[k].name for k in key.phases) or "all"
    unit = about["unit"].replace("^2", "²")
    metric = NAMES[key.metric] + (f" ({unit})" if unit else "")
    direction = about["direction"]
    hint = f"in sections {direction}" if direction.startswith("normal") else direction
    order = _order(key)
    return (
        Cell(phase, order[1], phase),
        Cell(metric, order[0], f"{metric}: {about['convention']}"),
        Cell(direction.replace("normal to ", "⊥").replace("along ", ""), order[2], hint),
    )


def _number(side: SideReport, key: Key, values: Sequence[float], missing: str) -> Cell:
    """Return the mean of some values, or why there is none."""
    absent = [side.phases[k].name for k in key.phases
              if side.scalars[Key("volume_fraction", (k,))] == 0]  # fmt: skip
    if absent:
        return Cell("absent", -np.inf, f"'{side.name}' holds no {' and no '.join(absent)}")
    if not len(values) or np.isnan(values).any():
        return Cell("–", -np.inf, missing)
    mean = finite_mean(values)
    if np.isinf(mean):
        return Cell("∞", mean, ENDLESS.get(key.metric, NO_PATH))
    finite = np.isfinite(values).sum()
    hint = f"{mean:.6g}"
    if finite > 1:
        hint += f", standard deviation {finite_std(values):.3g} between {finite} pieces"
    elif key.metric in WHOLE_METRICS:
        hint += ", in the whole volume"
    if finite < len(values):
        hint += f"; in {len(values) - finite} more {ENDLESS.get(key.metric, NO_PATH)}"
    if key.metric == "d_rel" and mean == 0:
        hint = f"0: {NO_PATH}"
    return Cell(number_text(mean) + (SOME if finite < len(values) else ""), mean, hint)


NO_PATH = "no path leads from face to face"
ENDLESS = {"mean_chord": "no line along this axis leaves the phase"}
"""Why a number is infinite, if not for want of a path."""

SOME = "*"
"""Marks means over those pieces only where the number is finite."""


def _error(relative: float) -> Cell:
    if np.isnan(relative):
        return Cell("–", -np.inf, "one side has no finite value to compare with")
    digits = 1 if abs(relative) < 0.9995 else 0
    return Cell(f"{100 * relative:+.{digits}f} %", abs(relative), "sorted by size")


def _noise(row: Row) -> Cell:
    deviation = row.deviation
    if not np.isfinite(deviation):
        whole = row.key.metric in WHOLE_METRICS
        why = "only measured in the whole volume" if whole else "the real image shows no spread"
        return Cell("–", -np.inf, f"{why}: nothing to compare with")
    name = grade(deviation)
    return Cell(f"{deviation:.1f}", deviation, f"{name}: {COLUMN_HINTS['Noise']}", name)


def _spread(row: Row) -> Cell:
    ratio = row.std_ratio
    if not np.isfinite(ratio):
        return Cell("–", -np.inf, "one side has no spread between pieces")
    return Cell(f"{ratio:.2f}", ratio, COLUMN_HINTS["Spread"])


def grade(deviation: float) -> str:
    """Return how a difference compares with the spread of the real image's pieces."""
    return "good" if deviation <= GOOD else "fair" if deviation <= FAIR else "poor"


def legend(report: Report) -> str:
    """Return of which images the numbers are, and what those that are graded mean."""
    pieces = " × ".join(str(n) for n in report.part_shape)
    names = f"{escape(report.generated.name)} against {escape(report.real.name)}"
    text = (
        f"{names}. Noise: the difference, in standard deviations between pieces ({pieces}) of the "
        "real image."
    )
    if any(0 < finite_share(side) < 1 for r in report.rows for side in (r.real, r.generated)):
        text += f" {SOME} Over the pieces that the phase percolates in; hover for how many."
    return text


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
            f"{max(needed, 1):,.0f} {'pixels' if side.ndim == 2 else 'voxels'}",
        ))  # fmt: skip
    return rows
