"""Two-point coverage functions estimated from images, and the same smoothing for the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from napari_microgen.errors import InputError
from napari_microgen.methods.excursion.coverage import pair_rows
from napari_microgen.metrics.correlations import along_axes, two_point_map
from napari_microgen.metrics.surfaces import ssa

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_microgen.phases import PhaseImage

BANDWIDTH = 0.5
"""Width of the Gaussian kernel that averages over neighbouring distances, in voxels."""

SMALLEST_SIDE = 32
MAX_LAG = 160
"""Longest correlation length (40) times four."""


@dataclass(frozen=True)
class CoverageTarget:
    r"""The two-point coverage functions of an image, ready to be compared with a model's.

    Attributes
    ----------
    lags : ndarray, shape (n,)
        Distances r in voxels, from 0 to four correlation lengths.
    curves : ndarray, shape (n_phases, n_phases, n)
        :math:`S_{ij}(r)`, symmetric in i and j.
    nodes : ndarray, shape (m,)
        Distances greater than 0 at which a model is to be evaluated.
    smoothing : ndarray, shape (n, 1 + m)
        Linear map from a model's values at 0 and at `nodes` to its values at `lags`.
    fractions : ndarray, shape (n_phases,)
        Volume fractions.
    perimeters : ndarray, shape (n_phases,)
        Perimeter per area :math:`L_A` of every phase, per voxel edge.
    correlation_length : int
        First distance at which all :math:`|S_{ii} - v_i^2|` are below a twentieth of the variance.
    anisotropy : float
        Largest difference of :math:`S_{ii}` between two axes at half the correlation length, over
        the variance.
    """

    lags: NDArray[np.float64]
    curves: NDArray[np.float64]
    nodes: NDArray[np.float64]
    smoothing: NDArray[np.float64]
    fractions: NDArray[np.float64]
    perimeters: NDArray[np.float64]
    correlation_length: int
    anisotropy: float

    @property
    def shells(self) -> int:
        """Number of spectral shells that resolve these curves; more than half the last lag."""
        return max(60, int(np.ceil(1.6 * self.lags[-1])))

    def rows(self, roles: tuple[int, ...]) -> Tensor:
        """Return the curves in the order 11, 12, ... of a model in which phase m is `roles[m]`."""
        pairs = pair_rows(len(roles))
        return torch.as_tensor(np.stack([self.curves[roles[i], roles[j]] for i, j in pairs]))

    def smooth(self, at_zero: Tensor, at_nodes: Tensor) -> Tensor:
        """Bring a model's rows, shapes ``(rows,)`` and ``(rows, m)``, to the lags."""
        values = torch.cat([at_zero[:, None], at_nodes], dim=1)
        return values @ torch.as_tensor(self.smoothing).T


