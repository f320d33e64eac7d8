"""A multigrid preconditioner for diffusion through any shape of pore space.

Coarse unknowns are the connected pieces of the phase inside blocks of 2 x 2 x 2 voxels, then of
their blocks, and so on (unsmoothed aggregation), so that two pores that touch nowhere stay apart
on every level. That keeps conjugate gradients at some ten iterations however badly the phase is
connected.

References
----------
Braess, "Towards algebraic multigrid for elliptic problems of second order", Computing 55, 1995.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage, sparse
from scipy.sparse import csgraph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_microgen.metrics.transport import Stencil

DAMPING = 0.7
"""Damping of the Jacobi smoother."""

OVERCORRECTION = 1.8
"""Piecewise constant coarse corrections come out too small by about this factor (Braess)."""

CYCLES = 2
"""Visits of every coarser level, the first excepted (a W-cycle): half the iterations of one."""

DENSE_BELOW = 200
"""A level with fewer unknowns than this is solved directly."""


class Multigrid:
    """One cycle over all levels, the voxels being the finest.

    Parameters
    ----------
    stencil : Stencil
        The operator on the voxels.
    """

    def __init__(self, stencil: Stencil) -> None:
        self.stencil = stencil
        pieces, links, diagonal, places = _pieces_of_blocks(stencil)
        # Of the voxels in the phase, which piece they are in; 4 bytes each, to bound memory.
        voxels = np.flatnonzero(pieces >= 0)
        self.voxels = torch.from_numpy(voxels.astype(np.int32)).to(stencil.device)
        self.owner = torch.from_numpy(pieces.ravel()[voxels]).to(stencil.device)
        del voxels, pieces
        self.coarse = _Level(links, diagonal, places, stencil)

    def __call__(self, residual: torch.Tensor) -> torch.Tensor:
        """Return an approximate solution of ``A x = residual``, a symmetric function of it."""
        inverse = self.stencil.inverse_diagonal
        x = (inverse * residual).mul_(DAMPING)
        rest = self.stencil(x).neg_().add_(residual).view(-1).index_select(0, self.voxels)
        sums = rest.new_zeros(self.coarse.size).index_add_(0, self.owner, rest)
        del rest
        correction = (self.coarse(sums) * OVERCORRECTION).index_select(0, self.owner)
        x.view(-1).index_add_(0, self.voxels, correction)
        del correction
        return x.addcmul_(inverse, self.stencil(x).neg_().add_(residual), value=DAMPING)


class _Level:
    """A coarse level: unknowns, their links as a sparse matrix, and the level below."""

    def __init__(
        self,
        links: sparse.csr_matrix,
        diagonal: NDArray[np.float64],
        places: NDArray[np.int32],
        stencil: Stencil,
    ) -> None:
        self.size = diagonal.size
        self.solution: torch.Tensor | None = None
        if links.nnz == 0:  # clusters that touch nowhere, one unknown each
            self.solution = torch.from_numpy(1 / diagonal).to(stencil.device, stencil.dtype)
            return
        if self.size <= DENSE_BELOW:
            dense = torch.from_numpy(np.diag(diagonal) - links.toarray())
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(dense))
            self.solution = inverse.to(stencil.device, stencil.dtype)
            return
        self.links = _torch_csr(links, stencil)
        self.diagonal = torch.from_numpy(diagonal).to(stencil.device, stencil.dtype)
        self.inverse = DAMPING / self.diagonal
        owner, coarse_links, coarse_diagonal, coarse_places = _pieces(links, diagonal, places)
        self.owner = torch.from_numpy(owner).to(stencil.device)
        self.coarse = _Level(coarse_links, coarse_diagonal, coarse_places, stencil)

    def __call__(self, residual: torch.Tensor) -> torch.Tensor:
        if self.solution is not None:
            whole = self.solution.ndim == 2
            return self.solution @ residual if whole else self.solution * residual
        x = self.inverse * residual
        for _ in range(CYCLES):
            rest = self._rest(residual, x)
            sums = rest.new_zeros(self.coarse.size).index_add_(0, self.owner, rest)
            x += (self.coarse(sums) * OVERCORRECTION)[self.owner]
            x += self.inverse * self._rest(residual, x)
        return x

    def _rest(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return residual - self.diagonal * x + self.links @ x


@cache
def _block_table() -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return for each of the 256 fillings of a 2 x 2 x 2 block the piece of each voxel (-1: none).

    Shapes (256, 8) and, for the number of pieces, (256,).
    """
    piece = np.full((256, 8), -1, np.int8)
    number = np.zeros(256, np.int8)
    for filling in range(1, 256):
        block = np.array([filling >> k & 1 for k in range(8)]).reshape(2, 2, 2)
        labels, number[filling] = ndimage.label(block)
        piece[filling] = labels.ravel() - 1
    return piece, number


