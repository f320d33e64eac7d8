"""The exponential moving average of a generator: the one that is kept, shown and measured."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class AveragedGenerator:
    """A running average of a generator's weights.

    Parameters
    ----------
    generator : Module
        The trained generator; not changed.
    decay : float
        Share of the old average kept at each update.
    """

    def __init__(self, generator: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(generator).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, generator: nn.Module) -> None:
        """Move the average towards the generator's present weights."""
        for average, weight in zip(self.module.parameters(), generator.parameters(), strict=True):
            average.lerp_(weight, 1 - self.decay)

    @torch.no_grad()
    def settle(
        self, latents: Iterable[Tensor], forward: Callable[[Tensor], Tensor] | None = None
    ) -> nn.Module:
        """Recompute the batch-norm statistics for the averaged weights; return it in eval mode.

        The statistics of the trained generator do not fit averaged weights, and tiles equal the
        whole only with fixed statistics. They are those of `forward`, by default the module's.
        """
        norms = [m for m in self.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
        self.module.train()
        for latent in latents:
            (forward or self.module)(latent)
        return self.module.eval()
