"""Statistics that generated sections are held to while the critics work on the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np

    from napari_microgen.training.patches import PatchSampler

LAGS = 24
PATCHES = 2048
BATCH = 256
SCALE = 1000.0


class TwoPointAnchor:
    """Volume fractions and two-point correlation of an image, as a loss for generated sections.

    Parameters
    ----------
    sampler : PatchSampler
        Where the real sections come from.
    random : numpy Generator
        Draws the patches that the image's statistics are taken from.
    device : torch.device
    """

    def __init__(
        self, sampler: PatchSampler, random: np.random.Generator, device: torch.device
    ) -> None:
        self.device = device
        batches = [sampler.draw(BATCH, random) for _ in range(PATCHES // BATCH)]
        self.means = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0).to(device)
        maps = [self._correlations(b.to(device)) for b in batches]
        self.correlations = torch.stack(maps).mean(0)

    def loss(self, sections: Tensor) -> Tensor:
        """Mean squared error of fractions plus that of the two-point covariance, scaled.

        Parameters
        ----------
        sections : Tensor, shape (batch, channels, side, side)
        """
        fractions = (sections.mean((0, 2, 3)) - self.means).square().mean()
        correlations = (self._correlations(sections) - self.correlations).square().mean()
        return SCALE * (fractions + correlations)

    def _correlations(self, sections: Tensor) -> Tensor:
        """Covariance of each channel at lags 0..LAGS-1 along both axes and every pair of lags.

        Returns shape ``(channels, 2, LAGS, LAGS)``, the second axis for the two diagonals.
        """
        side = sections.shape[-1]
        centred = sections - self.means[:, None, None]
        padded = (side + LAGS, side + LAGS)
        power = torch.fft.rfft2(centred, s=padded).abs().square().mean(0)
        sums = torch.fft.irfft2(power, s=padded)
        count = side - torch.arange(LAGS, device=self.device, dtype=sums.dtype)
        forward = sums[:, :LAGS, :LAGS]
        backward = torch.cat([sums[:, :1], sums[:, -LAGS + 1 :].flip(1)], 1)[:, :, :LAGS]
        return torch.stack([forward, backward], 1) / (count[:, None] * count)


def lattice_variance(volumes: Tensor, period: int) -> Tensor:
    """Variance of the mean over all positions that are a period apart along each axis.

    Transposed convolutions repeat after a power of two voxels, and may draw the same thing at
    the same place of every cell. Without such a lattice the mean over cells is nearly constant.

    Parameters
    ----------
    volumes : Tensor, shape (batch, channels, n, n, n)
        Cubes whose side is a multiple of `period`.
    period : int
        In voxels.

    Returns
    -------
    Tensor
        Scalar, summed over the channels.
    """
    batch, channels, side = volumes.shape[:3]
    cells = side // period
    split = volumes.reshape(batch, channels, *(cells, period) * 3)
    return split.mean((0, 2, 4, 6)).flatten(1).var(1).sum()
