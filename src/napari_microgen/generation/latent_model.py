"""Endless volumes out of a convolutional generator and latents that are a function of position."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from napari_microgen.errors import InputError
from napari_microgen.generation.noise import normal_at
from napari_microgen.generation.tiles import count_pieces, pieces
from napari_microgen.methods.base import Block, Model, Origin, Periodic, Shape
from napari_microgen.training.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.networks.latent_generator import LatentGenerator

TILE = 64
"""Side of a tile in voxels."""


class LatentModel(Model):
    """A trained `LatentGenerator` in evaluation mode.

    Parameters
    ----------
    origin : Origin
    generator : LatentGenerator
        Kept, and put into evaluation mode on the CPU or wherever it is used.
    """

    def __init__(self, origin: Origin, generator: LatentGenerator) -> None:
        super().__init__(origin)
        # One layout for all, as the last bits depend on it.
        generator = generator.to(memory_format=torch.channels_last_3d)  # type: ignore
        self.generator = generator.eval().requires_grad_(False)
        self._goal: tuple[int, float] | None = None

    @staticmethod
    @abstractmethod
    def build(origin: Origin) -> LatentGenerator:
        """Return an untrained generator as the settings in `origin` describe it."""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the weights by name."""
        return {k: v.cpu().numpy() for k, v in self.generator.state_dict().items()}

    @classmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the generator; raises `InputError` if the weights do not fit."""
        generator = cls.build(origin)
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

    def towards(self, seed: int, share: float) -> Self:
        r"""Return this model with its latents mixed with those of another seed.

        Parameters
        ----------
        seed : int
            The other seed.
        share : float
            0 gives the volumes of the seed that is asked for, 1 those of `seed`.

        Raises
        ------
        InputError
            If `share` is not between 0 and 1.

        Notes
        -----
        The latent is :math:`((1 - \beta) z_0 + \beta z_1) / \sqrt{(1 - \beta)^2 + \beta^2}`.
        Paper 000, equation 15 ("Pores for thought", section J), has no denominator; with it the
        latents on the way are as widely spread as those that the generator was trained on.
        """
        if not 0 <= share <= 1:
            raise InputError(f"The share must lie between 0 and 1, not {share:g}.")
        model = copy.copy(self)
        model._goal = (int(seed), float(share))
        return model

    def provenance(
        self, shape: Sequence[int], seed: int, offset: Sequence[int], periodic: Sequence[bool]
    ) -> dict[str, Any]:
        """Return what every generated layer carries, the other seed included."""
        told = super().provenance(shape, seed, offset, periodic)
        if self._goal is not None:
            told["towards"] = {"seed": self._goal[0], "share": self._goal[1]}
        return told

    def check_shape(self, shape: Sequence[int], periodic: Sequence[bool]) -> None:
        """Raise `InputError` where a periodic axis is no multiple of the generator's stride."""
        super().check_shape(shape, periodic)
        stride = self.generator.stride
        for n, wraps, axis in zip(shape, periodic, "zyx", strict=True):
            if wraps and n % stride:
                below, above = n // stride * stride, -(-n // stride) * stride
                fits = f"{below} or {above}" if below else f"{above}"
                raise InputError(
                    f"A periodic volume of this model repeats every multiple of {stride} voxels, "
                    f"so its length along {axis} cannot be {n}; choose {fits}."
                )

    def count_blocks(
        self,
        shape: Shape,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
    ) -> int:
        """Return how many items `blocks` yields."""
        return count_pieces(shape, offset, periodic, TILE)

    def blocks(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
        device: str = "auto",
    ) -> Iterator[Block]:
        """Compute the volume tile by tile; see `Model.blocks`.

        Tiles overlap by the generator's margin of latents and by no voxel. Along a periodic axis
        of n latents the positions wrap at n, so the volume repeats without a seam.
        """
        self.check_shape(shape, periodic)
        where, _ = choose_device(device)
        generator = self.generator.to(where)
        stride = generator.stride
        lengths = [n // stride if wraps else 0 for n, wraps in zip(shape, periodic, strict=True)]
        side = TILE // stride
        for piece in pieces(shape, offset, periodic, TILE):
            positions = [side * index + np.arange(side + generator.margin) for index in piece.tile]
            wrapped = [p % n if n else p for p, n in zip(positions, lengths, strict=True)]
            latent = torch.from_numpy(self._latent(wrapped, seed))
            with torch.no_grad():
                values = generator.endless(latent[None].to(where))[0].float().cpu().numpy()
            if self.origin.kind != "labels":
                values = (values + 1) / 2
            yield Block(piece.where, values[(slice(None), *piece.inside)])

    def _latent(self, positions: Sequence[NDArray[Any]], seed: int) -> NDArray[np.float32]:
        channels = self.generator.latent_channels
        latent = normal_at(positions, channels, seed)
        if self._goal is None or not self._goal[1]:
            return latent
        goal, share = self._goal
        mixed = (1 - share) * latent + share * normal_at(positions, channels, goal)
        return np.asarray(mixed / np.hypot(1 - share, share), np.float32)
