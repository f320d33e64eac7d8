"""The table of a comparison: sorted by a click on a column, copied with Ctrl+C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QTableView

from napari_microgen.widgets.comparison import COLUMN_HINTS, as_text
from napari_microgen.widgets.tables import NUMBERS, ROW_HEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QKeyEvent

    from napari_microgen.widgets.comparison import Cell

GRADES = {"good": "#56b4e9", "fair": "#f0e442", "poor": "#d55e00"}
"""Colours of Okabe and Ito that differ for every kind of colour vision; black is read on all."""

ROWS = 14
"""Rows that are seen without scrolling."""

WORDS = 3
"""Columns of words, which stand left; numbers stand right."""


class ResultsModel(QAbstractTableModel):
    """Cells under a header, for Qt."""

    def __init__(self) -> None:
        super().__init__()
        self.columns: tuple[str, ...] = ()
        self.rows: list[tuple[Cell, ...]] = []

    def show(self, columns: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> None:
        """Replace everything."""
        self.beginResetModel()
        self.columns, self.rows = tuple(columns), list(rows)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows, how, or what it is sorted by."""
        cell = self.rows[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return cell.text
        if role == Qt.ItemDataRole.ToolTipRole:
            return cell.hint
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() >= WORDS:
            return NUMBERS
        if cell.grade and role == Qt.ItemDataRole.BackgroundRole:
            return QColor(GRADES[cell.grade])
        if cell.grade and role == Qt.ItemDataRole.ForegroundRole:
            return QColor("black")
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title or what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return COLUMN_HINTS[self.columns[section]]
        return None


class _Sorted(QSortFilterProxyModel):
    """Sorts by the cells' keys, not by their text."""

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        rows = self.sourceModel().rows
        column = left.column()
        return bool(rows[left.row()][column].key < rows[right.row()][column].key)


class ResultsTable(QTableView):
    """A table of results that is read, sorted and copied."""

    def __init__(self) -> None:
        super().__init__()
        self._results = ResultsModel()
        self._sorted = _Sorted()
        self._sorted.setSourceModel(self._results)
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setMinimumHeight((ROWS + 1) * ROW_HEIGHT + 10)

    def show_rows(self, columns: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> None:
        """Replace the rows, in their own order."""
        self._results.show(columns, rows)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        if len(columns) > 1:
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)

    @property
    def texts(self) -> list[list[str]]:
        """What is shown, row by row, as it is sorted now."""
        return [[cell.text for cell in self._cells(i)] for i in range(self._sorted.rowCount())]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy on Ctrl+C."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def copy(self) -> None:
        """Put the selected rows, or all if none is, on the clipboard for a spreadsheet."""
        chosen = sorted({index.row() for index in self.selectedIndexes()})
        chosen = chosen or list(range(self._sorted.rowCount()))
        text = as_text(self._results.columns, [self._cells(row) for row in chosen])
        QApplication.clipboard().setText(text)

    def _cells(self, row: int) -> tuple[Cell, ...]:
        return self._results.rows[self._sorted.mapToSource(self._sorted.index(row, 0)).row()]
