"""The steps of a DC-GAN training (paper 000, section 4.2)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Origin
from napari_microgen.methods.dcgan.model import DCGANModel
from napari_microgen.metrics.diffusivity import DiffusivityReference
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.networks.critics import CubeCritic, CubeDiscriminator
from napari_microgen.networks.cube_generator import initialise_normal
from napari_microgen.training.anchors import SpreadAnchor, TwoPointAnchor
from napari_microgen.training.cubes import CubeSampler, CubeSymmetry, volume_symmetry
from napari_microgen.training.device import choose_device, spare_threads
from napari_microgen.training.latent_training import LatentTraining
from napari_microgen.training.lattices import interface_lattice, lattice_variance
from napari_microgen.training.losses import (
    logistic_critic,
    logistic_generator,
    real_gradient_penalty,
    straight_through,
)
from napari_microgen.training.patches import PatchSampler, Symmetry
from napari_microgen.training.randomness import torch_random
from napari_microgen.training.sections import straight_sections

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_microgen.methods.dcgan.config import DCGANConfig
    from napari_microgen.phases import PhaseImage

PENALTY_INTERVAL = 8
"""Steps between two R1 penalties, each weighted that much more."""

LATTICE_PERIOD = 16
"""Voxels after which a lattice of the transposed convolutions was seen to repeat."""

RISE_STEPS = 200
"""Steps over which the generator's learning rate rises after the warm-up."""

PLANES = 8
"""Sections per volume and axis that are held to the real two-point correlation."""


