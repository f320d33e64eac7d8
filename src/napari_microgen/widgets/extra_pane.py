"""A form that asks which layer to make: flux, what percolates, triple-phase boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_microgen.widgets.extra_layers import DIRECTED, MAKERS, Wanted
from napari_microgen.widgets.form import add_row, two_columns
from napari_microgen.widgets.layout import button

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Layer

    from napari_microgen.phases import Phase, Zero


class ExtraPane(QWidget):
    """Asks for a layer that shows where a number comes from.

    Parameters
    ----------
    add : callable
        What the button does.
    """

    def __init__(self, add: Callable[[], None]) -> None:
        super().__init__()
        self.what = ComboBox(choices=tuple(MAKERS), name="what")
        self.of = ComboBox(choices=("generated", "real"), name="of")
        self.phase = ComboBox(choices=[], name="phase")
        self.axis = ComboBox(choices=[(a, i) for i, a in enumerate("zyx")], name="axis")
        self.button = button("Add layer", add, "Compute it and add the layer.")
        self._rows = rows = two_columns()
        add_row(rows, "Show", self.what.native, "What to add as a layer.")
        add_row(rows, "Of", self.of.native, "Which of the two images.")
        add_row(rows, "Phase", self.phase.native, "Which phase; known once it is measured.")
        add_row(rows, "Along", self.axis.native, "From which face to which.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.button)
        layout.addStretch()
        self.what.changed.connect(self._on_what)
        self._on_what()

    def offer(self, phases: Sequence[Phase]) -> None:
        """Offer the phases of the last result."""
        before, values = self.phase.value, [phase.value for phase in phases]
        self.phase.choices = [(phase.name, phase.value) for phase in phases]
        if before in values:
            self.phase.value = before

    def wanted(self, layer: Layer, zero: Zero, device: str) -> Wanted | None:
        """Return what is chosen; None if the phase is still to be known."""
        what, phase = self.what.value, self.phase.value
        if what in DIRECTED and phase is None:
            return None
        return Wanted(what, layer, zero, phase or 0, self.axis.value, device)

    def _on_what(self) -> None:
        for editor in (self.phase, self.axis):
            self._rows.setRowVisible(editor.native, self.what.value in DIRECTED)
