"""How relative diffusivity converges with the volume: a sentence, a plot and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Slot
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_microgen.errors import MicrogenError
from napari_microgen.widgets.layout import button, row
from napari_microgen.widgets.line_plot import Line, LinePlot
from napari_microgen.widgets.number_table import NumberTable
from napari_microgen.widgets.periodic_flux import save_convergence, saving_sentence
from napari_microgen.widgets.result_rows import Cell, number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel

    from napari_microgen.metrics.periodicity import Convergence, Size


class ConvergencePane(QWidget):
    """Shows a convergence as far as it is known; hidden before there is one.

    Parameters
    ----------
    viewer : ViewerModel
        Whose theme the colours follow.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._found: Convergence | None = None
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.plot = LinePlot(viewer)
        self.table = NumberTable()
        self.copy_button = button("Copy", self.table.copy, "Copy the rows for a spreadsheet.")
        self.save_button = button("Save…", self._ask_save, "Save D_rel of every volume as CSV.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.verdict, self.plot, self.table):
            layout.addWidget(part)
        layout.addLayout(row(self.copy_button, self.save_button))
        self.hide()

    def show_convergence(self, title: str, found: Convergence | None) -> None:
        """Show what was found so far.

        Parameters
        ----------
        title : str
            Phase and axis.
        found : Convergence or None
        """
        self._found = found
        self.setVisible(found is not None and bool(found.sizes))
        if found is None or not found.sizes:
            return
        self.verdict.setText(saving_sentence(found))
        sides = [size.side for size in found.sizes]
        lines = [
            Line(f"{kind} sides", sides, *statistics(found.sizes, kind))
            for kind in ("mirror", "periodic")
        ]
        self.plot.show_lines(f"D_rel of {title} by side (voxels)", lines, found.bulk)
        values = zip(sides, *(v for line in lines for v in (line.y, line.spread)), strict=True)
        self.table.show_rows(("Side", "Mirror", "±", "Periodic", "±"), [
            [Cell(f"{side}", side), *(Cell(number_text(v), v, f"{v:.6g}") for v in rest)]
            for side, *rest in values
        ])  # fmt: skip

    @Slot()
    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save convergence", "convergence.csv", "Table (*.csv)"
        )
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Write D_rel of every volume as CSV."""
        if self._found is None:
            return
        try:
            save_convergence(self._found, path)
        except MicrogenError as error:
            show_error(str(error))
        else:
            show_info(f"Saved as {path}")


def statistics(sizes: Sequence[Size], kind: str) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation between the volumes of every size."""
    values = [getattr(size, kind) for size in sizes]
    return [float(np.mean(v)) for v in values], [float(np.std(v)) for v in values]