def estimate_coverage(image: PhaseImage, planar: bool = False) -> CoverageTarget:
    r"""Estimate the two-point coverage functions of an image of phases.

    .. math:: S_{ij}(r) = \frac{\sum_h K((|h|-r)/b)\,S_{ij}(h)}{\sum_h K((|h|-r)/b)}

    over lattice vectors h other than 0, which alone counts for r = 0; K is Gaussian. Every
    :math:`S_{ij}(h)` is the share of the pairs of labelled voxels (paper 002, equations 23, 24).

    Parameters
    ----------
    image : PhaseImage
        Labels, 2D or 3D.
    planar : bool
        Whether to take pairs within sections normal to the first axis of a volume only.

    Raises
    ------
    InputError
        If the image is smaller than 32 voxels along an axis, or has no two phases.
    """
    check_side(image, planar)
    sections = planar and image.ndim == 3
    shape = image.shape[1:] if sections else image.shape
    reach = min(MAX_LAG, min(shape) // 2)
    maps = _pair_maps(image.data, image.n_phases, reach, sections)
    distances, counts, groups = _lattice(maps.shape[2:])
    unique = _group_means(maps, groups, len(distances))
    fractions = unique[range(image.n_phases), range(image.n_phases), 0]
    length = _correlation_length(distances, unique, fractions)
    longest = min(MAX_LAG, min(shape) // 4)
    last = int(np.clip(4 * length, min(20, longest), longest))
    lags = np.array([r for r in _grid() if r <= last], float)
    nodes = np.unique([*(r for r in (2**0.5, 5**0.5, 8**0.5) if r < last), *lags[1:]])
    near = distances <= last + 4 * BANDWIDTH
    distances, counts = distances[near], counts[near]
    kernel = _regression(lags, distances, counts)
    spline = CubicSpline(np.append(0, nodes), np.eye(1 + len(nodes)))(distances)
    # At 0 the curves have a kink: what is fitted there is the volume fraction itself.
    smoothing = kernel @ spline
    return CoverageTarget(
        lags, unique[:, :, near] @ kernel.T, nodes, smoothing, fractions,
        _perimeters(image, sections), length, _anisotropy(maps, fractions, length),
    )  # fmt: skip


def lag_averages(lags: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the map from values at all lag vectors in the plane to means at distances.

    The mean is that of `estimate_coverage`.

    Parameters
    ----------
    lags : ndarray, shape (n,)
        Distances in voxels.
    reach : int
        Lag vectors have components from minus to plus so many voxels.

    Returns
    -------
    ndarray, shape (n, (2 reach + 1)^2)
    """
    distances, counts, groups = _lattice((2 * reach + 1,) * 2)
    shares = _regression(lags, distances, counts) / counts
    return np.append(shares, np.zeros((len(lags), 1)), axis=1)[:, groups]


def check_side(image: PhaseImage, planar: bool = False) -> None:
    """Raise `InputError` if the image is too small or shows a single phase.

    Parameters
    ----------
    image : PhaseImage
    planar : bool
        Whether the first axis of a 3D image may have any length.
    """
    if min(image.shape[-2:] if planar else image.shape) < SMALLEST_SIDE:
        raise InputError(
            f"'{image.name}' is only {' x '.join(map(str, image.shape))}; a covariance needs at "
            f"least {SMALLEST_SIDE} voxels along every axis, so bring a larger image."
        )
    if np.count_nonzero(image.fractions) < 2:
        raise InputError(f"'{image.name}' shows a single phase; there is nothing to calibrate.")


def _pair_maps(
    data: NDArray[np.uint8], n_phases: int, reach: int, stacked: bool
) -> NDArray[np.float64]:
    """Return S_ij at every lag vector, symmetrised, shape (n, n, 2 reach + 1, ...)."""
    first = {
        (i, j): two_point_map(data, i, j, max_lag=reach, stacked=stacked)
        for i, j in pair_rows(n_phases)
    }
    shape = next(iter(first.values())).shape
    maps = np.empty((n_phases, n_phases, *shape))
    for (i, j), values in first.items():
        mirrored = np.flip(values)
        maps[i, j] = maps[j, i] = np.nanmean([values, mirrored], axis=0)
    return maps


def _lattice(
    shape: tuple[int, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Return the different lengths of lag vectors, how many there are, and which has which."""
    grids = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in shape)]
    squares = np.asarray(sum(g**2 for g in grids)).ravel()
    squares = np.minimum(squares, (shape[0] // 2) ** 2 + 1)
    found, groups, counts = np.unique(squares, return_inverse=True, return_counts=True)
    return np.sqrt(found[:-1]), counts[:-1].astype(float), groups.ravel()


def _group_means(
    maps: NDArray[np.float64], groups: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    n = len(maps)
    result = np.empty((n, n, count))
    for i, j in pair_rows(n):
        values = maps[i, j].ravel()
        good = np.isfinite(values)
        sums = np.bincount(groups[good], values[good], minlength=count + 1)
        numbers = np.bincount(groups[good], minlength=count + 1)
        result[i, j] = result[j, i] = (sums / np.maximum(numbers, 1))[:count]
    return result


def _grid() -> list[int]:
    """Return the lags: every voxel up to 20, every second up to 40, every fourth beyond."""
    return [*range(21), *range(22, 41, 2), *range(44, MAX_LAG + 1, 4)]


def _regression(
    lags: NDArray[np.float64], distances: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    kernel = counts * np.exp(-(((distances - lags[:, None]) / BANDWIDTH) ** 2) / 2)
    kernel[:, 0] = 0
    kernel[0] = 0
    kernel[0, 0] = 1
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True))


def _correlation_length(
    distances: NDArray[np.float64], curves: NDArray[np.float64], fractions: NDArray[np.float64]
) -> int:
    own = curves[range(len(curves)), range(len(curves))]
    covariance = np.abs(own - fractions[:, None] ** 2)
    variance = np.maximum(fractions * (1 - fractions), 1e-12)
    low = np.all(covariance < 0.05 * variance[:, None], axis=0)
    return int(np.ceil(distances[np.argmax(low)] if low.any() else distances[-1]))


def _perimeters(image: PhaseImage, sections: bool) -> NDArray[np.float64]:
    if sections or image.ndim == 2:
        return ssa(image.data, image.n_phases, stacked=sections)
    axes = (np.moveaxis(image.data, axis, 0) for axis in range(3))
    return np.asarray(np.mean([ssa(s, image.n_phases, stacked=True) for s in axes], axis=0))


def _anisotropy(
    maps: NDArray[np.float64], fractions: NDArray[np.float64], correlation_length: int
) -> float:
    n, ndim = len(maps), maps.ndim - 2
    lag = max(1, min(correlation_length, maps.shape[-1] // 2) // 2)
    own = maps[range(n), range(n)]
    at = np.stack([curve[:, lag] for curve in along_axes(own, ndim)])
    variance = np.maximum(fractions * (1 - fractions), 1e-12)
    return float(np.max(np.ptp(at, axis=0) / variance))
