"""Critics of sections, and the training steps with them (paper 003, algorithms 1 and S1)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from napari_microgen.networks.critics import PatchCritic, SliceCritic, critic_score
from napari_microgen.training.adversarial_config import SIDE
from napari_microgen.training.adversarial_training import AdversarialTraining
from napari_microgen.training.anchors import TwoPointAnchor
from napari_microgen.training.losses import (
    gradient_penalty,
    logistic_critic,
    logistic_generator,
    real_gradient_penalty,
    straight_through,
    wasserstein_critic,
)
from napari_microgen.training.patches import PatchSampler
from napari_microgen.training.randomness import torch_random
from napari_microgen.training.sections import (
    diagonal_sections,
    diagonal_starts,
    straight_sections,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_microgen.training.orientations import Orientation
    from napari_microgen.training.section_config import SectionConfig

PENALTY_INTERVAL = 8
"""Steps between two R1 penalties, each weighted that much more."""

PENALTY_PATCHES = 8

RISE_STEPS = 200
"""Steps over which the generator's learning rate rises after the warm-up."""


class SectionTraining(AdversarialTraining):
    """A critic per orientation that tells real sections from those of generated volumes.

    Attributes
    ----------
    config : SectionConfig
    seen : int
        Side of the middle of each training volume that the critics see; SIDE is all of it.
    """

    config: SectionConfig
    seen: ClassVar[int] = SIDE
    anchor_class: ClassVar[type[TwoPointAnchor]] = TwoPointAnchor

    def _look_at(
        self, orientations: Sequence[Orientation], config: Any, device: torch.device
    ) -> None:
        """Prepare the real sections; comes before `AdversarialTraining.__init__`."""
        self.orientations, self.config = tuple(orientations), config
        self.samplers = [PatchSampler(o.image, self.seen, o.symmetry) for o in orientations]
        self.anchors = [
            self.anchor_class(sampler, np.random.default_rng((config.seed, 0)), device)
            for sampler in self.samplers
            if config.loss == "logistic"  # the Wasserstein step has no use for them
        ]

    def build_critics(self) -> nn.ModuleList:
        """Return a critic per orientation."""
        channels = self.orientations[0].image.channels
        kind = PatchCritic if self.config.loss == "logistic" else SliceCritic
        return nn.ModuleList(kind(channels, self.config.critic_channels) for _ in self.orientations)

    @abstractmethod
    def _latents(self, count: int, random: torch.Generator) -> Tensor:
        """Return what the generator makes `count` training volumes from."""

    def _added_loss(self, latents: Tensor, volumes: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return what is added to the generator's loss, and what of it is reported."""
        return torch.zeros((), device=self.device), {}

    # ------------------------------------------------------------------ one step

    def step(self, index: int) -> Generator[None, None, dict[str, float]]:
        """Train one generator step; see `Trainable.step`."""
        numpy_random = np.random.default_rng((self.config.seed, index))
        random = torch_random(self.config.seed, index, "step")
        self.generator.train()
        if self.config.loss == "logistic":
            losses = self._logistic_step(index, numpy_random, random)
        else:
            losses = yield from self._wasserstein_step(numpy_random, random)
        self._stepped()
        return losses

    def _logistic_step(
        self, index: int, numpy_random: np.random.Generator, random: torch.Generator
    ) -> dict[str, float]:
        latents = self._latents(self.config.volumes, random)
        with self._precision():
            volumes = self.generator(latents).float()
        if self.origin.kind == "labels":
            volumes = straight_through(volumes)
        fakes = [self._sections(volumes, o, numpy_random) for o in self.orientations]
        critic_loss = torch.zeros((), device=self.device)
        for critic, sampler, fake in zip(self.critics, self.samplers, fakes, strict=True):
            real = sampler.draw(self.config.real_patches, numpy_random).to(self.device)
            with self._precision():
                critic_loss = critic_loss + logistic_critic(critic, real, fake.detach())
            if index % PENALTY_INTERVAL == 0 and self.config.penalty:
                penalty = real_gradient_penalty(critic, real[:PENALTY_PATCHES])
                critic_loss = critic_loss + PENALTY_INTERVAL * self.config.penalty * penalty
        self._descend_critics(critic_loss)
        losses = {"critic": float(critic_loss.detach()) / len(fakes)}
        if index >= self.config.warm_up:
            # Adam's first steps are long whatever the gradient; a good start would not survive.
            rise = min(1.0, (index - self.config.warm_up + 1) / RISE_STEPS)
            self.generator_optimiser.param_groups[0]["lr"] = rise * self.config.generator_rate
            losses |= self._logistic_generator_step(fakes, latents, volumes)
        return losses

    def _logistic_generator_step(
        self, fakes: Sequence[Tensor], latents: Tensor, volumes: Tensor
    ) -> dict[str, float]:
        self.critics.requires_grad_(False)
        adversarial = torch.zeros((), device=self.device)
        anchor = torch.zeros((), device=self.device)
        for critic, fake, target in zip(self.critics, fakes, self.anchors, strict=True):
            with self._precision():
                adversarial = adversarial + logistic_generator(critic, fake)
            anchor = anchor + target.loss(fake)
        self.critics.requires_grad_(True)
        count = len(fakes)
        added, reported = self._added_loss(latents, volumes)
        self._descend_generator(adversarial + self.config.anchor * anchor + added)
        return {
            "generator": float(adversarial.detach()) / count,
            "statistics": float(anchor.detach()) / count,
            **reported,
        }

    def _wasserstein_step(
        self, numpy_random: np.random.Generator, random: torch.Generator
    ) -> Generator[None, None, dict[str, float]]:
        for _ in range(self.config.critic_steps):
            critic_loss = self._wasserstein_critic_step(numpy_random, random)
            yield
        latents = self._latents(self.config.generator_volumes, random)
        with self._precision():
            volumes = self.generator(latents).float()
        yield
        self.critics.requires_grad_(False)
        loss = torch.zeros((), device=self.device)
        for critic, orientation in zip(self.critics, self.orientations, strict=True):
            with self._precision():
                fake = self._sections(volumes, orientation, numpy_random)
                loss = loss - critic_score(critic, fake).mean()
        self.critics.requires_grad_(True)
        added, reported = self._added_loss(latents, volumes)
        self._descend_generator(loss + added)
        return {"critic": critic_loss, "generator": float(loss.detach()), **reported}

    def _wasserstein_critic_step(
        self, numpy_random: np.random.Generator, random: torch.Generator
    ) -> float:
        with torch.no_grad(), self._precision():
            volumes = self.generator(self._latents(self.config.volumes, random)).float()
        loss = torch.zeros((), device=self.device)
        for critic, sampler, orientation in zip(
            self.critics, self.samplers, self.orientations, strict=True
        ):
            real = sampler.draw(self.config.real_patches, numpy_random).to(self.device)
            fake = self._sections(volumes, orientation, numpy_random)
            with self._precision():
                loss = loss + wasserstein_critic(critic, real, fake)
            some = torch.randperm(len(fake), generator=random)[: len(real)].to(self.device)
            pairs = min(len(some), len(real))
            penalty = gradient_penalty(critic, real[:pairs], fake[some[:pairs]], random)
            loss = loss + self.config.penalty * penalty
        self._descend_critics(loss)
        return float(loss.detach())

    def _sections(
        self, volumes: Tensor, orientation: Orientation, random: np.random.Generator
    ) -> Tensor:
        """Cut the sections that this orientation's critic sees."""
        side, middle = self.seen, slice((SIDE - self.seen) // 2, (SIDE + self.seen) // 2)
        volumes = volumes[..., middle, middle, middle]
        spacing = side / self.config.planes
        sections = []
        for axis in orientation.axes:
            first = random.integers(max(1, int(spacing)))
            planes = torch.as_tensor((first + spacing * np.arange(self.config.planes)).astype(int))
            sections.append(straight_sections(volumes, axis, planes.to(self.device)))
        if self.config.diagonal_sections:
            axes = orientation.axes
            for pair in [(a, b) for a in axes for b in axes if a < b]:
                for start in random.integers(diagonal_starts(side), size=self.config.planes // 2):
                    mirrored = bool(random.integers(2))
                    sections.append(diagonal_sections(volumes, pair, int(start), mirrored))
        return torch.cat(sections)
