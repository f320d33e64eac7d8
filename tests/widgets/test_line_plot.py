import numpy as np
import pyqtgraph as pg
import pytest

from napari_microgen.widgets.line_plot import Line, LinePlot


@pytest.fixture
def plot(viewer_model, qtbot):
    made = LinePlot(viewer_model)
    qtbot.addWidget(made)
    return made


def items(plot, kind):
    return [item for item in plot.plot.plotItem.items if isinstance(item, kind)]


def test_every_line_is_drawn_and_named(plot):
    plot.show_lines("D_rel", [Line("mirror sides", (1, 2), (3, 4)), Line("b", (1, 2), (5, 6))], 4.5)
    drawn = [line.getData() for line in items(plot, pg.PlotDataItem)]
    np.testing.assert_allclose(drawn, [((1, 2), (3, 4)), ((1, 2), (5, 6))])
    assert "<b>D_rel</b>" in plot.legend.text() and "mirror&nbsp;sides" in plot.legend.text()
    assert 4.5 in [line.value() for line in items(plot, pg.InfiniteLine) if line.angle == 0]


def test_error_bars_reach_one_spread_both_ways(plot):
    plot.show_lines("a", [Line("b", (1, 2), (3, 4), (0.5, 0.25))])
    (bars,) = items(plot, pg.ErrorBarItem)
    np.testing.assert_allclose(bars.opts["height"], (1.0, 0.5))


def test_new_lines_take_the_place_of_the_old(plot):
    plot.show_lines("a", [Line(f"{i}", (1, 2), (3, 4)) for i in range(12)])
    plot.show_lines("a", [Line("one", (1, 2), (3, 4))])
    assert len(items(plot, pg.PlotDataItem)) == 1
    plot.show_lines("", ())
    assert not plot.isVisibleTo(plot.parentWidget())


def test_the_mark_outlives_new_lines_and_another_theme(plot, viewer_model):
    plot.show_lines("a", [Line("b", (1, 2), (3, 4))])
    plot.mark(1.5)
    plot.show_lines("a", [Line("b", (1, 2, 3), (3, 4, 5))])
    viewer_model.theme = "light"
    assert plot._mark in plot.plot.plotItem.items
    assert plot._mark.isVisible() and plot._mark.value() == 1.5
    plot.mark(None)
    assert not plot._mark.isVisible()
