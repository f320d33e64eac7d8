"""A row per phase of the fine image, to choose the phase of the coarse volume it looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import QObject
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_microgen.errors import InputError
from napari_microgen.methods.superres.phase_map import PhaseMap
from napari_microgen.widgets.layout import button

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magicgui.widgets.bases import ValueWidget
    from qtpy.QtWidgets import QFormLayout

    from napari_microgen.phases import Phase, PhaseImage

SWATCH = 12
"""Side of a phase's colour, in pixels."""


class PhaseMapTable(QObject):
    """Edits a setting that holds a `PhaseMap` as text; takes the place of its text field.

    Parameters
    ----------
    rows : QFormLayout
        The form that holds the text field.
    editor : ValueWidget
        The text field; empty means that the map is guessed.
    """

    def __init__(self, rows: QFormLayout, editor: ValueWidget[Any]) -> None:
        super().__init__()
        self._editor = editor
        self._shown: tuple[tuple[Phase, ...], tuple[Phase, ...]] | None = None
        self.partners: list[ComboBox] = []
        self.table = QWidget()
        self._grid = QGridLayout(self.table)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self.guess_button = button("Guess", self.guess, "Guess from names and volume fractions.")
        self.table.setToolTip(editor.native.toolTip())
        place, _ = rows.getWidgetPosition(editor.native)
        rows.insertRow(place + 1, self.table)
        self._rows = rows
        self._show_table(False)

    def offer(self, images: Sequence[PhaseImage]) -> None:
        """Show the map of an image and a volume, the last of `images`.

        A map that cannot be is left as it was chosen; where none can be guessed, every phase
        looks like the volume's first.
        """
        high, low = images[0], images[-1]
        if self._shown != (high.phases, low.phases):
            self._make_rows(high.phases, low.phases)
        partners: tuple[int, ...]
        try:
            partners = (
                PhaseMap.parse(self._editor.value, high.phases, low.phases)
                if self._editor.value
                else PhaseMap.guess(high, low)
            ).partners
        except InputError:  # the check says why
            partners = () if self._editor.value else (0,) * len(high.phases)
        for box, partner in zip(self.partners, partners, strict=False):
            with box.changed.blocked():
                box.value = low.phases[partner].value
        self.guess_button.setEnabled(bool(self._editor.value))

    def guess(self) -> None:
        """Let the map be guessed again."""
        self._editor.value = ""

    def _make_rows(self, high: tuple[Phase, ...], low: tuple[Phase, ...]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if item.widget() is not self.guess_button:
                item.widget().deleteLater()
        self.partners = []
        for row, phase in enumerate(high):
            box = ComboBox(choices=[(p.name, p.value) for p in low], name=phase.name)
            box.tooltip = f"What {phase.name} looks like in the low-resolution volume."
            box.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            box.changed.connect(self._on_chosen)
            swatch = QPixmap(SWATCH, SWATCH)
            swatch.fill(QColor(phase.color))
            colour = QLabel()
            colour.setPixmap(swatch)
            self._grid.addWidget(colour, row + 1, 0)
            self._grid.addWidget(QLabel(f"{phase.name} looks like"), row + 1, 1)
            self._grid.addWidget(box.native, row + 1, 2)
            self.partners.append(box)
        self._grid.addWidget(QLabel("In the volume …"), 0, 0, 1, 2)
        self._grid.addWidget(self.guess_button, 0, 2)
        self._grid.setColumnStretch(2, 1)
        self._shown = (high, low)
        self._show_table(True)

    def _show_table(self, shown: bool) -> None:
        self._rows.setRowVisible(self.table, shown)
        self._rows.setRowVisible(self._editor.native, not shown)

    def _on_chosen(self) -> None:
        assert self._shown is not None
        pairs = zip(self._shown[0], self.partners, strict=True)
        self._editor.value = ",".join(f"{phase.value}:{box.value}" for phase, box in pairs)
