"""Two-point correlations by FFT: whole maps, along axes, radial; and the Fourier profile.

Lags are in voxels; a map's middle is lag 0, so ``map[L + dz, L + dy, L + dx]`` is the value at
the lag ``(dz, dy, dx)``. Volumes that do not repeat are padded with zeros and every lag is
divided by the number of pairs the window holds, so that no lag is biased by the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import fft

from napari_microgen.errors import InputError
from napari_microgen.metrics._grid import check_indices, flags, has_gaps, per_axis
from napari_microgen.metrics._steps import finish
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step

    Indicator = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]

SINGLE_PRECISION_ABOVE = 2**26
"""Padded volumes larger than this are transformed in single precision, to bound memory."""

CHUNK = 2**22
"""Voxels of a stack of sections that are transformed at a time."""

THREADS_ABOVE = 2**21
"""Voxels from which more than one thread is worth starting on a transform."""


def two_point_maps(
    data: NDArray[np.uint8],
    n_phases: int,
    *,
    max_lag: int | None = None,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
    device: str = "cpu",
    exact: bool = True,
) -> NDArray[np.float64]:
    """Return the two-point correlation S2 of every phase with itself, at every lag.

    ``S2(r) = P(x in phase and x + r in phase)``, over the pairs of labelled voxels.

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices, 255 unlabelled; ``(y, x)`` or ``(z, y, x)``.
    n_phases : int
        Number of phases.
    max_lag : int, optional
        Largest lag along each axis in voxels; default half the shortest side, 64 at most.
    periodic : bool or sequence of bool
        Axes along which the image repeats.
    stacked : bool
        Whether the first axis counts independent sections, whose pairs are pooled.
    device : str
        Torch device that transforms.
    exact : bool
        Whether pair counts are whole numbers (double precision, unless the padded volume exceeds
        2^26 voxels); otherwise single precision, an error of 1e-6, twice as fast.

    Returns
    -------
    ndarray of float64, shape (n_phases, 2 L + 1, ...)
        Probabilities; NaN at lags without a pair.
    """
    return finish(
        two_point_steps(
            data, n_phases, max_lag=max_lag, periodic=periodic, stacked=stacked, device=device,
            exact=exact,
        )
    )  # fmt: skip


def two_point_steps(
    data: NDArray[np.uint8],
    n_phases: int,
    *,
    max_lag: int | None = None,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
    device: str = "cpu",
    exact: bool = True,
) -> Generator[Step, None, NDArray[np.float64]]:
    """Do what `two_point_maps` does step by step, a phase in each."""
    plan = _Plan(data, max_lag, periodic, stacked, device, exact)
    pairs = plan.pairs()
    maps = []
    for k in range(n_phases):
        with np.errstate(invalid="ignore", divide="ignore"):
            maps.append(plan.counts(k) / pairs)
        yield (k + 1) / n_phases, f"two-point correlation {k + 1} of {n_phases}"
    return np.stack(maps)


def two_point_map(
    data: NDArray[np.uint8],
    first: int,
    second: int,
    *,
    max_lag: int | None = None,
    periodic: bool | Sequence[bool] = False,
    stacked: bool = False,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Return ``S_ij(r) = P(x in phase i and x + r in phase j)`` at every lag.

    Parameters are those of `two_point_maps`, `first` and `second` being i and j.

    Returns
    -------
    ndarray of float64, shape (2 L + 1, ...)
    """
    plan = _Plan(data, max_lag, periodic, stacked, device)
    with np.errstate(invalid="ignore", divide="ignore"):
        return plan.counts(first, second) / plan.pairs()


