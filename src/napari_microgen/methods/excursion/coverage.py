r"""Two-point coverage functions of excursion sets in closed form, instead of by simulation.

The two-point coverage function :math:`S_{ij}(h)` is the probability that of two points at the
distance h the first lies in phase i and the second in phase j. For sets that random fields cut
out where they exceed a level it follows from the correlation functions of the fields. All
functions are smooth in all parameters and take and return ``float64`` tensors.

Guards: correlations are kept within [-0.9999, 0.99999], and the distance 0, where
:math:`S_{ii}` is the volume fraction, is left to the caller.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LOWEST, HIGHEST = -0.9999, 0.99999
"""Range of correlations; at 1 the derivative of the arc sine is infinite."""

NODES = 12
"""Gauss-Legendre nodes of a fit; 16 give full precision where both levels are equal."""


def upper_tail(level: Tensor) -> Tensor:
    """Return Q(u) = P(N > u) of a standard normal variable."""
    return 0.5 * torch.erfc(level / math.sqrt(2))


def lower_quantile(probability: Tensor) -> Tensor:
    """Return the u with P(N < u) = probability."""
    quantile: Tensor = torch.special.ndtri(probability)
    return quantile


def gaussian_coverage(
    first: Tensor, second: Tensor, correlation: Tensor, nodes: int = NODES
) -> Tensor:
    r"""Return P(X > u, Y > v) of two standard normal variables with the given correlation.

    .. math:: Q(u) Q(v) + \frac{1}{2\pi} \int_0^{\arcsin\rho}
       \exp\left(-\frac{(u-v)^2}{2\cos^2 p} - \frac{uv}{1 + \sin p}\right) dp

    The exponent is split so that it stays finite as :math:`\rho \to 1`. The derivatives are the
    closed ones: :math:`-\varphi(u)\,Q((v - \rho u)/\sqrt{1-\rho^2})` by u, and the bivariate
    density by :math:`\rho`.

    Parameters
    ----------
    first, second : Tensor
        Levels u and v; shapes that broadcast with `correlation`.
    correlation : Tensor
    nodes : int
        Gauss-Legendre nodes: 12 are right to 2e-12, 16 to 1e-15, where u = v. Where u and v
        differ by a hundredth and the correlation is above 0.999, more are needed.

    References
    ----------
    Plackett, Biometrika 41 (1954) 351; Genz, Statistics and Computing 14 (2004) 251.
    """
    correlation = correlation.clamp(LOWEST, HIGHEST)
    u, v, rho = torch.broadcast_tensors(first, second, correlation)
    result: Tensor = _GaussianCoverage.apply(u, v, rho, nodes)
    return result


class _GaussianCoverage(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, rho: Tensor, nodes: int) -> Tensor:
        ctx.save_for_backward(u, v, rho)
        angle = rho.asin()
        half_square, product = (u - v).square().mul_(-0.5), u * v
        total = torch.zeros_like(half_square)
        for x, w in zip(*_legendre(nodes), strict=True):
            s = (angle * x).sin_()
            total += (half_square / (1 - s * s) - product / (1 + s)).exp_().mul_(w)
        return upper_tail(u) * upper_tail(v) + angle * total / (2 * math.pi)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, v, rho = ctx.saved_tensors
        rest = (1 - rho * rho).sqrt()
        in_u, in_v = (u - rho * v) / rest, (v - rho * u) / rest
        density_u = torch.exp(-u * u / 2) / math.sqrt(2 * math.pi)
        by_rho = density_u * torch.exp(-in_v * in_v / 2) / (math.sqrt(2 * math.pi) * rest)
        by_u = by_v = None
        if ctx.needs_input_grad[0]:
            by_u = -grad * density_u * upper_tail(in_v)
        if ctx.needs_input_grad[1]:
            density_v = torch.exp(-v * v / 2) / math.sqrt(2 * math.pi)
            by_v = -grad * density_v * upper_tail(in_u)
        return by_u, by_v, grad * by_rho, None


def chi2_tail(level: Tensor, freedom: int) -> Tensor:
    """Return P(Y > u) of a chi-square variable, the sum of `freedom` squared normal ones."""
    tail: Tensor = torch.special.gammaincc(torch.full_like(level, freedom / 2), level / 2)
    return tail


def chi2_coverage(
    first: Tensor, second: Tensor, correlation: Tensor, freedom: int = 2, nodes: int = 32
) -> Tensor:
    r"""Return P(Y > u, Y' > v) of two chi-square variables.

    They are sums of `freedom` = k squared normal variables of which each pair has the given
    correlation. With :math:`r = \rho^2`, :math:`\alpha = k/2`, :math:`u = 2a`, :math:`v = 2b`

    .. math:: \frac{dP}{dr} = \frac{(ab)^{\alpha/2} r^{-\alpha/2}}{\Gamma(\alpha) (1-r)}
       \exp\left(-\frac{a+b}{1-r}\right) I_\alpha\left(\frac{2\sqrt{abr}}{1-r}\right)

    integrated from the product of the tails at r = 0 with :math:`r = \sin^2 p`.

    Parameters
    ----------
    first, second : Tensor
        Levels, greater than 0; shapes that broadcast with `correlation`.
    correlation : Tensor
        Of the normal variables; its sign does not matter.
    freedom : int
        Degrees of freedom, 1 to 4.
    nodes : int
        Gauss-Legendre nodes.
    """
    correlation = correlation.abs().clamp_max(HIGHEST)
    u, v, rho = torch.broadcast_tensors(first, second, correlation)
    alpha = freedom / 2
    x, w = (torch.tensor(values, dtype=torch.float64) for values in _legendre(nodes))
    a, b = u[..., None] / 2, v[..., None] / 2
    sine = (rho.asin()[..., None] * x).sin()
    square = 1 - sine**2
    root = (a * b).sqrt()
    bessel = _scaled_bessel(2 * root * sine / square, alpha)
    exponent = -((a.sqrt() - b.sqrt()) ** 2) / square - 2 * root / (1 + sine)
    slope = (2 * a * b / square) ** alpha * bessel * exponent.exp() * 2 * sine / square.sqrt()
    integral = rho.asin() * (slope @ w) / math.gamma(alpha)
    result: Tensor = chi2_tail(u, freedom) * chi2_tail(v, freedom) + integral
    return result


def _scaled_bessel(z: Tensor, alpha: float) -> Tensor:
    r"""Return :math:`e^{-z} z^{-\alpha} I_\alpha(z)`, which is finite at 0."""
    small = z < 0.05
    safe = torch.where(small, torch.ones_like(z), z)
    if alpha == 0.5:
        scaled = (1 - torch.exp(-2 * safe)) / (2 * math.pi * safe).sqrt()
    elif alpha == 1:
        scaled = torch.special.i1e(safe)
    elif alpha == 1.5:
        decay = torch.exp(-2 * safe)
        scaled = ((1 + decay) - (1 - decay) / safe) / (2 * math.pi * safe).sqrt()
    else:
        scaled = torch.special.i0e(safe) - 2 * torch.special.i1e(safe) / safe
    term = torch.full_like(z, 2**-alpha / math.gamma(alpha + 1))
    series = term
    quarter = (torch.where(small, z, torch.zeros_like(z)) / 2) ** 2
    for n in (1, 2, 3):
        term = term * quarter / (n * (n + alpha))
        series = series + term
    return torch.where(small, series * torch.exp(-z), scaled / safe**alpha)


def gaussian_surface(level: Tensor, curvature: Tensor) -> Tensor:
    r"""Return the specific surface area of {X >= u}, per voxel edge.

    .. math:: S_V = \frac{2}{\pi} \sqrt{\lambda_2}\, e^{-u^2/2}

    with :math:`\lambda_2 = -\rho''(0)`; the perimeter per area of sections is
    :math:`\pi S_V / 4`, and :math:`S_{ii}'(0) = -S_V / 4`.
    """
    return 2 / math.pi * curvature.sqrt() * torch.exp(-(level**2) / 2)


def chi2_surface(level: Tensor, curvature: Tensor) -> Tensor:
    r"""Return the specific surface area of {Y >= u} with two degrees of freedom.

    .. math:: S_V = 4 e^{-u/2} \sqrt{u \lambda_2 / (2\pi)}
    """
    return 4 * torch.exp(-level / 2) * (level * curvature / (2 * math.pi)).sqrt()


def conditional_coverage(
    first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor], nodes: int = NODES
) -> Tensor:
    r"""Return the coverage functions of three phases, given all shared fields.

    Phase 1 is where :math:`X_1` exceeds its level, phase 2 where it does not but :math:`X_2`
    does, phase 3 the rest. With :math:`p, q` the tails at one point, :math:`p', q'` at the
    other, P and R the coverage of either field and :math:`N = 1 - p - p' + P`:

    .. math::
       S_{11} = P \quad S_{12} = [(p-P)q' + (p'-P)q]/2 \quad
       S_{13} = [(p-P)(1-q') + (p'-P)(1-q)]/2 \\
       S_{22} = N R \quad S_{23} = N (q+q'-2R)/2 \quad S_{33} = N (1-q-q'+R)

    The expectation over the shared fields is taken by the caller.

    Parameters
    ----------
    first, second : tuple of Tensor
        For either field: level at the one point, level at the other, correlation.
    nodes : int
        As in `gaussian_coverage`.

    Returns
    -------
    Tensor, shape (6, ...)
        11, 12, 13, 22, 23, 33.
    """
    p, p_far, q, q_far = (upper_tail(x) for x in (*first[:2], *second[:2]))
    both, either = gaussian_coverage(*first, nodes), gaussian_coverage(*second, nodes)
    out, out_far = p - both, p_far - both
    neither = 1 - p - p_far + both
    rows = (
        both,
        (out * q_far + out_far * q) / 2,
        (out * (1 - q_far) + out_far * (1 - q)) / 2,
        neither * either,
        neither * (q + q_far - 2 * either) / 2,
        neither * (1 - q - q_far + either),
    )
    return torch.stack(torch.broadcast_tensors(*rows))


def pair_rows(n_phases: int) -> list[tuple[int, int]]:
    """Return the unordered pairs of phases in the order of the rows: 11, 12, ..., 22, ..."""
    return [(i, j) for i in range(n_phases) for j in range(i, n_phases)]


@cache
def _legendre(nodes: int) -> tuple[list[float], list[float]]:
    """Return Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return ((x + 1) / 2).tolist(), (w / 2).tolist()


def hermite(nodes: int) -> tuple[Tensor, Tensor]:
    """Return Gauss-Hermite nodes and weights for the mean over a standard normal variable."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    return torch.as_tensor(x), torch.as_tensor(w / math.sqrt(2 * math.pi))


def normal_points(count: int, dimensions: int, seed: int) -> Tensor:
    """Return quasi-random normal points (scrambled Sobol), shape (count, dimensions)."""
    engine = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed)
    uniform = engine.draw(count, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    return lower_quantile(uniform)
