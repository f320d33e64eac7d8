"""Gaussian random fields with a given spectrum, in sections, periodic volumes and endless space."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_microgen.errors import InputError
from napari_microgen.generation.noise import normal_at
from napari_microgen.methods.excursion.covariances import (
    convolution_kernel,
    section_density,
    shell_basis,
    space_density,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TOLERANCE = 0.02
"""Largest difference that cutting a kernel off may make to the correlation function."""

REACHES = (8, 12, 16, 20, 24, 32, 40, 48, 64)
"""Radii at which a kernel may be cut off, in voxels."""

TAPER = 0.75
"""Share of the reach from which the window falls to zero, as a squared cosine."""

FINE = 4096
"""Points at which the projected spectrum is tabulated."""


def section_fields(
    weights: Tensor, noises: Sequence[int], shape: tuple[int, int], seed: int
) -> list[Tensor]:
    r"""Draw fields on a periodic planar section.

    .. math:: X = \mathcal{F}^{-1}\left[\mathcal{F}[n]\,\sqrt{f_2 / \bar f_2}\right]

    with white noise n and the projected spectrum, scaled to unit variance on the grid.

    Parameters
    ----------
    weights : Tensor, shape (n_fields, count)
        Spectral shells of every correlation function.
    noises : sequence of int
        Correlation function of every field that is drawn.
    shape : tuple of int
        Rows and columns; four correlation lengths or more.
    seed : int

    Returns
    -------
    list of Tensor of float32, shape `shape`
    """
    random = torch.Generator().manual_seed(seed)
    filters = {index: section_filter(weights[index], shape) for index in set(noises)}
    return [filtered(torch.randn(shape, generator=random), filters[index]) for index in noises]


def section_filter(weights: Tensor, shape: tuple[int, int], stretch: float = 1.0) -> Tensor:
    """Return what the transform of white noise is multiplied by to give a planar section's field.

    Parameters
    ----------
    weights : Tensor, shape (count,)
    shape : tuple of int
        Rows and columns.
    stretch : float
        Factor by which the field is longer along the first axis.

    Returns
    -------
    Tensor of float32, shape ``(rows, columns // 2 + 1)``
        Scaled so that the field has unit variance.
    """
    grid = torch.linspace(0, math.pi, FINE, dtype=torch.float64)
    table = section_density(grid, weights).numpy()
    length = wave_numbers(shape, stretch)
    density = np.interp(length.numpy(), grid.numpy(), table, right=0.0)
    return unit_filter(torch.as_tensor(density), shape)


def periodic_fields(
    weights: Tensor,
    noises: Sequence[int],
    shape: tuple[int, int, int],
    seed: int,
    offset: tuple[int, int, int] = (0, 0, 0),
    stretch: float = 1.0,
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    r"""Draw fields that repeat with the period of the volume, by one Fourier transform each.

    Their mean is exactly 0: the wave without end, which shifts a volume as a whole, is left out,
    so that phases fill what they fill on average. With coarse fields one volume would otherwise
    have several hundredths more of a phase than another.

    Parameters
    ----------
    weights, noises, seed
        As in `section_fields`.
    shape : tuple of int
        Voxels along z, y, x: the period.
    offset : tuple of int
        Position of the first voxel.
    stretch : float
        Factor s by which the fields are longer along z: :math:`|k|^2 = (s k_z)^2 + k_y^2 + k_x^2`.
    device : torch.device
        Where to transform.

    Returns
    -------
    list of Tensor of float32, shape `shape`

    Raises
    ------
    InputError
        If so small a volume holds no wave of the fields.
    """
    white = white_noise(shape, offset, shape, len(noises), seed)
    length = wave_numbers(shape, stretch)
    filters = {}
    for index in set(noises):
        density = space_density(length, weights[index]) * (length > 0)
        if not density.any():
            sides = " x ".join(str(n) for n in shape)
            raise InputError(
                f"A repeating volume of {sides} voxels is too small for what varies in this "
                "material; choose a larger shape."
            )
        filters[index] = unit_filter(density, shape).to(device)
    return [filtered(w.to(device), filters[i]) for w, i in zip(white, noises, strict=True)]


class WindowedKernels:
    r"""Kernels of finite reach, whose fields any block of an endless volume has alone.

    The kernel is the radial one of the spectrum (`convolution_kernel`) times a window that falls
    from 1 at three quarters of the reach R to 0 at R, scaled to unit variance. R is the smallest
    at which the correlation function changes by no more than `TOLERANCE`, or the largest allowed.

    Parameters
    ----------
    weights : Tensor, shape (n_fields, count)
    stretch : float
        Factor by which the fields are longer along z.
    """

    def __init__(self, weights: Tensor, stretch: float = 1.0) -> None:
        self.weights, self.stretch = weights, stretch
        found = [_reach(w) for w in weights]
        self.reach = max(r for r, _ in found)
        self.error = max(e for _, e in found)
        """Largest change of a correlation function by cutting off."""
        self.reaches = (math.ceil(self.reach * max(stretch, 1.0)), self.reach, self.reach)
        """Reach along z, y, x in voxels."""

    def kernels(self) -> list[Tensor]:
        """Return the kernels in space, each of unit sum of squares; lag 0 in the middle."""
        z, y, x = (torch.arange(-r, r + 1, dtype=torch.float64) for r in self.reaches)
        distance = ((z[:, None, None] / self.stretch) ** 2 + y[:, None] ** 2 + x**2).sqrt()
        inside = distance < self.reach
        fine = torch.linspace(0, self.reach, 16 * self.reach + 1, dtype=torch.float64)
        result = []
        for weights in self.weights:
            radial = _windowed(fine, weights, self.reach)
            kernel = np.interp(distance.numpy(), fine.numpy(), radial.numpy())
            kernel = torch.as_tensor(kernel) * inside
            result.append(kernel / kernel.square().sum().sqrt())
        return result

    def fields(
        self,
        noises: Sequence[int],
        start: Sequence[int],
        shape: Sequence[int],
        seed: int,
        periods: Sequence[int] = (0, 0, 0),
        device: torch.device | str = "cpu",
    ) -> list[Tensor]:
        """Draw the fields of one block.

        Parameters
        ----------
        noises : sequence of int
            As in `section_fields`.
        start, shape : tuple of int
            Position and size of the block along z, y, x.
        seed : int
        periods : tuple of int
            Length after which the volume repeats along each axis; 0 for never.
        device : torch.device

        Returns
        -------
        list of Tensor of float32, shape `shape`
        """
        padded = tuple(n + 2 * r for n, r in zip(shape, self.reaches, strict=True))
        first = tuple(s - r for s, r in zip(start, self.reaches, strict=True))
        white = white_noise(padded, first, periods, len(noises), seed)
        spectra = self._spectra(padded, str(device))
        cut = tuple(slice(0, n) for n in shape)
        return [
            torch.fft.irfftn(torch.fft.rfftn(w.to(device)) * spectra[i], s=padded)[cut]
            for w, i in zip(white, noises, strict=True)
        ]

    @cache  # noqa: B019 - as many entries as shapes of tiles, and it goes with the model
    def _spectra(self, shape: tuple[int, ...], device: str) -> list[Tensor]:
        """Return conjugate spectra, so that the valid part of the correlation comes first."""
        return [torch.fft.rfftn(k.float(), s=shape).conj().to(device) for k in self.kernels()]


def _reach(weights: Tensor) -> tuple[int, float]:
    """Return the smallest reach within the tolerance, and the error there."""
    count = len(weights)
    lags = torch.arange(0, min(count, REACHES[-1]) + 1, dtype=torch.float64)
    wanted = shell_basis(lags, count) @ weights
    for reach in REACHES:
        error = float((_windowed_correlation(lags, weights, reach) - wanted).abs().max())
        if error <= TOLERANCE:
            break
    return reach, error


def _windowed(distances: Tensor, weights: Tensor, reach: int) -> Tensor:
    along = ((distances / reach - TAPER) / (1 - TAPER)).clamp(0, 1)
    return convolution_kernel(distances, weights) * (along * math.pi / 2).cos() ** 2


def _windowed_correlation(lags: Tensor, weights: Tensor, reach: int) -> Tensor:
    """Return the correlation function of the windowed kernel by two radial Fourier transforms."""
    r = (torch.arange(4 * reach, dtype=torch.float64) + 0.5) / 4
    k = (torch.arange(8 * reach, dtype=torch.float64) + 0.5) * (1.25 * math.pi / (8 * reach))
    kernel = _windowed(r, weights, reach) * r**2
    transform = torch.sinc(k[:, None] * r / math.pi) @ kernel
    power = transform**2 * k**2
    return torch.sinc(lags[:, None] * k / math.pi) @ power / power.sum()


def white_noise(
    shape: Sequence[int],
    start: Sequence[int],
    periods: Sequence[int],
    count: int,
    seed: int,
) -> Tensor:
    """Return white noise, shape ``(count, *shape)``."""
    positions: list[NDArray[np.integer]] = []
    for n, first, period in zip(shape, start, periods, strict=True):
        along = first + np.arange(n)
        positions.append(along % period if period else along)
    return torch.from_numpy(normal_at(positions, count, seed))


def wave_numbers(shape: Sequence[int], stretch: float) -> Tensor:
    """Return the lengths of the wave vectors of a real transform, the first axis stretched."""
    *full, last = shape
    axes = [2 * math.pi * np.fft.fftfreq(n) for n in full] + [2 * math.pi * np.fft.rfftfreq(last)]
    axes[0] = axes[0] * stretch
    grids = np.meshgrid(*(a**2 for a in axes), indexing="ij", sparse=True)
    return torch.as_tensor(np.sqrt(sum(grids)))


def unit_filter(density: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the root of a density, scaled so that white noise keeps its unit variance.

    Parameters
    ----------
    density : Tensor
        At the wave vectors of a real transform of `shape`.
    shape : tuple of int
    """
    twice = torch.full((density.shape[-1],), 2.0, dtype=density.dtype)
    twice[0] = 1
    if shape[-1] % 2 == 0:
        twice[-1] = 1
    mean = (density * twice).sum() / math.prod(shape)
    return (density / mean).sqrt().float()


def filtered(white: Tensor, spectrum: Tensor) -> Tensor:
    """Return white noise convolved with what has this spectrum, periodically."""
    result: Tensor = torch.fft.irfftn(torch.fft.rfftn(white) * spectrum, s=white.shape)
    return result
