"""Making a generated layer look like the layer that it was learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels

if TYPE_CHECKING:
    from napari.layers import Layer


def look_like(layer: Layer, real: Layer) -> None:
    """Give a layer the colours, contrast and opacity of another of its kind."""
    layer.opacity = real.opacity
    if isinstance(layer, Labels) and isinstance(real, Labels):
        # Not the label that is selected for painting, which may be the only one shown.
        layer.colormap = real.colormap.model_copy(update={"use_selection": False})
    elif isinstance(layer, Image) and isinstance(real, Image) and not layer.rgb and not real.rgb:
        layer.colormap = real.colormap
        layer.contrast_limits_range = real.contrast_limits_range
        layer.contrast_limits = real.contrast_limits
