"""Statistics of sections beyond two points, and how far means of them are from an image's."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Lengths of segments in voxels."""

SQUARES = (1, 3, 5, 8, 12)
"""Sides of the squares that phases are eroded by, in pixels."""

PATHS = (4, 8, 12, 16, 24)
"""Lengths of paths in pixels."""

APART = 32
"""Pixels between the points that paths start from."""

SCALES = ((1, 3), (1, 5), (2, 5), (2, 9), (4, 5), (4, 9))
"""Pixels that are averaged, and the side of the filters on what is left."""

RIDGE = 0.3
"""Variance that is added to every direction of the statistics; faint ones would be all noise."""

FILTERS = 24
LEVELS = (-1.0, 0.0, 1.0)
BATCH = 64
LEAST_SPREAD = 0.01


def chord_statistics(indicators: Tensor) -> Tensor:
    """Return how many segments end within a phase between two lengths, by length, axis and phase.

    The chance that a segment lies within a phase is the lineal path function, which the chords of
    a phase determine and which no border biases (Lu and Torquato 1992). Its values are all alike
    where a phase is coarse; their differences from one length to the next are not, and the first
    of them is the perimeter.

    Parameters
    ----------
    indicators : Tensor, shape (batch, n_phases, side, side)
        0 and 1, or values between; gradients pass.

    Returns
    -------
    Tensor, shape (batch, statistics)
        By axis and then by length: the chance of the shortest segment, and how much less every
        longer one has than the one before it.
    """
    found = []
    for axis in (2, 3):
        wholes = enumerate(_segments(indicators, axis, LENGTHS[-1]), start=1)
        chances = [whole.mean((2, 3)) for length, whole in wholes if length in LENGTHS]
        found += [chances[0], *(a - b for a, b in pairwise(chances))]
    return torch.cat(found, 1)


def erosion_statistics(indicators: Tensor) -> Tensor:
    """Return every phase's Euler number per pixel and area, as it is and eroded by squares.

    Pieces less holes: of the phase itself they are told by single pixels, of the eroded phase by
    its cores. Discs that touch come apart when eroded, and necks of a clump do not. With the
    chance P(a, b) that a x b pixels all lie in the phase, the phase eroded by L x L has the area
    P(L, L) and, where pixels hang together by their sides, the Euler number
    P(L, L) - P(L, L+1) - P(L+1, L) + P(L+1, L+1).

    Parameters
    ----------
    indicators : Tensor, shape (batch, n_phases, side, side)
        0 and 1, or values between; gradients pass.

    Returns
    -------
    Tensor, shape (batch, statistics)
        By side of the square: the Euler number per pixel, and the area where the square is
        larger than a pixel.
    """
    found = []
    rows = list(_segments(indicators, 3, SQUARES[-1] + 1))
    for side in SQUARES:
        chances = [
            squares.mean((2, 3))
            for lines in rows[side - 1 : side + 1]
            for squares in list(_segments(lines, 2, side + 1))[-2:]
        ]
        area, tall, wide, large = chances
        found.append(area - tall - wide + large)
        if side > 1:
            found.append(area)
    return torch.cat(found, 1)


