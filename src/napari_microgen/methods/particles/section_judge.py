"""Generated sections against the real ones, on the same outlines and pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.methods.particles.cutouts import MARGIN, NEAR
from napari_microgen.methods.particles.grain_network import realise
from napari_microgen.methods.particles.sections import grains_per_area, pooled
from napari_microgen.methods.particles.seeds import Seeds, box_points
from napari_microgen.metrics.grains import section_descriptors
from napari_microgen.metrics.ks import sample_distances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.particles.grain_network import MarkerNetwork
    from napari_microgen.methods.particles.sections import Section
    from napari_microgen.metrics.ks import Distance

POINTS_PER_UNIT = 3.0
"""Sections are measured on at least so many points per unit; pixels finer than that are skipped."""


@dataclass(frozen=True)
class Verdict:
    """How generated sections compare with real ones.

    Attributes
    ----------
    distances : dict of str to Distance
        Of angle, aspect and area.
    intensity_ratio : float
        Grains per area, generated over real.
    count_noise : float
        Relative difference of the counts of grains to expect by chance.
    """

    distances: Mapping[str, Distance]
    intensity_ratio: float
    count_noise: float

    @property
    def selection(self) -> float:
        """What the best model has least of: KS distances plus the error of the intensity."""
        return sum(d.ks for d in self.distances.values()) + abs(self.intensity_ratio - 1)

    @property
    def over_noise(self) -> dict[str, float]:
        """Every error over what chance makes of it, and their mean."""
        values = {name: d.over_noise for name, d in self.distances.items()}
        values["intensity"] = abs(self.intensity_ratio - 1) / self.count_noise
        return {**values, "mean": float(np.mean(list(values.values())))}


class SectionJudge:
    """Generates sections with the outlines of real ones and compares their grains.

    Parameters
    ----------
    sections : sequence of Section
    unit : float
        Length of a unit in pixels.
    """

    def __init__(self, sections: Sequence[Section], unit: float) -> None:
        stride = max(1, int(unit / POINTS_PER_UNIT))
        self.step = stride / unit
        self.numbers = [s.numbers[::stride, ::stride] for s in sections]
        self.centres = [(s.centre[0] / stride, s.centre[1] / stride) for s in sections]
        self.real = self.describe(self.numbers)
        self.per_area = grains_per_area(self.numbers)

    def describe(self, numbers: Sequence[NDArray[np.integer]]) -> dict[str, NDArray[np.float64]]:
        """Return angle, aspect and area (square units) of all whole grains."""
        return pooled(
            [
                section_descriptors(n, centre, self.step)
                for n, centre in zip(numbers, self.centres, strict=True)
            ]
        )

    def generate(
        self, network: MarkerNetwork, intensity: float, seed: tuple[int, ...]
    ) -> list[NDArray[np.int64]]:
        """Return a generated section for every real one, 0 outside its outline."""
        made = []
        for i, (real, centre) in enumerate(zip(self.numbers, self.centres, strict=True)):
            random = np.random.default_rng((*seed, i))
            low = -np.array([0.0, *centre]) * self.step
            high = low + np.array([0.0, *real.shape]) * self.step
            points = box_points(intensity, low - MARGIN, high + MARGIN, random)
            away = np.maximum(np.maximum(low - points, points - high), 0)
            near = np.flatnonzero(np.linalg.norm(away, axis=1) <= NEAR)
            diagram = realise(network, Seeds.draw(points, random), near)
            inside = real[None] > 0
            made.append(diagram.owners(low.tolist(), inside.shape, self.step, inside)[0] + 1)
        return made

    def judge(self, network: MarkerNetwork, intensity: float, seed: tuple[int, ...]) -> Verdict:
        """Compare newly generated sections with the real ones."""
        made = self.generate(network, intensity, seed)
        ratio = grains_per_area(made) / self.per_area
        count = sum(len(np.unique(n)) - 1 for n in self.numbers)
        noise = sqrt(2 / pi) * sqrt((1 + 1 / ratio) / count)
        return Verdict(sample_distances(self.real, self.describe(made)), ratio, noise)
