"""Random numbers that are a function of seed and position.

A counter-based generator (Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
easy as 1, 2, 3", SC 2011) needs no state: the number at a position is a hash of the position. Any
block of an endless noise field can therefore be made alone, on any machine, in any order.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

CHUNK = 2**14
"""Counters that are hashed at a time: what fits in the cache is made four times as fast."""


def philox(counters: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Hash 128-bit counters with Philox4x32-10.

    Parameters
    ----------
    counters : ndarray of uint32, shape (4, ...)
        Four words per counter.
    key : tuple of int
        Two 32-bit words.

    Returns
    -------
    ndarray of uint32, shape (4, ...)
        Four independent random words per counter.
    """
    c0, c1, c2, c3 = counters.astype(np.uint64)
    k0, k1 = (np.uint64(k & 0xFFFFFFFF) for k in key)
    for _ in range(10):
        first, second = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (second >> _HALF) ^ c1 ^ k0,
            second & _LOW,
            (first >> _HALF) ^ c3 ^ k1,
            first & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def normal_at(
    positions: Sequence[NDArray[np.integer]], channels: int, seed: int, stream: int = 0
) -> NDArray[np.float32]:
    """Standard normal numbers on a grid of absolute positions.

    Parameters
    ----------
    positions : sequence of three integer arrays
        Coordinates along z, y and x (each 1D, any integers that fit 32 bits, negative too); the
        grid is their outer product.
    channels : int
        Independent numbers per position.
    seed : int
        Seed of the field.
    stream : int, optional
        Independent fields of the same seed.

    Returns
    -------
    ndarray of float32, shape (channels, len(z), len(y), len(x))
        Every entry depends on seed, stream, channel and position alone.
    """
    groups = -(-channels // 4)
    z, y, x = (np.asarray(p, np.int64).astype(np.uint32) for p in positions)
    rows = max(1, CHUNK // max(1, groups * x.size))
    sections = max(1, rows // max(1, y.size))
    key = (seed, (seed >> 32) ^ stream * 0x85EBCA6B)
    result = np.empty((channels, z.size, y.size, x.size), np.float32)
    for i, j in product(range(0, z.size, sections), range(0, y.size, rows)):
        part = slice(i, i + sections), slice(j, j + rows)
        result[:, *part] = _normals(z[part[0]], y[part[1]], x, groups, key)[:channels]
    return result


def _normals(
    z: NDArray[np.uint32], y: NDArray[np.uint32], x: NDArray[np.uint32], groups: int,
    key: tuple[int, int],
) -> NDArray[np.float32]:  # fmt: skip
    """Return four channels per group at once, shape (4 groups, len(z), len(y), len(x))."""
    counters = np.empty((4, groups, z.size, y.size, x.size), np.uint32)
    counters[0] = np.arange(groups, dtype=np.uint32)[:, None, None, None]
    counters[1], counters[2], counters[3] = z[:, None, None], y[:, None], x
    normals = _box_muller(philox(counters, key))
    return np.moveaxis(normals, 0, 1).reshape(-1, *normals.shape[2:])


def _box_muller(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Turn four uniform words into four standard normal numbers (Box and Muller)."""
    uniform = (words.astype(np.float64) + 0.5) / 2**32
    radius = np.sqrt(-2 * np.log(uniform[::2]))
    angle = 2 * np.pi * uniform[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(words.shape).astype(np.float32)
