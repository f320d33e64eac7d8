"""What a sweep shows: its table, the curves in it, and the file that it is saved as; without Qt."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.metrics.scalars import DEFINITIONS, Key
from napari_microgen.metrics.tables import plain, write_csv
from napari_microgen.widgets.line_plot import Line
from napari_microgen.widgets.result_rows import NAMES, Cell, number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.excursion.sweeps import Row, Sweep

HIDDEN = ("ssa_faces", "interphase_area", "tpb_fraction")
"""Metrics that the saved table holds and the shown one does not."""

ABSENT = Cell("–", -np.inf, "there is no such material, or the phase is absent")


def metrics(rows: Sequence[Row]) -> list[str]:
    """Return the metrics that were measured, in the order of Compare's table."""
    found = {key.metric for row in rows for key in row.measured}
    return [name for name in NAMES if name in found and name not in HIDDEN]


def title(sweep: Sweep, metric: str) -> str:
    """Return a metric's name with its unit."""
    unit = DEFINITIONS[metric].unit.format(unit=sweep.exploration.base.origin.unit)
    return NAMES[metric] + (f" ({unit.replace('^2', '²')})" if unit else "")


@dataclass(frozen=True)
class Shown:
    """Which numbers to show: of a metric and a phase, along an axis or, if None, along all."""

    metric: str
    phase: int = 0
    axis: int | None = None

    def holds(self, key: Key) -> bool:
        """Whether a number is one of them."""
        along = self.axis is None or key.axis in (None, self.axis)
        return key.metric == self.metric and key.phases in ((), (self.phase,)) and along


def directed(rows: Sequence[Row], metric: str) -> bool:
    """Whether a metric was measured along axes."""
    return any(key.axis is not None for row in rows for key in row.measured if key.metric == metric)


def table(sweep: Sweep, rows: Sequence[Row], shown: Shown) -> tuple[list[str], list[list[Cell]]]:
    """Return header and rows of the table of some numbers.

    What is predicted stands beside what was measured; directed metrics have a column per axis.
    """
    numbers = [c for c in _columns(rows, shown.metric) if shown.holds(c[0])]
    columns = ["#", *(axis.parameter.title for axis in sweep.axes)]
    columns += [_short_title(key, predicted) for key, predicted in numbers]
    cells_of_rows = []
    for i, row in enumerate(rows):
        cells = [Cell(str(i + 1), i, row.note)]
        cells += [_cell(row.changes[axis.parameter.name]) for axis in sweep.axes]
        for key, predicted in numbers:
            value = (row.predicted if predicted else row.measured).get(key)
            missing = Cell(ABSENT.text, ABSENT.key, row.note or ABSENT.hint)
            cells.append(missing if value is None or np.isnan(value) else _cell(value))
        cells_of_rows.append(cells)
    return columns, cells_of_rows


def lines(sweep: Sweep, rows: Sequence[Row], shown: Shown) -> list[Line]:
    """Return numbers over the first parameter, a curve per value of the second.

    Along all axes, directed metrics are means over them. Of a sweep through one parameter the
    prediction is shown too.
    """
    first, *second = (axis.parameter for axis in sweep.axes)
    if not second:
        drawn = [
            _line("measured", first.name, rows, shown, predicted=False),
            _line("predicted", first.name, rows, shown, predicted=True),
        ]
        return [line for line in drawn if len(line.x)]
    other = second[0]
    groups = itertools.groupby(
        sorted(rows, key=lambda r: r.changes[other.name]), key=lambda r: r.changes[other.name]
    )
    drawn = [
        _line(f"{other.title} {value:.3g}", first.name, list(members), shown, predicted=False)
        for value, members in groups
    ]
    return [line for line in drawn if len(line.x)]


def save(sweep: Sweep, rows: Sequence[Row], path: str) -> None:
    """Write all rows with all parameters, predicted and measured numbers as CSV.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    found = {key.metric for row in rows for key in row.measured}
    numbers = [c for metric in NAMES if metric in found for c in _columns(rows, metric)]
    written: list[dict[str, Any]] = []
    for row in rows:
        line: dict[str, Any] = {
            axis.parameter.title: plain(row.changes[axis.parameter.name]) for axis in sweep.axes
        }
        line |= {f"parameter {name}": plain(value) for name, value in row.values.items()}
        for key, predicted in numbers:
            value = (row.predicted if predicted else row.measured).get(key, np.nan)
            name = f"{title(sweep, key.metric)}: {_column_title(sweep, key, predicted)}"
            line[name] = plain(value)
        written.append({**line, "note": row.note})
    columns = dict.fromkeys(name for line in written for name in line if name != "note")
    write_csv(path, [*columns, "note"], written)


def where(row: Row, sweep: Sweep) -> str:
    """Return the swept values of a row in words."""
    return ", ".join(
        f"{axis.parameter.title} {row.changes[axis.parameter.name]:.4g}" for axis in sweep.axes
    )


def _columns(rows: Sequence[Row], metric: str) -> list[tuple[Key, bool]]:
    """Return the numbers of a metric that occur, each with whether it is a prediction."""
    measured = {key for row in rows for key in row.measured if key.metric == metric}
    predicted = {key for row in rows for key in row.predicted}
    order = sorted(measured, key=lambda k: (k.phases, -1 if k.axis is None else k.axis))
    return [(key, told) for key in order for told in (False, True) if not told or key in predicted]


def _short_title(key: Key, predicted: bool) -> str:
    if key.axis is None:
        return "predicted" if predicted else "measured"
    return f"{'zyx'[key.axis]} predicted" if predicted else "zyx"[key.axis]


def _column_title(sweep: Sweep, key: Key, predicted: bool) -> str:
    text = "–".join(sweep.exploration.phases[k].name for k in key.phases) or "all"
    if key.axis is not None:
        text += f" {'zyx'[key.axis]}"
    return text + (", predicted" if predicted else "")


def _cell(value: float) -> Cell:
    return Cell("∞" if np.isinf(value) else number_text(value), value, f"{value:.6g}")


def _line(name: str, parameter: str, rows: Sequence[Row], shown: Shown, predicted: bool) -> Line:
    """Return a curve of the means over axes, without what cannot be drawn."""
    points = []
    for row in rows:
        numbers = row.predicted if predicted else row.measured
        values = [v for key, v in numbers.items() if shown.holds(key)]
        if values and np.isfinite(values).all():
            points.append((row.changes[parameter], float(np.mean(values))))
    points.sort()
    return Line(name, [x for x, _ in points], [y for _, y in points])
