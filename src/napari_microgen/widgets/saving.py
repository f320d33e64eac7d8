"""Writing a result to a file, in the format that its name asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_microgen.errors import InputError
from napari_microgen.io.files import replacing
from napari_microgen.metrics.report import Report

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_microgen.widgets.comparison import Result
    from napari_microgen.widgets.tasks import Stopping

TABLE, DOCUMENT, FIGURE = "Table (*.csv)", "Everything (*.json)", "One-page figure (*.pdf *.png)"


def formats(result: Result) -> str:
    """Return the formats that a file dialog offers."""
    return ";;".join([TABLE, DOCUMENT, FIGURE] if isinstance(result, Report) else [TABLE, DOCUMENT])


def save_steps(
    result: Result, path: str, stopping: Stopping
) -> Generator[tuple[float, str], None, str | None]:
    """Write a result; returns the path, None if stopped before.

    Raises
    ------
    InputError
        If the name asks for a format that there is none of.
    RunError
        If the file cannot be written.
    """
    yield 0.0, f"writing {path}"
    if stopping():
        return None
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        result.to_csv(path)
    elif suffix == ".json":
        with replacing(path) as part:
            part.write_text(json.dumps(result.to_dict(), allow_nan=False, indent=1), "utf-8")
    elif suffix not in (".pdf", ".png", ".svg"):
        raise InputError(f"'{path}' should end in .csv, .json, .pdf, .png or .svg.")
    elif isinstance(result, Report):
        result.figure(path)
    else:
        raise InputError("A figure compares two images; choose a generated one too.")
    return path
