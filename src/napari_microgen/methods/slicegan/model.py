"""A trained SliceGAN: an endless volume as a function of seed and position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_microgen.errors import InputError
from napari_microgen.generation.noise import normal_at
from napari_microgen.generation.tiles import count_pieces, pieces
from napari_microgen.methods.base import Block, Model, Origin, Periodic, Shape
from napari_microgen.methods.slicegan.config import SliceGANConfig
from napari_microgen.networks.slice_generator import (
    MARGIN,
    STRIDE,
    Activation,
    SliceGenerator,
)
from napari_microgen.training.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

TILE = 2
"""Latent positions per tile and axis: tiles of 64 voxels."""


def build_generator(origin: Origin) -> SliceGenerator:
    """Return an untrained generator as the settings in `origin` describe it."""
    config = SliceGANConfig.from_dict(origin.config)
    channels = {"labels": len(origin.phases), "grey": 1, "colour": 3}[origin.kind]
    activation: Activation = "softmax" if origin.kind == "labels" else "tanh"
    return SliceGenerator(
        config.latent_channels, config.generator_channels, channels, activation, config.smoothing
    )


class SliceGANModel(Model):
    """A SliceGAN generator in evaluation mode.

    Parameters
    ----------
    origin : Origin
    generator : SliceGenerator
        Kept, and put into evaluation mode on the CPU or wherever it is used.
    """

    def __init__(self, origin: Origin, generator: SliceGenerator) -> None:
        super().__init__(origin)
        self.generator = generator.eval().requires_grad_(False)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the weights by name."""
        return {k: v.cpu().numpy() for k, v in self.generator.state_dict().items()}

    @classmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> SliceGANModel:
        """Rebuild the generator; raises `InputError` if the weights do not fit."""
        generator = build_generator(origin)
        try:
            generator.load_state_dict(
                {k: torch.from_numpy(np.array(v)) for k, v in tensors.items()}
            )
        except (RuntimeError, TypeError):
            raise InputError(
                "The model file's weights do not fit the network that its header describes; it "
                "is damaged, so train or export it again."
            ) from None
        return cls(origin, generator)

    def check_shape(self, shape: Sequence[int], periodic: Sequence[bool]) -> None:
        """Raise `InputError` where a periodic axis is no multiple of 32 voxels."""
        super().check_shape(shape, periodic)
        for n, wraps, axis in zip(shape, periodic, "zyx", strict=True):
            if wraps and n % STRIDE:
                below, above = n // STRIDE * STRIDE, -(-n // STRIDE) * STRIDE
                fits = f"{below} or {above}" if below else f"{above}"
                raise InputError(
                    f"A periodic volume of this model repeats every multiple of {STRIDE} voxels, "
                    f"so its length along {axis} cannot be {n}; choose {fits}."
                )

    def count_blocks(
        self,
        shape: Shape,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
    ) -> int:
        """Return how many items `blocks` yields."""
        return count_pieces(shape, offset, periodic, TILE * STRIDE)

    def blocks(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
        device: str = "auto",
    ) -> Iterator[Block]:
        """Compute the volume tile by tile; see `Model.blocks`.

        Latents ``[q, q + t + 2)`` give exactly the voxels ``[32 q, 32 (q + t))``, so tiles
        overlap by two latents and by no voxel. Along a periodic axis of n latents the positions
        wrap at n, so the volume repeats after 32 n voxels without a seam.
        """
        self.check_shape(shape, periodic)
        where, _ = choose_device(device)
        generator = self.generator.to(where)
        lengths = [n // STRIDE if wraps else 0 for n, wraps in zip(shape, periodic, strict=True)]
        for piece in pieces(shape, offset, periodic, TILE * STRIDE):
            positions = [TILE * index + np.arange(TILE + MARGIN) for index in piece.tile]
            wrapped = [p % n if n else p for p, n in zip(positions, lengths, strict=True)]
            latent = torch.from_numpy(normal_at(wrapped, generator.latent_channels, seed))
            with torch.no_grad():
                values = generator(latent[None].to(where))[0].float().cpu().numpy()
            if self.origin.kind != "labels":
                values = (values + 1) / 2
            yield Block(piece.where, values[(slice(None), *piece.inside)])
