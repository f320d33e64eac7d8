"""The section and the volume of a model whose parameters move, kept up to date in a viewer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_microgen.io.layers import METADATA_KEY, phase_colormap, sample_layers
from napari_microgen.phases import to_values
from napari_microgen.widgets.looks import look_like
from napari_microgen.widgets.placement import add_beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from napari.types import LayerDataTuple
    from numpy.typing import NDArray

    from napari_microgen.methods.base import Sample
    from napari_microgen.phases import Phase

SMALL = 3.0
"""How many times as wide as these layers everything must be for the view to go closer."""

NAMES = {"section": "Explore: section", "volume": "Explore: volume"}


class ExploreLayers:
    """Keeps a section and a volume in a viewer; a layer that the user deletes stays away.

    Parameters
    ----------
    viewer : ViewerModel
        Only a weak reference is kept.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self._layers: dict[str, Layer] = {}
        self.looks_like: Layer | None = None
        """Layer whose colours new layers take."""

    @property
    def own(self) -> list[Layer]:
        """The layers that are kept up to date."""
        return list(self._layers.values())

    def show_section(
        self,
        indices: NDArray[np.uint8],
        phases: Sequence[Phase],
        voxel_size: float,
        unit: str,
        axes: tuple[str, str],
        provenance: Mapping[str, Any],
    ) -> None:
        """Show a section, given as phase indices."""
        options: dict[str, Any] = {
            "name": NAMES["section"], "scale": (voxel_size,) * 2, "units": (unit,) * 2,
            "axis_labels": axes, "metadata": {METADATA_KEY: dict(provenance)},
            "colormap": phase_colormap(phases),
            "features": {"index": [p.value for p in phases], "name": [p.name for p in phases]},
        }  # fmt: skip
        self._show("section", (to_values(indices, phases), options, "labels"))

    def show_volume(self, sample: Sample) -> None:
        """Show a volume with the fractions of its phases."""
        self._show("volume", sample_layers(sample, NAMES["volume"])[-1])

    def _show(self, which: str, made: LayerDataTuple) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        layer = self._layers.get(which)
        data, options, _ = made
        if layer is None:
            self._add(viewer, which, made)
        elif layer in viewer.layers:
            layer.data = data
            layer.metadata = options["metadata"]
            layer.features = options["features"]
            layer.axis_labels = options["axis_labels"]

    def _add(self, viewer: ViewerModel, which: str, made: LayerDataTuple) -> None:
        # It is one of these layers before the viewer tells others that it is there.
        layer = self._layers[which] = Layer.create(*made)
        if self.looks_like is not None:
            look_like(layer, self.looks_like)
        active = viewer.layers.selection.active
        others = [x for x in viewer.layers if x.visible and isinstance(x, Labels | Image)]
        add_beside(viewer, [layer], others)
        _look_closer(viewer, self.own)
        if active is not None:
            viewer.layers.selection.active = active

    def remove(self, which: str) -> None:
        """Take a layer away."""
        layer, viewer = self._layers.pop(which, None), self._viewer()
        if layer is not None and viewer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)

    def clear(self) -> None:
        """Take all layers away."""
        for which in list(self._layers):
            self.remove(which)


def _look_closer(viewer: ViewerModel, own: Sequence[Layer]) -> None:
    """Fit the view to some layers alone where they are small beside what else is shown."""
    if max(x.ndim for x in own) < viewer.dims.ndim:
        return  # napari looks closer only at layers that have all of the viewer's axes
    everything = [x for x in viewer.layers if x.visible and isinstance(x, Labels | Image)]
    if _breadth(everything) > SMALL * _breadth(own):
        viewer.fit_to_view(layers=list(own))


def _breadth(layers: Sequence[Layer]) -> float:
    corners = np.array([x.extent.world[:, -2:] for x in layers])
    return float((corners[:, 1].max(axis=0) - corners[:, 0].min(axis=0)).max())
