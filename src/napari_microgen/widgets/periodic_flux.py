"""Flux with mirror and with periodic sides, and how large a volume has to be; without Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.io.layers import METADATA_KEY, sample_layers
from napari_microgen.metrics._steps import share
from napari_microgen.metrics.periodicity import (
    CLOSE,
    BothSides,
    both_sides_steps,
    convergence_steps,
    seam_mismatch,
)
from napari_microgen.metrics.tables import write_csv
from napari_microgen.phases import PhaseImage, to_indices
from napari_microgen.resources import check_memory

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari.layers import Layer
    from napari.types import LayerDataTuple
    from numpy.typing import NDArray

    from napari_microgen.methods.base import Model, Sample
    from napari_microgen.metrics._steps import Step
    from napari_microgen.metrics.periodicity import Convergence
    from napari_microgen.phases import Phase, Zero

ALL = (True, True, True)

TOLERANCE = 1e-3

SOLVER_BYTES = 80
"""Memory per voxel that solving diffusion takes at most."""

MOST_SIZES = 8
"""Sizes of a convergence at most."""


@dataclass(frozen=True)
class FluxPlan:
    """Diffusion to be solved with both kinds of sides.

    Attributes
    ----------
    layer : Layer or None
        The volume; None for a new one.
    zero : {"phase", "unlabelled"}
        What the label 0 means in the layer.
    model : Model or None
        What a new volume is made from.
    side, seed : int
        Side in voxels and seed of a new volume.
    phase : int
        Label of the phase.
    axis : int
        Direction of diffusion.
    """

    layer: Layer | None
    zero: Zero
    model: Model | None
    side: int
    seed: int
    phase: int
    axis: int


@dataclass(frozen=True, eq=False)
class Flux:
    """What a `FluxPlan` gives.

    Attributes
    ----------
    title : str
        Phase and axis.
    sides : BothSides
    layers : list of LayerDataTuple
        The new volume, if one was made, and the flux maps with mirror and with periodic sides.
    warnings : tuple of str
    """

    title: str
    sides: BothSides
    layers: list[LayerDataTuple]
    warnings: tuple[str, ...]


def flux_steps(plan: FluxPlan) -> Generator[Step, None, Flux]:
    """Solve diffusion with both kinds of sides step by step.

    Raises
    ------
    InputError
        If the volume is not periodic, the phase is absent, or no path leads through it.
    """
    yield 0.0, "reading the volume"
    made: list[LayerDataTuple] = []
    warnings: list[str] = []
    if plan.layer is not None:
        image = PhaseImage.from_layer(plan.layer, zero=plan.zero)
        joined, warnings = joined_sides(plan.layer, image, plan.axis)
        place = {
            "scale": plan.layer.scale[-3:], "translate": plan.layer.translate[-3:],
            "units": plan.layer.units[-3:], "axis_labels": plan.layer.axis_labels[-3:],
        }  # fmt: skip
    else:
        sample = yield from share(_new_volume(plan), 0.0, 0.3)
        made = sample_layers(sample, f"periodic, seed {plan.seed}")[-1:]
        image, joined = sample_image(sample, made[0][1]["name"]), ALL
        place = {k: made[0][1][k] for k in ("scale", "units", "axis_labels")}
    check_memory(image.data.size * SOLVER_BYTES, "Diffusion", "choose a smaller volume")
    index = phase_index(image.phases, plan.phase, image.name)
    title = f"{image.phases[index].name} along {'zyx'[plan.axis]}"
    steps = both_sides_steps(
        image.data, index, plan.axis, joined=joined, voxel_size=image.voxel_size,
        tolerance=TOLERANCE, flux=True,
    )  # fmt: skip
    sides = yield from share(steps, 0.3 * (plan.layer is None), 1.0)
    if not sides.periodic.percolating:
        raise InputError(
            f"No path leads from face to face through {title} in '{image.name}', whatever its "
            "sides: there is no flux to show."
        )
    made += _flux_layers(sides, title, place)
    return Flux(title, sides, made, tuple(warnings))


def _new_volume(plan: FluxPlan) -> Generator[Step, None, Sample]:
    if plan.model is None:
        raise InputError("Choose a periodic volume, or a model to make one from.")
    shape = (plan.side,) * 3
    check_memory(plan.model.bytes_needed(shape), "This volume", "choose a shorter side")
    steps = plan.model.generate_steps(shape, plan.seed, periodic=ALL)
    while True:
        try:
            yield next(steps), "generating"
        except StopIteration as end:
            sample: Sample = end.value
            return sample


def sample_image(sample: Sample, name: str) -> PhaseImage:
    """Return a generated volume with all its phases, whether they occur or not."""
    indices = to_indices(sample.data, sample.phases)
    return PhaseImage("labels", indices, sample.phases, sample.voxel_size, sample.unit, name=name)


def phase_index(phases: Sequence[Phase], value: int, name: str) -> int:
    """Return the index of the phase with a label.

    Raises
    ------
    InputError
        If there is none.
    """
    values = [p.value for p in phases]
    if value not in values:
        raise InputError(f"'{name}' holds no phase with the label {value}; choose another phase.")
    return values.index(value)


def joined_sides(layer: Layer, image: PhaseImage, axis: int) -> tuple[tuple[bool, ...], list[str]]:
    """Return which sides can be joined, and what the user should know.

    Raises
    ------
    InputError
        If the layer says that it is not periodic across the flow.
    """
    across = [i for i in range(3) if i != axis]
    origin = layer.metadata.get(METADATA_KEY)
    told = origin.get("periodic") if isinstance(origin, dict) else None
    if told is None:
        off = ", ".join(f"{'zyx'[i]} {seam_mismatch(image.data, i):.1f}" for i in across)
        return ALL, [
            f"'{image.name}' does not say whether it is periodic; its sides are joined all the "
            f"same. Across them voxels differ more often than inside by these factors: {off}; if "
            "they are far above 1 the result means nothing."
        ]
    if list(origin.get("shape", image.shape)) != list(image.shape):
        raise InputError(
            f"'{image.name}' was cut since it was generated, so its sides no longer fit; generate "
            "a periodic volume of the size you need."
        )
    joined = tuple(bool(p) and i != axis for i, p in enumerate(told))
    names = [f"{'zyx'[i]}" for i in across]
    if not any(joined):
        raise InputError(
            f"'{image.name}' is not periodic along {' and '.join(names)}, so the sides of a flow "
            f"along {'zyx'[axis]} cannot be joined; generate it with 'periodic' ticked there."
        )
    missing = [n for n, i in zip(names, across, strict=True) if not joined[i]]
    return joined, [f"Along {n} it is not periodic; those sides stay mirrors." for n in missing]


def _flux_layers(sides: BothSides, title: str, place: dict[str, Any]) -> list[LayerDataTuple]:
    """Return both flux maps in the same colours."""
    maps = {"mirror sides": sides.mirror.flux, "periodic sides": sides.periodic.flux}
    flowing = np.concatenate([m[m > 0] for m in maps.values() if m is not None])
    top = float(np.quantile(flowing, 0.99))
    look = {"colormap": "inferno", "contrast_limits": (0.0, top), **place}
    return [(values, {"name": f"{kind}: flux, {title}", **look}, "image")
            for kind, values in maps.items()]  # fmt: skip


# ---------------------------------------------------------------------- convergence


@dataclass(frozen=True)
class ConvergencePlan:
    """Volumes of growing size to solve diffusion in.

    Attributes
    ----------
    model : Model
    sides : tuple of int
        Sides in voxels, from small to large.
    volumes : int
        Volumes of each size.
    phase : int
        Label of the phase.
    axis : int
        Direction of diffusion.
    """

    model: Model
    sides: tuple[int, ...]
    volumes: int
    phase: int
    axis: int

    @property
    def title(self) -> str:
        """Phase and axis."""
        phases = self.model.origin.phases
        return f"{phases[self.index].name} along {'zyx'[self.axis]}"

    @property
    def index(self) -> int:
        """Index of the phase."""
        return phase_index(self.model.origin.phases, self.phase, "The model")

    def check(self) -> None:
        """Raise `InputError` if there is nothing to compare, or no room for it."""
        _ = self.index
        if len(self.sides) < 2:
            raise InputError("Choose sides at least one period apart, so that there are two sizes.")
        largest = (self.sides[-1],) * 3
        needed = self.model.bytes_needed(largest) + SOLVER_BYTES * self.sides[-1] ** 3
        check_memory(needed, f"A volume of {self.sides[-1]}^3", "choose a shorter largest side")

    def volume(self, side: int, seed: int) -> NDArray[np.uint8]:
        """Return the phase indices of a periodic volume."""
        sample = self.model.generate((side,) * 3, seed, periodic=ALL)
        return to_indices(sample.data, sample.phases)


def convergence_of(
    plan: ConvergencePlan,
) -> Generator[tuple[float, str, Convergence], None, Convergence]:
    """Solve diffusion in volumes of growing size step by step.

    Raises
    ------
    InputError
        If the plan is impossible.
    """
    plan.check()
    return convergence_steps(
        plan.volume, plan.sides, range(plan.volumes), plan.index, plan.axis, tolerance=TOLERANCE
    )


def saving_sentence(found: Convergence) -> str:
    """Return in words how large volumes have to be with either kind of sides."""
    if len(found.sizes) < 2:
        return ""
    if not found.bulk:
        return "No path leads through most of these volumes; choose larger ones or another phase."
    last = found.sizes[-1]
    less = 1 - np.mean(last.mirror) / found.bulk
    noise = np.std(last.periodic) / len(last.periodic) ** 0.5 / found.bulk
    mirror, periodic = found.needed("mirror"), found.needed("periodic")
    needed = f"from {mirror}³ on" if mirror else "in none of these sizes"
    saved = ""
    if mirror and periodic and mirror > periodic:
        saved = f", {(mirror / periodic) ** 3:.1f} times the voxels"
    return (
        f"At {last.side}³ mirror sides give {100 * less:.0f} % less than periodic ones. Within "
        f"{100 * CLOSE:.0f} % of the last value (known to ± {100 * noise:.0f} %) are volumes with "
        f"periodic sides from {periodic}³ on, and with mirror sides {needed}{saved}."
    )


def save_convergence(found: Convergence, path: str) -> None:
    """Write a line per volume: its side, its number and D_rel with either kind of sides.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    columns = ("side", "volume", "d_rel_mirror", "d_rel_periodic")
    rows = (
        dict(zip(columns, (size.side, i, *values), strict=True))
        for size in found.sizes
        for i, values in enumerate(zip(size.mirror, size.periodic, strict=True))
    )
    write_csv(path, columns, rows)
