"""Samples with known truth for File > Open Sample: seeded, quick to make, nothing to download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.phases import PALETTE, Phase, PhaseImage
from napari_microgen.sample_processes import (
    COARSENESS,
    ELECTRODE_FRACTIONS,
    FIBRE_FRACTIONS,
    POLYCRYSTAL_FRACTIONS,
    SPHERES_FRACTIONS,
    cathode,
    coarse_cathode,
    electrode,
    electrode_sem,
    fibres,
    polycrystal,
    spheres,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_microgen.phases import Kind

__all__ = [
    "SAMPLES",
    "Material",
    "Part",
    "cathode",
    "coarse_cathode",
    "electrode",
    "electrode_sem",
    "fibres",
    "open_cathode",
    "open_electrode",
    "open_electrode_sem",
    "open_fibres",
    "open_polycrystal",
    "open_sample",
    "open_spheres",
    "polycrystal",
    "sample_image",
    "spheres",
]  # fmt: skip

if TYPE_CHECKING:
    LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class Part:
    """One layer of a sample: a section or the volume.

    Attributes
    ----------
    name : str
        What it shows.
    shape : tuple of int
        Voxels along z, y, x; a section has a 1 along its normal.
    make : callable
        The process: ``make(shape, seed)`` gives the array.
    realisation : int
        Added to the seed; parts with the same one show the same piece of material.
    kind : {"labels", "grey"}
        What the values mean.
    coarseness : int
        Edge of a voxel in voxels of the material.
    invisible : tuple of int
        Labels of the material that the part does not show.
    """

    name: str
    shape: tuple[int, int, int]
    make: Callable[[Sequence[int], int], NDArray[np.uint8]]
    realisation: int = 0
    kind: Kind = "labels"
    coarseness: int = 1
    invisible: tuple[int, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes that are longer than 1."""
        return tuple(a for a, n in zip("zyx", self.shape, strict=True) if n > 1)

    def array(self, seed: int) -> NDArray[np.uint8]:
        """Make the values, with the axes `axes`."""
        return self.make(self.shape, seed + self.realisation).squeeze()


@dataclass(frozen=True)
class Material:
    """A sample: what it is made of and which parts of it are shown.

    Attributes
    ----------
    title : str
        Name for menus and layers.
    phases : tuple of Phase
        Labels with names and colours.
    fractions : tuple of float
        True volume fraction of every phase.
    voxel_size : float
        Edge length of the cubic voxel, in `unit`.
    unit : str
    parts : tuple of Part
        The first is what one would train on.
    """

    title: str
    phases: tuple[Phase, ...]
    fractions: tuple[float, ...]
    voxel_size: float
    unit: str
    parts: tuple[Part, ...]


_ELECTRODE_PHASES = tuple(
    Phase(i, name, PALETTE[i]) for i, name in enumerate(("pore", "particle", "binder"))
)

SAMPLES: dict[str, Material] = {
    "electrode": Material(
        "Battery electrode", _ELECTRODE_PHASES, ELECTRODE_FRACTIONS, 50.0, "nm",
        (
            Part("section", (1, 512, 512), electrode),
            Part("volume", (128, 128, 128), electrode, realisation=1),
        ),
    ),
    "fibres": Material(
        "Fibre composite", (Phase(0, "matrix", PALETTE[0]), Phase(1, "fibre", PALETTE[3])),
        FIBRE_FRACTIONS, 0.6, "um",
        (
            # A plane along the fibres crosses few of them; these two cross about half matrix.
            Part("section normal to z", (1, 256, 256), fibres, realisation=44),
            Part("section normal to y", (256, 1, 256), fibres, realisation=75),
            Part("section normal to x", (256, 256, 1), fibres, realisation=0),
            Part("volume", (128, 128, 128), fibres, realisation=3),
        ),
    ),
    "polycrystal": Material(
        "Dual-phase polycrystal",
        (Phase(1, "ferrite", "#b8c4d6"), Phase(2, "martensite", "#7a2e1f")),
        POLYCRYSTAL_FRACTIONS, 0.4, "um",
        (
            Part("section", (1, 512, 512), polycrystal),
            Part("volume", (128, 128, 128), polycrystal, realisation=1),
        ),
    ),
    "spheres": Material(
        "Sphere electrode", _ELECTRODE_PHASES, SPHERES_FRACTIONS, 50.0, "nm",
        (
            Part("section", (1, 512, 512), spheres),
            Part("volume", (128, 128, 128), spheres, realisation=1),
        ),
    ),
    "cathode": Material(
        "Battery cathode", _ELECTRODE_PHASES, ELECTRODE_FRACTIONS, 50.0, "nm",
        (
            Part("fine section", (1, 512, 512), cathode),
            Part(
                "coarse volume", (48, 48, 48), coarse_cathode, realisation=1,
                coarseness=COARSENESS, invisible=(2,),
            ),
            Part("true fine volume", (192, 192, 192), cathode, realisation=1),
        ),
    ),
    "electrode_sem": Material(
        "Battery electrode, SEM", _ELECTRODE_PHASES, ELECTRODE_FRACTIONS, 50.0, "nm",
        (
            Part("grey section", (1, 512, 512), electrode_sem, kind="grey"),
            Part("true phases of the section", (1, 512, 512), electrode),
        ),
    ),
}  # fmt: skip
"""The samples by name."""


