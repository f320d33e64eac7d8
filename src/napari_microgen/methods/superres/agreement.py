"""Whether a super-resolved volume, coarsened again, is the low-resolution volume."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_microgen.methods.base import Disagreement
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Shape
    from napari_microgen.methods.superres.model import SuperResModel
    from napari_microgen.networks.resampling import Span

BLOCK = 16
"""Side of the low-resolution blocks that are compared at a time."""


def disagreement(
    model: SuperResModel, indices: NDArray[np.uint8], offset: Shape = (0, 0, 0)
) -> Disagreement:
    """Coarsen a result and compare it with the low-resolution volume voxel by voxel.

    Only low-resolution voxels are compared that see nothing beyond the result.

    Parameters
    ----------
    model : SuperResModel
    indices : ndarray of uint8, shape (z, y, x)
        Phase indices of what `model` generated.
    offset : tuple of int
        Position that it was generated at.
    """
    low, degradation = model.low, model.degradation
    assert low is not None
    fine = [
        (o + model.crop, o + model.crop + n) for o, n in zip(offset, indices.shape, strict=True)
    ]
    z, y, x = (degradation.seen_within(span, n) for span, n in zip(fine, low.shape, strict=True))
    where = np.zeros([b - a for a, b in (z, y, x)], bool)
    for block in itertools.product(*(_blocks(span) for span in (z, y, x))):
        around = [degradation.looked_at(span, f) for span, f in zip(block, fine, strict=True)]
        part = indices[_slices(around, fine)]
        volume = np.equal(part, np.arange(len(model.origin.phases))[:, None, None, None])
        shares = degradation.shares(
            torch.from_numpy(volume.astype(np.float32))[None], around, block
        )
        expected = low.data[_slices(block)]
        differs = (shares[0].argmax(0).numpy() != expected) & (expected != UNLABELLED)
        where[_slices(block, (z, y, x))] = differs
    compared = int((low.data[_slices((z, y, x))] != UNLABELLED).sum())
    share = float(where.sum() / compared) if compared else math.nan
    sizes = (low.voxel_size[0], low.voxel_size[1], low.voxel_size[2])
    place = (z[0] * sizes[0], y[0] * sizes[1], x[0] * sizes[2])
    return Disagreement(share, where, sizes, low.unit, place)


def _blocks(span: Span) -> list[Span]:
    return [(a, min(a + BLOCK, span[1])) for a in range(span[0], span[1], BLOCK)]


def _slices(spans: Sequence[Span], within: Sequence[Span] | None = None) -> tuple[slice, ...]:
    """Return slices for spans, counted from where `within` begins."""
    starts = [0] * len(spans) if within is None else [a for a, _ in within]
    return tuple(slice(a - s, b - s) for (a, b), s in zip(spans, starts, strict=True))