def path_statistics(indicators: Tensor) -> Tensor:
    """Return how much of a phase paths within it reach, by the phase and the length of the paths.

    It is what sections hold of how well a phase conducts: paths go through a clump on and on, and
    leave a particle only where it touches another one. They start from points of a lattice and
    step to the four nearest pixels (geodesic dilation; Lantuejoul and Maisonneuve 1984).

    Parameters
    ----------
    indicators : Tensor, shape (batch, n_phases, side, side)
        0 and 1, or values between; gradients pass.

    Returns
    -------
    Tensor, shape (batch, statistics)
        By length: the share of the section that paths so long reach and shorter ones do not.
    """
    starts = torch.zeros_like(indicators)
    starts[..., APART // 2 :: APART, APART // 2 :: APART] = 1
    reached = starts * indicators
    areas = [reached.mean((2, 3))]
    for step in range(1, PATHS[-1] + 1):
        reached = indicators * _spread(reached)
        if step in PATHS:
            areas.append(reached.mean((2, 3)))
    return torch.cat([b - a for a, b in pairwise(areas)], 1)


def _spread(reached: Tensor) -> Tensor:
    """Return the largest of every pixel and its four neighbours; all of them share its gradient."""
    around = functional.pad(reached, (1, 1, 1, 1))
    rows, columns = around[..., 1:-1], around[..., 1:-1, :]
    five = [reached, rows[..., 2:, :], rows[..., :-2, :], columns[..., 2:], columns[..., :-2]]
    total = reduce(torch.add, five)
    with torch.no_grad():
        share = reduce(torch.maximum, five) / total.clamp_min(1e-6)
    return total * share


def _segments(values: Tensor, axis: int, longest: int) -> Iterator[Tensor]:
    """Yield the products of 1, 2, ... `longest` neighbours along an axis, at all their places."""
    product = values
    yield product
    for length in range(2, longest + 1):
        places = values.shape[axis] - length + 1
        product = product.narrow(axis, 0, places) * values.narrow(axis, length - 1, places)
        yield product


class RandomFilters:
    r"""Mean rectified responses of random filters: a summary of what sections look like.

    A filter's response y, normalised on the real sections, gives the means of
    :math:`\max(y - c, 0)` for c = -1, 0, 1. They are smooth, hold more than two-point
    statistics, and a fixed random choice of filters is enough (random features; compare Portilla
    and Simoncelli 2000 for handmade ones, and Ustyuzhaninov et al. 2017 for random ones).

    Parameters
    ----------
    real : Tensor, shape (batch, n_phases, side, side)
        Indicators of real sections; the responses are normalised on the first of them.
    seed : int
        Which filters.
    """

    def __init__(self, real: Tensor, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        phases = real.shape[1]
        self.filters = [
            (torch.randn(FILTERS, phases, side, side, generator=random) / side).to(real.device)
            for _, side in SCALES
        ]
        self.means: list[Tensor] = []
        self.spreads: list[Tensor] = []
        for response in self._responses(real[:BATCH]):
            self.means.append(response.mean((0, 2, 3), keepdim=True))
            self.spreads.append(response.std((0, 2, 3), keepdim=True) + 1e-6)

    def __call__(self, sections: Tensor) -> Tensor:
        """Return the statistics of every section, shape ``(batch, statistics)``."""
        found = []
        responses = self._responses(sections)
        for response, mean, spread in zip(responses, self.means, self.spreads, strict=True):
            normal = (response - mean) / spread
            found += [functional.relu(normal - level).mean((2, 3)) for level in LEVELS]
        return torch.cat(found, 1)

    def _responses(self, sections: Tensor) -> list[Tensor]:
        coarse = {1: sections}
        for step in (2, 4):
            coarse[step] = functional.avg_pool2d(coarse[step // 2], 2)
        return [
            functional.conv2d(coarse[step], weights)
            for (step, _), weights in zip(SCALES, self.filters, strict=True)
        ]


class Target:
    r"""What statistics of sections should be on average, and which deviations matter.

    A deviation counts in units of the scatter between sections, after Mahalanobis: with the
    correlation matrix C of the statistics over sections, the distance of a mean m from the
    target t is :math:`|(C + r)^{-1/2}\,(m - t)/s|`, s being the standard deviations and r
    `RIDGE`. The scatter is that of the calibrated set, of which there are sections without end;
    those of a small image overlap, and would scatter too little.

    Parameters
    ----------
    mean : Tensor, shape (statistics,)
        Of the image.
    scatter : Tensor, shape (sections, statistics)
        Statistics of independent sections of the calibrated set.
    independent : float
        How many independent sections the image holds.
    """

    def __init__(self, mean: Tensor, scatter: Tensor, independent: float) -> None:
        self.mean = mean.double()
        values = scatter.double()
        spread = values.std(0)
        # What never varies there may well do so elsewhere, and must not count without end.
        self.spread = spread.clamp_min(LEAST_SPREAD * float(spread.max()) + 1e-12)
        normal = (values - values.mean(0)) / self.spread
        correlation = normal.T @ normal / max(len(values) - 1, 1)
        eigenvalues, vectors = torch.linalg.eigh(correlation)
        eigenvalues = eigenvalues.clamp_min(0)
        self._whitening = vectors * (eigenvalues + RIDGE).rsqrt() @ vectors.T
        noise = (eigenvalues / (eigenvalues + RIDGE)).sum() / independent
        self.noise = float(noise.sqrt())
        """Distance that a perfect material has on average from this image's mean."""

    def deviation(self, mean: Tensor) -> Tensor:
        """Return the vector whose length is the distance."""
        whitening = self._whitening.to(mean)
        deviation: Tensor = whitening @ ((mean - self.mean.to(mean)) / self.spread.to(mean))
        return deviation

    def misfit(self, mean: Tensor) -> float:
        """Return the distance over `noise`: 1 where no difference can be told."""
        return float(self.deviation(mean).norm()) / max(self.noise, 1e-9)


class Description(NamedTuple):
    """One kind of statistics, what it should be, and what it is in the calibrated set.

    Attributes
    ----------
    describe : callable
        Turns indicators of sections into statistics, shape ``(batch, statistics)``.
    target : Target
        Those of the image.
    calibrated : Tensor, shape (statistics,)
        Means in the calibrated set.
    """

    describe: Callable[[Tensor], Tensor]
    target: Target
    calibrated: Tensor


def descriptions(
    real: Tensor, calibrated: Tensor, independent: float, seed: int, paths: bool = False
) -> dict[str, Description]:
    """Return the descriptions by chords, by erosions, by patterns and, if asked for, by paths.

    Parameters
    ----------
    real, calibrated : Tensor, shape (n, n_phases, side, side)
        Indicators of sections of the image and of the calibrated set.
    independent : float
        How many independent sections the image holds.
    seed : int
        Which random filters.
    paths : bool
        Whether paths are asked for.
    """
    kinds: dict[str, Callable[[Tensor], Tensor]] = {
        "chords": chord_statistics,
        "erosions": erosion_statistics,
        "patterns": RandomFilters(real, seed),
    }
    if paths:
        kinds["paths"] = path_statistics
    found = {}
    for name, describe in kinds.items():
        own = in_batches(describe, calibrated)
        target = Target(in_batches(describe, real).mean(0), own, independent)
        found[name] = Description(describe, target, own.mean(0))
    return found


@torch.no_grad()
def in_batches(describe: Callable[[Tensor], Tensor], sections: Tensor) -> Tensor:
    """Describe many sections, some at a time."""
    return torch.cat([describe(part) for part in sections.split(BATCH)])
