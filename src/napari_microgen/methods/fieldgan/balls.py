"""Balls that hardly overlap, where a phase is, and how far every voxel is from them.

A random field has no pieces: it says where a phase is rather likely, but not where one particle
ends and the next begins. Centres of balls that keep their distance do. Of random candidates the
one stays that is deepest in the phase among all within the core (Matérn's second hard-core process,
with the phase's logit as the mark: Matérn 1960, Spatial Variation). So clumps are divided where
they are, and like the fields the balls are a function of seed and position; of two candidates as
deep but for rounding, another one may stay where the fields come from another transform.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import ndtri

from napari_microgen.methods.excursion.fields import white_noise
from napari_microgen.metrics.chords import mean_chords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_microgen.phases import PhaseImage

STREAM = 2**45
"""Added to a seed once per phase, as neither fields nor other balls may have the same noise."""

RADIUS = 0.55
"""Median radius over the mean chord of a phase; 3/4 for balls of one size, less for the scatter."""

SMALLEST_CHORD, LARGEST_CHORD = 4.0, 32.0
"""Phases that are thinner, in voxels, have no pieces that balls could be; of thicker ones too few
fit into what is learned from."""

SPREAD = 0.25
"""Standard deviation of the logarithm of the radii, cut off at two of them."""

CORE = 1.5
"""Least distance of two centres over the median radius; 2 would keep balls of one size apart."""

CROWDING = 12.0
"""Candidates for a centre per volume of the core. More would change little."""

FAR = 1.0
"""Distance from a surface over the median radius beyond which all are alike."""


def ball_radii(images: Sequence[PhaseImage]) -> tuple[float, ...]:
    """Return the median radius of every phase's balls in voxels; 0 where it has none.

    Parameters
    ----------
    images : sequence of PhaseImage
        2D, or stacks of sections. What counts is how long they are along x.
    """
    along_x = np.array([
        mean_chords(image.data, image.n_phases, stacked=image.ndim == 3)[:, -1] for image in images
    ])  # fmt: skip
    seen = np.isfinite(along_x)
    lengths = np.where(seen, along_x, 0).sum(0) / np.maximum(seen.sum(0), 1)
    thick = (lengths >= SMALLEST_CHORD) & (lengths <= LARGEST_CHORD)
    return tuple((RADIUS * lengths * thick).tolist())


def reaches(radii: Sequence[float], stretch: float = 1.0) -> tuple[int, int, int]:
    """Return how far beyond a block the logits matter to its balls, along z, y, x."""
    margins = [np.sum(_margins(r, stretch), 0) if r else np.zeros(3, int) for r in (*radii, 0.0)]
    z, y, x = np.max(margins, 0).tolist()
    return z, y, x


def ball_fields(
    radii: Sequence[float],
    logits: Tensor,
    first: Sequence[int],
    start: Sequence[int],
    shape: Sequence[int],
    seed: int,
    periods: Sequence[int] = (0, 0, 0),
    stretch: float = 1.0,
) -> list[Tensor]:
    """Place balls for every phase, and take distances to them in one block of an endless volume.

    Parameters
    ----------
    radii : sequence of float
        Median radii in voxels; phases of radius 0 have no balls.
    logits : Tensor, shape (n_phases, ...)
        Logits of the phases from the place `first` on. They reach as far around the block as
        `reaches` says, or are one whole period along the axes where they do not.
    first, start, shape : sequence of int
        Position of the logits, and position and size of the block, along z, y, x.
    seed : int
    periods : sequence of int
        Length after which the volume repeats along each axis; 0 for never.
    stretch : float
        Factor by which balls and their distances are longer along z.

    Returns
    -------
    list of Tensor of float32, shape `shape`
        Two per phase with balls: the distance to the nearest surface, negative within a ball, and
        how much farther the second nearest is, less half a radius. Both in units of half the
        median radius, and cut off at `FAR`.
    """
    found = []
    for phase, radius in enumerate(radii):
        if not radius:
            continue
        depth, own = logits[phase].cpu().numpy(), seed + (1 + phase) * STREAM
        balls = _balls(radius, depth, first, start, shape, own, periods, stretch)
        nearest, second = _distances(*balls, radius, start, shape, stretch)
        found += [2 * nearest / radius, 2 * (second - nearest) / radius - 1]
    return [torch.from_numpy(values) for values in found]


def _margins(radius: float, stretch: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how far along z, y, x a ball is heard of, and how far it keeps others away."""
    scale = radius * np.array([stretch, 1.0, 1.0])
    heard = np.ceil(scale * (FAR + math.exp(2 * SPREAD))).astype(int)
    return heard, np.ceil(scale * CORE).astype(int)


