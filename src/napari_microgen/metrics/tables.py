"""Numbers as tables and plain values.

In what is made for JSON and CSV, infinity is the string ``"inf"`` (which `float` reads) and what
is undefined or absent is None (an empty field).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import RunError
from napari_microgen.metrics.scalars import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_microgen.metrics.scalars import Key
    from napari_microgen.phases import Phase


def describe(
    key: Key, phases: Sequence[Phase], unit: str, *, section: bool, axes: str = "zyx"
) -> dict[str, str]:
    """Return phase, metric, axis, unit and convention of a number, for a table.

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
    return {
        "phase": phase_labels(phases, key.phases),
        "metric": key.metric,
        "axis": "" if key.axis is None else axes[key.axis],
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
    try:
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise RunError(f"'{path}' could not be written: {error.strerror}.") from None


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
