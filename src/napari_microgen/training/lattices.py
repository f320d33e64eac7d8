"""Interfaces that lie on a lattice, as a loss."""

from __future__ import annotations

import torch
from torch import Tensor


def interface_lattice(volumes: Tensor, period: int) -> Tensor:
    """How unevenly interfaces are spread over the places of a lattice.

    Transposed convolutions repeat after a power of two voxels, and neighbours may differ more
    often at one place of every cell than at another: two-point correlations, which are means
    over all places, do not show it.

    Parameters
    ----------
    volumes : Tensor, shape (batch, phases, n, n, n)
        Phase probabilities of cubes, `n` above `period`.
    period : int
        In voxels.

    Returns
    -------
    Tensor
        Scalar: of how often neighbours along an axis differ, by place in a cell, the variance over
        the squared mean; the mean of the three axes. It is the covariance of two halves of every
        cube, whose chance does not repeat, so that it is about 0 (or below) without a lattice.
    """
    found = []
    for axis in (2, 3, 4):
        n = volumes.shape[axis]
        alike = (volumes.narrow(axis, 0, n - 1) * volumes.narrow(axis, 1, n - 1)).sum(1)
        differ = (1 - alike).movedim(axis - 1, 1)[:, : (n - 1) // period * period]
        halves = differ.unflatten(1, (-1, period)).unflatten(3, (2, -1)).mean((0, 1, 4, 5))
        mean = halves.mean().clamp_min(1e-3)
        uneven = halves - halves.mean(0)
        found.append((uneven[:, 0] * uneven[:, 1]).mean() / mean.square())
    return torch.stack(found).mean()
