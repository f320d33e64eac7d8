"""Cutouts of sections as the discriminator sees them, real and generated (paper 004, section 2.5).

A cutout is a square of 32 x 32 points whose first axis points away from the particle's centre. It
has a channel per grain: the twelve grains that fill most of it, the largest first.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.diagram import (
    expanded_potentials,
    metrics,
    quadratic_monomials,
    softmax_tessellation,
)
from napari_microgen.methods.particles.grain_network import CHANNELS, MarkerNetwork, surroundings
from napari_microgen.methods.particles.sections import WINDOW
from napari_microgen.methods.particles.seeds import Seeds, box_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.particles.grain_network import Surroundings
    from napari_microgen.methods.particles.sections import Section

FARTHEST = 80.0
"""Greatest distance of a cutout from the centre, in units."""

MARGIN = 26.0
"""How far around a cutout seeds are drawn, in units: 3 mean distances."""

NEAR = 14.0
"""Seeds up to so far from a cutout get markers; farther ones own none of its points."""

CANDIDATES = 48
"""Seeds of a cutout whose gradient is followed; those behind them own none of its points."""

TRIES = 400

_FIRST = np.arange(1, WINDOW + 1)[:, None]
_SECOND = np.arange(1, WINDOW + 1)[None] - (WINDOW + 1) / 2


# ---------------------------------------------------------------------- real ones


class SectionCutouts:
    """Random cutouts of sections (T2D, equations 14 and 15).

    Parameters
    ----------
    sections : sequence of Section
    unit : float
        Length of a unit in pixels.

    Raises
    ------
    InputError
        If no cutout fits into the sections.
    """

    def __init__(self, sections: Sequence[Section], unit: float) -> None:
        self.sections, self.unit = sections, unit
        self._weights = np.array([s.area for s in sections], float)
        self._weights /= self._weights.sum()
        self.draw(1, np.random.default_rng(0))

    def draw(
        self, count: int, random: np.random.Generator
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return cutouts.

        Returns
        -------
        numbers : ndarray of int32, shape (count, 32, 32)
            Grain of every point.
        distances : ndarray, shape (count,)
            Distances p from the centre in units.
        """
        found, distances = [], []
        for _ in range(TRIES * count):
            index = int(random.choice(len(self.sections), p=self._weights))
            section = self.sections[index]
            longest = min(FARTHEST, max(1.0, section.numbers.shape[0] / self.unit))
            p, turn = random.uniform(0, longest), random.uniform(0, 2 * pi)
            points = cutout_points(p, turn, bool(random.integers(2)))
            numbers = self._read(section, points)
            if numbers is not None:
                found.append(self._grains(index, points, numbers, random))
                distances.append(p)
                if len(found) == count:
                    return np.stack(found), np.array(distances)
        raise InputError(
            f"The particles are too small to learn from: no square of {WINDOW} units "
            f"({WINDOW * self.unit:.0f} pixels, {int(np.sqrt(28))} grains) fits beside the centre; "
            "use sections that show more grains."
        )

    def _read(self, section: Section, points: NDArray[np.float64]) -> NDArray[np.int32] | None:
        """Return the grains at the points of a cutout; None if it leaves the particle."""
        rows, columns = np.rint(np.array(section.centre) + points * self.unit).astype(int).T
        height, width = section.numbers.shape
        if rows.min() < 0 or columns.min() < 0 or rows.max() >= height or columns.max() >= width:
            return None
        numbers = section.numbers[rows, columns]
        return numbers.reshape(WINDOW, WINDOW) if numbers.all() else None

    def _grains(
        self,
        index: int,
        points: NDArray[np.float64],
        numbers: NDArray[np.int32],
        random: np.random.Generator,
    ) -> NDArray[np.int32]:
        """Return what is learned from where the section `index` holds these grains."""
        return numbers


def cutout_points(p: float, turn: float, flipped: bool) -> NDArray[np.float64]:
    """Return the points ``(y, x)`` of a cutout, seen from the centre (equation 14).

    Returns
    -------
    ndarray, shape (1024, 2)
        In units.
    """
    along, across = _FIRST + p, -_SECOND if flipped else _SECOND
    y = along * np.sin(turn) + across * np.cos(turn)
    x = along * np.cos(turn) - across * np.sin(turn)
    return np.stack([y, x], -1).reshape(-1, 2)


