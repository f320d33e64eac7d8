"""Phases or interfaces that lie on a lattice, as losses."""

from __future__ import annotations

import torch
from torch import Tensor


def lattice_variance(volumes: Tensor, period: int) -> Tensor:
    """Variance of the mean over all positions that are a period apart along each axis.

    Transposed convolutions repeat after a power of two voxels, and may draw the same thing at
    the same place of every cell. Without such a lattice the mean over cells is nearly constant.

    Parameters
    ----------
    volumes : Tensor, shape (batch, channels, n, n, n)
        Cubes whose side is a multiple of `period`.
    period : int
        In voxels.

    Returns
    -------
    Tensor
        Scalar, summed over the channels.
    """
    batch, channels, side = volumes.shape[:3]
    cells = side // period
    split = volumes.reshape(batch, channels, *(cells, period) * 3)
    return split.mean((0, 2, 4, 6)).flatten(1).var(1).sum()


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
