r"""Generalised balanced power diagrams with radial bases (paper 004, section 2.4).

The grain of seed s_i holds the points x where :math:`|x - s_i|_{M_i}^p - r_i` is least, with
:math:`M_i = Q_i^T D_i Q_i`, D_i diagonal, and Q_i a rotation that takes the direction of s_i, seen
from the particle's centre, to the first axis. All lengths are in units, see `sections`.

The paper's exponent p is not legible in its equation 8. p = 2 is the default, as in power
diagrams; with it the partition does not change when all D and r are multiplied by one number, or
one number is added to all r.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEAREST = 32
"""Seeds that are looked at first for a block of points; more where they do not settle it."""

BLOCK, MOST_POINTS = 3.0, 8
"""Length in units of a block whose candidates are found together, half a grain's width, and the
most points along it."""

BLOCKS_AT_ONCE = 8192
"""Blocks whose candidates are in memory together: some 40 MB."""


# ---------------------------------------------------------------------- bases and markers


def radial_bases(points: Tensor, turns: Tensor) -> Tensor:
    """Return rotations Q with ``Q s / |s| = e1`` (paper 004, equation 12).

    Half a turn about the bisector of s and e1, then a turn by gamma about e1.

    Parameters
    ----------
    points : Tensor, shape (n, 3)
        Seeds, none of them the origin.
    turns : Tensor, shape (n,)
        The angles gamma.

    Returns
    -------
    Tensor, shape (n, 3, 3)
    """
    first = torch.zeros_like(points)
    first[:, 0] = 1
    axis = points / points.norm(dim=1, keepdim=True) + first
    opposite = axis.square().sum(1) < 1e-12
    axis = torch.where(opposite[:, None], first.roll(1, dims=1), axis)  # any axis normal to e1
    squared = axis.square().sum(1)[:, None, None]
    half_turn = 2 * axis[:, :, None] * axis[:, None, :] / squared - torch.eye(3).to(points)
    cosine, sine = torch.cos(turns), torch.sin(turns)
    turn = torch.zeros_like(half_turn)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = cosine
    turn[:, 1, 2], turn[:, 2, 1] = -sine, sine
    return turn @ half_turn


def metrics(bases: Tensor, diagonals: Tensor) -> Tensor:
    """Return M = Q^T D Q, shape (n, 3, 3), for diagonals of shape (n, 3)."""
    return bases.transpose(1, 2) @ (diagonals[:, :, None] * bases)


# ---------------------------------------------------------------------- the tessellation


def potentials(
    points: Tensor, seeds: Tensor, matrices: Tensor, offsets: Tensor, exponent: int = 2
) -> Tensor:
    """Return |x - s_i|_M^p - r_i, shape ``(..., points, seeds)``; the plain formula.

    Parameters
    ----------
    points : Tensor, shape (..., m, 3)
    seeds, matrices, offsets : Tensor, shapes (..., n, 3), (..., n, 3, 3), (..., n)
    """
    off = points[..., :, None, :] - seeds[..., None, :, :]
    squared = torch.einsum("...mni,...nij,...mnj->...mn", off, matrices, off)
    return _raised(squared, exponent) - offsets[..., None, :]


def expanded_potentials(
    monomials: Tensor, seeds: Tensor, matrices: Tensor, offsets: Tensor, exponent: int = 2
) -> Tensor:
    """Return `potentials` from the monomials of the points: one product, many times faster.

    In single precision the points have to lie near the origin.

    Parameters
    ----------
    monomials : Tensor, shape (..., m, 10)
        As `quadratic_monomials` gives them.
    """
    moved = (matrices @ seeds[..., None])[..., 0]
    constant = (moved * seeds).sum(-1)
    squares = torch.diagonal(matrices, dim1=-2, dim2=-1)
    mixed = torch.stack([matrices[..., i, j] for i, j in ((0, 1), (0, 2), (1, 2))], -1)
    terms = torch.cat([squares, 2 * mixed, -2 * moved, constant[..., None]], -1)
    squared = monomials @ terms.transpose(-1, -2)
    return _raised(squared, exponent) - offsets[..., None, :]


def quadratic_monomials(points: Tensor) -> Tensor:
    """Return a², b², c², ab, ac, bc, a, b, c, 1 of points (a, b, c), as the last axis."""
    a, b, c = points.unbind(-1)
    return torch.stack([a * a, b * b, c * c, a * b, a * c, b * c, a, b, c, torch.ones_like(a)], -1)


def softmax_tessellation(potential: Tensor) -> Tensor:
    """Return how much every point belongs to every seed (paper 004, equation 11)."""
    return torch.softmax(-potential, -1)


def _raised(squared: Tensor, exponent: int) -> Tensor:
    return squared if exponent == 2 else squared.clamp(min=1e-12).sqrt()


# ---------------------------------------------------------------------- many points


@dataclass(frozen=True, eq=False)
class Diagram:
    """A realised diagram, and which seed owns each point of a grid.

    Attributes
    ----------
    seeds : ndarray, shape (n, 3)
    diagonals : ndarray, shape (n, 3)
        Diagonals of D.
    matrices : ndarray, shape (n, 3, 3)
    offsets : ndarray, shape (n,)
        The r_i.
    exponent : int
    """

    seeds: NDArray[np.float64]
    diagonals: NDArray[np.float64]
    matrices: NDArray[np.float64]
    offsets: NDArray[np.float64]
    exponent: int = 2

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.seeds)

    def owners(
        self,
        start: Sequence[float],
        shape: Sequence[int],
        step: float,
        inside: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """Return the index of the seed that owns each point of a grid.

        Parameters
        ----------
        start : sequence of float
            First point, in units.
        shape : sequence of int
            Points along each axis.
        step : float
            Distance of neighbouring points.
        inside : ndarray of bool, optional
            Of that shape; the other points get -1, and cost next to nothing.

        Notes
        -----
        Points are taken in blocks. The metric at a block's middle bounds every potential within
        the block from both sides, so seeds that cannot win are left out without any error.
        """
        side = min(max(1, int(BLOCK / step)), MOST_POINTS)
        sides = [min(side, n) for n in shape]
        counts = [-(-n // s) for n, s in zip(shape, sides, strict=True)]
        local = np.stack(
            np.meshgrid(*[(np.arange(s) - (s - 1) / 2) * step for s in sides], indexing="ij"), -1
        ).reshape(-1, 3)
        corners = [
            f + (np.arange(c) * s + (s - 1) / 2) * step
            for f, c, s in zip(start, counts, sides, strict=True)
        ]
        middles = np.stack(np.meshgrid(*corners, indexing="ij"), -1).reshape(-1, 3)
        asked = np.arange(len(middles)) if inside is None else _blocks_with(inside, counts, sides)
        owner = np.full((len(middles), len(local)), -1)
        for first in range(0, len(asked), BLOCKS_AT_ONCE):
            some = asked[first : first + BLOCKS_AT_ONCE]
            owner[some] = self._block_owners(middles[some], local)
        grid = owner.reshape(*counts, *sides).transpose(0, 3, 1, 4, 2, 5)
        whole = grid.reshape([c * s for c, s in zip(counts, sides, strict=True)])
        owned = whole[tuple(slice(n) for n in shape)]
        return owned if inside is None else np.where(inside, owned, -1)

    def _block_owners(
        self, middles: NDArray[np.float64], local: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return the owner of every ``middle + local``, shape ``(middles, local)``."""
        extent = float(np.linalg.norm(local, axis=1).max())
        widest = np.sqrt(self.diagonals.max(axis=1)) * extent
        result = np.empty((len(middles), len(local)), np.int64)
        open_blocks, looked = np.arange(len(middles)), NEAREST
        monomials = quadratic_monomials(torch.from_numpy(local))
        while len(open_blocks):
            looked = min(looked, len(self.seeds))
            distance, index = self._tree.query(middles[open_blocks], looked)
            distance, index = distance.reshape(-1, looked), index.reshape(-1, looked)
            off = middles[open_blocks][:, None] - self.seeds[index]
            length = np.sqrt(np.einsum("bni,bnij,bnj->bn", off, self.matrices[index], off))
            most = ((length + widest[index]) ** self.exponent - self.offsets[index]).min(axis=1)
            least = np.maximum(length - widest[index], 0) ** self.exponent - self.offsets[index]
            settled = self._least_beyond(distance[:, -1] - extent) > most
            settled |= looked == len(self.seeds)
            kept = np.where(least <= most[:, None], index, -1)[settled]
            result[open_blocks[settled]] = self._winners(middles[open_blocks[settled]], kept,
                                                         monomials)  # fmt: skip
            open_blocks, looked = open_blocks[~settled], 2 * looked
        return result

    def _least_beyond(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bound the potentials of all seeds farther away than a distance from below."""
        shortest = np.sqrt(self.diagonals.min()) * np.maximum(distance, 0)
        return np.asarray(shortest**self.exponent - self.offsets.max())

    def _winners(
        self, middles: NDArray[np.float64], kept: NDArray[np.int64], monomials: Tensor
    ) -> NDArray[np.int64]:
        """Return the best of the kept seeds (-1 for none) at every point of every block."""
        order = np.argsort(kept < 0, axis=1, kind="stable")
        most = int((kept >= 0).sum(axis=1).max(initial=1))
        index = np.take_along_axis(kept, order, axis=1)[:, :most]
        safe = np.maximum(index, 0)
        moved = torch.from_numpy(self.seeds[safe] - middles[:, None])
        value = expanded_potentials(
            monomials, moved, torch.from_numpy(self.matrices[safe]),
            torch.from_numpy(np.where(index < 0, -np.inf, self.offsets[safe])), self.exponent,
        )  # fmt: skip
        best = value.argmin(-1).numpy()
        return np.take_along_axis(index, best, axis=1)


def _blocks_with(
    inside: NDArray[np.bool_], counts: Sequence[int], sides: Sequence[int]
) -> NDArray[np.int64]:
    """Return which blocks of a grid hold a point that is inside."""
    missing = [(0, c * s - n) for n, c, s in zip(inside.shape, counts, sides, strict=True)]
    sizes = [n for pair in zip(counts, sides, strict=True) for n in pair]
    parts = np.pad(inside, missing).reshape(sizes)
    return np.flatnonzero(parts.any(axis=(1, 3, 5)))