def along_axes(maps: NDArray[np.float64], ndim: int) -> list[NDArray[np.float64]]:
    """Return a map's values at lags 0..L along each of its last `ndim` axes."""
    middle = [n // 2 for n in maps.shape[-ndim:]]
    curves = []
    for axis in range(ndim):
        where: list[int | slice] = list(middle)
        where[axis] = slice(middle[axis], None)
        curves.append(maps[(..., *where)])
    return curves


def radial(
    maps: NDArray[np.float64], ndim: int, *, voxel_size: float | Sequence[float] = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average maps over shells one voxel thick (the smallest edge of a voxel).

    Parameters
    ----------
    maps : ndarray
        One map, or several along leading axes.
    ndim : int
        Number of axes of a map.
    voxel_size : float or sequence of float
        Edge lengths of a voxel.

    Returns
    -------
    r : ndarray, shape (m,)
        Mean length of the lags in each shell, from 0 to the largest that lies inside the map in
        every direction.
    values : ndarray, shape (..., m)
        Means over the lags in each shell, lags without a pair left out.
    """
    sizes = per_axis(voxel_size, ndim)
    shape = maps.shape[-ndim:]
    step = min(sizes)
    reach = min(n // 2 * s for n, s in zip(shape, sizes, strict=True))
    last = int(reach / step + 1e-9)
    grids = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in shape)]
    distance = np.sqrt(sum((g * s) ** 2 for g, s in zip(grids, sizes, strict=True)))
    shell = np.rint(distance / step).astype(int).ravel()
    flat = maps.reshape(-1, shell.size)
    values = np.full((len(flat), last + 1), np.nan)
    for row, line in zip(values, flat, strict=True):
        good = np.isfinite(line) & (shell <= last)
        counts = np.bincount(shell[good], minlength=last + 1)
        sums = np.bincount(shell[good], line[good], minlength=last + 1)
        np.divide(sums, counts, out=row, where=counts > 0)
    within = shell <= last
    radii = np.bincount(shell[within], distance.ravel()[within]) / np.bincount(shell[within])
    return np.asarray(radii, np.float64), values.reshape(*maps.shape[:-ndim], last + 1)


def same_phase_probability(
    data: NDArray[np.uint8],
    n_phases: int,
    axis: int,
    *,
    max_lag: int | None = None,
    periodic: bool | Sequence[bool] = False,
) -> NDArray[np.float64]:
    """Return the probability that two voxels at a lag along one axis are in the same phase.

    This is the two-point correlation of the SuperRes paper, ``sum_i S_ii(r)``.

    Returns
    -------
    ndarray of float64, shape (L + 1,)
        By lag in voxels; 1 at lag 0.
    """
    # Lines along the axis, each an independent row of one pixel height.
    around = flags(periodic, check_indices(data))[axis]
    lines = np.moveaxis(data, axis, -1).reshape(-1, 1, data.shape[axis])
    reach = _default_lag((data.shape[axis],)) if max_lag is None else max_lag
    maps = two_point_maps(lines, n_phases, max_lag=reach, periodic=(False, around), stacked=True)
    return along_axes(maps.sum(axis=0), 2)[1]


def fft_profile(sections: NDArray[np.uint8], n_phases: int) -> NDArray[np.float64]:
    """Return the mean log magnitude of the Fourier transform over rings of frequency.

    Parameters
    ----------
    sections : ndarray of uint8
        Phase indices of one section ``(y, x)`` or of a stack ``(n, y, x)``.
    n_phases : int
        Number of phases.

    Returns
    -------
    ndarray of float64, shape (n_phases, min(y, x) // 2 + 1)
        By frequency in cycles per shortest side, averaged over the sections; the magnitudes are
        divided by the number of pixels and the mean is taken out, ``log10(|F| / N)``.

    References
    ----------
    Dahari et al. 2023 (SuperRes), figure 18.
    """
    stack = sections[None] if sections.ndim == 2 else sections
    side = min(stack.shape[1:])
    fy = np.fft.fftfreq(stack.shape[1])[:, None]
    fx = np.fft.rfftfreq(stack.shape[2])[None]
    ring = np.rint(np.hypot(fy, fx) * side).astype(int).ravel()
    inside = ring <= side // 2
    counts = np.bincount(ring[inside], minlength=side // 2 + 1)
    profile = np.zeros((n_phases, side // 2 + 1))
    for k in range(n_phases):
        phase = (stack == k).astype(np.float64)
        spectrum = np.abs(fft.rfft2(phase - phase.mean())) / phase[0].size
        logs = np.log10(np.maximum(spectrum, 1e-12)).mean(axis=0).ravel()
        sums = np.bincount(ring[inside], logs[inside], minlength=side // 2 + 1)
        profile[k] = sums / np.maximum(counts, 1)
    return profile


def correlation_length(maps: NDArray[np.float64], ndim: int, level: float = 0.1) -> int:
    """Return the lag from which the radial correlation stays below `level`, in voxels.

    The correlation is that of all phases' indicators together: the sum of their covariances
    over the sum of their variances. If it does not fall that low inside the maps, their reach.
    """
    _, curves = radial(maps, ndim)
    fractions = curves[:, 0]
    covariance = (curves - fractions[:, None] ** 2).sum(axis=0)
    variance = max(covariance[0], 1e-12)
    above = np.flatnonzero(np.abs(covariance) > level * variance)
    return int(min(above[-1] + 1, len(covariance) - 1)) if above.size else 1


def _default_lag(shape: Sequence[int]) -> int:
    return max(1, min(64, min(shape) // 2))


class _Plan:
    """Sizes, padding and precision of the transforms of one image."""

    def __init__(
        self,
        data: NDArray[np.uint8],
        max_lag: int | None,
        periodic: bool | Sequence[bool],
        stacked: bool,
        device: str,
        exact: bool = True,
    ) -> None:
        self.ndim = check_indices(data, stacked)
        self.stack = data if stacked else data[None]
        self.shape = self.stack.shape[1:]
        reach = _default_lag(self.shape) if max_lag is None else int(max_lag)
        if reach < 0:
            raise InputError(f"The largest lag must not be negative, and it is {reach}.")
        self.around = flags(periodic, self.ndim)
        limits = (n // 2 if p else n - 1 for n, p in zip(self.shape, self.around, strict=True))
        self.lags = tuple(min(reach, limit) for limit in limits)
        self.padded = tuple(
            n if p else fft.next_fast_len(n + lag, real=True)
            for n, p, lag in zip(self.shape, self.around, self.lags, strict=True)
        )
        double = exact and np.prod(self.padded, dtype=float) <= SINGLE_PRECISION_ABOVE
        self.dtype = np.float64 if double and device != "mps" else np.float32
        self.device = device
        # On the CPU scipy is faster than torch, most of all where transforms are small and many.
        self.fft: Any = fft if device == "cpu" else torch.fft
        self.threads = torch.get_num_threads() if np.prod(self.padded) >= THREADS_ABOVE else 1
        self.gaps = has_gaps(data)

    def pairs(self) -> NDArray[np.float64]:
        """Return how many pairs of labelled voxels there are at every lag."""
        if self.gaps:
            return self._lag_sums(lambda part: part != UNLABELLED)
        result = np.array(float(len(self.stack)))
        for n, p, lag in zip(self.shape, self.around, self.lags, strict=True):
            steps = np.abs(np.arange(-lag, lag + 1))
            result = result[..., None] * (np.full(steps.size, n) if p else n - steps)
        return result

    def counts(self, first: int, second: int | None = None) -> NDArray[np.float64]:
        """Return how many pairs have one voxel in `first` and the other in `second`."""
        if second is None or second == first:
            return self._lag_sums(lambda part: part == first)
        return self._lag_sums(lambda part: part == first, lambda part: part == second)

    def _lag_sums(self, first: Indicator, second: Indicator | None = None) -> NDArray[np.float64]:
        """Correlate two indicator functions; sum over the stack in Fourier space."""
        step = max(1, CHUNK // int(np.prod(self.padded)))
        total: Any = None
        with fft.set_workers(self.threads):
            for start in range(0, len(self.stack), step):
                part = self.stack[start : start + step]
                product = self._product(first(part), None if second is None else second(part))
                total = product if total is None else total + product
            # Counts are whole numbers, and so they come out exact where precision allows it.
            return np.asarray(np.rint(self._at_lags(total)), np.float64)

    def _product(self, first: NDArray[np.bool_], second: NDArray[np.bool_] | None) -> Any:
        """Return the sum over a stack of one spectrum's conjugate times the other."""
        spectrum = self._spectrum(first)
        if second is None:
            product = spectrum.real**2 + spectrum.imag**2
        else:
            product = spectrum.conj() * self._spectrum(second)
        return product[0] if len(product) == 1 else product.sum(0)

    def _spectrum(self, mask: NDArray[np.bool_]) -> Any:
        """Transform axis by axis, so that no more is padded than has to be."""
        values: Any = mask.astype(self.dtype)
        if self.device != "cpu":
            values = torch.from_numpy(values).to(self.device)
        values = self.fft.rfft(values, self.padded[-1], -1)
        for axis in range(-2, -self.ndim - 1, -1):
            values = self.fft.fft(values, self.padded[axis], axis)
        return values

    def _at_lags(self, spectrum: Any) -> NDArray[Any]:
        """Transform back axis by axis, and keep of each the lags that are asked for."""
        for axis, (n, lag) in enumerate(zip(self.padded, self.lags, strict=True)):
            inverse = self.fft.irfft if axis == self.ndim - 1 else self.fft.ifft
            lags = np.arange(-lag, lag + 1) % n
            spectrum = inverse(spectrum, n, axis)[(slice(None),) * axis + (lags,)]
        return np.asarray(spectrum if self.device == "cpu" else spectrum.cpu())
