"""Where generated layers stand in the world of a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

GAP = 0.05
"""Distance to the layers on the left, as a share of a layer's width."""


def add_beside(viewer: ViewerModel, layers: Sequence[Layer], others: Sequence[Layer]) -> None:
    """Add layers to a viewer, all at one place right of other layers, and show everything."""
    place = right_of(layers[-1], others)
    was_flat = viewer.dims.ndim < 3
    for layer in layers:
        layer.translate = place[-layer.ndim :]
        viewer.add_layer(layer)
    if layers[-1].ndim == 3:
        low, high = layers[-1].extent.world[:, 0]
        if was_flat or not low <= viewer.dims.point[-3] <= high:
            viewer.dims.set_point(viewer.dims.ndim - 3, float((low + high) / 2))
    viewer.fit_to_view()


def add_in_place(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Add layers to a viewer where they belong, and show everything."""
    was_flat = viewer.dims.ndim < 3
    for layer in layers:
        viewer.add_layer(layer)
    if was_flat:
        viewer.dims.set_point(0, float(layers[-1].extent.world[:, 0].mean()))
    viewer.fit_to_view()


def look_at(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Fit the view to some layers, or to all where those lack one of the viewer's axes.

    napari fails at layers of fewer axes alone.
    """
    enough = max(layer.ndim for layer in layers) == viewer.dims.ndim
    viewer.fit_to_view(layers=list(layers) if enough else None)


def right_of(layer: Layer, others: Sequence[Layer]) -> NDArray[np.float64]:
    """Return where a layer stands right of other layers, their tops in line, along z, y, x.

    Layers in other units are passed over: napari does not draw them at their place.
    """
    place = np.zeros(3)
    corners = [x.extent.world[:, -3:] for x in others if x.units[-1] == layer.units[-1]]
    if corners:
        width = layer.scale[-1] * (1 + GAP * layer.data.shape[layer.ndim - 1])
        place[1] = min(low[-2] for low, _ in corners)
        place[2] = max(high[-1] for _, high in corners) + width
        place[0] = min((low[0] for low, _ in corners if low.size == 3), default=0)
    return place


def shift_onto(layer: Layer, real: Layer, middle: bool = False) -> NDArray[np.float64]:
    """Return by how much a layer has to move for its first corner to meet another layer's.

    Or for their middles to meet.
    """
    shift = np.zeros(layer.ndim)
    common = min(layer.ndim, real.ndim)
    there, here = (
        x.extent.world.mean(axis=0) if middle else x.extent.world[0] for x in (real, layer)
    )
    shift[-common:] = there[-common:] - here[-common:]
    return shift
