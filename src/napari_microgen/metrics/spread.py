"""How much properties differ between cubes: what a generator that has collapsed loses.

Paper 000 measures 100 real and 100 generated cubes of 64^3 and finds the generated ones three to
six times too alike (tables 3 and 4, figures 4 and 6).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.metrics._steps import finish, share
from napari_microgen.metrics.report import Row
from napari_microgen.metrics.scalars import check_families, scalar_steps

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step
    from napari_microgen.metrics.scalars import Key

PAPER_FAMILIES = ("surfaces", "tpb", "transport")
"""What the paper's tables hold; volume fractions come always."""

SIDES = ("real", "generated")


def disjoint_cubes(volume: NDArray[np.uint8], side: int) -> list[NDArray[np.uint8]]:
    """Return the cubes that a volume can be cut into, in the order z, y, x.

    Parameters
    ----------
    volume : ndarray of uint8, shape (z, y, x)
    side : int
        In voxels.
    """
    corners = (range(0, n - side + 1, side) for n in volume.shape)
    return [
        volume[z : z + side, y : y + side, x : x + side] for z, y, x in itertools.product(*corners)
    ]


def compare_cubes(
    real: Sequence[NDArray[np.uint8]],
    generated: Sequence[NDArray[np.uint8]],
    n_phases: int,
    families: Sequence[str] = PAPER_FAMILIES,
    **options: Any,
) -> list[Row]:
    """Measure real and generated cubes; see `compare_cubes_steps`."""
    return finish(compare_cubes_steps(real, generated, n_phases, families, **options))


def compare_cubes_steps(
    real: Sequence[NDArray[np.uint8]],
    generated: Sequence[NDArray[np.uint8]],
    n_phases: int,
    families: Sequence[str] = PAPER_FAMILIES,
    **options: Any,
) -> Generator[Step, None, list[Row]]:
    """Measure real and generated cubes step by step.

    Parameters
    ----------
    real, generated : sequence of ndarray of uint8
        Phase indices, all of one shape ``(z, y, x)``.
    n_phases : int
        Number of phases.
    families : sequence of str
        Some of `FAMILIES`.
    **options
        `voxel_size`, `tolerance` and `device` of `scalar_steps`.

    Yields
    ------
    tuple of float and str
        Share done, and what was done.

    Returns
    -------
    list of Row
        Means, standard deviations and their ratio come from each row.
    """
    families = check_families(families)
    options = {"voxel_size": (1.0, 1.0, 1.0), "tolerance": 1e-3, **options}
    total, done = len(real) + len(generated), 0
    sides: list[dict[Key, list[float]]] = [{}, {}]
    for side, cubes in zip(sides, (real, generated), strict=True):
        for cube in cubes:
            steps = scalar_steps(cube, n_phases, families, **options)
            found = yield from share(steps, done / total, (done + 1) / total)
            done += 1
            for key, value in found.items():
                side.setdefault(key, []).append(value)
    return [_row(key, *sides) for key in dict.fromkeys((*sides[0], *sides[1]))]


def _row(key: Key, real: dict[Key, list[float]], generated: dict[Key, list[float]]) -> Row:
    return Row(key, tuple(real.get(key, ())), tuple(generated.get(key, ())))


def over_axes(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with what was measured along every axis averaged within each cube."""
    kept: dict[Key, list[Row]] = {}
    for row in rows:
        kept.setdefault(row.key._replace(axis=None), []).append(row)
    return [
        Row(key, *(_mean_of([getattr(row, side) for row in along]) for side in SIDES))
        for key, along in kept.items()
    ]


def d_rel_by_fraction(rows: Sequence[Row], phase: int) -> dict[str, NDArray[np.float64]]:
    """Return volume fraction and relative diffusivity of every cube (figures S2 and S3).

    Parameters
    ----------
    rows : sequence of Row
        From `compare_cubes`, or those of a `Report`.
    phase : int
        Index of the phase.

    Returns
    -------
    dict from {"real", "generated"} to ndarray, shape (n_cubes, 2)
        Volume fraction, and relative diffusivity as the mean over the axes.
    """
    metrics = ("volume_fraction", "d_rel")
    chosen = [r for r in rows if r.key.metric in metrics and r.key.phases == (phase,)]
    mine = {row.key.metric: row for row in over_axes(chosen)}
    pairs = {}
    for side in SIDES:
        values = [getattr(mine[m], side) if m in mine else () for m in metrics]
        pairs[side] = np.array(list(_pairs(*values)), float).reshape(-1, 2)
    return pairs


def _mean_of(along: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(float(np.mean(values)) for values in zip(*along, strict=True))


def _pairs(fractions: Sequence[float], d_rels: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Pair up; cubes without the phase have no diffusivity, and none has if it is not measured."""
    conducting = [f for f in fractions if f > 0] if len(d_rels) < len(fractions) else fractions
    yield from zip(conducting, d_rels, strict=bool(d_rels))
