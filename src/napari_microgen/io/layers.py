"""Between napari layers and our types: generated samples out, phases and voxel sizes in."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.phases import different_values, name_phases
from napari_microgen.units import short_unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.layers import Layer
    from napari.types import LayerDataTuple
    from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

    from napari_microgen.methods.base import Sample
    from napari_microgen.phases import Phase

METADATA_KEY = "microgen"
"""Key of `layer.metadata` under which a generated layer says where it comes from."""

LARGEST_DIRECT = 2**15
"""Largest label that napari colours from a table of colours without numba, whatever the signs."""

# ---------------------------------------------------------------------- samples to layers


def sample_layers(
    sample: Sample,
    name: str = "generated",
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> list[LayerDataTuple]:
    """Return the layers that show a generated volume, the volume itself last and thus on top.

    Parameters
    ----------
    sample : Sample
        What it holds is shown: its volume, and where they were kept its confidence, its entropy
        and every phase's probability (all hidden at first).
    name : str
        Name of the volume's layer; the others' names begin with it.
    columns : mapping from str to sequence, optional
        More columns for the table of phases, one entry per phase; the table always has the
        label (``index``), the name and the volume fraction.

    Returns
    -------
    list of LayerDataTuple
        ``(data, keywords, layer type)``, as napari's ``Layer.create`` takes them.
    """
    common: dict[str, Any] = {
        "scale": sample.voxel_size,
        "units": (sample.unit,) * 3,
        "axis_labels": ("z", "y", "x"),
        "metadata": {METADATA_KEY: dict(sample.provenance)},
    }
    if sample.place is not None:
        common["translate"] = sample.place
    maps = {f"{name} confidence": sample.confidence} if sample.confidence is not None else {}
    if sample.entropy is not None:
        maps[f"{name} entropy"] = sample.entropy
    if sample.probabilities is not None:
        for phase, values in zip(sample.phases, sample.probabilities, strict=True):
            maps[f"{name} probability of {phase.name}"] = values
    share: dict[str, Any] = {"contrast_limits": (0.0, 1.0), "colormap": "viridis", "visible": False}
    layers: list[LayerDataTuple] = [
        (values, {"name": title, **share, **common}, "image") for title, values in maps.items()
    ]
    options = {"name": name, **common}
    if sample.kind == "numbered":
        layers.append((sample.data, {"features": dict(sample.table), **options}, "labels"))
        return layers
    if sample.kind != "labels":
        layers.append((sample.data, {"rgb": sample.kind == "colour", **options}, "image"))
        return layers
    options["colormap"] = phase_colormap(sample.phases)
    options["features"] = {**phase_table(sample), **(columns or {})}
    layers.append((sample.data, options, "labels"))
    return layers


def phase_table(sample: Sample) -> dict[str, list[Any]]:
    """Return label (``index``), name and volume fraction of every phase of a label volume."""
    fractions = [float(np.mean(sample.data == phase.value)) for phase in sample.phases]
    return {
        "index": [phase.value for phase in sample.phases],
        "name": [phase.name for phase in sample.phases],
        "volume fraction": fractions,
    }


def phase_colormap(phases: Sequence[Phase]) -> DirectLabelColormap | CyclicLabelColormap:
    """Return a napari colormap that gives every phase its colour, the phase 0 too.

    Labels beyond `LARGEST_DIRECT` get napari's own colours.
    """
    from napari.utils.colormaps import DirectLabelColormap, label_colormap

    if any(abs(phase.value) > LARGEST_DIRECT for phase in phases):
        return label_colormap()
    colors: dict[int | None, Any] = {phase.value: phase.color for phase in phases}
    return DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **colors})


# ---------------------------------------------------------------------- layers to our types


def layer_voxel_size(layer: Layer) -> tuple[tuple[float, ...], str]:
    """Return edge lengths along the axes of a napari layer, and the unit of the last three.

    What stands for an axis in front of those, of time or steps, is no length and left as it is.
    Some programs say the voxel size in the layer's affine transform and not in its scale.

    Raises
    ------
    InputError
        If one axis is measured in pixels and another in a length.
    """
    factors = np.linalg.norm(layer.affine.linear_matrix @ layer.rotate, axis=0)
    # Rounded, so that rotations leave lengths as they are.
    sizes = [float(f"{abs(s) * f:.9g}") for s, f in zip(layer.scale, factors, strict=True)]
    unit, units = layer.units[-1], layer.units[-3:]
    if any(u != unit for u in units):
        try:
            sizes[-3:] = [
                float((s * u).to(unit).magnitude) for s, u in zip(sizes[-3:], units, strict=True)
            ]
        except TypeError:  # pint's DimensionalityError
            raise InputError(
                f"'{layer.name}' mixes units ({', '.join(str(u) for u in units)}); give all its "
                "axes units of length."
            ) from None
    return tuple(sizes), short_unit(str(unit)) or str(unit)


def layer_phases(layer: Layer, values: Iterable[int] | None = None) -> tuple[Phase, ...]:
    """Return the phases of a napari Labels layer.

    Parameters
    ----------
    layer : napari.layers.Labels
        Names are read from its features, where there are the columns ``index`` and ``name``,
        colours from its colormap.
    values : iterable of int, optional
        The labels in question; default all that occur.
    """
    if values is None:
        values = different_values(np.asarray(layer.data))
    values = [int(v) for v in values]
    # Not layer.get_color, which hides the colour of 0 and of labels that are not selected.
    colormap = layer.colormap.model_copy(update={"use_selection": False})
    colors = {v: colormap.map(v) for v in values}
    opaque = {v: _hex(color) for v, color in colors.items() if color[3] > 0}
    return name_phases(values, _layer_names(layer), opaque)


def _layer_names(layer: Layer) -> dict[int, str]:
    features = layer.features
    if "index" not in features or "name" not in features:
        return {}
    rows = zip(features["index"], features["name"], strict=True)
    named = [(float(i), n) for i, n in rows if isinstance(i, Real) and isinstance(n, str)]
    return {int(i): n for i, n in named if i.is_integer()}


def _hex(color: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * float(c)):02x}" for c in color[:3])
