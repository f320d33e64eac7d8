"""Adversarial losses and the penalties that keep a critic smooth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import softplus

from napari_microgen.networks.critics import critic_score

if TYPE_CHECKING:
    from torch import nn


def wasserstein_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Critic's Wasserstein loss, mean D(fake) - mean D(real) (paper 003, algorithm 1)."""
    return critic_score(critic, fake).mean() - critic_score(critic, real).mean()


def gradient_penalty(
    critic: nn.Module, real: Tensor, fake: Tensor, random: torch.Generator
) -> Tensor:
    """Mean of (|grad D(k)| - 1)^2 at points k between real and generated sections.

    Gulrajani et al. 2017, as used in paper 003, algorithm 1. `real` and `fake` are detached
    batches of the same size.
    """
    share = torch.rand(len(real), 1, 1, 1, generator=random).to(real)
    between = (share * fake + (1 - share) * real).requires_grad_(True)
    score = critic_score(critic, between).sum()
    (gradient,) = torch.autograd.grad(score, between, create_graph=True)
    lengths: Tensor = gradient.flatten(1).norm(dim=1)
    return (lengths - 1).square().mean()


def logistic_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Critic's logistic loss, averaged over patches (Goodfellow et al. 2014)."""
    return softplus(critic(fake)).mean() + softplus(-critic(real)).mean()


def logistic_generator(critic: nn.Module, fake: Tensor) -> Tensor:
    """Generator's non-saturating logistic loss, averaged over patches."""
    return softplus(-critic(fake)).mean()


def real_gradient_penalty(critic: nn.Module, real: Tensor) -> Tensor:
    """Half the mean squared gradient of D at real sections (R1: Mescheder et al. 2018)."""
    real = real.detach().requires_grad_(True)
    score = critic_score(critic, real).sum()
    (gradient,) = torch.autograd.grad(score, real, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()


def straight_through(probabilities: Tensor) -> Tensor:
    """One-hot of the most probable phase, with the gradient of the probabilities themselves.

    A critic would tell soft values from the one-hot real sections at a glance, and would judge
    something that the user never gets (straight-through estimator: Bengio et al. 2013).

    Parameters
    ----------
    probabilities : Tensor, shape (batch, phases, ...)
    """
    hard = torch.zeros_like(probabilities)
    hard.scatter_(1, probabilities.argmax(1, keepdim=True), 1.0)
    return hard + probabilities - probabilities.detach()
