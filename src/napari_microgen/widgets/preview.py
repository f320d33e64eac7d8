"""A generated volume beside the training image, renewed while the training runs."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer

from napari_microgen.io.layers import METADATA_KEY, sample_layers
from napari_microgen.widgets.looks import look_like
from napari_microgen.widgets.placement import add_beside

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.types import LayerDataTuple

    from napari_microgen.methods.base import Sample, Shape

MARK = f"{METADATA_KEY}_preview"


def is_preview(layer: Layer) -> bool:
    """Whether a layer is the preview of a training, which nobody wants to learn from."""
    return bool(layer.metadata.get(MARK))


class Preview:
    """Keeps layers of a viewer up to date with the last generated volume.

    A volume of phases comes with its confidence, hidden at first: figures S9 and S10 of paper 000
    show how it grows while the generator learns.

    Parameters
    ----------
    viewer : ViewerModel
        Only a weak reference is kept.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self._beside: Layer | None = None
        self._layers: list[Layer] = []
        self._sample: Sample | None = None
        self._shown = True

    @property
    def shown(self) -> bool:
        """Whether there is to be a preview; switching it off removes the layers."""
        return self._shown

    @shown.setter
    def shown(self, value: bool) -> None:
        self._shown = value
        if not value:
            self._remove()
        elif self._sample is not None:
            self.update(self._sample)

    @property
    def shape(self) -> Shape | None:
        """Voxels along z, y, x of the last volume; None before the first and while not shown."""
        if self._sample is None or not self._shown:
            return None
        z, y, x = self._sample.data.shape[:3]
        return z, y, x

    def begin(self, beside: Layer) -> None:
        """Forget the training before; the next preview goes beside this layer."""
        self._remove()
        self._beside, self._sample = beside, None

    def update(self, sample: Sample) -> None:
        """Show a newly generated volume."""
        self._sample = sample
        viewer = self._viewer()
        if viewer is None or not self._shown:
            return
        if not self._layers:
            self._layers = self._add(viewer, sample)
            return
        for layer, (data, _, _) in zip(self._layers, _layers(sample), strict=True):
            if layer in viewer.layers:  # else the user deleted it and wants none
                layer.data = data

    def _add(self, viewer: ViewerModel, sample: Sample) -> list[Layer]:
        made = [Layer.create(*each) for each in _layers(sample)]
        if self._beside is not None:
            look_like(made[-1], self._beside)
        active = viewer.layers.selection.active
        shown = [x for x in viewer.layers if x.visible or x is self._beside]
        add_beside(viewer, made, [x for x in shown if isinstance(x, Labels | Image)])
        viewer.layers.selection.active = active
        return made

    def _remove(self) -> None:
        viewer = self._viewer()
        for layer in self._layers:
            if viewer is not None and layer in viewer.layers:
                viewer.layers.remove(layer)
        self._layers = []


def _layers(sample: Sample) -> list[LayerDataTuple]:
    """Return the layers of a sample, marked as a preview."""
    mark = {"metadata": {MARK: True}}
    return [(data, {**how, **mark}, kind) for data, how, kind in sample_layers(sample, "preview")]
