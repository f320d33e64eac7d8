"""Models whose volumes have a middle: one particle, and nothing around it."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from napari_microgen.errors import InputError
from napari_microgen.generation.tiles import count_pieces, pieces
from napari_microgen.methods.base import Block, Model, Periodic, Sample, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Numbering = Callable[[Sequence[int], Shape], NDArray[np.int32]]

TILE = 64
NOWHERE: Periodic = (False, False, False)
MAX_SEED = 2**31 - 1
NARROWEST, WIDEST = 0.1, 50_000
"""Particles of fewer or more voxels in width are a slip of the voxel size."""

NARROW = 8
"""Particles of fewer voxels in width show these rather than their shape."""


class CentredModel(Model):
    """A model of particles: every seed gives one, in the middle of the volume.

    The voxel ``n // 2`` along an axis of n voxels holds the particle's centre; an `offset` is
    where the middle of the volume lies, seen from there. A voxel's number depends on nothing but
    where it lies, so volumes of any shapes and offsets agree.
    """

    mend = "choose a larger voxel size or a smaller shape"

    @abstractmethod
    def numbering(self, seed: int, device: str) -> Numbering:
        """Return what numbers the voxels of a block of the particle of a seed.

        It is called with the block's first voxel, seen from the particle's centre, and its shape.
        """

    @abstractmethod
    def table(self, seed: int, numbers: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
        """Return what is known of the numbers in a volume; the column ``index`` holds them."""

    @abstractmethod
    def width(self, seed: int) -> float:
        """Return how wide the particle of a seed is, in the origin's unit."""

    @abstractmethod
    def whole_shape(self, seed: int) -> Shape:
        """Return the smallest shape that holds the whole particle of a seed."""

    def fitting_shape(self, seed: int = 0) -> Shape:
        """Return the smallest shape that holds the whole particle of a seed.

        Raises
        ------
        InputError
            If the voxels are out of all proportion to the particle.
        """
        width = self._width_in_voxels(seed)
        if not NARROWEST <= width <= WIDEST:
            raise InputError(
                f"On voxels of {self.origin.voxel_size[0]:g} {self.origin.unit} the particle is "
                f"{width:.3g} voxels wide; choose a {'larger' if width > 1 else 'smaller'} voxel "
                "size."
            )
        return self.whole_shape(seed)

    def remarks(self, seed: int = 0) -> list[str]:
        """Tell of voxels that are too coarse; see `Model.remarks`."""
        width = self._width_in_voxels(seed)
        if width >= NARROW:
            return []
        return [
            f"The particle of seed {seed} is only {width:.2g} voxels wide, too few to show its "
            "shape; choose a smaller voxel size."
        ]

    def _width_in_voxels(self, seed: int) -> float:
        return float(self.width(seed)) / self.origin.voxel_size[0]

    def parameters(self, seed: int) -> dict[str, NDArray[Any]]:
        """Return the continuous tessellation of a seed's particle; empty where there is none."""
        return {}

    def check_shape(self, shape: Sequence[int], periodic: Sequence[bool]) -> None:
        """Raise `InputError` if no volume of this shape can be made."""
        super().check_shape(shape, periodic)
        if any(periodic):
            raise InputError(
                "A particle does not repeat, so no axis can be periodic; leave that out."
            )

    def count_blocks(
        self, shape: Shape, offset: Shape = (0, 0, 0), periodic: Periodic = NOWHERE
    ) -> int:
        """Return how many items `blocks` yields."""
        return count_pieces(shape, _first_voxel(shape, offset), periodic, TILE)

    def blocks(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = NOWHERE,
        device: str = "auto",
    ) -> Iterator[Block]:
        """Compute the volume tile by tile; see `Model.blocks` and the class for the position."""
        self.check_shape(shape, periodic)
        numbers = self.numbering(seed, device)
        for piece in pieces(shape, _first_voxel(shape, offset), periodic, TILE):
            first = [TILE * t + s.start for t, s in zip(piece.tile, piece.inside, strict=True)]
            z, y, x = (s.stop - s.start for s in piece.inside)
            yield Block(piece.where, numbers(first, (z, y, x))[None])

    def generate_steps(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = NOWHERE,
        *,
        probabilities: bool = False,
        device: str = "auto",
    ) -> Generator[float, None, Sample]:
        """Generate a volume with its table step by step; see `Model.generate_steps`."""
        sample = yield from super().generate_steps(
            shape, seed, offset, periodic, probabilities=probabilities, device=device
        )
        return dataclasses.replace(sample, table=self.table(seed, sample.data))


def _first_voxel(shape: Shape, offset: Shape) -> list[int]:
    return [o - n // 2 for n, o in zip(shape, offset, strict=True)]
