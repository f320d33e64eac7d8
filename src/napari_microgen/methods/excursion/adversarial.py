"""Algorithms 2 and 3 of paper 002: calibrating against a discriminator, alone or beside S2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from napari_microgen.methods.excursion.assessment import assess
from napari_microgen.methods.excursion.simulation import (
    Descent,
    SimulatedSections,
    indicators,
    relaxed,
)
from napari_microgen.networks.critics import PatchCritic
from napari_microgen.training.losses import logistic_critic, logistic_generator
from napari_microgen.training.patches import PatchSampler
from napari_microgen.training.randomness import torch_random

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_microgen.methods.excursion.calibration import Fit
    from napari_microgen.phases import PhaseImage

WINDOW = 256
CROP = 64
"""Sides of a simulated section and of the crops that the discriminator sees, in pixels."""

STEEPNESS = 10.0
"""b of the relaxed Heaviside function behind the straight-through indicators."""

WIDTHS = (16, 32, 64)
DISCRIMINATOR_RATE = 1e-3
SCALARS_RATE = 0.01
SLOWER = 0.3
"""Learning rates of the discriminator and of levels, share and scales, and the share of an exact
fit's rate for the spectra."""

CURVES_WEIGHT, DISCRIMINATOR_WEIGHT = 1e3, 0.3
"""Weights of the closed-form loss and of the discriminator in Algorithm 3."""


class Adversarial(Descent):
    """Algorithm 2: a discriminator learns to tell simulated from real crops, the model to pass.

    Every epoch is a step of the discriminator and one of the parameters (equations 35, 34). The
    discriminator sees phases as the user gets them, with the gradient of the relaxed ones: soft
    values it would tell from real ones at a glance. It has spectral norms, and the model's loss
    is the non-saturating one.

    Parameters
    ----------
    *arguments
        As of `Descent`.
    image : PhaseImage
        Where real crops are taken from.
    """

    name = "2"
    betas: ClassVar[tuple[float, float]] = (0.5, 0.9)

    def __init__(self, *arguments: Any, image: PhaseImage) -> None:
        self._image = image
        super().__init__(*arguments)
        side = min(CROP, *image.shape[-2:])
        self._sampler = PatchSampler(image, side, "square")
        self._sections = SimulatedSections(self.problem, WINDOW, self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_random(self.seed, 0, "discriminator").initial_seed())
            network = discriminator(image.n_phases)
        self._discriminator = network.to(self.device)
        self._teacher = torch.optim.Adam(network.parameters(), DISCRIMINATOR_RATE, self.betas)

    def rates(self) -> list[float]:
        """See `Descent.rates`."""
        spectra = SLOWER * self.problem.spectrum.rate
        return [spectra if name == "spectra" else SCALARS_RATE for name in self.parameters]

    def step(self) -> dict[str, float]:
        """See `Descent.step`; the discriminator goes first."""
        random = torch_random(self.seed, self.epoch, "simulation")
        fake = self._crops(self._sections.functions(self.parameters, random))
        real = self._sampler.draw(len(fake), np.random.default_rng((self.seed, self.epoch)))
        told = logistic_critic(self._discriminator, real.to(self.device), fake.detach())
        self._teacher.zero_grad(set_to_none=True)
        told.backward()
        self._teacher.step()
        loss = self.loss(logistic_generator(self._discriminator, fake).cpu())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return {"loss": float(loss.detach()), "discriminator": float(told.detach())}

    def loss(self, passed: Tensor) -> Tensor:
        """Return what the parameters make small, given the discriminator's verdict."""
        return passed

    def _crops(self, functions: Tensor) -> Tensor:
        """Cut a section into crops of indicators in the order of the image's phases."""
        soft = relaxed(functions, STEEPNESS)
        phases = torch.empty_like(soft)
        phases[list(self.problem.candidate.roles)] = indicators(functions) + soft - soft.detach()
        side = self._sampler.side
        crops = phases.unfold(1, side, side).unfold(2, side, side)
        return crops.permute(1, 2, 0, 3, 4).flatten(0, 1)

    # ------------------------------------------------------------------ the state

    def state(self) -> dict[str, Any]:
        """See `Descent.state`."""
        return {
            **super().state(), "discriminator": self._discriminator.state_dict(),
            "teacher": self._teacher.state_dict(),
        }  # fmt: skip

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See `Descent.load_state`."""
        super().load_state(state)
        self._discriminator.load_state_dict(state["discriminator"])
        self._teacher.load_state_dict(state["teacher"])


class Combined(Adversarial):
    """Algorithm 3: the discriminator and the coverage functions together (equation 37).

    The coverage functions are those in closed form, not of the simulated section, and the start
    is an exact fit. A model is better only if neither volume fractions and surfaces nor chords
    and Euler numbers together are further from the image than before.
    """

    name = "3"

    def loss(self, passed: Tensor) -> Tensor:
        """See `Adversarial.loss`."""
        curves = self.problem.loss(self.parameters, self.epoch % self.problem.variants)
        return CURVES_WEIGHT * curves + DISCRIMINATOR_WEIGHT * passed

    def error(self, fit: Fit) -> float:
        """See `Descent.error`; with the score of chords and Euler numbers."""
        score = assess(fit, self.problem.target, self._image.data).score
        if fit is self.first:
            self._first_score = score
        elif score > self._first_score:
            return float("inf")
        return super().error(fit) + score


def discriminator(channels: int) -> nn.Module:
    """Return a small network with spectral norms (Miyato et al. 2018): one number per patch."""
    network = PatchCritic(channels, WIDTHS)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            spectral_norm(layer)
    return network
