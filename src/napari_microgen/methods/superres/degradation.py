"""What the low-resolution instrument makes of a high-resolution volume (paper 001, section 3)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from napari_microgen.networks.resampling import (
    along_axes,
    as_tensors,
    interpolation,
    nearest,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_microgen.networks.resampling import Span


def gaussian_kernel(factor: Fraction) -> NDArray[np.float64]:
    """Return the weights of the blur for a scale factor, along one axis.

    Paper 001, section 3: the length k is the scale factor rounded up, made odd downwards, and
    the standard deviation 0.3 ((k - 1)/2 - 1) + 0.8 voxels.
    """
    length = math.ceil(factor)
    length -= 1 - length % 2
    sigma = 0.3 * ((length - 1) * 0.5 - 1) + 0.8
    weights = np.exp(-0.5 * ((np.arange(length) - length // 2) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def blur(length: int, kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that blurs along one axis; beyond the border lies the outermost voxel.

    Paper 001's code pads with zeros instead, which takes up to half of every phase away there.
    """
    matrix = np.zeros((length, length))
    rows = np.arange(length)
    for shift, weight in enumerate(kernel, start=-(len(kernel) // 2)):
        np.add.at(matrix, (rows, np.clip(rows + shift, 0, length - 1)), weight)
    return matrix


class Degradation(nn.Module):
    """Merging of phases, blur and coarser voxels (sigma in paper 001, algorithm 1).

    Parameters
    ----------
    factor : Fraction
        Scale factor.
    merging : ndarray, shape (low, high)
        `PhaseMap.matrix`.
    super_sampling : bool
        Whether the volume is under-sampled: each of its voxels shows as small a spot as a pixel
        of the image, so the high-resolution voxel in its middle is taken without any blur.
    sharpness : float
        Inverse temperature of the softmax that makes the result nearly one-hot.
    """

    merging: Tensor

    def __init__(
        self,
        factor: Fraction,
        merging: NDArray[np.float32],
        super_sampling: bool = False,
        sharpness: float = 100.0,
    ) -> None:
        super().__init__()
        self.factor, self.super_sampling, self.sharpness = factor, super_sampling, sharpness
        self.register_buffer("merging", torch.from_numpy(merging), persistent=False)

    def shares(self, volumes: Tensor, high: Sequence[Span], low: Sequence[Span]) -> Tensor:
        """Return how much of each low-resolution phase a coarse voxel sees.

        Parameters
        ----------
        volumes : Tensor, shape (batch, high-resolution phases, z, y, x)
            Phase probabilities.
        high : sequence of three Span
            Positions of `volumes` along z, y, x, counted from the corner of the low-resolution
            volume.
        low : sequence of three Span
            Positions of the wanted low-resolution voxels.

        Returns
        -------
        Tensor, shape (batch, low-resolution phases, z, y, x)
            Sums to 1 over the phases.
        """
        merged = torch.einsum("lh,bhzyx->blzyx", self.merging.to(volumes), volumes)
        matrices = [self._matrix(h, c) for h, c in zip(high, low, strict=True)]
        return along_axes(merged, as_tensors(matrices, volumes))

    def forward(self, volumes: Tensor) -> Tensor:
        """Return training cubes as the low-resolution instrument would have segmented them.

        Parameters
        ----------
        volumes : Tensor, shape (batch, high-resolution phases, n, n, n)

        Returns
        -------
        Tensor, shape (batch, low-resolution phases, n / factor, ...)
            Nearly one-hot.
        """
        side = volumes.shape[-1]
        shares = self.shares(volumes, [(0, side)] * 3, [(0, int(side / self.factor))] * 3)
        return (self.sharpness * shares).softmax(1)

    def seen_within(self, fine: Span, length: int) -> Span:
        """Return the coarse voxels, of `length` along an axis, that see only fine ones within."""
        half, factor = self._half, self.factor
        # The middle of coarse voxel j lies at (j + 1/2) factor - 1/2 on the fine grid.
        first = math.ceil((fine[0] + half + Fraction(1, 2)) / factor - Fraction(1, 2))
        last = math.floor((fine[1] - half - Fraction(1, 2)) / factor - Fraction(1, 2))
        first = max(first, 0)
        return first, max(first, min(last + 1, length))

    def looked_at(self, coarse: Span, fine: Span) -> Span:
        """Return the fine voxels of a span that coarse ones look at."""
        first = math.floor((coarse[0] + Fraction(1, 2)) * self.factor) - 1 - self._half
        last = math.ceil((coarse[1] - Fraction(1, 2)) * self.factor) + 1 + self._half
        return max(first, fine[0]), min(last, fine[1])

    @property
    def _half(self) -> int:
        """Fine voxels that the blur looks at on either side."""
        return 0 if self.super_sampling else len(gaussian_kernel(self.factor)) // 2

    def _matrix(self, high: Span, low: Span) -> NDArray[np.float64]:
        if self.super_sampling:
            return nearest(high, low, 1 / self.factor)
        coarser = interpolation(high, low, 1 / self.factor)
        return coarser @ blur(high[1] - high[0], gaussian_kernel(self.factor))


def voxel_loss(low: Tensor, observed: Tensor) -> Tensor:
    """Voxel-wise loss: mean squared error over voxels and phases (paper 001, algorithm 1).

    Parameters
    ----------
    low : Tensor, shape (batch, phases, z, y, x)
        One-hot low-resolution volume.
    observed : Tensor
        What `Degradation` makes of the generated one.
    """
    return (low - observed).square().mean()


def coarsened(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Return a phase as a coarser instrument would have segmented it (paper 001, figure 12).

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        Where the phase is; sides are multiples of `factor`.
    factor : int
        Scale factor.
    """
    degradation = Degradation(Fraction(factor), np.ones((1, 1), np.float32))
    volume = torch.from_numpy(mask.astype(np.float32))[None, None]
    fine = [(0, n) for n in mask.shape]
    coarse = [(0, n // factor) for n in mask.shape]
    return np.asarray(degradation.shares(volume, fine, coarse)[0, 0].numpy() > 0.5)
