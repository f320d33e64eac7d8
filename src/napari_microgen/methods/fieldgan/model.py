"""A trained Field-GAN: an endless volume as a function of seed and position."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_microgen.errors import InputError
from napari_microgen.generation.tiles import count_pieces, pieces
from napari_microgen.methods.base import Block, Model, Origin, Periodic, Shape
from napari_microgen.methods.excursion.model import TILE, WHOLE, ExcursionModel, at_once
from napari_microgen.methods.fieldgan.inputs import FieldInputs, wrapped
from napari_microgen.methods.fieldgan.networks import (
    PART,
    Refinement,
    describe_network,
    rebuild_network,
)
from napari_microgen.training.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

SLAB = 32
"""Voxels along z that a network refines at a time, to bound memory."""


class FieldGANModel(Model):
    """A calibrated excursion set and the network that refines it.

    The confidence of a voxel is that of `ExcursionModel`: it tells how far the voxel is from an
    interface, and is no statistical error.

    Parameters
    ----------
    origin : Origin
    calibrated : ExcursionModel
    network : Refinement or None
        None for the calibrated set as it is.
    """

    def __init__(
        self, origin: Origin, calibrated: ExcursionModel, network: Refinement | None
    ) -> None:
        super().__init__(origin)
        self.calibrated = calibrated
        self.network = network.eval().requires_grad_(False) if network is not None else None
        further = (network.bands, network.radii) if network is not None else ((), ())
        self.source = FieldInputs(calibrated, *further)
        self.halo = network.radius if network is not None else 0

    # ------------------------------------------------------------------ the file

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the parameters of the excursion set and the weights of the network."""
        stored = {f"calibrated.{k}": v for k, v in self.calibrated.tensors().items()}
        if self.network is not None:
            stored["network"] = np.array(describe_network(self.network), np.float64)
            for name, value in self.network.state_dict().items():
                stored[f"network.{name}"] = value.cpu().numpy()
        return stored

    @classmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> FieldGANModel:
        """Rebuild the model; raises `InputError` if the weights do not fit."""
        calibrated = ExcursionModel.from_tensors(origin, _under("calibrated.", tensors))
        try:
            network = None
            if "network" in tensors:
                network = rebuild_network([float(v) for v in tensors["network"]])
                weights = _under("network.", tensors)
                network.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
                if network.n_phases != len(origin.phases):
                    raise ValueError("network")
        except (RuntimeError, TypeError, ValueError, IndexError, OverflowError):
            raise InputError(
                "The model file's weights do not fit the network that it describes; it is "
                "damaged, so train or export it again."
            ) from None
        return cls(origin, calibrated, network)

    # ------------------------------------------------------------------ volumes

    def bytes_needed(self, shape: Sequence[int], probabilities: bool = False) -> int:
        """Estimate the memory that `generate` takes; tiles and transforms included."""
        drawn = len(self.calibrated.formula.noises)
        tile = math.prod(TILE + 2 * (self.halo + reach) for reach in self.source.reaches)
        whole = min(math.prod(shape), WHOLE)
        # Transforms of a tile are done before the channels of its middle are put together.
        transforms = max(tile, whole) * 16 * (drawn + 1)
        channels = max((TILE + 2 * self.halo) ** 3, whole) * 12 * (drawn + self.source.channels)
        network = 4 * (PART + 2 * self.halo) ** 3 * self._width()
        return super().bytes_needed(shape, probabilities) + transforms + channels + network

    def _width(self) -> int:
        """Numbers per voxel that the network holds at a time."""
        return 0 if self.network is None else self.network.numbers_per_voxel

    def count_blocks(
        self,
        shape: Shape,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
    ) -> int:
        """Return how many items `blocks` yields."""
        if at_once(shape, periodic):
            return len(list(_slabs(shape)))
        return count_pieces(shape, offset, periodic, TILE)

    def blocks(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
        device: str = "auto",
    ) -> Iterator[Block]:
        """Compute the volume block by block; see `Model.blocks`.

        As with `ExcursionModel`, the fields of a volume that repeats along all axes come from
        one Fourier transform, and those of any other from tiles on an absolute grid. Here a tile
        has the network's radius as a halo, so tiles agree bit by bit.
        """
        self.check_shape(shape, periodic)
        where, _ = choose_device(device)
        if at_once(shape, periodic):
            whole = self.source.periodic(shape, seed, offset, where)
            for place in _slabs(shape):
                starts = [s.start - self.halo for s in place]
                lengths = [s.stop - s.start + 2 * self.halo for s in place]
                yield Block(place, self._chances(wrapped(whole, starts, lengths)))
            return
        periods = tuple(n if wraps else 0 for n, wraps in zip(shape, periodic, strict=True))
        for piece in pieces(shape, offset, periodic, TILE):
            start = tuple(TILE * index - self.halo for index in piece.tile)
            side = (TILE + 2 * self.halo,) * 3
            inputs = self.source.block(start, side, seed, periods, where)[None]
            # Of the whole tile: what is computed in part may differ in its last bit.
            yield Block(piece.where, self._chances(inputs)[(slice(None), *piece.inside)])

    @torch.no_grad()
    def _chances(self, inputs: Tensor) -> NDArray[np.float32]:
        """Return every phase's softened indicator from inputs with their halo."""
        logits = inputs if self.network is None else self.network.to(inputs.device).refined(inputs)
        return np.asarray(torch.softmax(logits[0], 0).cpu().numpy())


def _slabs(shape: Shape) -> Iterator[tuple[slice, slice, slice]]:
    """Yield the parts of a volume that are refined at a time."""
    axes = [
        [slice(a, min(a + step, n)) for a in range(0, n, step)]
        for n, step in zip(shape, (SLAB, TILE, TILE), strict=True)
    ]
    yield from product(*axes)  # type: ignore[misc]


def _under(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the tensors whose names start with `prefix`, without it."""
    return {k.removeprefix(prefix): np.array(v) for k, v in tensors.items() if k.startswith(prefix)}
