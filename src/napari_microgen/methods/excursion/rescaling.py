"""Making a random field coarser or finer by moving its spectrum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_microgen.methods.excursion.covariances import shell_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

MOST_SHELLS = 512
"""Shells that a coarser field is given at most, unless it had more before."""


def rescaled_fields(weights: Tensor, factors: Sequence[float]) -> Tensor:
    """Return the shells of fields that are longer by a factor each, on shells of one thickness.

    A longer field has a narrower spectrum, which takes thinner shells: the largest factor times
    as many, up to `MOST_SHELLS`.

    Parameters
    ----------
    weights : Tensor, shape (n_fields, count)
    factors : sequence of float
        One per field.

    Returns
    -------
    Tensor, shape (n_fields, more)
    """
    if all(factor == 1 for factor in factors):
        return weights
    count = weights.shape[1]
    needed = math.ceil(count * max(1.0, *factors))
    finer = max(count, min(needed, MOST_SHELLS))
    return torch.stack([rescaled(w, f, finer) for w, f in zip(weights, factors, strict=True)])


def rescaled(weights: Tensor, factor: float, count: int) -> Tensor:
    r"""Return the shells of the field :math:`X(t/s)`, whose correlation is :math:`\rho(h/s)`.

    Its spectral mass between two wave numbers is that of X between s times both, so the mass in
    every new shell is exact; only where an edge falls inside an old shell is the density on
    either side of it averaged. What a smaller s moves beyond the finest wave that voxels
    resolve is left out (`lost_variance`), and the rest is scaled to unit variance.

    Parameters
    ----------
    weights : Tensor, shape (old,)
    factor : float
        s, greater than 0.
    count : int
        Number of new shells.
    """
    edges = factor * shell_edges(count)
    mass = _mass_below(weights, edges)
    return torch.as_tensor(np.diff(mass) / mass[-1])


def lost_variance(weights: Tensor, factor: float) -> float:
    """Return the share of a field's variance that is finer than voxels once it is rescaled."""
    return float(1 - _mass_below(weights, factor * shell_edges(1))[-1])


def _mass_below(weights: Tensor, wave_numbers: Tensor) -> NDArray[np.float64]:
    """Return the spectral mass below wave numbers; within a shell it grows with the volume."""
    cubes = shell_edges(len(weights)).numpy() ** 3
    mass = np.append(0.0, np.cumsum(weights.numpy()))
    return np.asarray(np.interp(wave_numbers.numpy() ** 3, cubes, mass / mass[-1]))
