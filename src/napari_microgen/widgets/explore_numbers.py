"""The table of what a model's parameters say of its volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.widgets.result_rows import number_text
from napari_microgen.widgets.tables import SmallTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.excursion.exploration import Prediction
    from napari_microgen.phases import Phase


class NumbersTable(SmallTable):
    """Volume fractions, surfaces and chords by phase."""

    def __init__(self) -> None:
        super().__init__(("Phase", "Fraction", "Surface", "Chord"))

    def begin(self, unit: str) -> None:
        """Say in which unit of length the numbers are."""
        self.setHorizontalHeaderLabels(
            ["Phase", "Fraction", f"Surface (1/{unit})", f"Chord ({unit})"]
        )

    def show_prediction(self, phases: Sequence[Phase], prediction: Prediction) -> None:
        """Show the numbers; chords along z stand behind those along x where they differ."""
        rows = []
        for k, phase in enumerate(phases):
            z, _, x = prediction.chords[k]
            chord = three_digits(x)
            if not np.isclose(z, x, rtol=1e-6, equal_nan=True):
                chord += f", z {three_digits(z)}"
            surface = three_digits(prediction.surfaces[k])
            rows.append((phase.name, f"{prediction.fractions[k]:.3f}", surface, chord))
        self.show_rows(rows)


def three_digits(value: float) -> str:
    """Return a number in three significant digits, trailing zeros kept."""
    if not np.isfinite(value):
        return "–" if np.isnan(value) else "∞"
    usual = 1e-3 <= abs(value) < 1e3
    return f"{value:#.3g}".rstrip(".") if usual else number_text(float(f"{value:.3g}"))
