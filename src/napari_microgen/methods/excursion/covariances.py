r"""Isotropic correlation functions that are valid in three dimensions, and their spectra.

A function of distance is the correlation of an isotropic random field in space if and only if it
is a mixture of :math:`\sin(kh)/(kh)` (Schoenberg 1938). So the spectrum in space is what is
parametrised: its mass in J shells of wave numbers. The spectrum of a planar section follows
exactly, and with it what a single image can be compared with. A kernel that is fitted by
convolving noise in two dimensions and then used in three gives another correlation.

Wave numbers are in radians per voxel, distances in voxels. All functions take and return
``float64`` tensors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALL = 1e-2
"""Arguments below which :math:`(\\sin x - x \\cos x)/x^3` is taken from its series."""


def shell_edges(count: int) -> Tensor:
    """Return the edges of `count` shells of equal thickness from 0 to pi, shape (count + 1,)."""
    return torch.linspace(0, math.pi, count + 1, dtype=torch.float64)


def shell_volumes(count: int) -> Tensor:
    """Return the volume of every shell in the space of wave numbers, shape (count,)."""
    return 4 / 3 * math.pi * shell_edges(count).pow(3).diff()


def shell_basis(distances: Tensor, count: int) -> Tensor:
    r"""Return the correlation of a field whose spectrum fills one shell, for every shell.

    .. math:: B_j(h) = 3\,\frac{e_j^3\,b(e_j h) - e_{j-1}^3\,b(e_{j-1} h)}{e_j^3 - e_{j-1}^3},
       \qquad b(x) = \frac{\sin x - x \cos x}{x^3}

    Any mixture :math:`\rho(h) = \sum_j w_j B_j(h)` with :math:`w_j \ge 0`, :math:`\sum w_j = 1`
    is a valid correlation function in space, with :math:`\rho(0) = 1`.

    Parameters
    ----------
    distances : Tensor, shape (n,)
    count : int
        Number of shells J. The basis repeats at h = 2 J, so J should exceed h.

    Returns
    -------
    Tensor, shape (n, count)
    """
    edges = shell_edges(count)
    cubes = edges**3
    inner = cubes * _ball_transform(distances[:, None] * edges)
    return 3 * inner.diff(dim=1) / cubes.diff()


def _ball_transform(x: Tensor) -> Tensor:
    safe = x.clamp_min(SMALL)
    series = 1 / 3 - x**2 / 30 + x**4 / 840
    return torch.where(x < SMALL, series, (safe.sin() - safe * safe.cos()) / safe**3)


def space_density(wave_numbers: Tensor, weights: Tensor) -> Tensor:
    """Return the spectral density in space, ``w_j / V_j`` in shell j and 0 beyond pi.

    Parameters
    ----------
    wave_numbers : Tensor
        Lengths of wave vectors, any shape.
    weights : Tensor, shape (count,)
        Share of the variance in every shell.
    """
    count = len(weights)
    density = torch.cat([weights / shell_volumes(count), weights.new_zeros(1)])
    shell = (wave_numbers * count / math.pi).long().clamp_max(count)
    return density[shell]


def section_density(wave_numbers: Tensor, weights: Tensor) -> Tensor:
    r"""Return the spectral density of a planar section, the projection of that in space.

    .. math:: f_2(k) = \sum_j \frac{2 w_j}{V_j}
       \left[\sqrt{(e_j^2 - k^2)_+} - \sqrt{(e_{j-1}^2 - k^2)_+}\right]

    Parameters are those of `space_density`.
    """
    count = len(weights)
    squares = shell_edges(count) ** 2
    roots = (squares - wave_numbers[..., None] ** 2).clamp_min(0).sqrt()
    return 2 * roots.diff(dim=-1) @ (weights / shell_volumes(count))


def curvature(weights: Tensor) -> Tensor:
    r"""Return :math:`\lambda_2 = -\rho''(0)`, the mean squared slope of the field along a line.

    .. math:: \lambda_2 = \sum_j w_j \frac{e_j^5 - e_{j-1}^5}{5 (e_j^3 - e_{j-1}^3)}

    Parameters
    ----------
    weights : Tensor, shape (..., count)
    """
    edges = shell_edges(weights.shape[-1])
    return weights @ (edges.pow(5).diff() / (5 * edges.pow(3).diff()))


def convolution_kernel(distances: Tensor, weights: Tensor) -> Tensor:
    r"""Return the radial kernel that turns white noise in space into the field.

    It is the inverse Fourier transform of the square root of the spectral density,
    :math:`k(r) \propto \sum_j \sqrt{w_j V_j}\,B_j(r)`, up to a factor.

    Parameters
    ----------
    distances : Tensor, shape (n,)
    weights : Tensor, shape (count,)
    """
    count = len(weights)
    return shell_basis(distances, count) @ (weights * shell_volumes(count)).sqrt()


def bump_weights(length: float, count: int) -> Tensor:
    """Return smooth weights for a correlation length: a Gaussian spectrum, where a fit starts.

    ``w_j`` is proportional to ``k^2 exp(-(k length)^2 / 4)`` in the middle of the shell.
    """
    edges = shell_edges(count)
    middle = (edges[1:] + edges[:-1]) / 2
    logs = 2 * middle.log() - (middle * length) ** 2 / 4
    return torch.softmax(logs.clamp_min(logs.max() - 30), 0)


def low_parametric(distances: Tensor, values: Tensor) -> Tensor:
    r"""Return a correlation function of six numbers, valid in space (paper 002, equation 38).

    .. math:: \rho(h) = \left[q\,e^{-(h/a)^b} + (1-q)\,(1 + (h/c)^2)^{-d}\right]
       \frac{\sin \kappa h}{\kappa h}

    A mixture of the powered exponential and the Cauchy function, times the cardinal sine.

    Parameters
    ----------
    distances : Tensor, shape (n,)
        Greater than 0.
    values : Tensor, shape (..., 6)
        q in [0, 1], a > 0, b in (0, 2], c > 0, d > 0, kappa >= 0.

    Returns
    -------
    Tensor, shape (..., n)
    """
    q, a, b, c, d, kappa = values[..., None].unbind(-2)
    exponential = torch.exp(-((distances / a) ** b))
    cauchy = (1 + (distances / c) ** 2) ** -d
    # torch's sinc is sin(pi x) / (pi x)
    return (q * exponential + (1 - q) * cauchy) * torch.sinc(kappa * distances / math.pi)
