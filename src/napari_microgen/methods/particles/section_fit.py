"""Planar diagrams fitted to sections: the data as the paper prepares them (section 2.5).

A diagram in the plane, restricted as that in space: the widths of a grain are along and across the
direction of its seed. Fitted by gradient descent on the softmax form (equation 11), it says what
could not be indexed, and gives new sections when its markers are varied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from napari_microgen.methods.particles.cutouts import SectionCutouts

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.particles.sections import Section

VARIED = 0.2
"""Markers are varied by up to this share of their values."""

STEPS, POINTS, RATE = 200, 2048, 0.1
CANDIDATES = 20
"""Grains of nearest centres that may own a point."""

SHARPNESS = 3.0
"""Widths at the start are such that potentials grow by so much per square unit."""


@dataclass(frozen=True, eq=False)
class PlanarDiagram:
    """A planar diagram of grains around a particle's centre.

    Attributes
    ----------
    seeds : ndarray, shape (n, 2)
        Positions ``(y, x)`` in units, seen from the particle's centre.
    diagonals : ndarray, shape (n, 2)
        D along the radius and across it.
    offsets : ndarray, shape (n,)
        The r, the least of them 0.
    """

    seeds: NDArray[np.float64]
    diagonals: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def owners(self, points: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the index of the grain that owns each point ``(y, x)``, shape ``(m, 2)``."""
        _, near = cKDTree(self.seeds).query(points, min(CANDIDATES, len(self.seeds)))
        parts = (self.seeds[near], self.diagonals[near], self.offsets[near])
        value = planar_potentials(
            torch.from_numpy(points), *(torch.from_numpy(part) for part in parts)
        )
        best = value.argmin(1, keepdim=True).numpy()
        return np.asarray(np.take_along_axis(near, best, axis=1)[:, 0])

    def varied(self, random: np.random.Generator) -> PlanarDiagram:
        """Return the diagram with all markers changed by up to 20 % (the paper's augmentation)."""
        low, high = 1 - VARIED, 1 + VARIED
        return PlanarDiagram(
            self.seeds,
            self.diagonals * random.uniform(low, high, self.diagonals.shape),
            self.offsets * random.uniform(low, high, self.offsets.shape),
        )


def planar_potentials(points: Tensor, seeds: Tensor, diagonals: Tensor, offsets: Tensor) -> Tensor:
    """Return (x - s)^T Q^T D Q (x - s) - r of every point's own candidates, shape ``(m, k)``.

    Parameters
    ----------
    points : Tensor, shape (m, 2)
    seeds, diagonals : Tensor, shape (m, k, 2)
    offsets : Tensor, shape (m, k)
    """
    outwards = seeds / seeds.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    off = points[:, None] - seeds
    along = (off * outwards).sum(-1)
    across = off[..., 0] * outwards[..., 1] - off[..., 1] * outwards[..., 0]
    value: Tensor = diagonals[..., 0] * along**2 + diagonals[..., 1] * across**2 - offsets
    return value


def fit_planar(
    section: Section, unit: float, random: np.random.Generator
) -> Generator[float, None, PlanarDiagram]:
    """Fit a diagram to a section; yields the share done.

    The cross-entropy between the softmax form and the grains at random pixels is minimised, from
    the grains' centres and second moments.
    """
    places = np.argwhere(section.numbers > 0)
    points = (places - section.centre) / unit
    values, grain = np.unique(section.numbers[tuple(places.T)], return_inverse=True)
    counts = np.bincount(grain)
    centres = np.stack([np.bincount(grain, points[:, i]) / counts for i in (0, 1)], 1)
    diagonals = _from_moments(points - centres[grain], centres[grain], grain, counts)
    _, near = cKDTree(centres).query(points, min(CANDIDATES, len(values)))
    seeds, widths, offsets = (
        torch.from_numpy(v).float().requires_grad_()
        for v in (centres, np.log(diagonals), np.zeros(len(values)))
    )
    optimiser = torch.optim.Adam([seeds, widths, offsets], RATE)
    for step in range(STEPS):
        chosen = random.integers(len(points), size=POINTS)
        some = torch.from_numpy(near[chosen])
        right = some == torch.from_numpy(grain[chosen])[:, None]
        seen = right.any(1)  # a long grain may not be among the candidates of its ends
        value = planar_potentials(
            torch.from_numpy(points[chosen]).float(), seeds[some], widths[some].exp(),
            offsets[some],
        )  # fmt: skip
        loss = torch.nn.functional.cross_entropy(-value[seen], right[seen].float().argmax(1))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        yield (step + 1) / STEPS
    lifted = offsets.detach().double().numpy()
    return PlanarDiagram(
        seeds.detach().double().numpy(), widths.detach().double().exp().numpy(),
        lifted - lifted.min(),
    )  # fmt: skip


def _from_moments(
    off: NDArray[np.float64],
    centres: NDArray[np.float64],
    grain: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the diagonals of ellipses with the grains' second moments along and across."""
    outwards = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-6)
    along = (off * outwards).sum(1)
    across = off[:, 0] * outwards[:, 1] - off[:, 1] * outwards[:, 0]
    moments = np.stack([np.bincount(grain, v * v) / counts for v in (along, across)], 1) + 1 / 12
    return np.asarray(SHARPNESS * np.sqrt(moments.prod(1, keepdims=True)) / moments)


def agreement(diagram: PlanarDiagram, section: Section, unit: float) -> float:
    """Return the share of a section's pixels that a fitted diagram gives to the right grain."""
    places = np.argwhere(section.numbers > 0)
    values = np.unique(section.numbers[section.numbers > 0])
    owner = diagram.owners((places - section.centre) / unit)
    return float(np.mean(values[owner] == section.numbers[tuple(places.T)]))


class FittedCutouts(SectionCutouts):
    """Random cutouts of varied diagrams instead of the sections that they were fitted to.

    Parameters
    ----------
    sections, unit
        As in `SectionCutouts`; cutouts stay inside their outlines.
    diagrams : sequence of PlanarDiagram
        One per section.
    """

    def __init__(
        self, sections: Sequence[Section], unit: float, diagrams: Sequence[PlanarDiagram]
    ) -> None:
        self.diagrams = list(diagrams)  # before the check for a cutout that fits draws one
        super().__init__(sections, unit)

    def _grains(
        self,
        index: int,
        points: NDArray[np.float64],
        numbers: NDArray[np.int32],
        random: np.random.Generator,
    ) -> NDArray[np.int32]:
        """Return the grains of the section's diagram, varied."""
        owner = self.diagrams[index].varied(random).owners(points)
        return (owner + 1).astype(np.int32).reshape(numbers.shape)
