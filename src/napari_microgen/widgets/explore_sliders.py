"""Sliders for the parameters of a model, each with a box for the exact number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QWidget,
)

from napari_microgen.widgets.form import Folded, add_row, two_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_microgen.methods.excursion.exploration import Parameter

TICKS = 1000
"""Positions of a slider."""

FARTHEST = 200.0
"""Largest value that can be typed where the range of the slider is only a suggestion."""

BOX_WIDTH = 62
FINE = ("length_", "weight_")
"""Beginnings of the names of parameters of single fields, which are folded away."""


class ParameterSlider(QWidget):
    """A slider and a box for one parameter; whole numbers have the box alone.

    Parameters
    ----------
    parameter : Parameter
    """

    moved = Signal(str)

    def __init__(self, parameter: Parameter) -> None:
        super().__init__()
        self.parameter = parameter
        self._value = parameter.start
        self.box = self._make_box()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, TICKS)
        self.slider.setMinimumWidth(60)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        if not parameter.whole:
            layout.addWidget(self.slider, stretch=1)
        layout.addWidget(self.box)
        self.set_value(parameter.start)
        self.slider.valueChanged.connect(self._on_slider)
        self.box.valueChanged.connect(self._on_box)

    def _make_box(self) -> QDoubleSpinBox | QSpinBox:
        p = self.parameter
        if p.whole:
            box: QDoubleSpinBox | QSpinBox = QSpinBox()
            box.setRange(int(p.low), int(p.high))
        else:
            box = QDoubleSpinBox()
            box.setDecimals(3)
            box.setSingleStep(0.05)
            box.setFixedWidth(BOX_WIDTH)
            box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)  # the slider is there
            bounded = p.logarithmic or p.name == "share"
            low, high = (p.low, p.high) if bounded else (-FARTHEST, FARTHEST)
            box.setRange(low, high)
        box.setKeyboardTracking(False)
        return box

    @property
    def value(self) -> float:
        """The number, as exact as it was given."""
        return self._value

    def set_value(self, value: float) -> None:
        """Show a number without telling that it moved."""
        self._value = value
        self._show(self.box, value)
        self._show(self.slider, round(TICKS * self._share(value)))

    @staticmethod
    def _show(editor: QSlider | QDoubleSpinBox | QSpinBox, value: float) -> None:
        before = editor.blockSignals(True)
        editor.setValue(int(value) if isinstance(editor, QSlider | QSpinBox) else value)
        editor.blockSignals(before)

    def _share(self, value: float) -> float:
        """Return where on the slider a value stands, 0 to 1."""
        p = self.parameter
        low, high = p.low, p.high
        if p.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def _on_slider(self, tick: int) -> None:
        p, share = self.parameter, tick / TICKS
        if p.logarithmic:
            self._value = p.low * (p.high / p.low) ** share
        else:
            self._value = p.low + (p.high - p.low) * share
        self._show(self.box, self._value)
        self.moved.emit(p.name)

    def _on_box(self, value: float) -> None:
        self._value = float(value)
        self._show(self.slider, round(TICKS * self._share(self._value)))
        self.moved.emit(self.parameter.name)


class Sliders(QObject):
    """Sliders for all parameters of a model; those of single fields are folded away.

    Parameters
    ----------
    rows : QFormLayout
        Where the rows are added.
    """

    moved = Signal(str)

    def __init__(self, rows: QFormLayout) -> None:
        super().__init__()
        self._rows = rows
        self.editors: dict[str, ParameterSlider] = {}

    def offer(self, parameters: Sequence[Parameter]) -> None:
        """Replace the sliders by those for other parameters."""
        while self._rows.rowCount():
            self._rows.removeRow(0)
        self.editors.clear()
        fine = two_columns()
        for parameter in parameters:
            slider = ParameterSlider(parameter)
            slider.moved.connect(self.moved)
            self.editors[parameter.name] = slider
            rows = fine if parameter.name.startswith(FINE) else self._rows
            add_row(rows, parameter.title, slider, parameter.help)
            slider.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        if fine.rowCount():
            self._rows.addRow(Folded("Single fields", fine))

    @property
    def values(self) -> dict[str, float]:
        """Every parameter's value."""
        return {name: editor.value for name, editor in self.editors.items()}

    def set_values(self, values: Mapping[str, float]) -> None:
        """Show other values without telling that they moved."""
        for name, value in values.items():
            self.editors[name].set_value(value)
