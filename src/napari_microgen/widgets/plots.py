"""Live curves of losses and fidelity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_microgen.widgets.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_microgen.widgets.state import Curves

COLORS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#b8a800", "#999999")
"""Okabe and Ito's colours, the yellow darkened to be seen on white."""

STYLES = {Qt.PenStyle.SolidLine: "●", Qt.PenStyle.DashLine: "○"}
"""How curves are drawn when the colours come round again, and their marks in the legend; no method
has more than sixteen."""

MAX_POINTS = 1000
"""Points that are drawn of a curve; longer ones are thinned."""


class CurvePlot(QWidget):
    """Curves over training steps under a heading and a legend.

    Parameters
    ----------
    viewer : ViewerModel
        Whose theme the colours follow.
    heading : str
    ratios : bool, optional
        Whether the values are ratios: drawn logarithmically around a dashed line at 1.
    note : str, optional
        What to know when reading the values; stands below the heading.
    """

    def __init__(
        self, viewer: ViewerModel, heading: str, ratios: bool = False, note: str = ""
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._heading = f"<b>{heading}</b>" + (f"<br>{note}<br>" if note else " &nbsp; ")
        self._lines: dict[str, Any] = {}
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        axes = {"left": RatioAxis("left")} if ratios else {}
        self.plot = pg.PlotWidget(background=None, axisItems=axes)
        self.plot.setFixedHeight(150)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.hideButtons()
        self.plot.setMenuEnabled(False)
        self.plot.setLogMode(y=ratios)
        self.plot.getAxis("left").setWidth(34)  # so that the plots stand in line
        self._one = self.plot.addLine(y=0) if ratios else None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.legend)
        layout.addWidget(self.plot)
        viewer.events.theme.connect(self._on_theme)
        self._on_theme()

    def show_curves(self, curves: Curves) -> None:
        """Draw the curves as they are now."""
        if set(self._lines) - set(curves.points):
            self._clear()
        for name in curves.points:
            if name not in self._lines:
                turn, place = divmod(len(self._lines), len(COLORS))
                color, style = COLORS[place], list(STYLES)[turn % len(STYLES)]
                self._lines[name] = self.plot.plot(pen=pg.mkPen(color, width=1.5, style=style))
                self._lines[name].setSymbolBrush(None if turn else color)
                self._lines[name].setSymbolPen(color if turn else None)
                self._lines[name].setSymbolSize(5)
        for name, (steps, values) in curves.points.items():
            self._lines[name].setSymbol("o" if len(steps) == 1 else None)  # no line from one point
            self._lines[name].setData(*thinned(steps, values))
        self._write_legend()
        if not self._lines:
            return
        if self._one is not None:
            self._show_one(np.concatenate([values for _, values in curves.points.values()]))
        else:
            self.plot.setYRange(*usual_range([values for _, values in curves.points.values()]))

    def _show_one(self, values: NDArray[np.float64]) -> None:
        """Keep the line at 1 in sight."""
        heights = np.log10(values[values > 0])
        self.plot.setYRange(min(heights.min(initial=0), -0.1), max(heights.max(initial=0), 0.1))

    def _clear(self) -> None:
        for line in self._lines.values():
            self.plot.removeItem(line)
        self._lines.clear()

    def _write_legend(self) -> None:
        pens = {name: line.opts["pen"] for name, line in self._lines.items()}
        entries = [
            f'<span style="color:{pen.color().name()}">{STYLES[pen.style()]}</span>&nbsp;'
            + words(name).replace(" ", "&nbsp;").replace("-", "‑")
            for name, pen in pens.items()
        ]
        self.legend.setText(self._heading + " &nbsp; ".join(entries))

    def _on_theme(self) -> None:
        theme = get_theme(self._viewer.theme)
        color = theme.text.as_hex()
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(pg.mkPen(color, width=0.5))
            axis.setTextPen(color)
        if self._one is not None:
            self._one.setPen(pg.mkPen(color, width=1, style=Qt.PenStyle.DashLine))


class RatioAxis(pg.AxisItem):  # type: ignore[misc]
    """A logarithmic axis with ticks at 1, 2, 5, 10, as many as there is room for."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        """Return the heights of the ticks, as powers of ten."""
        decades = range(math.floor(low), math.ceil(high) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            ticks = [d + math.log10(n) for d in decades for n in digits]
            ticks = [t for t in ticks if low <= t <= high]
            if len(ticks) * 18 <= size:
                break
        return [(1.0, ticks)]

    def tickStrings(self, values: Sequence[float], _scale: float, _spacing: float) -> list[str]:
        """Return the numbers at the ticks."""
        return [f"{10**v:.3g}" for v in values]


def usual_range(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return a range that holds all but the rarest 5 % of every curve.

    A few wild steps at the start of a training would else squeeze all the rest flat.
    """
    finite = [np.asarray(values)[np.isfinite(values)] for values in curves]
    ends = [np.quantile(v, (0.025, 0.975)) for v in finite if v.size]
    if not ends:
        return 0.0, 1.0
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def thinned(steps: list[int], values: list[float]) -> tuple[Any, Any]:
    """Return a curve with at most `MAX_POINTS` points, each the mean of its neighbours."""
    x, y = np.asarray(steps, float), np.asarray(values, float)
    group = -(-len(x) // MAX_POINTS)
    if group <= 1:
        return x, y
    whole = len(x) // group * group
    return x[:whole].reshape(-1, group).mean(axis=1), y[:whole].reshape(-1, group).mean(axis=1)
