"""A few short curves, with error bars where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_microgen.widgets.plots import COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel

HEIGHT = 170


@dataclass(frozen=True)
class Line:
    """A curve: what the legend calls it, its points, and half the length of their error bars."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] = ()


class LinePlot(QWidget):
    """Curves under a heading and a legend; without curves it hides itself.

    Parameters
    ----------
    viewer : ViewerModel
        Whose theme the colours follow.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._shown: tuple[str, Sequence[Line], float | None] = ("", (), None)
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.plot = pg.PlotWidget(background=None)
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.hideButtons()
        self.plot.setMenuEnabled(False)
        self._mark = pg.InfiniteLine(movable=False)
        self._mark.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.legend)
        layout.addWidget(self.plot)
        viewer.events.theme.connect(self._draw)
        self._draw()

    def show_lines(self, heading: str, lines: Sequence[Line], level: float | None = None) -> None:
        """Draw curves in the place of those before, and a dashed line at a level."""
        self._shown = (heading, lines, level)
        self._draw()

    def mark(self, x: float | None) -> None:
        """Put an upright line where x is, or take it away."""
        self._mark.setVisible(x is not None)
        if x is not None:
            self._mark.setValue(x)

    def _draw(self, _event: Any = None) -> None:
        heading, lines, level = self._shown
        color = get_theme(self._viewer.theme).text.as_hex()
        dashed = pg.mkPen(color, width=1, style=Qt.PenStyle.DashLine)
        self.plot.clear()
        for side in ("left", "bottom"):
            self.plot.getAxis(side).setPen(pg.mkPen(color, width=0.5))
            self.plot.getAxis(side).setTextPen(color)
        for line, each in zip(lines, COLORS * (1 + len(lines) // len(COLORS)), strict=False):
            self._draw_line(line, each)
        if level is not None:
            self.plot.addLine(y=level, pen=dashed)
        self._mark.setPen(dashed)
        self.plot.addItem(self._mark, ignoreBounds=True)
        entries = [
            f'<span style="color:{each}">●</span>&nbsp;{line.name.replace(" ", "&nbsp;")}'
            for line, each in zip(lines, COLORS * (1 + len(lines) // len(COLORS)), strict=False)
        ]
        self.legend.setText(f"<b>{heading}</b> &nbsp; " + " &nbsp; ".join(entries))
        self.setVisible(bool(lines))

    def _draw_line(self, line: Line, color: str) -> None:
        x, y = np.asarray(line.x, float), np.asarray(line.y, float)
        pen = pg.mkPen(color, width=1.5)
        if len(line.spread):
            bars = pg.ErrorBarItem(x=x, y=y, height=2 * np.asarray(line.spread), pen=pen)
            self.plot.addItem(bars)
        self.plot.plot(x, y, pen=pen, symbol="o", symbolSize=5, symbolBrush=color, symbolPen=None)
