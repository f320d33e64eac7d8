"""Slices of a volume along z, y and x in one flat picture, to lay beside a real section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_microgen.errors import InputError
from napari_microgen.phases import different_values, smallest_integers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from numpy.typing import NDArray

SLICES = 3
"""Slices along each axis."""

GAP = 8
"""Pixels between slices."""


def slice_gallery(volume: NDArray[Any], fill: Any, count: int = SLICES, gap: int = GAP) -> Any:
    """Lay out evenly spread slices of a volume: a row per axis, z first.

    Parameters
    ----------
    volume : ndarray
        Shape ``(z, y, x)``, or ``(z, y, x, 3)`` with colours.
    fill : scalar
        Value between the slices.
    count : int
        Slices along each axis; fewer if the volume has no more.
    gap : int
        Pixels between slices.

    Returns
    -------
    ndarray
        The picture, in a dtype that holds `fill` too.
    """
    rows = [
        [np.take(volume, i, axis=axis) for i in places(volume.shape[axis], count)]
        for axis in range(3)
    ]
    height = sum(row[0].shape[0] for row in rows) + 2 * gap
    width = max(len(row) * (row[0].shape[1] + gap) - gap for row in rows)
    dtype = np.result_type(volume.dtype, np.min_scalar_type(fill))
    picture = np.full((height, width, *volume.shape[3:]), fill, dtype)
    top = 0
    for row in rows:
        left = 0
        for piece in row:
            h, w = piece.shape[:2]
            picture[top : top + h, left : left + w] = piece
            left += w + gap
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
        The image to stand beside; its colours are for the caller to take over.

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
    fill = _unused(data) if isinstance(generated, Labels) else _darkest(data)
    keywords: dict[str, Any] = {
        "name": f"{generated.name} slices", "scale": sizes[1:],
        "units": generated.units[-2:], "axis_labels": generated.axis_labels[-2:],
        "translate": beside(real, sizes[-1]),
    }  # fmt: skip
    picture = slice_gallery(data, fill)
    if isinstance(generated, Labels):
        return Labels(picture, features=generated.features, **keywords)
    return Image(picture, rgb=generated.rgb, **keywords)


def beside(real: Layer, pixel: float) -> Sequence[float]:
    """Return where a picture stands right of the real image, a gap away."""
    low, high = real.extent.world[:, -2:]
    return (low[0] + pixel / 2, high[1] + (GAP + 0.5) * pixel)


def _volume(layer: Layer) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the values of a volume without leading axes of length 1, and its voxel size."""
    data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    axes = layer.ndim
    while axes > 3 and data.shape[0] == 1:
        data, axes = data[0], axes - 1
    if axes != 3 or 1 in data.shape[:3]:
        raise InputError(f"'{layer.name}' is no volume; only volumes have slices to lay out.")
    return data, np.abs(np.asarray(layer.scale, float))[-3:]


def _unused(labels: NDArray[Any]) -> int:
    """Return the smallest label above all that occur, which phase colours leave transparent."""
    value = int(different_values(labels)[-1]) + 1
    smallest_integers(0, value)  # a label at the limit of its type would have nothing above it
    return value


def _darkest(values: NDArray[Any]) -> Any:
    return values.min()
