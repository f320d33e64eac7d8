"""The steps of a SliceGAN training (paper 003, algorithms 1 and S1)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from napari_microgen.methods.base import Origin
from napari_microgen.methods.slicegan.model import SliceGANModel
from napari_microgen.methods.slicegan.orientations import (
    Orientation,
    find_orientations,
    generated_voxel_size,
    is_isotropic,
)
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.networks.critics import PatchCritic, SliceCritic, critic_score
from napari_microgen.training.anchors import TwoPointAnchor, lattice_variance
from napari_microgen.training.device import choose_device, spare_threads
from napari_microgen.training.latent_config import SIDE
from napari_microgen.training.latent_training import LatentTraining
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

    from napari_microgen.methods.slicegan.config import SliceGANConfig
    from napari_microgen.phases import PhaseImage

PENALTY_INTERVAL = 8
"""Steps between two R1 penalties, each weighted that much more."""

PENALTY_PATCHES = 8

LATTICE_PERIOD = 16
"""Voxels after which a lattice of the transposed convolutions was seen to repeat."""

RISE_STEPS = 200
"""Steps over which the generator's learning rate rises after the warm-up."""


class SliceGANTraining(LatentTraining):
    """Critics of sections and one training step; what `TrainingLoop` trains.

    Parameters
    ----------
    data : sequence of PhaseImage
    config : SliceGANConfig
    """

    model_class = SliceGANModel

    def __init__(self, data: Sequence[PhaseImage], config: SliceGANConfig) -> None:
        spare_threads(config.threads)
        device, reason = choose_device(config.device)
        self.orientations = find_orientations(data, config)
        if config.isotropic == "auto":
            alike = "yes" if is_isotropic(self.orientations) else "no"
            config = dataclasses.replace(config, isotropic=alike)
        self.config = config
        self.samplers = [PatchSampler(o.image, SIDE, o.symmetry) for o in self.orientations]
        self.anchors = [
            TwoPointAnchor(sampler, np.random.default_rng((config.seed, 0)), device)
            for sampler in self.samplers
            if config.loss == "logistic"  # the Wasserstein step has no use for them
        ]
        origin = Origin.of_training(
            "slicegan", config, data, device, voxel_size=generated_voxel_size(self.orientations)
        )
        levels = None if data[0].kind == "labels" else data[0].tercile_levels
        reference = Reference(
            {a: o.image.as_labels(levels) for o in self.orientations for a in o.axes}
        )
        super().__init__(
            origin, config, reference, _mean_fractions(self.orientations), levels,
            isotropic=is_isotropic(self.orientations), symmetric=config.isotropic == "yes",
            device=(device, reason),
        )  # fmt: skip

    def build_critics(self) -> nn.ModuleList:
        """Return a critic per orientation."""
        channels = self.orientations[0].image.channels
        kind = PatchCritic if self.config.loss == "logistic" else SliceCritic
        return nn.ModuleList(kind(channels, self.config.critic_channels) for _ in self.orientations)

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
        self.average.update(self.generator)
        self._settled = None
        return losses

    def _logistic_step(
        self, index: int, numpy_random: np.random.Generator, random: torch.Generator
    ) -> dict[str, float]:
        with self._precision():
            volumes = self.generator(self._latents(self.config.volumes, random)).float()
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
            losses |= self._logistic_generator_step(fakes, volumes)
        return losses

    def _logistic_generator_step(
        self, fakes: Sequence[Tensor], volumes: Tensor
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
        total = adversarial + self.config.anchor * anchor
        if self.config.isotropic == "yes":  # others may have such long features by nature
            total = total + self.config.lattice * lattice_variance(volumes, LATTICE_PERIOD)
        self._descend_generator(total)
        return {
            "generator": float(adversarial.detach()) / count,
            "statistics": float(anchor.detach()) / count,
        }

    def _wasserstein_step(
        self, numpy_random: np.random.Generator, random: torch.Generator
    ) -> Generator[None, None, dict[str, float]]:
        for _ in range(self.config.critic_steps):
            critic_loss = self._wasserstein_critic_step(numpy_random, random)
            yield
        with self._precision():
            volumes = self.generator(self._latents(self.config.generator_volumes, random))
        yield
        self.critics.requires_grad_(False)
        loss = torch.zeros((), device=self.device)
        for critic, orientation in zip(self.critics, self.orientations, strict=True):
            with self._precision():
                fake = self._sections(volumes.float(), orientation, numpy_random)
                loss = loss - critic_score(critic, fake).mean()
        self.critics.requires_grad_(True)
        self._descend_generator(loss)
        return {"critic": critic_loss, "generator": float(loss.detach())}

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
        spacing = SIDE / self.config.planes
        sections = []
        for axis in orientation.axes:
            first = random.integers(max(1, int(spacing)))
            planes = torch.as_tensor((first + spacing * np.arange(self.config.planes)).astype(int))
            sections.append(straight_sections(volumes, axis, planes.to(self.device)))
        if self.config.diagonal_sections:
            axes = orientation.axes
            for pair in [(a, b) for a in axes for b in axes if a < b]:
                for start in random.integers(diagonal_starts(SIDE), size=self.config.planes // 2):
                    mirrored = bool(random.integers(2))
                    sections.append(diagonal_sections(volumes, pair, int(start), mirrored))
        return torch.cat(sections)


def _mean_fractions(orientations: Sequence[Orientation]) -> list[float]:
    """Volume fractions over all axes, each axis counted alike."""
    axes = [o.image.fractions for o in orientations for _ in o.axes]
    return [float(f) for f in np.mean(axes, axis=0)]
