"""A row that takes the centres of particles from a Points layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.layers import Points
from qtpy.QtCore import QObject, Signal

from napari_microgen.errors import InputError
from napari_microgen.units import count_text
from napari_microgen.widgets.form import add_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtWidgets import QFormLayout

    from napari_microgen.widgets.inputs import LayerInputs

SHOWN = 3
"""Wrong slices that a message names."""


class CentrePoints(QObject):
    """Fills a text field with the places of points, one per section, in pixels.

    Parameters
    ----------
    rows : QFormLayout
        The form that holds the text field.
    editor : ValueWidget
        The text field; empty means the centroids.
    viewer : ViewerModel
    inputs : LayerInputs
        The sections.

    Attributes
    ----------
    problem : str
        Why the points cannot be used; empty if they can.
    warning : str
        What to know of them; may be empty.
    """

    changed = Signal()

    def __init__(
        self,
        rows: QFormLayout,
        editor: ValueWidget[Any],
        viewer: ViewerModel,
        inputs: LayerInputs,
    ) -> None:
        super().__init__()
        self._editor, self._viewer, self._inputs = editor, viewer, inputs
        self._watched: Layer | None = None
        self.problem, self.warning = "", ""
        self.picker = ComboBox(choices=[], nullable=True, name="centre_points")
        hint = "A Points layer with the particle's centre in every section; none for the centroids."
        place, _ = rows.getWidgetPosition(editor.native)
        add_row(rows, "centres from", self.picker.native, hint, place)
        self.picker.changed.connect(self._on_picked)
        inputs.changed.connect(self._fill)
        self.reset_choices()

    def reset_choices(self) -> None:
        """Offer the Points layers that are there now."""
        points = [x for x in self._viewer.layers if isinstance(x, Points)]
        self.picker.choices = [(layer.name, layer) for layer in points]

    def _on_picked(self) -> None:
        if self._watched is not None:
            self._watched.events.data.disconnect(self._fill)
        self._watched = self.picker.value
        if self._watched is not None:
            self._watched.events.data.connect(self._fill)
        else:
            self._editor.value = ""
        self._fill()

    def _fill(self, _event: Any = None) -> None:
        """Take the points over, or say why that cannot be done."""
        self.problem, self.warning = "", ""
        sections = [layer for layer in self._inputs.layers if layer is not None]
        if self._watched is not None and sections:
            try:
                places = section_centres(self._watched, sections)
            except InputError as error:
                places, self.problem = [], str(error)
            if not places and not self.problem:
                self.warning = (
                    f"'{self._watched.name}' holds no point, so the particles' centroids are "
                    "taken for their centres."
                )
            self._editor.value = "; ".join(f"{y:.1f} {x:.1f}" for y, x in places)
        self.changed.emit()


def section_centres(points: Layer, layers: Sequence[Layer]) -> list[tuple[float, float]]:
    """Return the centre of every section, ``(y, x)`` in pixels; none without points.

    In a stack of sections a point belongs to the slice that it lies in; otherwise the n-th point
    belongs to the n-th section.

    Raises
    ------
    InputError
        If not every slice of a stack has one point.
    """
    if len(layers) == 1 and layers[0].ndim == points.ndim == 3:
        return _centres_by_slice(points, layers[0])
    sections = [x for x in layers for _ in range(x.data.shape[0] if x.ndim == 3 else 1)]
    return [(place[-2], place[-1]) for place in pixel_places(points, sections)]


def _centres_by_slice(points: Layer, stack: Layer) -> list[tuple[float, float]]:
    places = pixel_places(points, [stack])
    slices = np.array([round(place[0]) for place in places], int)
    count = stack.data.shape[0]
    if np.any((slices < 0) | (slices >= count)):
        raise InputError(
            f"'{points.name}' has points before or behind the slices of '{stack.name}'; remove "
            "them, or give both layers the same scale."
        )
    found = np.bincount(slices, minlength=count)
    if len(places) and np.any(found != 1):
        wrong = np.flatnonzero(found != 1)
        shown = ", ".join(f"{count_text(found[i], 'point')} in slice {i}" for i in wrong[:SHOWN])
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise InputError(
            f"'{points.name}' has {shown}{more} of '{stack.name}'; place one in every slice, or "
            "choose no points for the centroids."
        )
    return [(places[i][1], places[i][2]) for i in np.argsort(slices)]


def pixel_places(points: Layer, layers: Sequence[Layer]) -> list[tuple[float, ...]]:
    """Return where points lie in the pixels of layers, one number per axis of the layer.

    The n-th point is seen from the n-th layer, and what is left over from the last.
    """
    places = []
    for i, point in enumerate(points.data):
        layer = layers[min(i, len(layers) - 1)]
        world = np.zeros(max(points.ndim, layer.ndim))
        world[-points.ndim :] = points.data_to_world(point)
        places.append(tuple(map(float, layer.world_to_data(world[-layer.ndim :]))))
    return places
