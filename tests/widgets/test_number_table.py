import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_microgen.widgets.number_table import NumberTable
from napari_microgen.widgets.result_rows import Cell, number_text


@pytest.fixture
def table(qtbot):
    made = NumberTable()
    qtbot.addWidget(made)
    values = ((1, 0.02), (2, 10.0), (3, 9.0))
    made.show_rows(("Step", "Value"), [[Cell(number_text(v), v) for v in row] for row in values])
    return made


def column(table, j):
    return [table.item(i, j).text() for i in range(table.rowCount())]


def test_rows_stay_in_their_order_until_a_header_is_clicked(table):
    assert column(table, 0) == ["1", "2", "3"]
    table.sortItems(1, Qt.SortOrder.AscendingOrder)
    assert column(table, 1) == ["0.02", "9", "10"]  # by value, not by letter
    table.sortItems(1, Qt.SortOrder.DescendingOrder)
    assert column(table, 0) == ["2", "3", "1"]


def test_ctrl_c_copies_the_selected_rows_or_all(table):
    QTest.keySequence(table, "Ctrl+C")
    assert QApplication.clipboard().text() == "Step\tValue\n1\t0.02\n2\t10\n3\t9"
    table.selectRow(1)
    QTest.keySequence(table, "Ctrl+C")
    assert QApplication.clipboard().text() == "Step\tValue\n2\t10"


def test_an_empty_table_hides(table):
    assert table.isVisibleTo(table.parentWidget())
    table.show_rows((), ())
    assert not table.isVisibleTo(table.parentWidget())
    assert table.rowCount() == 0
