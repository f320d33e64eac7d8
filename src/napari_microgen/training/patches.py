"""Drawing random patches from a section or a stack of sections, without storing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from napari_microgen.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

Symmetry = Literal["square", "mirror", "none"]


class PatchSampler:
    """Draws square patches at random places, never one with an unlabelled voxel.

    Parameters
    ----------
    image : PhaseImage
        A 2D image, or a 3D stack whose first axis counts sections.
    side : int
        Side of a patch in pixels.
    symmetry : {"square", "mirror", "none"}
        Patches are turned at random by the 8 rotations and mirrors of a square, by mirrors along
        the two axes, or not at all.

    Raises
    ------
    InputError
        If the image is smaller than a patch, or no patch is free of unlabelled voxels.
    """

    def __init__(self, image: PhaseImage, side: int, symmetry: Symmetry) -> None:
        self.image, self.side, self.symmetry = image, side, symmetry
        self._sections = image.data if image.ndim == 3 else image.data[None]
        shape = image.shape if image.ndim == 3 else (1, *image.shape)
        if min(shape[1:]) < side:
            raise InputError(
                f"'{image.name}' has sections of {shape[1]} x {shape[2]} pixels, but patches of "
                f"{side} x {side} are drawn from it; bring a larger image."
            )
        self._places = (shape[0], shape[1] - side + 1, shape[2] - side + 1)
        self._complete = _complete_patches(image.labelled.reshape(shape), side)
        if self._complete is not None and self._complete.size == 0:
            raise InputError(
                f"'{image.name}' has no patch of {side} x {side} pixels without unlabelled ones; "
                "label more of it, or crop it to a labelled part."
            )

    def draw(self, count: int, random: np.random.Generator) -> torch.Tensor:
        """Draw patches encoded for a network.

        Returns
        -------
        Tensor of float32, shape (count, channels, side, side)
        """
        flat = (
            random.integers(int(np.prod(self._places)), size=count)
            if self._complete is None
            else self._complete[random.integers(self._complete.size, size=count)]
        )
        places = np.unravel_index(flat, self._places)
        turns = random.integers(8, size=count)
        side = self.side
        patches = np.stack(
            [
                _turned(self._sections[s, y : y + side, x : x + side], int(turn), self.symmetry)
                for s, y, x, turn in zip(*places, turns, strict=True)
            ]
        )
        return torch.from_numpy(self.image.encode(patches)).movedim(-1, 1).contiguous()


def _complete_patches(labelled: NDArray[np.bool_], side: int) -> NDArray[np.int64] | None:
    """Flat indices of the places whose patch is fully labelled; None if that is everywhere."""
    if labelled.all():
        return None
    gaps = np.pad(~labelled, ((0, 0), (1, 0), (1, 0))).cumsum(1, dtype=np.int32).cumsum(2)
    inside = (
        gaps[:, side:, side:] - gaps[:, :-side, side:] - gaps[:, side:, :-side]
        + gaps[:, :-side, :-side]
    )  # fmt: skip
    return np.flatnonzero(inside == 0)


def _turned(patch: NDArray[np.generic], turn: int, symmetry: Symmetry) -> NDArray[np.generic]:
    """Apply one of the eight symmetries of the square, as far as `symmetry` allows."""
    if symmetry == "none":
        return patch
    if turn & 1:
        patch = patch[::-1]
    if turn & 2:
        patch = patch[:, ::-1]
    if turn & 4 and symmetry == "square":
        patch = patch.swapaxes(0, 1)
    return patch