def _pieces_of_blocks(
    stencil: Stencil,
) -> tuple[NDArray[np.int32], sparse.csr_matrix, NDArray[np.float64], NDArray[np.int32]]:
    """Find the connected pieces inside blocks of voxels and the links between them.

    Returns
    -------
    pieces : ndarray of int32
        Number of the piece that every voxel is in; -1 outside the phase.
    links : csr_matrix
        Summed conductances between pieces.
    diagonal : ndarray
        Diagonal of the coarse operator.
    places : ndarray, shape (n_pieces, 3)
        Block of every piece.
    """
    mask = stencil.mask.cpu().numpy()
    even = np.pad(mask, [(0, n % 2) for n in mask.shape])
    corners = [(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    filling = np.zeros([n // 2 for n in even.shape], np.uint8)
    for k, (z, y, x) in enumerate(corners):
        filling |= even[z::2, y::2, x::2].view(np.uint8) << np.uint8(k)
    piece, number = _block_table()
    counts = number[filling].ravel()
    first = (np.cumsum(counts, dtype=np.int64) - counts).reshape(filling.shape)
    numbered = np.full(even.shape, -1, np.int32)
    for k, (z, y, x) in enumerate(corners):
        local = piece[filling, k]
        numbered[z::2, y::2, x::2] = np.where(local >= 0, first + local, -1)
    pieces = np.ascontiguousarray(numbered[tuple(slice(0, n) for n in mask.shape)])
    size = int(counts.sum(dtype=np.int64))
    blocks = np.unravel_index(np.repeat(np.arange(filling.size), counts), filling.shape)
    places = np.stack([part.astype(np.int32) for part in blocks], axis=1)
    del blocks, filling, first
    links = sparse.csr_matrix((size, size), dtype=np.float32)
    for axis, (weight, around) in enumerate(zip(stencil.weights, stencil.periodic, strict=True)):
        moved = np.moveaxis(pieces, axis, 0)
        # Voxels 1, 3, 5... and their next ones lie in different blocks.
        ends = [(moved[1:-1:2], moved[2::2])] + [(moved[-1], moved[0])] * around
        for near, far in ends:
            linked = (near >= 0) & (far >= 0) & (near != far)
            rows, columns = near[linked], far[linked]
            conductances = np.full(rows.size, weight, np.float32)
            part = sparse.coo_matrix((conductances, (rows, columns)), (size, size))
            del linked, rows, columns
            links = links + part.tocsr()
    links = (links + links.T).tocsr()
    diagonal = np.asarray(links.sum(axis=1), float).ravel()
    for side in (pieces[0], pieces[-1]):
        diagonal += 2 * np.bincount(side[side >= 0], minlength=size)
    return pieces, links, diagonal, places


def _pieces(
    links: sparse.csr_matrix, diagonal: NDArray[np.float64], places: NDArray[np.int32]
) -> tuple[NDArray[np.int64], sparse.csr_matrix, NDArray[np.float64], NDArray[np.int32]]:
    """Join the linked unknowns inside every block of 2 x 2 x 2 blocks."""
    places = places // 2
    block = np.ravel_multi_index(tuple(places.T), tuple(places.max(axis=0) + 1))
    block = block.astype(np.int32 if block.max() < 2**31 else np.int64)
    pairs = links.tocoo(copy=False)
    inside = block[pairs.row] == block[pairs.col]
    once = inside & (pairs.row < pairs.col)
    joined = sparse.coo_matrix((pairs.data[once], (pairs.row[once], pairs.col[once])), links.shape)
    del block, once
    size, owner = csgraph.connected_components(joined, directed=False)
    del joined
    sums = np.bincount(owner, diagonal, minlength=size)
    sums -= np.bincount(owner[pairs.row[inside]], pairs.data[inside], minlength=size)
    rows, columns = owner[pairs.row[~inside]], owner[pairs.col[~inside]]
    coarse = sparse.coo_matrix((pairs.data[~inside], (rows, columns)), (size, size)).tocsr()
    first = np.empty(size, np.int64)
    first[owner] = np.arange(owner.size)
    return owner.astype(np.int64), coarse, np.asarray(sums, float), places[first]


def _torch_csr(matrix: sparse.csr_matrix, stencil: Stencil) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data).to(stencil.dtype),
            size=matrix.shape,
            check_invariants=False,
        ).to(stencil.device)
