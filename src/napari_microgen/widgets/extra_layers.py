"""Layers that show where a number comes from: flux, triple-phase boundary, what percolates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.io.layers import phase_colormap
from napari_microgen.metrics.sides import memory_needed
from napari_microgen.metrics.surfaces import triple_phase_points
from napari_microgen.metrics.transport import percolating_cluster, transport_steps
from napari_microgen.phases import Phase, PhaseImage
from napari_microgen.resources import check_memory
from napari_microgen.training.device import measuring_device

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Layer
    from napari.types import LayerDataTuple

    from napari_microgen.metrics._steps import Step
    from napari_microgen.phases import Zero

    Making = Generator[Step, None, "Made"]

MAX_POINTS = 200_000
"""Points that are shown of a triple-phase boundary; of more, a random share."""

PINK = "#ff3d7f"
PERCOLATES = (Phase(1, "percolating", "#56b4e9"), Phase(2, "not percolating", "#d55e00"))


@dataclass(frozen=True)
class Wanted:
    """A layer to make.

    Attributes
    ----------
    what : str
        One of `MAKERS`.
    layer : Layer
        What to make it of.
    zero : {"phase", "unlabelled"}
        What the label 0 means there.
    phase : int
        Label of the phase.
    axis : int
        Direction, 0 for z.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute diffusion.
    """

    what: str
    layer: Layer
    zero: Zero
    phase: int = 0
    axis: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Made:
    """A layer for the viewer, and a sentence about it."""

    layer: LayerDataTuple
    message: str


def extra_steps(wanted: Wanted) -> Making:
    """Make a layer.

    Raises
    ------
    InputError
        If the image is a section, lacks the phase, there is nothing to show, or memory is short.
    """
    yield 0.0, f"computing {wanted.what} of {wanted.layer.name}"
    image = PhaseImage.from_layer(wanted.layer, zero=wanted.zero).as_labels()
    return (yield from MAKERS[wanted.what](image, wanted))


def _flux(image: PhaseImage, wanted: Wanted) -> Making:
    index, title = _direction(image, wanted)
    needed = memory_needed(image.shape, ["transport"])
    check_memory(needed, "The flux map", "crop the volume")
    flow = yield from transport_steps(
        image.data, index, wanted.axis, voxel_size=image.voxel_size, tolerance=1e-3, flux=True,
        device=measuring_device(wanted.device, needed),
    )  # fmt: skip
    if flow.flux is None or not flow.percolating:
        raise _no_path(image, title)
    top = float(np.quantile(flow.flux[flow.flux > 0], 0.99))
    keywords = {
        "name": f"{image.name}: flux, {title}", "colormap": "inferno",
        "contrast_limits": (0.0, top), **place_of(wanted.layer, image.ndim),
    }  # fmt: skip
    message = f"D_rel of {title} is {flow.d_rel:.4g}; flux is relative to free diffusion."
    return Made((flow.flux, keywords, "image"), message)


def _clusters(image: PhaseImage, wanted: Wanted) -> Making:
    index, title = _direction(image, wanted)
    mask = image.data == index
    through = percolating_cluster(mask, wanted.axis)
    yield 0.5, "percolating clusters"
    labels = np.where(through, 1, np.where(mask, 2, 0)).astype(np.uint8)
    share = float(through.sum() / mask.sum())
    keywords = {
        "name": f"{image.name}: percolation, {title}", "colormap": phase_colormap(PERCOLATES),
        "features": {"index": [p.value for p in PERCOLATES], "name": [p.name for p in PERCOLATES],
                     "share of the phase": [share, 1 - share]},
        **place_of(wanted.layer, image.ndim),
    }  # fmt: skip
    message = f"{share:.1%} of the phase joins both faces ({title})."
    return Made((labels, keywords, "labels"), message)


def _boundary(image: PhaseImage, wanted: Wanted) -> Making:
    points = triple_phase_points(image.data)
    yield 0.5, "triple-phase boundary"
    found = len(points)
    if not found:
        raise InputError(f"Nowhere in '{image.name}' do three phases meet.")
    if found > MAX_POINTS:
        points = np.random.default_rng(0).choice(points, MAX_POINTS, replace=False)
    keywords = {
        "name": f"{image.name}: triple-phase boundary", "size": 1.0, "face_color": PINK,
        "border_color": PINK, **place_of(wanted.layer, image.ndim),
    }  # fmt: skip
    message = f"{found:,} voxel {'edges' if image.ndim == 3 else 'corners'} touch three phases"
    message += f"; {MAX_POINTS:,} of them are shown." if found > MAX_POINTS else "."
    return Made((points, keywords, "points"), message)


MAKERS: dict[str, Callable[[PhaseImage, Wanted], Making]] = {
    "flux map": _flux,
    "percolating clusters": _clusters,
    "triple-phase boundary": _boundary,
}
"""What can be made."""

DIRECTED = ("flux map", "percolating clusters")
"""What asks for a phase and an axis."""


def _direction(image: PhaseImage, wanted: Wanted) -> tuple[int, str]:
    """Return the phase's index and a title; refuse sections and absent phases."""
    if image.ndim == 2:
        raise InputError(
            f"'{image.name}' is a section, which does not show how a phase is connected in the "
            "volume; choose a volume."
        )
    index = next((i for i, p in enumerate(image.phases) if p.value == wanted.phase), None)
    if index is None:
        raise InputError(f"The phase with the label {wanted.phase} is absent in '{image.name}'.")
    return index, f"{image.phases[index].name} along {'zyx'[wanted.axis]}"


def _no_path(image: PhaseImage, title: str) -> InputError:
    return InputError(
        f"No path leads from face to face through {title} in '{image.name}': it does not "
        "percolate, so there is no flux to show."
    )


def place_of(layer: Layer, ndim: int) -> dict[str, Any]:
    """Return keywords that put a layer of so many axes where another one is."""
    place = {
        "scale": layer.scale[-ndim:], "translate": layer.translate[-ndim:],
        "units": layer.units[-ndim:], "axis_labels": layer.axis_labels[-ndim:],
    }  # fmt: skip
    if layer.ndim == ndim:
        place |= {"rotate": layer.rotate, "shear": layer.shear, "affine": layer.affine}
    return place