class DCGANTraining(LatentTraining):
    """A critic of cubes and one training step; what `TrainingLoop` trains.

    Parameters
    ----------
    source : PhaseImage
        The volume as the user gave it.
    image : PhaseImage
        The same with cubic voxels.
    config : DCGANConfig
    """

    model_class = DCGANModel
    even_start = True
    critic_layout = torch.channels_last_3d

    def __init__(self, source: PhaseImage, image: PhaseImage, config: DCGANConfig) -> None:
        spare_threads(config.threads)
        device, reason = choose_device(config.device)
        if config.symmetry == "auto":
            config = dataclasses.replace(config, symmetry=volume_symmetry(image))
        self.config, self.image = config, image
        self.sampler = CubeSampler(image, config.side, cast("CubeSymmetry", config.symmetry))
        random = np.random.default_rng((config.seed, 0))
        self.anchors: list[TwoPointAnchor] = []
        if config.recipe == "stationary":
            turned: Symmetry = "none" if config.symmetry == "none" else "mirror"
            samplers = [PatchSampler(image.sections(a), config.side, turned) for a in range(3)]
            self.anchors = [TwoPointAnchor(s, random, device) for s in samplers]
            self.spread = SpreadAnchor(self.sampler, random, device)
        self.diffusivities = _diffusivities(image, config)
        isotropic = config.symmetry == "cube"
        super().__init__(
            Origin.of_training("dcgan", config, [source], device, like=image), config,
            Reference({axis: image.sections(axis) for axis in range(3)}),
            list(image.fractions), None,
            isotropic=isotropic, symmetric=isotropic and config.recipe == "stationary",
            device=(device, reason),
        )  # fmt: skip
        if config.recipe == "paper":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(torch_random(config.seed, 0, "normal").initial_seed())
                initialise_normal(self.generator)
                initialise_normal(self.critics)
            self._follow_weights()

    def build_critics(self) -> nn.ModuleList:
        """Return the one critic."""
        kind = CubeDiscriminator if self.config.recipe == "paper" else CubeCritic
        return nn.ModuleList([kind(self.image.n_phases, self.config.critic_channels)])

    def step(self, index: int) -> Generator[None, None, dict[str, float]]:
        """Train one generator step; see `Trainable.step`."""
        numpy_random = np.random.default_rng((self.config.seed, index))
        random = torch_random(self.config.seed, index, "step")
        self.generator.train()
        if self.config.recipe == "paper":
            losses = yield from self._paper_step(index, numpy_random, random)
        else:
            losses = yield from self._stationary_step(index, numpy_random, random)
        self.average.update(self.generator)
        self._settled = None
        return losses

    # ------------------------------------------------------------------ the paper's recipe

    def _paper_step(
        self, index: int, numpy_random: np.random.Generator, random: torch.Generator
    ) -> Generator[None, None, dict[str, float]]:
        """One generator step, after a discriminator step wherever one is due (k : 1)."""
        config, critic, losses = self.config, self.critics[0], {}
        if index % config.generator_steps == 0:
            real = self._real(numpy_random)
            with torch.no_grad():
                fake = self.generator(self._single_latents(random))
            loss = cross_entropy(critic(real), config.label) + cross_entropy(critic(fake), 0.0)
            self._descend_critics(loss)
            losses["discriminator"] = float(loss.detach())
            yield
        self.critics.requires_grad_(False)
        loss = cross_entropy(critic(self.generator(self._single_latents(random))), 1.0)
        self.critics.requires_grad_(True)
        self._descend_generator(loss)
        return {**losses, "generator": float(loss.detach())}

    def _single_latents(self, random: torch.Generator) -> Tensor:
        """One latent per cube, as the paper trains."""
        shape = (self.config.volumes, self.config.latent_channels, 1, 1, 1)
        return torch.randn(shape, generator=random).to(self.device)

    # ------------------------------------------------------------------ the stationary recipe

    def _stationary_step(
        self, index: int, numpy_random: np.random.Generator, random: torch.Generator
    ) -> Generator[None, None, dict[str, float]]:
        config, critic = self.config, self.critics[0]
        with self._precision():
            latents = self._latents(config.volumes, random, config.side)
            volumes = straight_through(self.generator(latents).float())
        yield
        real = self._real(numpy_random)
        with self._precision():
            loss = logistic_critic(critic, real, volumes.detach())
        if index % PENALTY_INTERVAL == 0 and config.penalty:
            penalty = real_gradient_penalty(critic, real[: max(1, config.real_cubes // 2)])
            loss = loss + PENALTY_INTERVAL * config.penalty * penalty
        self._descend_critics(loss)
        losses = {"critic": float(loss.detach())}
        if index >= config.warm_up:
            yield
            losses |= self._stationary_generator_step(index, volumes, numpy_random)
        return losses

    def _stationary_generator_step(
        self, index: int, volumes: Tensor, random: np.random.Generator
    ) -> dict[str, float]:
        config = self.config
        # Adam's first steps are long whatever the gradient; a good start would not survive.
        rise = min(1.0, (index - config.warm_up + 1) / RISE_STEPS)
        self.generator_optimiser.param_groups[0]["lr"] = rise * config.generator_rate
        self.critics.requires_grad_(False)
        with self._precision():
            adversarial = logistic_generator(self.critics[0], volumes)
        self.critics.requires_grad_(True)
        statistics = torch.stack([
            anchor.loss(straight_sections(volumes, axis, self._planes(random)))
            for axis, anchor in enumerate(self.anchors)
        ]).mean()  # fmt: skip
        spread = self.spread.loss(volumes)
        total = adversarial + config.anchor * statistics + config.spread * spread
        total = total + config.lattice * interface_lattice(volumes, LATTICE_PERIOD)
        if self.isotropic:
            total = total + config.lattice * lattice_variance(volumes, LATTICE_PERIOD)
        self._descend_generator(total)
        return {
            "generator": float(adversarial.detach()),
            "statistics": float(statistics.detach()),
            "spread": float(spread.detach()),
        }

    def _planes(self, random: np.random.Generator) -> Tensor:
        spacing = self.config.side // PLANES
        first = int(random.integers(spacing))
        return torch.arange(first, self.config.side, spacing, device=self.device)

    def _real(self, random: np.random.Generator) -> Tensor:
        return self.sampler.draw(self.config.real_cubes, random).to(self.device)

    # ------------------------------------------------------------------ the averaged generator

    def _measure(self, indices: NDArray[np.uint8]) -> dict[str, float]:
        """Return what sections show, and the diffusivities that only a volume has."""
        ratios = super()._measure(indices)
        if self.diffusivities is not None:
            ratios["d_rel"] = self.diffusivities.score(indices)
        return ratios

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return networks, average and optimisers, and the spread seen so far."""
        kept = super().state()
        if self.config.recipe == "stationary":
            kept["spread"] = self.spread.seen
        return kept

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load_state(state)
        if self.config.recipe == "stationary":
            self.spread.seen = state["spread"].to(self.device)


def _diffusivities(image: PhaseImage, config: DCGANConfig) -> DiffusivityReference | None:
    """Return what diffusivities are judged by; None if too little of the volume is labelled."""
    halves = min(*image.shape, config.measured_side) // 2
    try:
        return DiffusivityReference(image, min(config.side, halves))
    except InputError:
        return None


def cross_entropy(logits: Tensor, label: float) -> Tensor:
    """Binary cross entropy of a discriminator's logits and one label for all (paper 000, eq. 2).

    Labels of real cubes smaller than 1 are the paper's one-sided label smoothing.
    """
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def count_places(shape: Sequence[int], side: int, stride: int = 8) -> int:
    """Return how many cubes a volume holds at a stride: the paper's size of an epoch."""
    return int(np.prod([(n - side) // stride + 1 for n in shape]))