def _balls(
    radius: float,
    depth: NDArray[np.float32],
    first: Sequence[int],
    start: Sequence[int],
    shape: Sequence[int],
    seed: int,
    periods: Sequence[int],
    stretch: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return centres and radii of the balls that a block hears of."""
    heard, apart = _margins(radius, stretch)
    low, box = np.array(start) - heard - apart, np.array(shape) + 2 * (heard + apart)
    # What repeats within the box is drawn once; it has rivals across the border.
    repeats = [bool(p) and n > p for n, p in zip(box, periods, strict=True)]
    once = np.where(repeats, periods, box)
    core = CORE * radius
    places, sizes = _candidates(low, once, seed, periods, 4 / 3 * np.pi * core**3 * stretch)
    scale = (stretch, 1, 1)
    tree = cKDTree((places - low) / scale, boxsize=np.where(repeats, periods, 0) / scale)
    stays = _deepest(tree, depth[tuple(((places - first) % depth.shape).T)], core)
    copies = (np.arange(0, n, step) for n, step in zip(box, once, strict=True))
    shifts = np.stack(np.meshgrid(*copies, indexing="ij"), -1).reshape(-1, 1, 3)
    centres = (places[stays] + shifts).reshape(-1, 3)
    radii = np.tile(radius * np.exp(SPREAD * sizes[stays].clip(-2, 2)), len(shifts))
    near = (centres >= start - heard) & (centres < np.add(start, shape) + heard)
    return centres[near.all(1)], radii[near.all(1)]


def _deepest(tree: cKDTree, depths: NDArray[np.float32], core: float) -> NDArray[np.bool_]:
    """Return which candidates have no deeper one within the core."""
    stays = np.ones(len(depths), bool)
    pairs = tree.query_pairs(core, output_type="ndarray")
    for own, other in (pairs.T, pairs.T[::-1]):
        stays[own[depths[own] < depths[other]]] = False
    return stays


def _candidates(
    first: NDArray[np.int64],
    shape: NDArray[np.int64],
    seed: int,
    periods: Sequence[int],
    core_volume: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the place of every candidate in a box, and a normal number."""
    chances, sizes = white_noise(shape.tolist(), first.tolist(), periods, 2, seed).numpy()
    chosen = np.nonzero(chances < ndtri(min(CROWDING / core_volume, 0.5)))
    return np.stack(chosen, 1) + first, sizes[chosen]


def _distances(
    centres: NDArray[np.int64],
    radii: NDArray[np.float64],
    radius: float,
    start: Sequence[int],
    shape: Sequence[int],
    stretch: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the distances to the nearest and the second nearest surface, at most `FAR` radii."""
    nearest = np.full(shape, FAR * radius, np.float32)
    second = nearest.copy()
    for centre, own in zip(centres - np.array(start), radii, strict=True):
        half = np.ceil((FAR * radius + own) * np.array([stretch, 1.0, 1.0])).astype(int)
        low = np.maximum(centre - half, 0)
        high = np.minimum(centre + half + 1, shape)
        if (low >= high).any():
            continue
        z, y, x = (np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True))
        squares = ((z / stretch) ** 2)[:, None, None] + (y**2)[:, None] + x**2
        distance = np.sqrt(squares.astype(np.float32)) - np.float32(own)
        place = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        second[place] = np.minimum(second[place], np.maximum(nearest[place], distance))
        nearest[place] = np.minimum(nearest[place], distance)
    return nearest, second
