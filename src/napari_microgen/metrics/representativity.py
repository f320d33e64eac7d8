"""How well an image of limited size represents its material, from the image alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.metrics._grid import check_indices, flags, per_axis
from napari_microgen.metrics.correlations import radial, two_point_maps
from napari_microgen.metrics.fractions import volume_fractions
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEGLIGIBLE = 0.05
"""Correlation at which its integral is cut."""


@dataclass(frozen=True, eq=False)
class Representativity:
    """The sampling noise of every volume fraction, and the image that would lower it.

    Attributes
    ----------
    volume_fractions : ndarray, shape (n_phases,)
        As measured.
    standard_errors : ndarray, shape (n_phases,)
        Standard deviation that the measured fractions have among images of this size.
    integral_ranges : ndarray, shape (n_phases,)
        Integral of the correlation function: the volume (2D: area) that counts as one
        independent sample, in units of the voxel size.
    sides : ndarray, shape (n_phases,)
        Side of the cubic (2D: square) image whose relative standard error is `relative_error`,
        in units of the voxel size; NaN for an absent phase.
    relative_error : float
        What `sides` aims at.
    too_small : bool
        Whether the image holds fewer than ten independent samples, or correlation does not die
        out within half of it, so that all of the above is too good to be true.
    """

    volume_fractions: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    integral_ranges: NDArray[np.float64]
    sides: NDArray[np.float64]
    relative_error: float
    too_small: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; a side that cannot be given is None."""
        return {
            "volume_fractions": self.volume_fractions.tolist(),
            "standard_errors": self.standard_errors.tolist(),
            "integral_ranges": self.integral_ranges.tolist(),
            "sides": [float(s) if np.isfinite(s) else None for s in self.sides],
            "relative_error": self.relative_error,
            "too_small": self.too_small,
        }


def representativity(
    data: NDArray[np.uint8],
    n_phases: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
    relative_error: float = 0.01,
) -> Representativity:
    r"""Estimate the standard error of every volume fraction from the integral range.

    .. math:: \sigma^2 = \phi (1 - \phi) \frac{A}{V}, \qquad
              A = \int \frac{S_2(r) - \phi^2}{\phi (1 - \phi)}\,dr

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices, 255 unlabelled; ``(y, x)`` or ``(z, y, x)``.
    n_phases : int
        Number of phases.
    voxel_size : float or sequence of float
        Edge lengths of a voxel.
    periodic : bool or sequence of bool
        Axes along which the image repeats.
    stacked : bool
        Whether the first axis counts independent sections.
    relative_error : float
        Standard error over volume fraction that `Representativity.sides` aims at.

    Notes
    -----
    The integral runs over the lags within the radius at which the radial correlation first
    falls below 5 %: further out noise outweighs what is left (over all lags, the covariance
    about the measured fraction even sums to zero). On Gaussian excursion sets of 128^2 pixels
    with 75 independent samples in each, the standard error comes out right within a third.

    References
    ----------
    Lantuejoul, "Ergodicity and integral range", J. Microscopy 161, 1991.
    Kanit et al., Int. J. Solids Struct. 40, 2003.
    """
    ndim = check_indices(data, stacked)
    sizes = per_axis(voxel_size, ndim)
    maps = two_point_maps(
        data, n_phases, max_lag=largest_lag(data.shape[-ndim:]), periodic=flags(periodic, ndim),
        stacked=stacked, exact=False,
    )  # fmt: skip
    return representativity_of(maps, data, voxel_size=sizes, relative_error=relative_error)


def largest_lag(shape: Sequence[int]) -> int:
    """Return how far correlations are looked at: half the image, beyond which few pairs are left.

    Nor beyond 128 pixels, 64 in 3D.
    """
    return max(1, min(128 if len(shape) == 2 else 64, min(shape) // 2))


def representativity_of(
    maps: NDArray[np.float64],
    data: NDArray[np.uint8],
    *,
    voxel_size: Sequence[float],
    relative_error: float = 0.01,
) -> Representativity:
    """Do the same from the two-point correlations `maps` of `data`, up to `largest_lag`."""
    n_phases, ndim, sizes = len(maps), maps.ndim - 1, voxel_size
    fractions = volume_fractions(data, n_phases)
    variances = fractions * (1 - fractions)
    covariances = maps - (fractions**2).reshape(-1, *(1,) * ndim)
    radii, curves = radial(covariances, ndim, voxel_size=sizes)
    grids = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in maps.shape[1:])]
    distance = np.sqrt(sum((g * s) ** 2 for g, s in zip(grids, sizes, strict=True)))
    cell = float(np.prod(sizes))
    volume = np.count_nonzero(data != UNLABELLED) * cell
    ranges = np.zeros(n_phases)
    endless = False
    for k in np.flatnonzero(variances > 0):
        below = np.flatnonzero(curves[k] <= NEGLIGIBLE * variances[k])
        endless |= below.size == 0
        inside = distance < (radii[below[0]] if below.size else radii[-1])
        ranges[k] = max(np.nansum(covariances[k][inside]) / variances[k], 1.0) * cell
    endless |= bool(volume < 10 * ranges.max())
    errors = np.sqrt(variances * ranges / max(volume, cell))
    with np.errstate(invalid="ignore", divide="ignore"):
        needed = variances * ranges / (relative_error * fractions) ** 2
    sides = np.where(fractions > 0, needed, np.nan) ** (1 / ndim)
    return Representativity(fractions, errors, ranges, sides, relative_error, bool(endless))
