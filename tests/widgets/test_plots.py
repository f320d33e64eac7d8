import math

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_microgen.widgets.plots import (
    COLORS,
    MAX_POINTS,
    CurvePlot,
    RatioAxis,
    thinned,
    usual_range,
)
from napari_microgen.widgets.state import Curves


@pytest.fixture
def plot(qtbot):
    plot = CurvePlot(ViewerModel(), "Error over noise", ratios=True)
    qtbot.addWidget(plot)
    return plot


def test_long_curves_are_thinned_to_means():
    steps = list(range(2500))
    x, y = thinned(steps, [2.0 * s for s in steps])
    assert len(x) == 833 <= MAX_POINTS
    np.testing.assert_allclose(x[:2], [1, 4])
    np.testing.assert_allclose(y, 2 * x)


def test_short_curves_are_drawn_as_they_are():
    x, y = thinned([1, 2], [3.0, 4.0])
    assert (x.tolist(), y.tolist()) == ([1, 2], [3, 4])


def test_ratios_have_round_ticks(qtbot):
    axis = RatioAxis("left")
    ((_, ticks),) = axis.tickValues(math.log10(0.4), math.log10(30), 150)
    assert axis.tickStrings(ticks, 1, 1) == ["0.5", "1", "2", "5", "10", "20"]
    ((_, ticks),) = axis.tickValues(-3, 3, 100)
    assert len(ticks) * 18 <= 130


def test_every_curve_is_named_and_the_line_at_one_stays_in_sight(plot):
    curves = Curves()
    for step in range(3):
        curves.add(step, {"s2": 20.0 + step, "ssa": 5.0})
    plot.show_curves(curves)
    assert "two‑point&nbsp;correlation" in plot.legend.text()
    low, high = plot.plot.viewRange()[1]
    assert low < 0 < math.log10(22) <= high


def test_no_two_curves_look_alike(plot):
    curves = Curves()
    curves.add(1, {f"part {k}": 1.0 + k for k in range(10)})
    plot.show_curves(curves)
    shown = [line.opts for line in plot._lines.values()]
    assert len({(o["pen"].color().name(), o["pen"].style()) for o in shown}) == 10
    symbols = [(o["symbolBrush"], o["symbolPen"]) for o in shown]
    looks = {(b.color().name(), b.style(), p.color().name(), p.style()) for b, p in symbols}
    assert len(looks) == 10
    assert plot.legend.text().count("○") == 10 - len(COLORS)


def test_curves_of_another_training_replace_the_old_ones(plot):
    curves = Curves()
    curves.add(1, {"s2": 2.0})
    plot.show_curves(curves)
    curves = Curves()
    curves.add(1, {"ssa": 2.0})
    plot.show_curves(curves)
    assert list(plot._lines) == ["ssa"]


def test_axes_follow_the_theme(plot):
    dark = plot.plot.getAxis("left").textPen().color().lightness()
    plot._viewer.theme = "light"
    assert plot.plot.getAxis("left").textPen().color().lightness() < dark


def test_a_single_measurement_is_a_dot_and_more_are_a_line(plot):
    curves = Curves()
    curves.add(0, {"ssa": 2.0})
    plot.show_curves(curves)
    assert plot._lines["ssa"].opts["symbol"] == "o"
    curves.add(1, {"ssa": 2.0})
    plot.show_curves(curves)
    assert plot._lines["ssa"].opts["symbol"] is None


def test_a_few_wild_steps_do_not_squeeze_the_rest():
    calm = [0.5, 1.5] * 250
    low, high = usual_range([[50.0] * 8 + calm, [math.nan, 1.0], []])
    assert (low, high) == (0.5, 1.5)
    assert usual_range([]) == (0, 1)


def test_a_note_tells_how_to_read_the_values(qtbot):
    plot = CurvePlot(ViewerModel(), "Error over noise", note="1 is as good as it gets.")
    qtbot.addWidget(plot)
    plot.show_curves(Curves())
    assert "1 is as good as it gets." in plot.legend.text()
