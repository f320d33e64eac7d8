"""Curves of a comparison: two-point correlation, chords and Fourier profile of one phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_microgen.metrics.report import Report
from napari_microgen.metrics.spread import d_rel_by_fraction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_microgen.metrics.report import Curve
    from napari_microgen.widgets.comparison import Result

GENERATED = "#e69f00"
STYLES = {None: Qt.PenStyle.SolidLine, 0: Qt.PenStyle.SolidLine, 1: Qt.PenStyle.DashLine,
          2: Qt.PenStyle.DotLine}  # fmt: skip
SPREAD = "d_rel"
HEADINGS = {
    "s2": "<b>Two-point correlation S2</b> over distance, {unit}",
    "chord": "<b>Share of chords no longer than</b> length, {unit}; "
    "along z solid, y dashed, x dotted",
    "spectrum": "<b>Fourier profile</b> of sections, log10, over frequency, 1/{unit}",
    SPREAD: "<b>Relative diffusivity</b> over volume fraction, a dot per piece",
}
HEIGHT = 190


class ResultPlots(QWidget):
    """Shows the curves of the phase that is chosen, real with its spread, and generated.

    Parameters
    ----------
    viewer : ViewerModel
        Whose theme the colours follow.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._result: Result | None = None
        self.phase = QComboBox()
        self.phase.currentIndexChanged.connect(self._draw)
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.headings = {name: QLabel() for name in HEADINGS}
        for heading in self.headings.values():
            heading.setWordWrap(True)
        self.plots = {name: self._make_plot() for name in HEADINGS}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.phase)
        layout.addWidget(self.legend)
        for name in HEADINGS:
            layout.addWidget(self.headings[name])
            layout.addWidget(self.plots[name])
        layout.addStretch()
        viewer.events.theme.connect(self._draw)

    def show_result(self, result: Result) -> None:
        """Draw the curves of a result."""
        before = self.phase.currentIndex()
        self._result = result
        self.phase.blockSignals(True)
        self.phase.clear()
        self.phase.addItems([phase.name for phase in result.phases])
        self.phase.setCurrentIndex(before if 0 <= before < self.phase.count() else 0)
        self.phase.blockSignals(False)
        self._draw()

    @staticmethod
    def _make_plot() -> Any:
        plot = pg.PlotWidget(background=None)
        plot.setFixedHeight(HEIGHT)
        plot.setMouseEnabled(x=False, y=False)
        plot.hideButtons()
        plot.setMenuEnabled(False)
        return plot

    def _draw(self, _event: Any = None) -> None:
        if self._result is None:
            return
        color = get_theme(self._viewer.theme).text.as_hex()
        phase = self.phase.currentIndex()
        unit = self._result.real.unit if isinstance(self._result, Report) else self._result.unit
        for name, plot in self.plots.items():
            plot.clear()
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(pg.mkPen(color, width=0.5))
                plot.getAxis(side).setTextPen(color)
            drawn = self._draw_curves(plot, name, phase, color)
            plot.setVisible(drawn)
            self.headings[name].setVisible(drawn)
            self.headings[name].setText(HEADINGS[name].format(unit=unit))
        self._write_legend(color)

    def _draw_curves(self, plot: Any, name: str, phase: int, color: str) -> bool:
        """Draw one phase's curves of a kind; return whether there are any."""
        result = self._result
        if name == SPREAD:
            return self._draw_spread(plot, phase, color)
        if not isinstance(result, Report):
            if result is None or name != "s2" or phase >= len(result.s2):
                return False
            plot.plot(*finite(result.s2_radii, result.s2[phase]), pen=pg.mkPen(color, width=1.5))
            return True
        curves = list(self._curves(result, name, phase))
        for curve in curves:
            _band(plot, curve, color)
        for curve in curves:
            style = STYLES[curve.axis]
            plot.plot(*finite(curve.x, curve.real), pen=pg.mkPen(color, width=1.5, style=style))
            pen = pg.mkPen(GENERATED, width=1.5, style=style)
            plot.plot(*finite(curve.x, curve.generated), pen=pen)
        return bool(curves)

    def _draw_spread(self, plot: Any, phase: int, color: str) -> bool:
        """Draw relative diffusivity over volume fraction (paper 000, figures S2 and S3)."""
        result = self._result
        if not isinstance(result, Report) or len(result.part_shape) == 2:
            return False
        pieces = d_rel_by_fraction(result.rows, phase)
        for side, brush in (("real", color), ("generated", GENERATED)):
            plot.addItem(pg.ScatterPlotItem(*pieces[side].T, size=6, pen=None, brush=brush))
        return all(len(pieces[side]) for side in pieces)

    @staticmethod
    def _curves(report: Report, name: str, phase: int) -> Iterator[Curve]:
        return (c for c in report.curves if c.metric == name and c.phase == phase)

    def _write_legend(self, color: str) -> None:
        entries = [f'<span style="color:{color}">━</span> real']
        if isinstance(self._result, Report):
            entries[0] += " with the spread of its pieces"
            entries.append(f'<span style="color:{GENERATED}">━</span> generated')
        self.legend.setText(" &nbsp; ".join(entries))


def _band(plot: Any, curve: Curve, color: str) -> None:
    """Fill one standard deviation on both sides of the real curve."""
    x, low = finite(curve.x, curve.real - curve.real_std)
    _, high = finite(curve.x, curve.real + curve.real_std)
    shade = pg.mkColor(color)
    shade.setAlpha(45)
    edges = [pg.PlotCurveItem(x, y) for y in (low, high)]
    plot.addItem(pg.FillBetweenItem(*edges, brush=shade))


def finite(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the points of a curve that can be drawn."""
    good = np.isfinite(y)
    return x[good], y[good]
