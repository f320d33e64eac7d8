"""Measuring one image: every number, its two-point correlation, and what to be wary of."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.metrics._steps import finish, share
from napari_microgen.metrics.correlations import radial, two_point_steps
from napari_microgen.metrics.representativity import (
    Representativity,
    largest_lag,
    representativity_of,
)
from napari_microgen.metrics.scalars import (
    ALONG,
    FAMILIES,
    VOLUME_ONLY,
    Key,
    check_families,
    scalar_steps,
)
from napari_microgen.metrics.tables import describe, finite_mean, phase_labels, plain, write_csv
from napari_microgen.units import length_text

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step
    from napari_microgen.phases import Phase, PhaseImage

MAX_SECTIONS = 27
"""Largest number of sections of a stack that are measured."""

FEW_VOXELS = 4.0
"""Mean chord, in voxels, below which surfaces, diffusion and bottlenecks mean little."""


@dataclass(frozen=True, eq=False)
class SideReport:
    """What was measured on one image.

    Attributes
    ----------
    name : str
        Where the image comes from.
    phases : tuple of Phase
        Its phases.
    ndim : int
        2 where sections were measured, 3 for a volume.
    voxel_size : tuple of float
        Edge lengths of a voxel, in `unit`.
    unit : str
        Unit of length.
    scalars : dict from Key to float
        The numbers, of `DEFINITIONS`; phases are given by index.
    s2_radii, s2 : ndarray
        Radii, shape (m,), and radial two-point correlation of each phase, (n_phases, m).
    representativity : Representativity
        Sampling noise of the volume fractions and the image size that lowers it.
    warnings : tuple of str
        What to know before trusting the numbers, a sentence each.
    """

    name: str
    phases: tuple[Phase, ...]
    ndim: int
    voxel_size: tuple[float, ...]
    unit: str
    scalars: Mapping[Key, float]
    s2_radii: NDArray[np.float64]
    s2: NDArray[np.float64]
    representativity: Representativity
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; infinity is "inf", undefined or absent is None."""
        per_phase = {str(p.value): self._phase_dict(k) for k, p in enumerate(self.phases)}
        pairs = itertools.combinations(range(len(self.phases)), 2)
        curves = {
            str(p.value): plain(self.s2[k]) for k, p in enumerate(self.phases) if k < len(self.s2)
        }
        return {
            "voxel_size": list(self.voxel_size),
            "unit": self.unit,
            "phases": per_phase,
            "interphase_area": {
                phase_labels(self.phases, pair): self._value("interphase_area", pair)
                for pair in pairs
            },
            "tpb_density": self._value("tpb_density"),
            "tpb_fraction": self._value("tpb_fraction"),
            "s2": {"r": plain(self.s2_radii), **curves},
            "warnings": list(self.warnings),
        }

    def to_csv(self, path: str | Path) -> None:
        """Write one line per number, with its unit and convention.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        columns = ("phase", "metric", "direction", "unit", "value", "convention")
        rows = (
            {**self._describe(key), "value": plain(value)}
            for key, value in self.scalars.items()
            if not self._absent(key)
        )
        write_csv(path, columns, rows)

    def _describe(self, key: Key) -> dict[str, str]:
        axes = "zyx"[-self.ndim :]
        return describe(key, self.phases, self.unit, section=self.ndim == 2, axes=axes)

    def _phase_dict(self, k: int) -> dict[str, Any]:
        values: dict[str, Any] = {
            name: self._value(name, (k,)) for name in ("volume_fraction", "ssa", "ssa_faces")
        }
        for name in ALONG:
            values[name] = [self._value(name, (k,), axis) for axis in range(self.ndim)]
        return values

    def _value(self, metric: str, phases: tuple[int, ...] = (), axis: int | None = None) -> Any:
        key = Key(metric, phases, axis)
        return None if self._absent(key) else plain(self.scalars.get(key, np.nan))

    def _absent(self, key: Key) -> bool:
        return any(self.scalars[Key("volume_fraction", (k,))] == 0 for k in key.phases)


def measure(image: PhaseImage, metrics: Sequence[str] = FAMILIES, **options: Any) -> SideReport:
    """Measure an image; `options` are the other parameters of `measure_steps`."""
    return finish(measure_steps(image, metrics, **options))


def measure_steps(
    image: PhaseImage,
    metrics: Sequence[str] = FAMILIES,
    *,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
    tolerance: float = 1e-3,
    device: str = "cpu",
) -> Generator[Step, None, SideReport]:
    """Measure an image step by step.

    Parameters
    ----------
    image : PhaseImage
        2D or 3D; grey and colour images are measured in three classes of equal area.
    metrics : sequence of str
        Families to measure, of `FAMILIES`; diffusion, paths and bottlenecks only in volumes.
    periodic : bool or sequence of bool
        Axes along which the image repeats.
    stacked : bool
        Whether a 3D image is a stack of independent sections along its first axis, which are
        measured in 2D and averaged.
    tolerance : float
        Relative error of relative diffusivities.
    device : str
        Torch device for diffusion and correlations.

    Yields
    ------
    tuple of float and str
        Share done, and what was done.

    Returns
    -------
    SideReport

    Raises
    ------
    InputError
        If a metric is unknown.
    """
    image = image.as_labels()
    families = check_families(metrics)
    stacked = stacked and image.ndim == 3
    n, ndim = image.n_phases, image.ndim - stacked
    sizes = image.voxel_size[-ndim:]
    pieces = spread(image.data, MAX_SECTIONS) if stacked else [image.data]
    found: dict[Key, list[float]] = {}
    for i, piece in enumerate(pieces):
        steps = scalar_steps(
            piece, n, families, voxel_size=sizes, periodic=periodic,
            tolerance=tolerance, device=device, names=[p.name for p in image.phases],
        )  # fmt: skip
        numbers = yield from share(steps, 0.8 * i / len(pieces), 0.8 * (i + 1) / len(pieces))
        for key, value in numbers.items():
            found.setdefault(key, []).append(value)
    scalars = {key: finite_mean(values) for key, values in found.items()}
    correlating = two_point_steps(
        image.data, n, max_lag=largest_lag(image.shape[-ndim:]), periodic=periodic,
        stacked=stacked, exact=False, device=device,
    )  # fmt: skip
    maps = yield from share(correlating, 0.8, 1.0)
    noise = representativity_of(maps, image.data, voxel_size=sizes)
    radii, curves = np.zeros(0), np.zeros((0, 0))
    if "s2" in families:
        radii, curves = radial(maps, ndim, voxel_size=sizes)
    yield 1.0, "two-point correlation"
    report = SideReport(
        image.name, image.phases, ndim, sizes, image.unit, scalars, radii, curves, noise
    )
    return dataclasses.replace(report, warnings=tuple(_warnings(report, families)))


def memory_needed(shape: Sequence[int], metrics: Sequence[str] = FAMILIES) -> int:
    """Return about how many bytes measuring an image takes at most, beside the image itself.

    Measured at 256^3 voxels, nine tenths of which were in the phase.
    """
    lag = largest_lag(shape)
    correlating = 11 * math.prod(n + lag for n in shape)
    slow = [BYTES[f] for f in metrics if len(shape) == 3]
    return max(correlating, math.prod(shape) * max([8, *slow]))


BYTES = {"surfaces": 6, "tpb": 8, "chords": 8, "s2": 0, "transport": 52, "geodesic": 14,
         "constrictivity": 26}  # fmt: skip
"""Largest memory per voxel that each family takes; two-point correlations count by padded voxel."""


def spread(items: Any, count: int) -> list[Any]:
    """Return up to `count` items, evenly spread."""
    chosen = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))
    return [items[i] for i in chosen]


def _warnings(report: SideReport, families: Sequence[str]) -> list[str]:
    result = []
    noise = report.representativity
    if report.ndim == 2 and any(f in families for f in VOLUME_ONLY):
        result.append(
            "Diffusion, paths and bottlenecks were left out: a section does not show how a phase "
            "is connected in the volume."
        )
    if noise.too_small:
        result.append("The image holds too few features to say how representative it is.")
    size = np.array(report.voxel_size)
    for k, phase in enumerate(report.phases):
        fraction = report.scalars[Key("volume_fraction", (k,))]
        if fraction == 0:
            result.append(f"'{phase.name}' is absent.")
            continue
        if noise.standard_errors[k] > 0.05 * fraction:
            result.append(
                f"The image does not represent '{phase.name}': the standard error of its volume "
                f"fraction is {noise.standard_errors[k] / fraction:.0%}; a side of "
                f"{length_text(noise.sides[k], report.unit)} would bring it to 1%."
            )
        keys = [Key("mean_chord", (k,), axis) for axis in range(report.ndim)]
        lengths = [report.scalars.get(key, np.inf) / s for key, s in zip(keys, size, strict=True)]
        if min(lengths) < FEW_VOXELS:
            result.append(
                f"'{phase.name}' is only {min(lengths):.1f} voxels wide on average: its surface, "
                "diffusivity and constrictivity depend on the voxel size."
            )
        blocked = [
            "zyx"[axis] for axis in range(3) if report.scalars.get(Key("d_rel", (k,), axis)) == 0
        ]
        if blocked:
            result.append(
                f"'{phase.name}' does not percolate along {', '.join(blocked)}: no path leads "
                "from face to face, so D_rel is 0 and the tortuosity factor infinite."
            )
    return result
