r"""Ways to write down correlation functions: spectral shells, radial kernels, or six numbers.

Each turns its values into the weights of spectral shells (`covariances`), so that whatever is
calibrated is admissible in space, and is drawn as exactly what was calibrated.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.special import sici
from torch import Tensor
from torch.nn.functional import softplus

from napari_microgen.methods.excursion.covariances import (
    bump_weights,
    convolution_kernel,
    low_parametric,
    shell_basis,
    shell_edges,
    shell_volumes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KERNEL_LENGTH = 100
"""Radius of the paper's kernels in voxels."""

SHORTEST, LEAST_DECAY = 0.3, 0.05
"""Least lengths a and c in voxels, and least exponent d, of a low-parametric function."""

TETHER = 1e-3
"""What holds back numbers that the function hardly depends on, such as a very large length."""


class Spectrum(ABC):
    """A parametrisation of the correlation functions of a model.

    Parameters
    ----------
    count : int
        Number of spectral shells.
    """

    name: ClassVar[str]
    rate: ClassVar[float] = 0.1
    """Learning rate at which the parameters are found, found by trying."""

    def __init__(self, count: int) -> None:
        self.count = count

    @abstractmethod
    def start(self, lengths: Sequence[float]) -> Tensor:
        """Return values of one smooth function per correlation length, shape (n, m)."""

    @abstractmethod
    def values(self, parameters: Tensor) -> Tensor:
        """Turn unconstrained parameters, which a fit changes, into admissible values."""

    @abstractmethod
    def parameters(self, values: Tensor) -> Tensor:
        """Return parameters that give these values."""

    @abstractmethod
    def weights(self, values: Tensor) -> Tensor:
        """Return the weights of the spectral shells, shape (n, count); they sum to 1."""

    @abstractmethod
    def nearest(self, weights: Tensor) -> Tensor:
        """Return values whose functions are those of shells, or come near them."""

    def roughness(self, parameters: Tensor) -> Tensor:
        """Return how rough the spectra are; 0 where the parametrisation itself is smooth."""
        return parameters.new_zeros(())


