"""Pickers for the layers that a method asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_microgen.widgets.form import add_row
from napari_microgen.widgets.layer_list import LayerList
from napari_microgen.widgets.preview import is_preview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtWidgets import QFormLayout

    from napari_microgen.methods.base import Input
    from napari_microgen.phases import Kind, Zero

ZERO_MEANINGS: dict[str, Zero] = {"a phase": "phase", "unlabelled, never learned": "unlabelled"}

WATCHED = ("data", "paint", "labels_update", "name", "scale", "units", "colormap", "features")
"""Events of a layer after which it has to be read again."""


class LayerInputs(QObject):
    """One picker per input of a method, and what the label 0 means.

    Parameters
    ----------
    rows : QFormLayout
        Where the pickers are added.
    viewer : ViewerModel
    inputs : sequence of Input
    """

    changed = Signal()

    def __init__(self, rows: QFormLayout, viewer: ViewerModel, inputs: Sequence[Input]) -> None:
        super().__init__()
        self._rows, self._viewer = rows, viewer
        self._watched: list[Layer] = []
        self.pickers: list[ComboBox | LayerList] = []
        for wanted in inputs:
            picker: ComboBox | LayerList
            if wanted.several:
                picker = LayerList()
            else:
                picker = ComboBox(choices=[], nullable=wanted.optional, name=wanted.name)
            picker.changed.connect(self._on_changed)
            add_row(rows, wanted.title, picker.native, wanted.help)
            self.pickers.append(picker)
        self._inputs = tuple(inputs)
        self.zero = ComboBox(choices=tuple(ZERO_MEANINGS), name="zero")
        self.zero.changed.connect(self._on_changed)
        hint = "napari draws 0 as background, but in most micrographs it is a phase, the pore."
        add_row(rows, "Label 0 is", self.zero.native, hint)
        self.reset_choices()

    @property
    def layers(self) -> list[Layer | None]:
        """The chosen layers in the order of the inputs; those of an input for several last."""
        chosen: list[Layer | None] = []
        for picker in self.pickers:
            chosen += (picker.value or [None]) if isinstance(picker, LayerList) else [picker.value]
        return chosen

    @property
    def zero_meaning(self) -> Zero:
        """What the label 0 means in the chosen layers."""
        return ZERO_MEANINGS[self.zero.value]

    def reset_choices(self) -> None:
        """Offer the layers that are there now."""
        before = self.layers
        for picker, wanted in zip(self.pickers, self._inputs, strict=True):
            with picker.changed.blocked():
                fitting = [x for x in self._viewer.layers if fits(x, wanted)]
                choices = [(layer.name, layer) for layer in fitting]
                if isinstance(picker, LayerList):
                    choices.reverse()  # as napari's layer list shows them
                first_time, chosen = not picker.choices, picker.value
                picker.choices = choices
                if not isinstance(picker, LayerList) and chosen in fitting:
                    picker.value = chosen  # which magicgui drops if its name is new
                if first_time and not wanted.optional and fitting:
                    favourite = self._favourite(fitting)
                    selected = [x for x in fitting if x in self._viewer.layers.selection]
                    several = isinstance(picker, LayerList)
                    picker.value = (selected or [favourite]) if several else favourite
        if self.layers != before:
            self._on_changed()

    def _favourite(self, fitting: Sequence[Layer]) -> Layer:
        active = self._viewer.layers.selection.active
        return active if active in fitting else fitting[-1]

    def _on_changed(self) -> None:
        chosen = [layer for layer in self.layers if layer is not None]
        phases = any("labels" in wanted.kinds for wanted in self._inputs)
        self._rows.setRowVisible(
            self.zero.native, phases and any(isinstance(x, Labels) for x in chosen)
        )
        self._watch(chosen)
        self.changed.emit()

    def _watch(self, layers: Sequence[Layer]) -> None:
        for layer in self._watched:
            for name in WATCHED:
                if name in layer.events:
                    layer.events[name].disconnect(self._on_edited)
        self._watched = list(layers)
        for layer in self._watched:
            for name in WATCHED:
                if name in layer.events:
                    layer.events[name].connect(self._on_edited)

    def _on_edited(self) -> None:
        self.changed.emit()


def fits(layer: Layer, wanted: Input) -> bool:
    """Whether a layer is of a kind and dimension that an input accepts."""
    if is_preview(layer) or not set(layer_kinds(layer)) & set(wanted.kinds):
        return False
    leading = layer.data.shape[: layer.ndim]
    while len(leading) > 2 and leading[0] == 1:
        leading = leading[1:]
    return len(leading) in wanted.ndims


def layer_kinds(layer: Layer) -> tuple[Kind, ...]:
    """Return what the values of a layer may mean; nothing for layers that hold no image."""
    if isinstance(layer, Labels):
        return "labels", "numbered"
    if isinstance(layer, Image):
        return ("colour",) if layer.rgb else ("grey",)
    return ()
