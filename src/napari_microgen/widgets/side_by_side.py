"""Real and generated side by side on the canvas, with one camera."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.widgets.placement import look_at, shift_onto

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

SPACING = 8
"""Gap between the halves, in pixels."""


class SideBySide:
    """Shows layers in grid mode, and puts everything back afterwards.

    Parameters
    ----------
    viewer : ViewerModel
        Only a weak reference is kept.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self._before: dict[str, Any] | None = None
        self._visible: weakref.WeakKeyDictionary[Layer, bool] = weakref.WeakKeyDictionary()
        self._named: list[Layer] = []
        self._places: list[tuple[Layer, Any]] = []
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def shown(self) -> bool:
        """Whether the canvas is divided now."""
        return self._before is not None

    def show(self, real: Layer, generated: Layer, made_from: Layer | None = None) -> None:
        """Put the real image in the left half and the generated one in the right half.

        Both are drawn at the same scale, and the view is the size of the generated one, so that
        equal pieces of material are compared; particles are seen whole, one middle on the other.
        Until `restore`, other layers are hidden, and the
        generated one and its maps stand where the real one is, since the halves share a camera.

        Parameters
        ----------
        real, generated : Layer
        made_from : Layer, optional
            What the generated one was made from, and lies on: it is put between the two, and the
            real one stands where it is.
        """
        self.restore()
        viewer = self._viewer()
        if viewer is None or real not in viewer.layers or generated not in viewer.layers:
            return
        if made_from is real or made_from not in viewer.layers:
            made_from = None
        shown = [real, generated] if made_from is None else [real, made_from, generated]
        grid = viewer.canvas.grid
        self._before = {n: getattr(grid, n) for n in ("enabled", "shape", "stride", "spacing")}
        for layer in viewer.layers:
            self._visible[layer] = layer.visible
            layer.visible = layer in shown
        for layer in shown[-2::-1]:  # the first of them lowest
            place, after = (viewer.layers.index(x) for x in (layer, shown[shown.index(layer) + 1]))
            if place > after:
                viewer.layers.move(place, after)
        grid.shape, grid.stride, grid.spacing, grid.enabled = (1, len(shown)), 1, SPACING, True
        for layer in shown:
            layer.name_overlay.visible = True
        self._named = shown
        if is_numbered(generated):
            self._shift(same_origin(viewer, generated), shift_onto(generated, real, middle=True))
        elif made_from is None:
            self._shift(same_origin(viewer, generated), shift_onto(generated, real))
        else:
            self._shift([real], shift_onto(real, made_from)[-real.ndim :])
        self._look_at(viewer, generated, shown if is_numbered(generated) else [generated])

    def _shift(self, layers: Sequence[Layer], shift: NDArray[np.float64]) -> None:
        for layer in layers:
            self._places.append((layer, layer.translate.copy()))
            layer.translate = layer.translate + shift

    def restore(self) -> None:
        """Show the layers as they were before."""
        viewer = self._viewer()
        if viewer is None or self._before is None:
            return
        for name, value in self._before.items():
            setattr(viewer.canvas.grid, name, value)
        for layer in viewer.layers:
            layer.visible = self._visible.get(layer, layer.visible)
        for layer in self._named:
            layer.name_overlay.visible = False
        for layer, place in self._places:
            layer.translate = place
        self._before, self._named, self._places = None, [], []
        self._visible.clear()
        viewer.fit_to_view()

    def _on_removed(self, event: Any) -> None:
        if event.value in self._named:
            self.restore()

    @staticmethod
    def _look_at(viewer: ViewerModel, layer: Layer, seen: Sequence[Layer]) -> None:
        middle = layer.extent.world.mean(axis=0)
        viewer.dims.set_point(range(viewer.dims.ndim)[-layer.ndim :], middle)
        look_at(viewer, seen)


def is_numbered(layer: Layer) -> bool:
    """Whether a layer holds generated particles or grains."""
    origin = layer.metadata.get(METADATA_KEY)
    return isinstance(origin, dict) and origin.get("model", {}).get("kind") == "numbered"


def same_origin(viewer: ViewerModel, generated: Layer) -> list[Layer]:
    """Return a generated layer and the maps that belong to it."""
    origin = generated.metadata.get(METADATA_KEY)
    return [
        x
        for x in viewer.layers
        if x is generated or (origin is not None and x.metadata.get(METADATA_KEY) == origin)
    ]
