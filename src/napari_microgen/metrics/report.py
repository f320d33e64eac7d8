"""Comparing a generated volume with the real image: numbers, curves, fidelity and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.metrics._steps import finish, share
from napari_microgen.metrics.chords import chords
from napari_microgen.metrics.correlations import fft_profile, radial, two_point_maps
from napari_microgen.metrics.fidelity import Fidelity, Reference
from napari_microgen.metrics.pairing import (
    Parts,
    same_classes,
    same_voxel_size,
    section_parts,
    volume_parts,
)
from napari_microgen.metrics.scalars import (
    FAMILIES,
    VOLUME_METRICS,
    VOLUME_ONLY,
    WHOLE_METRICS,
    WHOLE_ONLY,
    Key,
    check_families,
    scalar_steps,
)
from napari_microgen.metrics.sides import SideReport, measure, measure_steps
from napari_microgen.metrics.tables import (
    describe,
    finite_mean,
    finite_share,
    finite_std,
    plain,
    write_csv,
)
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step
    from napari_microgen.phases import Phase, PhaseImage

    Blocks = Mapping[int | None, list[NDArray[np.uint8]]]

__all__ = [
    "Curve", "Report", "Row", "SideReport", "compare", "compare_steps", "measure", "measure_steps",
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One number on both sides.

    Attributes
    ----------
    key : Key
        Which number. On sections its axis is the one they are normal to, or for chords the one
        they run along.
    real, generated : tuple of float
        Its values in every sub-volume or piece of a section, or the one value of the whole volume
        where only that is measured; empty where it was not measured at all.
    """

    key: Key
    real: tuple[float, ...]
    generated: tuple[float, ...]

    @property
    def relative_error(self) -> float:
        """Mean of the generated side over that of the real one, minus 1; NaN if undefined."""
        real, generated = finite_mean(self.real), finite_mean(self.generated)
        return generated / real - 1 if real and np.isfinite([real, generated]).all() else np.nan

    @property
    def std_ratio(self) -> float:
        """Standard deviation of the generated side over that of the real one."""
        real = finite_std(self.real)
        return finite_std(self.generated) / real if real > 0 else np.nan

    @property
    def deviation(self) -> float:
        """Difference of the means in units of the real standard deviation."""
        difference = abs(finite_mean(self.generated) - finite_mean(self.real))
        real = finite_std(self.real)
        return difference / real if real > 0 else np.nan

    def to_dict(self) -> dict[str, Any]:
        """Return means, standard deviations and their comparison as plain JSON types.

        Means and standard deviations are over the parts with a finite value, whose shares are
        given too: a phase that does not percolate in one part has an infinite tortuosity there.
        """
        found: dict[str, Any] = {}
        for side, values in (("real", self.real), ("generated", self.generated)):
            found[f"{side}_mean"] = plain(finite_mean(values))
            found[f"{side}_std"] = plain(finite_std(values))
            found[f"{side}_finite"] = plain(finite_share(values))
        return {
            **found, "relative_error": plain(self.relative_error),
            "std_ratio": plain(self.std_ratio), "deviation": plain(self.deviation),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve of one phase on both sides, with the spread between the real image's parts.

    Attributes
    ----------
    metric : {"s2", "chord", "spectrum"}
        Radial two-point correlation, probability that a chord is at most so long, or Fourier
        profile (see `fft_profile`).
    phase : int
        Index of the phase.
    axis : int or None
        Axis that chords run along.
    x : ndarray, shape (m,)
        Lag or length; of spectra, cycles per unit of length.
    real, real_std, generated : ndarray, shape (m,)
        Mean and standard deviation over the real parts, mean over the generated parts.
    """

    metric: str
    phase: int
    axis: int | None
    x: NDArray[np.float64]
    real: NDArray[np.float64]
    real_std: NDArray[np.float64]
    generated: NDArray[np.float64]

    @property
    def difference(self) -> float:
        """Mean absolute difference of the two sides."""
        return float(np.nanmean(np.abs(self.real - self.generated)))


@dataclass(frozen=True, eq=False)
class Report:
    """A generated volume against the real image.

    Attributes
    ----------
    real, generated : SideReport
        Both images as a whole.
    rows : tuple of Row
        Every number in the sub-volumes (real volume) or pieces of sections (real section); paths
        and bottlenecks, and beside a real section diffusion, in the volumes as a whole.
    curves : tuple of Curve
        Two-point correlations and chord lengths of the same parts.
    part_shape : tuple of int
        Shape of those parts in voxels.
    fidelity : Fidelity or None
        Distance over the real image's own sampling noise; None if it is too small to tell.
    slices : dict from str to ndarray of uint8
        Sections to look at, as phase indices, by title.
    warnings : tuple of str
        What to know before trusting the numbers, a sentence each.
    """

    real: SideReport
    generated: SideReport
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    part_shape: tuple[int, ...]
    fidelity: Fidelity | None
    slices: Mapping[str, NDArray[np.uint8]] = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the real image."""
        return self.real.phases

    def describe(self, row: Row) -> dict[str, str]:
        """Return phase, metric, axis, unit and convention of a row."""
        section = len(self.part_shape) == 2
        return describe(row.key, self.phases, self.real.unit, section=section)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; infinity is "inf", undefined or absent is None."""
        fidelity = self.fidelity.to_dict() if self.fidelity else None
        return {
            "real": self.real.to_dict(),
            "generated": self.generated.to_dict(),
            "fidelity": None if fidelity is None else {n: plain(v) for n, v in fidelity.items()},
            "comparison": [{**self.describe(row), **row.to_dict()} for row in self.rows],
            "curves": [
                {
                    "metric": c.metric, "phase": str(self.phases[c.phase].value),
                    "axis": None if c.axis is None else "zyx"[c.axis],
                    "x": plain(c.x), "real": plain(c.real), "real_std": plain(c.real_std),
                    "generated": plain(c.generated), "difference": plain(c.difference),
                }
                for c in self.curves
            ],
            "part_shape": list(self.part_shape),
            "warnings": list(self.warnings),
        }  # fmt: skip

    def to_csv(self, path: str | Path) -> None:
        """Write one line per number with both sides, its unit and its convention.

        ``real_finite`` and ``generated_finite`` are the shares of parts that means and standard
        deviations are taken over; of tortuosities, those that percolate.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        columns = ("phase", "metric", "direction", "unit", "real_mean", "real_std", "real_finite",
                   "generated_mean", "generated_std", "generated_finite", "relative_error",
                   "std_ratio", "deviation", "convention")  # fmt: skip
        write_csv(path, columns, ({**self.describe(r), **r.to_dict()} for r in self.rows))

    def figure(self, path: str | Path) -> None:
        """Draw one page: sections, violins, and curves with the real one-sigma band.

        Raises
        ------
        RunError
            If the file cannot be written.
        """
        from napari_microgen.metrics.figure import draw_report

        draw_report(self, path)


def compare(
    real: PhaseImage, generated: PhaseImage, metrics: Sequence[str] = FAMILIES, **options: Any
) -> Report:
    """Compare a generated volume with the real image; `options` as in `compare_steps`."""
    return finish(compare_steps(real, generated, metrics, **options))


def compare_steps(
    real: PhaseImage,
    generated: PhaseImage,
    metrics: Sequence[str] = FAMILIES,
    *,
    sections: Sequence[int] | None = None,
    tolerance: float = 1e-3,
    device: str = "cpu",
) -> Generator[Step, None, Report]:
    """Compare a generated volume with the real image step by step.

    A real volume is compared in sub-volumes, but for paths and bottlenecks, which are measured in
    both volumes as a whole. A real section is compared with sections of the generated volume;
    diffusion, paths and bottlenecks then have no real value to stand beside.

    Parameters
    ----------
    real, generated : PhaseImage
        Phases are matched by their values; a phase missing in `generated` counts as absent.
    metrics : sequence of str
        Families to measure, of `FAMILIES`.
    sections : sequence of int, optional
        Take `real` as a section, or a stack of sections, normal to these axes (0 = z). Default:
        a 2D image stands for all three axes, a 3D image is a volume.
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
    Report

    Raises
    ------
    InputError
        If a metric is unknown, the phases or the voxel sizes differ, a volume is compared with a
        generated section, or an image is too small.
    """
    families = check_families(metrics)
    warnings: list[str] = []
    real, generated = same_classes(real, generated)
    if real.ndim == 3 and generated.ndim == 2 and sections is None:
        raise InputError(
            f"'{real.name}' is a volume and '{generated.name}' a section; compare volumes, or a "
            "real section with a generated volume."
        )
    in_sections = real.ndim == 2 or sections is not None
    axes = tuple(sections if sections is not None else range(3)) if generated.ndim == 3 else (0,)
    if any(axis not in (0, 1, 2) for axis in axes) or not axes:
        raise InputError(f"Sections are normal to some of the axes 0, 1 and 2, not {axes}.")
    real, generated = same_voxel_size(real, generated, sections is not None, warnings, axes)

    # First, as it refuses images that are too small.
    if in_sections:
        parts = section_parts(real, generated, axes)
    else:
        parts = volume_parts(real, generated)
    real_families = [f for f in families if not (in_sections and f in VOLUME_ONLY)]
    options: dict[str, Any] = {"tolerance": tolerance, "device": device}
    real_side = yield from share(
        measure_steps(real, real_families, stacked=in_sections, **options), 0.0, 0.15, "real: "
    )
    generated_side = yield from share(
        measure_steps(generated, families, **options), 0.15, 0.4, "generated: "
    )
    in_parts = [f for f in families if f not in WHOLE_ONLY]
    rows = yield from share(_row_steps(parts, real, in_parts, options), 0.4, 0.9, "parts: ")
    rows += _whole_rows(
        real_side.scalars, generated_side.scalars, VOLUME_METRICS if in_sections else WHOLE_METRICS
    )
    curves = tuple(_curves(parts, real, families))
    yield 0.95, "curves"
    fidelity = _fidelity(real, generated, axes if in_sections else None, warnings)
    if in_sections and generated.ndim == 3 and "transport" in families:
        warnings.append(
            "There is no real volume here: D_rel of the generated volume has nothing to be "
            "checked against, and sections that agree do not vouch for it."
        )
    warnings += [f"Real: {w}" for w in real_side.warnings]
    warnings += [f"Generated: {w}" for w in generated_side.warnings]
    yield 1.0, "fidelity"
    return Report(
        real_side, generated_side, tuple(rows), curves, parts.shape, fidelity,
        _slices(real, generated, in_sections), tuple(dict.fromkeys(warnings)),
    )  # fmt: skip


def _row_steps(
    parts: Parts, image: PhaseImage, families: Sequence[str], options: Mapping[str, Any]
) -> Generator[Step, None, list[Row]]:
    """Measure every part; yield progress, return the rows."""
    sizes = image.voxel_size[-len(parts.shape) :]
    sides: list[dict[Key, list[float]]] = [{}, {}]
    work = [
        (values, normal, block)
        for values, side in zip(sides, (parts.real, parts.generated), strict=True)
        for normal, blocks in side.items()
        for block in blocks
    ]
    for i, (values, normal, block) in enumerate(work):
        steps = scalar_steps(
            block, image.n_phases, families, voxel_size=sizes,
            names=[p.name for p in image.phases], **options,
        )  # fmt: skip
        found = yield from share(steps, i / len(work), (i + 1) / len(work))
        _collect(values, found, normal)
    real, generated = sides
    keys = dict.fromkeys((*real, *generated))
    return [Row(k, tuple(real.get(k, ())), tuple(generated.get(k, ()))) for k in keys]


def _collect(
    values: dict[Key, list[float]], found: Mapping[Key, float], normal: int | None
) -> None:
    """Add a part's numbers; on sections, tell them apart by axis of the volume."""
    for key, value in found.items():
        axis = key.axis
        if normal is not None:
            inside = [a for a in range(3) if a != normal]
            axis = normal if axis is None else inside[axis]
        values.setdefault(key._replace(axis=axis), []).append(value)


def _whole_rows(
    real: Mapping[Key, float], generated: Mapping[Key, float], metrics: Sequence[str]
) -> list[Row]:
    """Return the rows of what is measured in whole volumes."""
    sides = (real, generated)
    keys = [k for k in dict.fromkeys((*real, *generated)) if k.metric in metrics]
    return [Row(k, *((side[k],) if k in side else () for side in sides)) for k in keys]


def _curves(parts: Parts, image: PhaseImage, families: Sequence[str]) -> Iterator[Curve]:
    """Average the curves of all parts: S2 over all, chords by the axis they run along."""
    n = image.n_phases
    sizes = image.voxel_size[-len(parts.shape) :]
    sides = (parts.real, parts.generated)
    if "s2" in families:
        found = [[_radial_curves(block, n, sizes) for _, block in _each(side)] for side in sides]
        stacks = [np.stack([values for _, values in side]) for side in found]
        yield from _phase_curves("s2", None, found[0][0][0], stacks)
        if np.ptp(sizes) < 1e-6 * max(sizes):
            yield from _spectra(sides, n, sizes[0])
    if "chords" in families:
        reach = min(64, min(parts.shape) // 2)
        for axis in range(3):
            held = [list(_along(side, axis)) for side in sides]
            lines = [[_chord_curves(block, n, k, reach) for k, block in side] for side in held]
            if all(lines):
                x = np.arange(reach + 1, dtype=float) * sizes[held[0][0][0]]
                yield from _phase_curves("chord", axis, x, [np.stack(s) for s in lines])


def _each(side: Blocks) -> Iterator[tuple[int | None, NDArray[np.uint8]]]:
    for normal, blocks in side.items():
        for block in blocks:
            yield normal, block


def _along(side: Blocks, axis: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the blocks that hold an axis of the volume, and which of their own axes it is."""
    for normal, block in _each(side):
        held = [a for a in range(3) if a != normal]
        if axis in held:
            yield held.index(axis), block


def _phase_curves(
    metric: str, axis: int | None, x: NDArray[np.float64], stacks: Sequence[NDArray[np.float64]]
) -> Iterator[Curve]:
    (real, generated), spread = (_nan_mean(s) for s in stacks), stacks[0]
    std = np.sqrt(_nan_mean((spread - real) ** 2))
    for k in range(len(real)):
        yield Curve(metric, k, axis, x, real[k], std[k], generated[k])


def _radial_curves(
    block: NDArray[np.uint8], n_phases: int, sizes: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    maps = two_point_maps(block, n_phases, exact=False)
    return radial(maps, block.ndim, voxel_size=sizes)


def _spectra(sides: Sequence[Blocks], n_phases: int, size: float) -> Iterator[Curve]:
    """Average the Fourier profiles of all sections (paper 001, figure 18)."""
    stacks = [np.stack([_profile(b, n_phases) for _, b in _each(side)]) for side in sides]
    if not all(np.isfinite(stack).any() for stack in stacks):
        return
    side = min(next(_each(sides[0]))[1].shape)
    frequencies = np.arange(1, side // 2 + 1) / (side * size)
    yield from _phase_curves("spectrum", None, frequencies, stacks)


def _profile(block: NDArray[np.uint8], n_phases: int) -> NDArray[np.float64]:
    """Return the profile of a section, or of a volume's sections along its three axes, from 1."""
    if (block == UNLABELLED).any():  # their edges would be heard at every frequency
        return np.full((n_phases, min(block.shape) // 2), np.nan)
    if block.ndim == 2:
        return fft_profile(block, n_phases)[:, 1:]
    side = min(block.shape)
    cube = block[:side, :side, :side]
    turned = [fft_profile(np.moveaxis(cube, axis, 0), n_phases) for axis in range(3)]
    return np.asarray(np.mean(turned, axis=0)[:, 1:])


def _chord_curves(
    block: NDArray[np.uint8], n_phases: int, axis: int, reach: int
) -> NDArray[np.float64]:
    """Return the probability that a chord has at most so many voxels."""
    return 1 - chords(block, n_phases, axis).survival()[:, 1 : reach + 2]


def _fidelity(
    real: PhaseImage,
    generated: PhaseImage,
    axes: Sequence[int] | None,
    warnings: list[str],
) -> Fidelity | None:
    if axes is None:
        images = {axis: real.sections(axis) for axis in range(3)}
    else:
        images = dict.fromkeys(axes, real)
    volume = generated.data[None] if generated.ndim == 2 else generated.data
    try:
        return Reference(images).score([volume])
    except InputError as error:
        warnings.append(f"No fidelity: {error}")
        return None


def _slices(
    real: PhaseImage, generated: PhaseImage, in_sections: bool
) -> dict[str, NDArray[np.uint8]]:
    def middle(data: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
        return np.asarray(data.take(data.shape[axis] // 2, axis=axis))

    pictures = {"real": middle(real.data, 0) if real.ndim == 3 else real.data}
    if generated.ndim == 2:
        pictures["generated"] = generated.data
    else:
        for axis, name in enumerate("zyx"):
            pictures[f"generated, normal to {name}"] = middle(generated.data, axis)
    return pictures


def _nan_mean(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    good = np.isfinite(stack)
    sums = np.where(good, stack, 0).sum(axis=0)
    return np.asarray(np.where(good.any(axis=0), sums / np.maximum(good.sum(axis=0), 1), np.nan))
