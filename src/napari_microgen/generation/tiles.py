"""Cutting an endless volume into fixed tiles, and putting requested blocks together from them.

Tiles lie on an absolute grid. Every block is assembled from whole tiles, computed the same way
whatever was asked for, so blocks agree with each other and with the whole bit by bit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Piece:
    """One tile's share of a requested volume.

    Attributes
    ----------
    tile : tuple of int
        Index of the tile on the absolute grid, z, y, x.
    inside : tuple of slice
        The share within the tile.
    where : tuple of slice
        The share within the requested volume.
    """

    tile: tuple[int, int, int]
    inside: tuple[slice, slice, slice]
    where: tuple[slice, slice, slice]


def pieces(
    shape: Sequence[int], offset: Sequence[int], periodic: Sequence[bool], side: int
) -> Iterator[Piece]:
    """Yield the pieces of tiles that fill a volume exactly once.

    Parameters
    ----------
    shape, offset : sequence of int
        Voxels, and absolute position of the first voxel, along z, y, x.
    periodic : sequence of bool
        Axes along which position wraps around at the length in `shape`.
    side : int
        Edge length of a tile in voxels.
    """
    axes = [
        list(_along(n, start, wraps, side))
        for n, start, wraps in zip(shape, offset, periodic, strict=True)
    ]
    for z, y, x in itertools.product(*axes):
        yield Piece((z[0], y[0], x[0]), (z[1], y[1], x[1]), (z[2], y[2], x[2]))


def count_pieces(
    shape: Sequence[int], offset: Sequence[int], periodic: Sequence[bool], side: int
) -> int:
    """Return how many items `pieces` yields."""
    total = 1
    for n, start, wraps in zip(shape, offset, periodic, strict=True):
        total *= sum(1 for _ in _along(n, start, wraps, side))
    return total


def _along(n: int, start: int, wraps: bool, side: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield (tile, slice in tile, slice in request) along one axis."""
    done = 0
    while done < n:
        position = (start + done) % n if wraps else start + done
        tile, inside = divmod(position, side)
        length = min(side - inside, n - done)
        if wraps:
            length = min(length, n - position)
        yield tile, slice(inside, inside + length), slice(done, done + length)
        done += length
