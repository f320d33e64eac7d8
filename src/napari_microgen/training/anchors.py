"""Statistics that generated sections are held to while the critics work on the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np

    from napari_microgen.training.cubes import CubeSampler
    from napari_microgen.training.patches import PatchSampler

LAGS = 24
PATCHES = 2048
BATCH = 256
SCALE = 1000.0

CUBES = 256
MEMORY = 0.98
"""Share of the spread seen so far that is kept at each step."""


AVERAGE_MEMORY = 0.95
"""Share of the statistics seen so far that is kept at each step."""


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
        maps = [self.covariances(b.to(device)) for b in batches]
        self.correlations = torch.stack(maps).mean(0)

    def loss(self, sections: Tensor) -> Tensor:
        """Mean squared error of fractions plus that of the two-point covariance, scaled.

        Parameters
        ----------
        sections : Tensor, shape (batch, channels, side, side)
        """
        fractions = (sections.mean((0, 2, 3)) - self.means).square().mean()
        correlations = (self.covariances(sections) - self.correlations).square().mean()
        return SCALE * (fractions + correlations)

    def covariances(self, sections: Tensor) -> Tensor:
        """Return the covariance of each channel at every pair of lags 0..LAGS-1 along both axes.

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


class FollowedAnchor(TwoPointAnchor):
    """The same for volumes that are not all alike, because each follows an input of its own.

    Their mean over many steps is held to the image's statistics, and no single one of them. It
    is followed by a running average, which one batch can move a little.

    Attributes
    ----------
    seen : list of Tensor
        Running averages of fractions and covariances; a checkpoint has to keep them.
    """

    def __init__(
        self, sampler: PatchSampler, random: np.random.Generator, device: torch.device
    ) -> None:
        super().__init__(sampler, random, device)
        self.seen = [self.means, self.correlations]

    def loss(self, sections: Tensor) -> Tensor:
        """Mean squared error of the running averages, with the gradient of a whole step.

        Parameters
        ----------
        sections : Tensor, shape (batch, channels, side, side)
        """
        found = [sections.mean((0, 2, 3)), self.covariances(sections)]
        followed = [
            AVERAGE_MEMORY * old + (1 - AVERAGE_MEMORY) * new
            for old, new in zip(self.seen, found, strict=True)
        ]
        self.seen = [each.detach() for each in followed]
        fractions = (followed[0] - self.means).square().mean()
        correlations = (followed[1] - self.correlations).square().mean()
        return SCALE * (fractions + correlations) / (1 - AVERAGE_MEMORY)


class SpreadAnchor:
    """The spread of volume fractions among cubes of a volume, as a loss for generated cubes.

    Discriminators see one cube at a time and hardly mind if all are alike, so generated
    properties vary too little (paper 000 finds 3 to 6 times). The variance of generated fractions
    about the real mean is followed by a running average, which one batch can move a little.

    Parameters
    ----------
    sampler : CubeSampler
        Where the real cubes come from.
    random : numpy Generator
        Draws the cubes that the real spread is taken from.
    device : torch.device
    """

    def __init__(
        self, sampler: CubeSampler, random: np.random.Generator, device: torch.device
    ) -> None:
        fractions = torch.cat([sampler.draw(1, random).mean((2, 3, 4)) for _ in range(CUBES)])
        self.means = fractions.mean(0).to(device)
        self.variances = fractions.var(0).clamp_min(1e-8).to(device)
        self.seen = torch.ones_like(self.variances)

    def loss(self, volumes: Tensor) -> Tensor:
        """Mean squared logarithm of the ratio of generated to real variance.

        Parameters
        ----------
        volumes : Tensor, shape (batch, phases, z, y, x)
        """
        fractions = volumes.mean((2, 3, 4))
        ratio = ((fractions - self.means).square() / self.variances).mean(0)
        followed = MEMORY * self.seen + (1 - MEMORY) * ratio
        self.seen = followed.detach()
        # Of the running average; scaled so that the gradient is that of a whole step.
        return followed.clamp_min(1e-4).log().square().mean() / (1 - MEMORY)
