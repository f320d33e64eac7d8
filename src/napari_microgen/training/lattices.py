"""Interfaces that lie on a lattice, as a loss."""

from __future__ import annotations

import torch
from torch import Tensor


def interface_lattice(volumes: Tensor, period: int) -> Tensor:
    """How unevenly interfaces are spread over the places of a lattice.

    Transposed convolutions of stride 2 draw voxels in pairs, and where features are a few voxels
    wide, neighbours then differ more often between pairs than within: two-point correlations,
    which are means over all places, do not show it.

    Parameters
    ----------
    volumes : Tensor, shape (batch, phases, n, n, n)
        Phase probabilities of cubes, `n` at least twice `period`.
    period : int
        In voxels.

    Returns
    -------
    Tensor
        Scalar: variance over the places of a cell, of how often neighbours along an axis differ,
        over the squared mean; the mean of the three axes. About 0 without a lattice.
    """
    found = []
    for axis in (2, 3, 4):
        n = volumes.shape[axis]
        alike = (volumes.narrow(axis, 0, n - 1) * volumes.narrow(axis, 1, n - 1)).sum(1)
        planes = 1 - alike.mean([d for d in range(4) if d != axis - 1])
        places = planes[: (n - 1) // period * period].reshape(-1, period).mean(0)
        found.append(places.var(unbiased=False) / places.mean().square().clamp_min(1e-6))
    return torch.stack(found).mean()
