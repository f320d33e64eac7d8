"""How far two samples of a descriptor are apart: sizes, shapes or angles of particles or grains."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, nan, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import ks_2samp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

NOISE = sqrt(pi / 2) * log(2)
"""Mean of Kolmogorov's distribution: the KS distance to expect times the root of the size."""


@dataclass(frozen=True)
class Distance:
    """Kolmogorov and Smirnov's distance between two samples.

    Attributes
    ----------
    ks : float
        Largest difference of the cumulative distributions, 0 to 1.
    p : float
        Probability of such a distance if both came from one distribution.
    over_noise : float
        `ks` over its mean for two samples of these sizes from one distribution: about 1 where
        nothing tells them apart.
    real_mean, generated_mean : float
        Means of the samples.
    """

    ks: float
    p: float
    over_noise: float
    real_mean: float
    generated_mean: float


def sample_distance(real: ArrayLike, generated: ArrayLike) -> Distance:
    """Compare two samples; everything is NaN if one of them is empty."""
    a, b = np.asarray(real, float), np.asarray(generated, float)
    if not (a.size and b.size):
        return Distance(nan, nan, nan, nan, nan)
    result = ks_2samp(a, b, method="asymp")
    size = sqrt(a.size * b.size / (a.size + b.size))
    ks = float(result.statistic)
    return Distance(ks, float(result.pvalue), ks * size / NOISE, float(a.mean()), float(b.mean()))


def sample_distances(
    real: Mapping[str, ArrayLike], generated: Mapping[str, ArrayLike], names: Sequence[str] = ()
) -> dict[str, Distance]:
    """Compare samples by name: those in `names`, by default all that both sides have."""
    names = names or [name for name in real if name in generated]
    return {name: sample_distance(real[name], generated[name]) for name in names}
