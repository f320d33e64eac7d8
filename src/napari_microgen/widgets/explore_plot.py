"""The two-point functions of a model as lines over those of an image as points."""

from __future__ import annotations

import itertools
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
    from numpy.typing import NDArray

    from napari_microgen.methods.excursion.estimator import CoverageTarget
    from napari_microgen.methods.excursion.exploration import Prediction
    from napari_microgen.phases import Phase

HEIGHT = 165
READABLE = 0.25
"""Least difference between the brightness of a line and of what it is drawn on, 0 to 1."""

HEADINGS = {
    "own": "<b>S2</b>, both points in one phase, over their distance, {unit}",
    "cross": "<b>S2</b>, one point in either phase, over their distance, {unit}",
}


class CoveragePlot(QWidget):
    """Draws the two-point functions of a model, and of an image where there is one.

    Parameters
    ----------
    viewer : ViewerModel
        Whose theme the colours follow.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._lines: dict[tuple[int, int], Any] = {}
        self._points: dict[tuple[int, int], Any] = {}
        self._phases: tuple[Phase, ...] = ()
        self._voxel, self._unit, self._image = 1.0, "", False
        self.headings = {name: QLabel() for name in HEADINGS}
        self.plots = {name: _make_plot() for name in HEADINGS}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for name in HEADINGS:
            self.headings[name].setWordWrap(True)
            self.headings[name].setTextFormat(Qt.TextFormat.RichText)
            layout.addWidget(self.headings[name])
            layout.addWidget(self.plots[name])
        viewer.events.theme.connect(self._paint)

    def begin(self, phases: Sequence[Phase], voxel: float, unit: str) -> None:
        """Prepare for the curves of other phases.

        Parameters
        ----------
        phases : sequence of Phase
        voxel : float
            Edge of a voxel in `unit`; distances are drawn in it.
        unit : str
        """
        self._phases, self._voxel, self._unit = tuple(phases), voxel, unit
        self._image = False
        for plot in self.plots.values():
            plot.clear()
        self._lines.clear()
        self._points.clear()
        for i, j in itertools.combinations_with_replacement(range(len(phases)), 2):
            plot = self.plots["own" if i == j else "cross"]
            self._points[i, j] = plot.plot(pen=None, symbol="o", symbolSize=4, symbolPen=None)
            self._lines[i, j] = plot.plot()
        self._paint()

    def show_model(self, prediction: Prediction) -> None:
        """Draw the curves of a model."""
        for (i, j), line in self._lines.items():
            line.setData(prediction.lags * self._voxel, prediction.curves[i, j])

    def show_image(self, target: CoverageTarget | None) -> None:
        """Draw the curves of an image; None takes them away."""
        for (i, j), points in self._points.items():
            if target is None:
                points.clear()
            else:
                points.setData(target.lags * self._voxel, target.curves[i, j])
        self._image = target is not None
        self._write_headings()

    def _paint(self, _event: Any = None) -> None:
        """Colour everything for the theme."""
        theme = get_theme(self._viewer.theme)
        text, ground = theme.text.as_hex(), theme.background.as_hex()
        for plot in self.plots.values():
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(pg.mkPen(text, width=0.5))
                plot.getAxis(side).setTextPen(text)
        colors = _colors([phase.color for phase in self._phases], len(self._lines), ground)
        own = iter(colors[: len(self._phases)])
        cross = iter(colors[len(self._phases) :])
        for (i, j), line in self._lines.items():
            color = next(own if i == j else cross)
            line.setPen(pg.mkPen(color, width=2))
            faint = pg.mkColor(color)
            faint.setAlpha(150)
            self._points[i, j].setSymbolBrush(faint)
        self._write_headings()

    def _write_headings(self) -> None:
        for name, heading in self.headings.items():
            pairs = [p for p in self._lines if (p[0] == p[1]) == (name == "own")]
            entries = [self._entry(pair) for pair in pairs]
            if self._image and name == "own":
                entries.append("•&nbsp;the&nbsp;image")
            text = HEADINGS[name].format(unit=self._unit)
            heading.setText(f"{text}<br>" + " &nbsp; ".join(entries))

    def _entry(self, pair: tuple[int, int]) -> str:
        names = "–".join(dict.fromkeys(self._phases[k].name for k in pair))
        color = self._lines[pair].opts["pen"].color().name()
        return f'<span style="color:{color}">━</span>&nbsp;' + names.replace(" ", "&nbsp;")


def _make_plot() -> Any:
    plot = pg.PlotWidget(background=None)
    plot.setFixedHeight(HEIGHT)
    plot.setMouseEnabled(x=False, y=False)
    plot.hideButtons()
    plot.setMenuEnabled(False)
    plot.getAxis("left").setWidth(38)
    return plot


def _rgb(color: str) -> NDArray[np.float64]:
    return np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255


def _brightness(color: str) -> float:
    """Return how bright a colour is to the eye, 0 to 1."""
    return float(_rgb(color) @ (0.299, 0.587, 0.114))


def _colors(wanted: Sequence[str], count: int, ground: str) -> list[str]:
    """Return so many colours that are readable on a ground and unlike each other.

    The wanted ones come first; where one is not readable, another takes its place.
    """
    readable = [c for c in COLORS if _readable(c, ground)]
    chosen = [c if _readable(c, ground) else "" for c in wanted]
    chosen += [""] * (count - len(chosen))
    for place, color in enumerate(chosen):
        if not color:
            taken = [c for c in chosen if c]
            chosen[place] = max(
                readable, key=lambda c: min(_unlike(c, t) for t in [*taken, ground])
            )
    return chosen


def _unlike(first: str, second: str) -> float:
    """Return the distance of two colours."""
    return float(np.abs(_rgb(first) - _rgb(second)).sum())


def _readable(color: str, ground: str) -> bool:
    return abs(_brightness(color) - _brightness(ground)) > READABLE
