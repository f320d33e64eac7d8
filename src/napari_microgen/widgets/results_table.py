"""The table of a comparison: grouped by metric, sorted by a click, copied with Ctrl+C."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor, QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
)

from napari_microgen.widgets.result_rows import (
    AXIS,
    COLUMN_HINTS,
    FAIR,
    GOOD,
    METRIC,
    PHASE,
    Cell,
    as_text,
)
from napari_microgen.widgets.tables import NUMBERS, ROW_HEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qtpy.QtGui import QKeyEvent
GRADES = {"good": "#56b4e9", "fair": "#f0e442", "poor": "#d55e00"}
"""Colours of Okabe and Ito that differ for every kind of colour vision; black is read on all."""

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter

ROWS = 12
"""Rows that are seen at least."""

WIDEST_NUMBER = "0.002224"
WIDEST = {"Error": "+10.2 %", "Noise": "10.5", "Spread": "0.85"}
"""What columns are made wide enough for."""

MARGIN = 8
"""Empty pixels in every cell."""

NAMES = 3
"""Columns of words; metrics become headings, and phase and axis share the first column."""


def grade_legend() -> str:
    """Return what the colours mean, as rich text."""
    limits = {"good": f"good, up to {GOOD:g}", "fair": f"fair, up to {FAIR:g}", "poor": "poor"}
    return " &nbsp; ".join(
        f'<span style="background-color:{GRADES[name]};">&nbsp;&nbsp;&nbsp;</span>&nbsp;'
        + text.replace(" ", "&nbsp;")
        for name, text in limits.items()
    )


class _Row(QTreeWidgetItem):
    """A row of the table; sorted by its cells' keys."""

    def __init__(self, cells: tuple[Cell, ...]) -> None:
        self.cells = cells
        phase, axis = cells[PHASE], cells[AXIS]
        hint = f"{phase.text} {axis.hint}"
        place = Cell(f"{phase.text} {axis.text}", (phase.key, axis.key), hint)
        shown = (place, *cells[NAMES:])
        self._keys = [cell.key for cell in shown]
        super().__init__([cell.text for cell in shown])
        for column, cell in enumerate(shown):
            self.setToolTip(column, cell.hint)
            if column:
                self.setTextAlignment(column, NUMBERS)
            if cell.grade:
                self.setBackground(column, QBrush(QColor(GRADES[cell.grade])))
                self.setForeground(column, QBrush(QColor("black")))

    def key(self, column: int) -> Any:
        return self._keys[column]

    def __lt__(self, other: _Row) -> bool:  # type: ignore[override]
        column = self.treeWidget().sortColumn()
        return bool(self.key(column) < other.key(column))


class _Group(QTreeWidgetItem):
    """All rows of a metric under its name; sorted by the largest of them."""

    def __init__(self, metric: Cell, rows: Sequence[_Row]) -> None:
        super().__init__([metric.text])
        self._metric, self._rows = metric, rows
        font = self.font(0)
        font.setBold(True)
        self.setFont(0, font)
        self.setToolTip(0, metric.hint)
        self.addChildren(rows)

    def key(self, column: int) -> Any:
        return max(row.key(column) for row in self._rows) if column else self._metric.key

    def __lt__(self, other: _Group) -> bool:  # type: ignore[override]
        column = self.treeWidget().sortColumn()
        return bool(self.key(column) < other.key(column))


class ResultsTable(QTreeWidget):
    """A table of results that is read, sorted and copied."""

    def __init__(self) -> None:
        super().__init__()
        self._columns: tuple[str, ...] = ()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setIndentation(8)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # the axis at the end is kept
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setMinimumHeight((ROWS + 1) * ROW_HEIGHT)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHeaderHidden(True)
        self.header().setMinimumSectionSize(20)
        self.header().setSectionsMovable(False)

    def show_rows(self, columns: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> None:
        """Replace the rows, in their own order.

        Parameters
        ----------
        columns : sequence of str
            The header.
        rows : sequence of tuple of Cell
            One cell per column; rows of a metric follow each other.
        """
        self.setSortingEnabled(False)
        self.clear()
        self._columns = tuple(columns)
        shown = (columns[PHASE], *columns[NAMES:])
        self.setHeaderHidden(False)
        self.setHeaderLabels(shown)
        for i, name in enumerate(shown):
            self.headerItem().setToolTip(i, COLUMN_HINTS[name])
            self.headerItem().setTextAlignment(i, NUMBERS if i else LEFT)
        for _, members in groupby(rows, key=lambda cells: cells[METRIC].text):
            made = [_Row(cells) for cells in members]
            group = _Group(made[0].cells[METRIC], made)
            self.addTopLevelItem(group)
            group.setFirstColumnSpanned(True)
        self.expandAll()
        self._set_widths(shown)
        self.header().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)

    def _set_widths(self, columns: Sequence[str]) -> None:
        """Give every column what it needs and the rest to the first."""
        header, measure = self.header(), self.fontMetrics().horizontalAdvance
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for i, name in enumerate(columns[1:], start=1):
            widest = max((name, WIDEST.get(name, WIDEST_NUMBER)), key=measure)
            header.resizeSection(i, measure(widest) + MARGIN)

    @property
    def texts(self) -> list[list[str]]:
        """What is shown, row by row, as it is sorted now."""
        return [[cell.text for cell in row.cells] for row in self._rows()]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy on Ctrl+C."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def copy(self) -> None:
        """Put the selected rows, or all if none is, on the clipboard for a spreadsheet."""
        rows = list(self._rows())
        chosen = [r for r in rows if r.isSelected() or r.parent().isSelected()] or rows
        text = as_text(self._columns, [row.cells for row in chosen])
        QApplication.clipboard().setText(text)

    def _rows(self) -> Iterator[_Row]:
        for i in range(self.topLevelItemCount()):
            group = self.topLevelItem(i)
            yield from (group.child(j) for j in range(group.childCount()))
