"""A row that takes the centres of particles from a Points layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.layers import Points
from qtpy.QtCore import QObject

from napari_microgen.widgets.form import add_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtWidgets import QFormLayout

    from napari_microgen.widgets.inputs import LayerInputs


class CentrePoints(QObject):
    """Fills a text field with the places of points, one per section, in pixels.

    The points belong to the sections in their order; in a stack, to the slices they lie in.

    Parameters
    ----------
    rows : QFormLayout
        The form that holds the text field.
    editor : ValueWidget
        The text field; empty means the centroids.
    viewer : ViewerModel
    inputs : LayerInputs
        The sections.
    """

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
        if self._watched is None:
            self._editor.value = ""
            return
        self._watched.events.data.connect(self._fill)
        self._fill()

    def _fill(self, _event: Any = None) -> None:
        sections = [layer for layer in self._inputs.layers if layer is not None]
        if self._watched is not None and sections:
            places = pixel_places(self._watched, sections)
            self._editor.value = "; ".join(f"{y:.1f} {x:.1f}" for y, x in places)


def pixel_places(points: Layer, sections: Sequence[Layer]) -> list[tuple[float, float]]:
    """Return where points lie in the pixels ``(y, x)`` of the sections that they belong to.

    The n-th point belongs to the n-th of several layers, and in a stack to its slice.
    """
    places = []
    for i, point in enumerate(points.data):
        section = sections[min(i, len(sections) - 1)]
        world = np.zeros(max(points.ndim, section.ndim))
        world[-points.ndim :] = points.data_to_world(point)
        places.append(np.array(section.world_to_data(world[-section.ndim :])))
    if len(sections) == 1 and sections[0].ndim == 3 and points.ndim == 3:
        places.sort(key=lambda place: float(place[0]))
    return [(float(place[-2]), float(place[-1])) for place in places]
