"""Seeds of grains: a Poisson process in space, the same for a seed however much of it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RING = 16.0
"""Thickness of the cubic rings about the centre in which seeds are drawn, in units."""

STREAM = 0x6A14
"""Keeps the random numbers of grains apart from those of shells of the same seed."""


@dataclass(frozen=True, eq=False)
class Seeds:
    """Seeds with all that is random about them.

    Attributes
    ----------
    points : ndarray, shape (n, 3)
        Positions in units, seen from the particle's centre.
    noise : ndarray, shape (n, 2)
        Uniform in 0-1, for the marker network.
    turns : ndarray, shape (n,)
        Angles gamma of equation 12, uniform in 0-pi.
    """

    points: NDArray[np.float64]
    noise: NDArray[np.float64]
    turns: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def draw(cls, points: NDArray[np.float64], random: np.random.Generator) -> Seeds:
        """Give points their noise and turns."""
        n = len(points)
        return cls(points, random.random((n, 2)), random.uniform(0, pi, n))


def poisson_seeds(intensity: float, seed: int, reach: float) -> Seeds:
    """Draw the seeds of a cube about the centre.

    Drawn ring by ring, so that a larger cube adds seeds behind those of a smaller one: a seed's
    row is its number whatever was asked for.

    Parameters
    ----------
    intensity : float
        Seeds per unit volume.
    seed : int
        Which realisation.
    reach : float
        Half the side of the cube; rounded up to whole rings.
    """
    parts = []
    for ring in range(max(1, ceil(reach / RING))):
        random = np.random.default_rng((seed, STREAM, ring))
        half = RING * (ring + 1)
        points = box_points(intensity, np.full(3, -half), np.full(3, half), random)
        outside = np.abs(points).max(axis=1, initial=0) >= RING * ring
        parts.append(Seeds.draw(points[outside], random))
    return Seeds(*(np.concatenate([getattr(p, n) for p in parts]) for n in
                   ("points", "noise", "turns")))  # fmt: skip


def box_points(
    intensity: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw a Poisson process in a box, shape ``(n, 3)``."""
    count = random.poisson(intensity * float(np.prod(high - low)))
    return random.uniform(low, high, (count, 3))