def one_hot(cutouts: NDArray[np.integer]) -> Tensor:
    """Return a channel for each of the largest grains of cutouts, shape ``(n, 12, 32, 32)``."""
    channels = torch.zeros(len(cutouts), CHANNELS, *cutouts.shape[1:])
    for i, numbers in enumerate(cutouts):
        values, counts = np.unique(numbers, return_counts=True)
        largest = values[np.argsort(-counts, kind="stable")[:CHANNELS]]
        channels[i, : len(largest)] = torch.from_numpy(numbers == largest[:, None, None]).float()
    return channels


# ---------------------------------------------------------------------- generated ones


def seeds_around(
    distances: NDArray[np.float64], intensity: float, random: np.random.Generator
) -> tuple[Surroundings, NDArray[np.int64]]:
    """Draw seeds around a cutout at each distance, and what the network sees of the near ones.

    Returns
    -------
    around : Surroundings
        Of the near seeds of all cutouts, one after the other; points seen from the centre.
    owner : ndarray of int
        Cutout of each.
    """
    drawn, owner, near = [], [], []
    for i, p in enumerate(distances):
        low = np.array([p + 1, _SECOND.min(), 0.0])
        high = np.array([p + WINDOW, _SECOND.max(), 0.0])
        points = box_points(intensity, low - MARGIN, high + MARGIN, random)
        away = np.maximum(np.maximum(low - points, points - high), 0)
        near.append(np.linalg.norm(away, axis=1) <= NEAR)
        drawn.append(points)
        owner.append(np.full(len(points), i))
    seeds = Seeds.draw(np.concatenate(drawn), random)
    chosen, cutout = np.flatnonzero(np.concatenate(near)), np.concatenate(owner)
    return surroundings(seeds, chosen, cutout), cutout[chosen]


def generated_cutouts(
    network: MarkerNetwork,
    around: Surroundings,
    owner: NDArray[np.int64],
    distances: NDArray[np.float64],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the softmax tessellation at the points of cutouts (T3D, equation 16).

    Returns
    -------
    channels : Tensor, shape (len(distances), 12, 32, 32)
        Of the largest grains; with the gradient of the network, as is
    shares : Tensor, shape (len(distances), 1024, grains)
        How much every point belongs to every grain that may own one.
    diagonals : Tensor, shape (near seeds, 3)
        The D of `around`.
    """
    diagonals, offsets = network(around.displacements, around.noise)
    matrices = metrics(around.bases, diagonals)
    where = offsets.device
    count, most = len(distances), int(np.bincount(owner).max())
    place = tuple(torch.from_numpy(n).to(where) for n in (owner, _ranks(owner)))
    # Seen from the cutout's middle, where single precision is enough.
    middles = torch.zeros(count, 3, device=where)
    middles[:, 0] = torch.from_numpy(distances + (WINDOW + 1) / 2)
    seeds = torch.zeros(count, most, 3, device=where)
    seeds = seeds.index_put(place, around.points - middles[place[0]])
    padded = torch.eye(3, device=where).repeat(count, most, 1, 1).index_put(place, matrices)
    lifted = torch.full((count, most), -1e9, device=where).index_put(place, offsets)
    monomials, exponent = quadratic_monomials(grid_points().to(where)), network.limits.exponent
    with torch.no_grad():
        value = expanded_potentials(monomials, seeds, padded, lifted, exponent)
        behind = (value - value.amin(2, keepdim=True)).amin(1)
        kept = behind.topk(min(CANDIDATES, most), dim=1, largest=False).indices
    shares = softmax_tessellation(
        expanded_potentials(
            monomials, _rows(seeds, kept), _rows(padded, kept), _rows(lifted, kept), exponent
        )
    )
    largest = shares.detach().sum(1).topk(min(CHANNELS, kept.shape[1]), dim=1).indices
    channels = shares.gather(2, largest[:, None].expand(-1, WINDOW**2, -1))
    return channels.transpose(1, 2).reshape(count, -1, WINDOW, WINDOW), shares, diagonals


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Return chosen rows of every batch: ``values[b, index[b]]``."""
    return values[torch.arange(len(values))[:, None], index]


def _ranks(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of every entry among those of the same owner; owners ascend."""
    starts = np.searchsorted(owner, np.arange(owner.max() + 1))
    return np.asarray(np.arange(len(owner)) - starts[owner])


def grid_points() -> Tensor:
    """Return the points of a cutout seen from its middle, in units, shape ``(1024, 3)``."""
    first, second = np.broadcast_arrays(_FIRST - (WINDOW + 1) / 2, _SECOND)
    points = np.stack([first, second, np.zeros(first.shape)], -1).reshape(-1, 3)
    return torch.from_numpy(points).float()