class Shells(Spectrum):
    """The weights of the shells themselves, as a softmax: every choice is admissible."""

    name = "shells"

    def start(self, lengths: Sequence[float]) -> Tensor:
        """See `Spectrum.start`."""
        return torch.stack([bump_weights(length, self.count) for length in lengths])

    def values(self, parameters: Tensor) -> Tensor:
        """See `Spectrum.values`."""
        return torch.softmax(parameters, 1)

    def parameters(self, values: Tensor) -> Tensor:
        """See `Spectrum.parameters`."""
        return values.clamp_min(1e-30).log()

    def weights(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def nearest(self, weights: Tensor) -> Tensor:
        """Return the weights."""
        return weights

    def roughness(self, parameters: Tensor) -> Tensor:
        """Return the mean squared second difference of the log density.

        Of the density, not of the mass: that of a shell near 0 must fall with its volume, or
        volume fractions would vary far more between volumes than between images.
        """
        return (parameters - shell_volumes(self.count).log()).diff(n=2, dim=1).square().mean()


class RadialKernels(Spectrum):
    r"""Kernels that white noise is convolved with, by distance (paper 002, equations 10 and 11).

    .. math:: \hat k(q) = 4\pi \int_0^K r^2\,\theta(r)\,\frac{\sin qr}{qr}\,dr, \qquad
       w_j \propto \int_{e_{j-1}}^{e_j} q^2\,\hat k(q)^2\,dq

    The values are :math:`\theta_0, \dots, \theta_K`, K = 100, linear in between (the paper takes
    the nearest). The kernel is one in space: the paper convolves noise in the plane to calibrate,
    and the same kernel in space has another correlation function.
    """

    name = "kernels"
    rate = 0.03

    def start(self, lengths: Sequence[float]) -> Tensor:
        """See `Spectrum.start`."""
        r = torch.arange(KERNEL_LENGTH + 1, dtype=torch.float64)
        return torch.stack([torch.exp(-2 * (r / length) ** 2) for length in lengths])

    def values(self, parameters: Tensor) -> Tensor:
        """Return the parameters."""
        return parameters

    def parameters(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def weights(self, values: Tensor) -> Tensor:
        """See `Spectrum.weights`."""
        transforms = values @ self._transform.T
        power: Tensor = transforms.square().unflatten(1, (self.count, -1)) @ self._points[1]
        return power / power.sum(1, keepdim=True)

    def nearest(self, weights: Tensor) -> Tensor:
        """Return the kernels of the shells, cut off at K."""
        r = torch.arange(KERNEL_LENGTH + 1, dtype=torch.float64)
        kernels = torch.stack([convolution_kernel(r, w) for w in weights])
        return kernels / kernels[:, :1]

    @cached_property
    def _points(self) -> tuple[Tensor, Tensor]:
        """Return Gauss-Legendre nodes and weights on [0, 1], enough for the kernel's last voxel."""
        x, w = np.polynomial.legendre.leggauss(max(4, -(-2 * KERNEL_LENGTH // self.count)))
        return torch.as_tensor((x + 1) / 2), torch.as_tensor(w / 2)

    @cached_property
    def _transform(self) -> Tensor:
        r"""Return :math:`q \hat k(q)` at the nodes of all shells as a map of theta."""
        edges = shell_edges(self.count)
        q = (edges[:-1, None] + edges.diff()[:, None] * self._points[0]).reshape(-1, 1, 1)
        x, w = (torch.as_tensor(v) for v in np.polynomial.legendre.leggauss(6))
        inside, w = (x + 1) / 2, w / 2
        r = torch.arange(KERNEL_LENGTH, dtype=torch.float64)[:, None] + inside
        wave = r * (q * r).sin() * w
        result = torch.zeros(len(q), KERNEL_LENGTH + 1, dtype=torch.float64)
        result[:, :-1] += wave @ (1 - inside)
        result[:, 1:] += wave @ inside
        return result


class LowParametric(Spectrum):
    r"""Six numbers per function: q, a, b, c, d, kappa of `low_parametric` (equation 38).

    The weights are the mass of the spectrum within the shells,

    .. math:: w_j = C(e_j) - C(e_{j-1}), \qquad C(e) = \frac{2}{\pi} \int_0^\infty
       \rho(h) \left[\frac{\sin eh}{h} - e \cos eh\right] dh

    with :math:`\rho` linear between its points, times :math:`\exp(-h^2 / L^2)` with
    L = 5 `count`, which is a correlation function itself: it ends what decays more slowly than
    shells resolve. What lies beyond pi, the roughness of less than a voxel, is left out.
    """

    name = "lowparam"

    def start(self, lengths: Sequence[float]) -> Tensor:
        """See `Spectrum.start`."""
        rows = [[0.5, length, 1.9, length, 2.0, 0.1 / length] for length in lengths]
        return torch.tensor(rows, dtype=torch.float64)

    def values(self, parameters: Tensor) -> Tensor:
        """See `Spectrum.values`: q in (0, 1), a and c > .3, b in (0, 2), d > .05, kappa > 0."""
        q, a, b, c, d, kappa = parameters.unbind(-1)
        return torch.stack(
            [
                torch.sigmoid(q), SHORTEST + softplus(a), 2 * torch.sigmoid(b),
                SHORTEST + softplus(c), LEAST_DECAY + softplus(d), softplus(kappa),
            ],
            -1,
        )  # fmt: skip

    def parameters(self, values: Tensor) -> Tensor:
        """See `Spectrum.parameters`."""
        q, a, b, c, d, kappa = values.unbind(-1)
        return torch.stack(
            [
                _logit(q), _softplus_inverse(a - SHORTEST), _logit(b / 2),
                _softplus_inverse(c - SHORTEST), _softplus_inverse(d - LEAST_DECAY),
                _softplus_inverse(kappa),
            ],
            -1,
        )  # fmt: skip

    def weights(self, values: Tensor) -> Tensor:
        """See `Spectrum.weights`."""
        grid, transform = self._transform
        decay = torch.exp(-((grid / (5 * self.count)) ** 2))
        mass = ((low_parametric(grid, values) * decay) @ transform.T).clamp_min(0)
        return mass / mass.sum(-1, keepdim=True)

    @cached_property
    def _transform(self) -> tuple[Tensor, Tensor]:
        """Return distances, and the map from a function's values there to the shells' mass."""
        last = 20.0 * self.count
        steps = np.concatenate([
            [1e-9], np.geomspace(0.01, 2, 60), np.arange(2.1, 40, 0.1), np.arange(40, last, 0.25)
        ])  # fmt: skip
        edges = shell_edges(self.count).numpy()[1:]
        inner = np.diff(_mass_below(steps, edges), axis=0, prepend=0)
        return torch.as_tensor(steps), torch.as_tensor(inner)

    def nearest(self, weights: Tensor) -> Tensor:
        """Return values whose functions come nearest to those of shells, by least squares.

        Parameters
        ----------
        weights : Tensor, shape (n, count)
        """
        h = torch.arange(1, self.count // 2 + 1, dtype=torch.float64)
        wanted = weights @ shell_basis(h, self.count).T
        return torch.stack([self._nearest(h, rho) for rho in wanted])

    def _nearest(self, h: Tensor, wanted: Tensor) -> Tensor:
        below = torch.nonzero(wanted < 0.5)
        length = float(h[below[0, 0]]) if len(below) else float(h[-1])

        def misfit(
            parameters: NDArray[np.float64], start: NDArray[np.float64]
        ) -> NDArray[np.float64]:
            values = self.values(torch.as_tensor(parameters))
            far = TETHER * (parameters - start)
            return np.append(low_parametric(h, values) - wanted, far)

        starts = [
            self.parameters(
                torch.tensor([0.5, length, b, length, 1.0, kappa / length], dtype=torch.float64)
            ).numpy()
            for b in (1.2, 1.9) for kappa in (0.1, 1.0, 2.0)
        ]  # fmt: skip
        found = [least_squares(misfit, start, args=(start,)) for start in starts]
        return self.values(torch.as_tensor(min(found, key=lambda f: float(f.cost)).x))


SPECTRA: dict[str, type[Spectrum]] = {s.name: s for s in (Shells, RadialKernels, LowParametric)}


def _mass_below(h: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the map from values at h to the mass below wave numbers, shape (edges, len(h)).

    A function that is linear between h is integrated exactly.
    """
    e = edges[:, None]
    constant = np.diff(sici(e * h)[0] - np.sin(e * h), axis=1)
    linear = np.diff(-2 * np.cos(e * h) / e - h * np.sin(e * h), axis=1)
    upper = (linear - h[:-1] * constant) / np.diff(h)
    result = np.zeros((len(edges), len(h)))
    result[:, :-1] += constant - upper
    result[:, 1:] += upper
    return result * 2 / math.pi


def _logit(share: Tensor) -> Tensor:
    return torch.logit(share.clamp(1e-6, 1 - 1e-6))


def _softplus_inverse(value: Tensor) -> Tensor:
    value = value.clamp_min(1e-6)
    return value + torch.log(-torch.expm1(-value))
