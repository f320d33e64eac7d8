"""A table of numbers: sorted by a click on its header, copied with Ctrl+C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QApplication, QTableWidget, QTableWidgetItem

from napari_microgen.widgets.result_rows import Cell, as_text
from napari_microgen.widgets.tables import NUMBERS, ROW_HEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QKeyEvent, QShowEvent

ROWS = 10
"""Rows that are seen at most; of more, the table scrolls."""


class _Item(QTableWidgetItem):
    """A cell of the table, sorted by its key."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.text)
        self.cell = cell
        self.setTextAlignment(NUMBERS)
        self.setToolTip(cell.hint)

    def __lt__(self, other: _Item) -> bool:  # type: ignore[override]
        return bool(self.cell.key < other.cell.key)


class NumberTable(QTableWidget):
    """Rows of numbers under a header; empty, it hides itself."""

    def __init__(self) -> None:
        super().__init__()
        self._columns: tuple[str, ...] = ()
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.hide()

    def show_rows(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Replace header and rows, in their own order."""
        self.setSortingEnabled(False)
        self._columns = tuple(columns)
        self.setRowCount(len(rows))
        self.setColumnCount(len(columns))
        self.setHorizontalHeaderLabels(list(columns))
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                self.setItem(i, j, _Item(cell))
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.resizeColumnsToContents()
        self._fit_height()
        self.setVisible(bool(rows))

    def showEvent(self, event: QShowEvent) -> None:
        """Be as high as the rows are in the style that is known only now."""
        super().showEvent(event)
        self._fit_height()

    def _fit_height(self) -> None:
        bars = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        bars += self.horizontalScrollBar().sizeHint().height()
        self.setFixedHeight(bars + min(self.rowCount(), ROWS) * ROW_HEIGHT)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy on Ctrl+C."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def copy(self) -> None:
        """Put the selected rows, or all if none is, on the clipboard for a spreadsheet."""
        chosen = sorted({i.row() for i in self.selectedIndexes()}) or range(self.rowCount())
        rows = [[self.item(i, j).cell for j in range(self.columnCount())] for i in chosen]
        QApplication.clipboard().setText(as_text(self._columns, rows))
