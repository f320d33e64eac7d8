"""How far a model is sure of a volume: the same volume of several seeds, counted voxel by voxel."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Model, Shape

MAX_SEEDS = 255


@dataclass(frozen=True)
class Ensemble:
    """Volumes of several seeds, counted voxel by voxel.

    Attributes
    ----------
    probabilities : ndarray of float32 or None
        Share of the seeds in which a voxel is of each phase, shape ``(n_phases, z, y, x)``.
    entropy : ndarray of float32
        Entropy of those shares over its largest possible value, shape ``(z, y, x)``: 0 where all
        seeds agree, 1 where every phase is as frequent.
    seeds : int
        How many.
    """

    probabilities: NDArray[np.float32] | None
    entropy: NDArray[np.float32]
    seeds: int

    @property
    def mean_entropy(self) -> float:
        """Mean over the voxels."""
        return float(self.entropy.mean(dtype=float))


def ensemble_steps(
    model: Model,
    shape: Shape,
    count: int,
    seed: int = 0,
    offset: Shape = (0, 0, 0),
    *,
    probabilities: bool = False,
    device: str = "auto",
) -> Generator[float, None, Ensemble]:
    """Generate a volume of several seeds block by block; yields the share done.

    Only the maps are kept in memory, never the volumes.

    Parameters
    ----------
    model : Model
        Of phases.
    shape, offset, device
        As in `Model.blocks`.
    count : int
        Number of seeds, `seed` and those after it.
    seed : int
    probabilities : bool
        Whether to keep every phase's share too.

    Raises
    ------
    InputError
        If `count` is not from 2 to 255, or the model knows no phases.
    """
    if not 2 <= count <= MAX_SEEDS:
        raise InputError(f"An ensemble has 2 to {MAX_SEEDS} seeds, not {count}.")
    phases = len(model.origin.phases)
    if model.origin.kind != "labels":
        raise InputError(f"A model of {model.origin.kind} values has no phases to be unsure of.")
    entropy = np.zeros(shape, np.float32)
    shares = np.zeros((phases, *shape), np.float32) if probabilities else None
    total = count * model.count_blocks(shape, offset)
    done = 0
    runs = [model.blocks(shape, seed + i, offset, device=device) for i in range(count)]
    for first in runs[0]:
        counts = np.zeros((phases, *first.values.shape[1:]), np.uint8)
        for block in itertools.chain([first], (next(run) for run in runs[1:])):
            counts += np.equal(block.values.argmax(0), np.arange(phases)[:, None, None, None])
            done += 1
            yield done / total
        part = (counts / count).astype(np.float32)
        entropy[first.where] = _entropy(part)
        if shares is not None:
            shares[(slice(None), *first.where)] = part
    return Ensemble(shares, entropy, count)


def _entropy(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy over the first axis, over its largest possible value."""
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    total = -(shares * logs).sum(0) / np.log(max(len(shares), 2))
    return np.asarray(np.abs(total), np.float32)  # no negative zeros
