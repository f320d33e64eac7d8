"""Many particles side by side in one volume, to look at and to measure."""

from __future__ import annotations

import dataclasses
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.phases import smallest_integers

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_microgen.methods.base import Sample, Shape
    from napari_microgen.methods.particles.centred import CentredModel


def bed_shape(model: CentredModel, seeds: Sequence[int]) -> Shape:
    """Return the shape of the volume that holds the particles of so many seeds."""
    cell = _cell(model, seeds)
    columns = ceil(sqrt(len(seeds)))
    return cell[0], ceil(len(seeds) / columns) * cell[1], columns * cell[2]


def bed_steps(
    model: CentredModel, seeds: Sequence[int], device: str = "auto"
) -> Generator[float, None, Sample]:
    """Generate one particle per seed, row by row in the plane of y and x; yields the share done.

    They are numbered through, grains too; the table has a column ``particle`` with the seed.
    """
    cell = np.array(_cell(model, seeds))
    columns = ceil(sqrt(len(seeds)))
    values = np.zeros(bed_shape(model, seeds), np.int32)
    tables: list[dict[str, Any]] = []
    count = 0
    for i, seed in enumerate(seeds):
        shape = np.array(model.fitting_shape(seed))
        sample = model.generate(tuple(shape), seed, device=device)
        numbers = np.unique(sample.data[sample.data > 0])
        renumbered = np.searchsorted(numbers, sample.data) + 1 + count
        corner = np.array([0, i // columns, i % columns]) * cell + (cell - shape) // 2
        there = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
        values[there] = np.where(sample.data > 0, renumbered, 0)
        table = {k: np.asarray(v) for k, v in sample.table.items()}
        table["index"] = np.searchsorted(numbers, table["index"]) + 1 + count
        tables.append({"particle": np.full(len(numbers), seed), **table})
        count += len(numbers)
        yield (i + 1) / len(seeds)
    return dataclasses.replace(
        sample,
        data=values.astype(smallest_integers(0, count)),
        table={name: np.concatenate([t[name] for t in tables]) for name in tables[0]},
        provenance={**sample.provenance, "shape": list(values.shape), "seed": seeds[0],
                    "particles": len(seeds)},
    )  # fmt: skip


def _cell(model: CentredModel, seeds: Sequence[int]) -> Shape:
    """Return a shape that every one of the particles fits into."""
    z, y, x = (max(n) for n in zip(*map(model.fitting_shape, seeds), strict=True))
    return z, y, x