def sample_image(name: str, part: str | None = None, seed: int = 0) -> PhaseImage:
    """Return a part of a sample as an image to learn from; by default the first part.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.
    part : str, optional
        One of the names of its parts, such as ``"volume"``.
    seed : int
        Which realisation of the material.

    Raises
    ------
    InputError
        If there is no such sample or part.
    """
    material = _material(name)
    known = {p.name: p for p in material.parts}
    chosen = material.parts[0] if part is None else known.get(part)
    if chosen is None:
        raise InputError(f"The sample '{name}' has no '{part}'; it has {', '.join(known)}.")
    common: dict[str, Any] = {
        "voxel_size": (chosen.coarseness * material.voxel_size,) * len(chosen.axes),
        "unit": material.unit,
        "name": f"{material.title}: {chosen.name}",
    }  # fmt: skip
    if chosen.kind == "grey":
        return PhaseImage.from_grey(chosen.array(seed), **common)
    return PhaseImage.from_labels(
        chosen.array(seed),
        names={p.value: p.name for p in material.phases},
        colors={p.value: p.color for p in material.phases},
        **common,
    )


def open_sample(name: str, seed: int = 0) -> list[LayerData]:
    """Return every part of a sample as a napari layer; the one to train on is last, on top.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.
    seed : int
        Which realisation of the material.

    Raises
    ------
    InputError
        If there is no such sample.
    """
    material = _material(name)
    layers = [_layer(name, material, part, seed) for part in material.parts]
    layers[0][1]["visible"] = True
    return layers[::-1]


def open_electrode() -> list[LayerData]:
    """Return the layers of the electrode."""
    return open_sample("electrode")


def open_fibres() -> list[LayerData]:
    """Return the layers of the fibre composite."""
    return open_sample("fibres")


def open_polycrystal() -> list[LayerData]:
    """Return the layers of the polycrystal."""
    return open_sample("polycrystal")


def open_spheres() -> list[LayerData]:
    """Return the layers of the electrode of spheres."""
    return open_sample("spheres")


def open_cathode() -> list[LayerData]:
    """Return the layers of the cathode: fine section, coarse volume, true fine volume."""
    return open_sample("cathode")


def open_electrode_sem() -> list[LayerData]:
    """Return the layers of the electrode as a microscope sees it."""
    return open_sample("electrode_sem")


def _material(name: str) -> Material:
    if name not in SAMPLES:
        raise InputError(f"There is no sample '{name}'; known are {', '.join(SAMPLES)}.")
    return SAMPLES[name]


def _layer(name: str, material: Material, part: Part, seed: int) -> LayerData:
    from napari_microgen.io.layers import METADATA_KEY, phase_colormap

    data = part.array(seed)
    ndim = len(part.axes)
    origin = {"sample": name, "part": part.name, "seed": seed, "true fractions": material.fractions}
    keywords: dict[str, Any] = {
        "name": f"{material.title}: {part.name}",
        "scale": (part.coarseness * material.voxel_size,) * ndim,
        # napari counts from the middle of the first voxel, which is farther in in coarse parts.
        "translate": ((part.coarseness - 1) / 2 * material.voxel_size,) * ndim,
        "units": (material.unit,) * ndim,
        "axis_labels": part.axes,
        "visible": False,
        "metadata": {METADATA_KEY: origin},
    }
    if part.kind == "grey":
        return data, keywords, "image"
    phases = [p for p in material.phases if p.value not in part.invisible]
    keywords["colormap"] = phase_colormap(phases)
    keywords["features"] = {
        "index": [p.value for p in phases],
        "name": [p.name for p in phases],
        "volume fraction": [float(np.mean(data == p.value)) for p in phases],
    }
    return data, keywords, "labels"
