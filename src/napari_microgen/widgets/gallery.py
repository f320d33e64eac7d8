"""Slices of a volume along z, y and x in one flat picture, to lay beside a real section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils import DirectLabelColormap

from napari_microgen.errors import InputError
from napari_microgen.io.layers import LARGEST_DIRECT, layer_voxel_size
from napari_microgen.widgets.looks import look_like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from numpy.typing import NDArray

SLICES = 3
"""Slices along each axis."""

GAP = 8
"""Pixels between slices."""


def slices(volume: Any, count: int = SLICES) -> list[list[NDArray[Any]]]:
    """Return evenly spread slices of a volume normal to z, to y and to x.

    Parameters
    ----------
    volume : array
        Shape ``(z, y, x)``, or ``(z, y, x, 3)`` with colours; of a lazy one only the slices are
        computed.
    count : int
        Slices along each axis; fewer if the volume has no more.
    """
    return [
        [np.asarray(np.take(volume, i, axis=axis)) for i in places(volume.shape[axis], count)]
        for axis in range(3)
    ]


def lay_out(rows: Sequence[Sequence[NDArray[Any]]], fill: Any, gap: int = GAP) -> NDArray[Any]:
    """Lay out pictures in rows.

    Parameters
    ----------
    rows : sequence of sequence of ndarray
        All in a row have the same shape ``(height, width)`` or ``(height, width, 3)``.
    fill : scalar
        Value between and beside the pictures.
    gap : int
        Pixels between them.

    Returns
    -------
    ndarray
        In a dtype that holds `fill` too.
    """
    first = rows[0][0]
    height = sum(row[0].shape[0] + gap for row in rows) - gap
    width = max(len(row) * (row[0].shape[1] + gap) for row in rows) - gap
    fits = np.array(fill).astype(first.dtype) == fill
    dtype = first.dtype if fits else np.result_type(first.dtype, np.min_scalar_type(fill))
    picture = np.full((height, width, *first.shape[2:]), fill, dtype)
    top = 0
    for row in rows:
        for i, piece in enumerate(row):
            h, w = piece.shape[:2]
            left = i * (w + gap)
            picture[top : top + h, left : left + w] = piece
        top += row[0].shape[0] + gap
    return picture


def places(length: int, count: int) -> NDArray[np.intp]:
    """Return the middles of `count` equal intervals of an axis."""
    count = min(count, length)
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)


def gallery_layer(generated: Layer, real: Layer) -> Layer:
    """Return slices of a generated volume as a layer right of the real image, at its scale.

    Parameters
    ----------
    generated : Labels or Image
        A volume.
    real : Layer
        The image to stand beside, whose colours it takes over.

    Raises
    ------
    InputError
        If the generated layer is no volume, or its voxels are no cubes.
    """
    data, sizes = _volume(generated)
    if not np.allclose(sizes, sizes[0], rtol=1e-3):
        raise InputError(
            f"The voxels of '{generated.name}' are no cubes, so its slices along z, y and x have "
            "no common scale; resample it first."
        )
    rows = slices(data)
    values = [piece for row in rows for piece in row]
    keywords: dict[str, Any] = {
        "name": f"{generated.name} slices", "scale": sizes[1:],
        "units": generated.units[-1:] * 2, "axis_labels": generated.axis_labels[-2:],
        "translate": beside(real, sizes[-1]),
    }  # fmt: skip
    if isinstance(generated, Labels):
        labels = np.unique(np.concatenate([np.unique(piece) for piece in values]))
        # A label that no phase has, and that is transparent.
        fill = int(labels[-1]) + 1
        colours = _colours(labels, real if isinstance(real, Labels) else generated)
        return Labels(
            lay_out(rows, fill), features=generated.features, colormap=colours,
            opacity=real.opacity, **keywords,
        )  # fmt: skip
    darkest = min(piece.min() for piece in values)
    layer = Image(lay_out(rows, darkest), rgb=generated.rgb, **keywords)
    look_like(layer, real)
    return layer


def _colours(labels: NDArray[Any], like: Labels) -> Any:
    """Return the colours that labels have in a layer; all others are transparent.

    Labels beyond `LARGEST_DIRECT` leave others the colours of the layer.
    """
    shown = like.colormap.model_copy(update={"use_selection": False})
    if max(abs(int(labels[0])), abs(int(labels[-1]))) >= LARGEST_DIRECT:
        return shown
    colours: dict[int | None, Any] = {int(label): shown.map(label) for label in labels}
    return DirectLabelColormap(color_dict={None: "transparent", **colours})


def beside(real: Layer, pixel: float) -> tuple[float, float]:
    """Return where the first pixel of a picture lies that stands right of the real image.

    Their tops are in line, and `GAP` pixels are between them.
    """
    low, high = real.extent.world[:, -2:]  # middles of the outermost pixels
    half = [abs(float(s)) / 2 for s in real.scale[-2:]]
    top, right = low[0] - half[0], high[1] + half[1]
    return top + pixel / 2, right + (GAP + 0.5) * pixel


def _volume(layer: Layer) -> tuple[Any, NDArray[np.float64]]:
    """Return the values of a volume without leading axes of length 1, and its voxel size."""
    data = layer.data[0] if layer.multiscale else layer.data
    axes = layer.ndim
    while axes > 3 and data.shape[0] == 1:
        data, axes = data[0], axes - 1
    if axes != 3 or 1 in data.shape[:3]:
        raise InputError(f"'{layer.name}' is no volume; only volumes have slices to lay out.")
    return data, np.array(layer_voxel_size(layer)[0][-3:])
