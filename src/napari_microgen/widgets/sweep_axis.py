"""A form for one parameter of a sweep and its range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox, FloatSpinBox, SpinBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractSpinBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_microgen.methods.excursion.sweeps import Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.excursion.exploration import Parameter

STEPS, MOST_STEPS = 5, 1000


class AxisEditor(QWidget):
    """Asks for a parameter and its first value, last value and number of steps."""

    changed = Signal()

    def __init__(self, name: str, optional: bool) -> None:
        super().__init__()
        self.parameter = ComboBox(choices=[], nullable=optional, name=name)
        self.low, self.high = (
            FloatSpinBox(min=-1e9, max=1e9, step=0.05, name=n) for n in ("from", "to")
        )
        self.steps = SpinBox(value=STEPS, min=2, max=MOST_STEPS, name="steps")
        for number in (self.low, self.high):
            number.native.setDecimals(3)
        for editor in (self.low, self.high, self.steps):
            editor.native.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        numbers = QHBoxLayout()
        numbers.setSpacing(4)
        boxes = (self.low.native, self.high.native, self.steps.native)
        for text, box in zip(("from", "to", "steps"), boxes, strict=True):
            numbers.addWidget(QLabel(text))
            numbers.addWidget(box, stretch=1)
        self._numbers = QWidget()
        self._numbers.setLayout(numbers)
        numbers.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.parameter.native)
        layout.addWidget(self._numbers)
        self.parameter.changed.connect(self._on_parameter)
        for editor in (self.low, self.high, self.steps):
            editor.changed.connect(self._on_edited)

    def offer(self, parameters: Sequence[Parameter], chosen: str = "") -> None:
        """Offer other parameters, one of them chosen."""
        with self.parameter.changed.blocked():
            self.parameter.choices = [(p.title, p) for p in parameters]
            for parameter in parameters:
                if parameter.name == chosen:
                    self.parameter.value = parameter
        self._on_parameter()

    @property
    def axis(self) -> Axis | None:
        """What is entered; None without a parameter."""
        if self.parameter.value is None:
            return None
        return Axis(self.parameter.value, self.low.value, self.high.value, self.steps.value)

    def _on_parameter(self) -> None:
        """Enter a usual range."""
        parameter = self.parameter.value
        self._numbers.setVisible(parameter is not None)
        if parameter is not None:
            for box, value in zip((self.low, self.high), usual_range(parameter), strict=True):
                with box.changed.blocked():
                    box.value = round(value, 3)
        self.changed.emit()

    def _on_edited(self) -> None:
        self.changed.emit()


def usual_range(parameter: Parameter) -> tuple[float, float]:
    """Return a range around where a parameter is."""
    start = parameter.start
    if parameter.whole:
        return start, start + STEPS - 1
    if parameter.logarithmic:
        return max(parameter.low, start / 2), min(parameter.high, start * 2)
    if parameter.name.startswith("fraction_"):
        return max(0.05, start - 0.15), min(0.95, start + 0.15)
    if parameter.name == "share":
        return 0.05, 0.95
    return start - 0.5, start + 0.5
