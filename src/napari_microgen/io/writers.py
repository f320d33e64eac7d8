"""Writer contribution: a layer is saved as TIFF with its voxel size, phases and provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.phases import smallest_integers

if TYPE_CHECKING:
    from napari.types import FullLayerData


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer in the smallest type that holds its labels, as Fiji likes it.

    See `napari_microgen.io.tiff.write_tiff`.
    """
    data = np.asarray(data[0] if attributes.get("multiscale") else data)
    smallest = smallest_integers(int(data.min(initial=0)), int(data.max(initial=0)))
    data, attributes = data.astype(smallest), {**attributes, "multiscale": False}
    return _write(path, (data, attributes, "labels"))


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an Image layer; see `napari_microgen.io.tiff.write_tiff`."""
    return _write(path, (data, attributes, "image"))


def write_surface(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Surface layer as STL or PLY, in the unit of its scale.

    See `napari_microgen.io.meshes.write_mesh`.
    """
    from napari_microgen.io.meshes import write_mesh

    vertices, triangles = np.asarray(data[0], float), np.asarray(data[1])
    scale = np.asarray(attributes.get("scale", (1.0,) * vertices.shape[1]), float)
    return [str(write_mesh(path, vertices * scale, triangles))]


def _write(path: str, layer_data: FullLayerData) -> list[str]:
    from napari.layers import Layer

    from napari_microgen.io.layers import METADATA_KEY, layer_phases, layer_voxel_size
    from napari_microgen.io.tiff import write_tiff

    layer: Any = Layer.create(*layer_data)
    data = layer.data[0] if layer.multiscale else layer.data
    voxel_size, unit = layer_voxel_size(layer)
    written = write_tiff(
        path, data, voxel_size=voxel_size, unit=unit,
        phases=layer_phases(layer) if layer_data[2] == "labels" else (),
        provenance=layer.metadata.get(METADATA_KEY), colour=getattr(layer, "rgb", False),
    )  # fmt: skip
    return [str(written)]
