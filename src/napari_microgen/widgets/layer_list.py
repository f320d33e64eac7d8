"""A list of layers with a tick box each, where a method takes several images of one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QSize, Qt, Slot
from qtpy.QtWidgets import QListWidget, QListWidgetItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

MOST_ROWS = 8


class LayerList(QListWidget):
    """Asks for several layers; stands beside magicgui's ``ComboBox``, which asks for one."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._layers: list[Layer] = []
        self.itemChanged.connect(self._on_item)

    @property
    def native(self) -> QListWidget:
        """The Qt widget, as magicgui's widgets call it."""
        return self

    @property
    def choices(self) -> tuple[Layer, ...]:
        """The layers that are offered."""
        return tuple(self._layers)

    @choices.setter
    def choices(self, named: Sequence[tuple[str, Layer]]) -> None:
        before = self.value
        self.blockSignals(True)
        self.clear()
        self._layers = [layer for _, layer in named]
        for name, layer in named:
            item = QListWidgetItem(name, self)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(_state(layer in before))
        self.blockSignals(False)
        self.updateGeometry()
        if self.value != before:
            self.changed.emit()

    @property
    def value(self) -> list[Layer]:
        """The ticked layers, from top to bottom."""
        rows = enumerate(self._layers)
        return [x for i, x in rows if self.item(i).checkState() == Qt.CheckState.Checked]

    @value.setter
    def value(self, layers: Sequence[Layer]) -> None:
        before = self.value
        self.blockSignals(True)
        for i, layer in enumerate(self._layers):
            self.item(i).setCheckState(_state(layer in layers))
        self.blockSignals(False)
        if self.value != before:
            self.changed.emit()

    def sizeHint(self) -> QSize:
        """Be as high as the rows, up to eight."""
        rows = min(max(self.count(), 1), MOST_ROWS)
        height = self.sizeHintForRow(0) if self.count() else self.fontMetrics().height()
        return QSize(super().sizeHint().width(), rows * height + 2 * self.frameWidth() + 4)

    def minimumSizeHint(self) -> QSize:
        """Do not shrink below the hint."""
        return QSize(super().minimumSizeHint().width(), self.sizeHint().height())

    @Slot(QListWidgetItem)
    def _on_item(self, _item: QListWidgetItem) -> None:
        self.changed.emit()


def _state(ticked: bool) -> Qt.CheckState:
    return Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
