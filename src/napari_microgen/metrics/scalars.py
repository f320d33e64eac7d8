"""Every scalar that a report holds: its name, unit and convention, and how it is computed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_microgen.errors import InputError
from napari_microgen.metrics._steps import share
from napari_microgen.metrics.bottlenecks import constrictivity_steps
from napari_microgen.metrics.chords import mean_chords
from napari_microgen.metrics.fractions import volume_fractions
from napari_microgen.metrics.paths import geodesic_steps
from napari_microgen.metrics.surfaces import (
    interphase_areas,
    ssa,
    ssa_faces,
    triple_phase_boundary,
)
from napari_microgen.metrics.transport import transport_steps

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step

    Numbers = Iterator[tuple["Key", float]]
    Task = Generator[Step, None, dict["Key", float]]

FAMILIES = ("surfaces", "tpb", "chords", "s2", "transport", "geodesic", "constrictivity")
"""What can be asked for; volume fractions come always."""

CHEAP = ("surfaces", "tpb", "chords", "s2")
"""Families that take about a second at 128^3 voxels; the others take several each."""

VOLUME_ONLY = ("transport", "geodesic", "constrictivity")
"""Families that a section says nothing about."""

WHOLE_ONLY = ("geodesic", "constrictivity")
"""Families that are not measured in sub-volumes, which cut most bottlenecks and detours."""

VOLUME_METRICS = ("d_rel", "tortuosity_factor", "geodesic_tortuosity", "constrictivity")
"""The scalars of families that sections say nothing about."""

WHOLE_METRICS = ("geodesic_tortuosity", "constrictivity")
"""The scalars of families that are not measured in sub-volumes."""

ALONG = ("mean_chord", *VOLUME_METRICS)
"""The scalars that have a direction; the others differ by axis only in sections normal to it."""


@dataclass(frozen=True)
class Definition:
    """What a number means.

    Attributes
    ----------
    unit : str
        Unit in terms of the voxel size's own unit, which stands for ``{unit}``; "" for none.
    convention : str
        How it is defined.
    section : str
        How it is defined on a section; "" if in the same way.
    """

    unit: str
    convention: str
    section: str = ""


DEFINITIONS = {
    "volume_fraction": Definition("", "voxels of the phase / labelled voxels"),
    "ssa": Definition(
        "1/{unit}",
        "surface per volume, Crofton's formula in 13 directions (unbiased)",
        "perimeter per area, Crofton's formula in 4 directions (unbiased)",
    ),
    "ssa_faces": Definition(
        "1/{unit}",
        "area of voxel faces per volume (1.5 times that of a smooth isotropic surface)",
        "length of pixel edges per area (4/pi times that of a smooth isotropic line)",
    ),
    "interphase_area": Definition(
        "1/{unit}", "area of voxel faces between two phases per volume", "length per area"
    ),
    "tpb_density": Definition(
        "1/{unit}^2",
        "length of voxel edges with three phases per volume (1.5 times that of a smooth line)",
        "corners with three phases per area",
    ),
    "tpb_fraction": Definition("", "share of interior voxel edges with three phases"),
    "mean_chord": Definition("{unit}", "mean chord length, phi / (T/2)"),
    "d_rel": Definition("", "effective over free diffusivity, steady diffusion, mirror sides"),
    "tortuosity_factor": Definition("", "volume fraction / d_rel"),
    "geodesic_tortuosity": Definition("", "mean shortest path over straight, 26 neighbours"),
    "constrictivity": Definition("", "(r_min / r_max)^2 after Muench and Holzer"),
}
"""Every scalar by name."""


class Key(NamedTuple):
    """Which number: its name, the phases it belongs to (by index), and its axis, if any."""

    metric: str
    phases: tuple[int, ...] = ()
    axis: int | None = None


def check_families(families: Sequence[str]) -> tuple[str, ...]:
    """Return the families in their own order.

    Raises
    ------
    InputError
        If one is unknown.
    """
    for name in families:
        if name not in FAMILIES:
            raise InputError(f"There is no metric '{name}'; choose among {', '.join(FAMILIES)}.")
    return tuple(name for name in FAMILIES if name in families)


def scalar_steps(
    data: NDArray[np.uint8],
    n_phases: int,
    families: Sequence[str],
    *,
    voxel_size: Sequence[float],
    periodic: bool | Sequence[bool] = False,
    tolerance: float = 1e-3,
    device: str = "cpu",
    names: Sequence[str] = (),
) -> Generator[Step, None, dict[Key, float]]:
    """Measure step by step: yield the share done and what was measured, return the numbers.

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices, 255 unlabelled; ``(y, x)`` or ``(z, y, x)``.
    n_phases : int
        Number of phases.
    families : sequence of str
        Some of `FAMILIES`.
    voxel_size : sequence of float
        Edge lengths of a voxel.
    periodic : bool or sequence of bool
        Axes along which the image repeats.
    tolerance : float
        Relative error of relative diffusivities.
    device : str
        Torch device for diffusion.
    names : sequence of str
        What to call the phases in the words that are yielded; default by number.

    Returns
    -------
    dict from Key to float
        What is undefined, such as the chord of an absent phase, is left out.
    """
    found: dict[Key, float] = {}
    titles = list(names) or [f"phase {k}" for k in range(n_phases)]
    tasks = list(_tasks(data, titles, families, voxel_size, periodic, tolerance, device))
    total, done = sum(SECONDS[family] for family, _, _ in tasks), 0.0
    for family, what, task in tasks:
        start, done = done, done + SECONDS[family]
        numbers = yield from share(task, start / total, done / total, f"{what}, ")
        found.update({key: float(value) for key, value in numbers.items()})
        yield done / total, what
    return found


SECONDS = {
    "volume_fraction": 0.01, "surfaces": 0.2, "tpb": 0.05, "chords": 0.05, "transport": 0.7,
    "geodesic": 0.3, "constrictivity": 1.0,
}  # fmt: skip
"""About how long a task of each family takes at 128^3 voxels, for the progress."""


def _tasks(
    data: NDArray[np.uint8],
    names: Sequence[str],
    families: Sequence[str],
    voxel_size: Sequence[float],
    periodic: bool | Sequence[bool],
    tolerance: float,
    device: str,
) -> Iterator[tuple[str, str, Task]]:
    """Yield what is to be measured, the quick families first: family, words, how."""
    options: dict[str, Any] = {"voxel_size": voxel_size, "periodic": periodic}
    n_phases = len(names)
    fractions = volume_fractions(data, n_phases)
    present = [k for k in range(n_phases) if fractions[k] > 0]

    def surfaces() -> Numbers:
        yield from _by_phase("ssa", ssa(data, n_phases, **options))
        yield from _by_phase("ssa_faces", ssa_faces(data, n_phases, **options))
        areas = interphase_areas(data, n_phases, **options)
        for i, j in itertools.combinations(range(n_phases), 2):
            yield Key("interphase_area", (i, j)), areas[i, j]

    def tpb() -> Numbers:
        lines = triple_phase_boundary(data, **options)
        yield Key("tpb_density"), lines.density
        yield Key("tpb_fraction"), lines.fraction

    def chords() -> Numbers:
        lengths = mean_chords(data, n_phases, **options)
        for k in present:
            for axis in range(data.ndim):
                yield Key("mean_chord", (k,), axis), lengths[k, axis]

    def diffusion(k: int, axis: int) -> Task:
        steps = transport_steps(data, k, axis, **options, tolerance=tolerance, device=device)
        flow = yield from steps
        return {
            Key("d_rel", (k,), axis): flow.d_rel,
            Key("tortuosity_factor", (k,), axis): flow.tortuosity_factor,
        }

    def paths(k: int, axis: int) -> Task:
        found = yield from geodesic_steps(data, k, axis, **options)
        return {Key("geodesic_tortuosity", (k,), axis): found.mean}

    def bottlenecks(k: int) -> Task:
        found = yield from constrictivity_steps(data, k, **options)
        values = found.values if found else ()
        return {Key("constrictivity", (k,), axis): value for axis, value in enumerate(values)}

    yield "volume_fraction", "volume fractions", _at_once(_by_phase("volume_fraction", fractions))
    if "surfaces" in families:
        yield "surfaces", "surfaces", _at_once(surfaces())
    if "tpb" in families:
        yield "tpb", "triple-phase boundary", _at_once(tpb())
    if "chords" in families:
        yield "chords", "chords", _at_once(chords())
    if data.ndim == 2:
        return
    for k, axis in itertools.product(present, range(3)):
        where = f"{names[k]} along {'zyx'[axis]}"
        if "transport" in families:
            yield "transport", f"diffusion through {where}", diffusion(k, axis)
        if "geodesic" in families and data.shape[axis] > 1:
            yield "geodesic", f"paths through {where}", paths(k, axis)
    for k in present if "constrictivity" in families else ():
        yield "constrictivity", f"bottlenecks of {names[k]}", bottlenecks(k)


def _at_once(numbers: Numbers) -> Task:
    """Return what is quick to measure as a task of no steps."""
    yield from ()
    return dict(numbers)


def _by_phase(metric: str, values: NDArray[np.float64]) -> Numbers:
    for k, value in enumerate(values):
        yield Key(metric, (k,)), value
