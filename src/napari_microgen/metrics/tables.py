"""Numbers as tables and plain values.

In what is made for JSON and CSV, infinity is the string ``"inf"`` (which `float` reads) and what
is undefined or absent is None (an empty field).
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.io.files import replacing
from napari_microgen.metrics.scalars import ALONG, DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_microgen.metrics.scalars import Key
    from napari_microgen.phases import Phase


def describe(
    key: Key, phases: Sequence[Phase], unit: str, *, section: bool, axes: str = "zyx"
) -> dict[str, str]:
    """Return phase, metric, direction, unit and convention of a number, for a table.

    The direction is ``"along z"`` of what is measured along an axis, and ``"normal to z"`` of
    what is measured in sections normal to it.

    Parameters
    ----------
    key : Key
        Which number.
    phases : sequence of Phase
        What its phase indices stand for.
    unit : str
        Unit of length.
    section : bool
        Whether it was measured on a section.
    axes : str
        A letter per axis of the image.
    """
    definition = DEFINITIONS[key.metric]
    relation = "along" if key.metric in ALONG else "normal to"
    return {
        "phase": phase_labels(phases, key.phases),
        "metric": key.metric,
        "direction": "" if key.axis is None else f"{relation} {axes[key.axis]}",
        "unit": definition.unit.format(unit=unit),
        "convention": (section and definition.section) or definition.convention,
    }


def phase_labels(phases: Sequence[Phase], indices: Sequence[int]) -> str:
    """Return the labels of phases, joined by a dash."""
    return "-".join(str(phases[k].value) for k in indices)


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table; None becomes an empty field.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def finite_mean(values: Sequence[float]) -> float:
    """Return the mean of the finite values; infinite if there are only others, NaN without any."""
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite or values)) if len(values) else np.nan


def finite_std(values: Sequence[float]) -> float:
    """Return the standard deviation of the finite values; NaN of fewer than two."""
    finite = [v for v in values if np.isfinite(v)]
    return float(np.std(finite)) if len(finite) > 1 else np.nan


def finite_share(values: Sequence[float]) -> float:
    """Return the share of values that are finite; NaN without any value."""
    return float(np.mean(np.isfinite(values))) if len(values) else np.nan


def write_columns(path: str | Path, columns: Mapping[str, Any]) -> None:
    """Write columns of equal length as a table; raises as `write_csv`."""
    rows = zip(*columns.values(), strict=True)
    write_csv(path, list(columns), (dict(zip(columns, row, strict=True)) for row in rows))


def plain(value: Any) -> Any:
    """Return numbers, or arrays of them, as JSON can hold them.

    Infinity becomes "inf", NaN None; whole numbers stay whole.
    """
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, int | np.integer):
        return int(value)
    if np.isnan(value):
        return None
    return float(value) if np.isfinite(value) else ("inf" if value > 0 else "-inf")
