"""A generated volume beside the training image, renewed while the training runs."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari.layers import Layer

from napari_microgen.io.layers import METADATA_KEY, sample_layers
from napari_microgen.widgets.looks import look_like
from napari_microgen.widgets.placement import add_beside

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_microgen.methods.base import Sample, Shape

MARK = f"{METADATA_KEY}_preview"


def is_preview(layer: Layer) -> bool:
    """Whether a layer is the preview of a training, which nobody wants to learn from."""
    return bool(layer.metadata.get(MARK))


class Preview:
    """Keeps one layer of a viewer up to date with the last generated volume.

    Parameters
    ----------
    viewer : ViewerModel
        Only a weak reference is kept.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self._beside: Layer | None = None
        self._layer: Layer | None = None
        self._sample: Sample | None = None
        self._shown = True

    @property
    def shown(self) -> bool:
        """Whether there is to be a preview; switching it off removes the layer."""
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
        if self._layer is None:
            self._layer = self._add(viewer, sample)
        elif self._layer in viewer.layers:  # else the user deleted it and wants none
            self._layer.data = sample.data

    def _add(self, viewer: ViewerModel, sample: Sample) -> Layer:
        data, keywords, kind = sample_layers(sample, "preview")[-1]
        keywords["metadata"] = {MARK: True}
        layer = Layer.create(data, keywords, kind)
        if self._beside is not None:
            look_like(layer, self._beside)
        active = viewer.layers.selection.active
        add_beside(viewer, [layer], [] if self._beside is None else [self._beside])
        viewer.layers.selection.active = active
        return layer

    def _remove(self) -> None:
        viewer = self._viewer()
        if viewer is not None and self._layer is not None and self._layer in viewer.layers:
            viewer.layers.remove(self._layer)
        self._layer = None
