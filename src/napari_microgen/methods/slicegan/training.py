"""The steps of a SliceGAN training (paper 003, algorithms 1 and S1)."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from napari_microgen.methods.base import Origin, Sample
from napari_microgen.methods.slicegan.config import SIDE
from napari_microgen.methods.slicegan.model import SliceGANModel, build_generator
from napari_microgen.methods.slicegan.orientations import (
    Orientation,
    find_orientations,
    generated_voxel_size,
    is_isotropic,
)
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.networks.critics import PatchCritic, SliceCritic, critic_score
from napari_microgen.networks.slice_generator import (
    MARGIN,
    STRIDE,
    SliceGenerator,
    fraction_weights,
    initialise_smooth,
    match_fractions,
    symmetric_kernels,
    symmetrised,
)
from napari_microgen.phases import luminance
from napari_microgen.training.anchors import TwoPointAnchor, lattice_variance
from napari_microgen.training.averaging import AveragedGenerator
from napari_microgen.training.device import choose_device, spare_threads
from napari_microgen.training.losses import (
    gradient_penalty,
    logistic_critic,
    logistic_generator,
    real_gradient_penalty,
    straight_through,
    wasserstein_critic,
)
from napari_microgen.training.patches import PatchSampler
from napari_microgen.training.sections import (
    diagonal_sections,
    diagonal_starts,
    straight_sections,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.slicegan.config import SliceGANConfig
    from napari_microgen.phases import PhaseImage

_Network = TypeVar("_Network", bound=nn.Module)

PENALTY_INTERVAL = 8
"""Steps between two R1 penalties, each weighted that much more."""

PENALTY_PATCHES = 8

LATTICE_PERIOD = 16
"""Voxels after which a lattice of the transposed convolutions was seen to repeat."""

RISE_STEPS = 200
"""Steps over which the generator's learning rate rises after the warm-up."""

START_SEEDS = 2
START_LAYERS = (1, 2, 3, 4)
SETTLE_VOLUMES = 4
MATCHED_VOLUMES = 2


class SliceGANTraining:
    """Networks, optimisers and one training step; what `TrainingLoop` trains.

    Every random number of step n comes from (seed, n), so a resumed training goes on as if it
    had never stopped.

    Parameters
    ----------
    data : sequence of PhaseImage
    config : SliceGANConfig
    """

    def __init__(self, data: Sequence[PhaseImage], config: SliceGANConfig) -> None:
        spare_threads(config.threads)
        self.device, self.device_reason = choose_device(config.device)
        self.orientations = find_orientations(data, config)
        if config.isotropic == "auto":
            alike = "yes" if is_isotropic(self.orientations) else "no"
            config = dataclasses.replace(config, isotropic=alike)
        self.config = config
        self.samplers = [PatchSampler(o.image, SIDE, o.symmetry) for o in self.orientations]
        self.anchors = [
            TwoPointAnchor(sampler, np.random.default_rng((config.seed, 0)), self.device)
            for sampler in self.samplers
            if config.loss == "logistic"  # the Wasserstein step has no use for them
        ]
        self.origin = Origin.of_training(
            "slicegan", config, data, self.device,
            voxel_size=generated_voxel_size(self.orientations),
        )  # fmt: skip
        self.fractions = _mean_fractions(self.orientations)
        self.levels = None if data[0].kind == "labels" else data[0].tercile_levels
        self.reference = Reference(
            {a: o.image.as_labels(self.levels) for o in self.orientations for a in o.axes}
        )
        self._build(_torch_random(config.seed, 0, "weights"))
        self._follow_weights()

    def _follow_weights(self) -> None:
        """Start the average at the generator's weights, and see which kernels are symmetric."""
        self.average = AveragedGenerator(self.generator, self.config.averaging)
        self._settled: SliceGenerator | None = None
        isotropic = self.config.isotropic == "yes"
        self.symmetric = symmetric_kernels(self.generator) if isotropic else []

    def _build(self, random: torch.Generator) -> None:
        config = self.config
        channels = self.orientations[0].image.channels
        kind = PatchCritic if config.loss == "logistic" else SliceCritic
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random.initial_seed())
            generator = build_generator(self.origin)
            critics = nn.ModuleList(
                kind(channels, config.critic_channels) for _ in self.orientations
            )
        self.generator = _laid_out(generator.to(self.device), torch.channels_last_3d)
        self.critics = _laid_out(critics.to(self.device), torch.channels_last)
        betas = (config.beta1, config.beta2)
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), config.generator_rate, betas
        )
        self.critic_optimiser = torch.optim.Adam(
            self.critics.parameters(), config.critic_rate, betas
        )

    def prepare(self) -> Iterator[str]:
        """Give the generator its first weights; see `Trainable.prepare`."""
        if self.config.smooth_start and self.origin.kind == "labels":
            yield from self._start_smooth()
            self._follow_weights()

    def _start_smooth(self) -> Iterator[str]:
        """Try feature sizes and seeds, and keep the start that is most like the image.

        One size for all axes at first; where orientations differ, the size along each axis is
        then changed as long as that helps.
        """
        tried: dict[tuple[tuple[int, ...], int], float] = {}
        seeds = [START_SEEDS * self.config.seed + i for i in range(START_SEEDS)]
        waiting: list[tuple[tuple[int, ...], int]]
        waiting = [((layers,) * 3, seed) for layers in START_LAYERS for seed in seeds]
        while waiting:
            for layers, seed in waiting:
                tried[layers, seed] = self._score_start(layers, seed)
                yield f"Looking for a good start: {len(tried)} tried."
            best = min(tried, key=lambda start: tried[start])
            if is_isotropic(self.orientations):
                break
            near = [(layers, best[1]) for layers in _neighbours(best[0])]
            waiting = [start for start in near if start not in tried]
        initialise_smooth(self.generator, best[0], self.fractions, best[1])

    def _score_start(self, layers: tuple[int, ...], seed: int) -> float:
        candidate = copy.deepcopy(self.generator)
        initialise_smooth(candidate, layers, self.fractions, seed)
        random = _torch_random(self.config.seed, 0, "start")
        settled = AveragedGenerator(candidate, 0.0).settle([self._latents(2, random)])
        with torch.no_grad():
            values = settled(self._latents(1, random, self.config.measured_side))
        weights = fraction_weights(values, self.fractions)
        indices = (values[0] * weights[:, None, None, None]).argmax(0)
        return self._selection(self.reference.score([indices.byte().cpu().numpy()]).to_dict())

    def _selection(self, ratios: Mapping[str, float]) -> float:
        return selection(ratios, is_isotropic(self.orientations))

    # ------------------------------------------------------------------ one step

    def step(self, index: int) -> Generator[None, None, dict[str, float]]:
        """Train one generator step; see `Trainable.step`."""
        numpy_random = np.random.default_rng((self.config.seed, index))
        random = _torch_random(self.config.seed, index, "step")
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

    def _descend_critics(self, loss: Tensor) -> None:
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()

    def _descend_generator(self, loss: Tensor) -> None:
        self.generator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for weight in self.symmetric:
            assert weight.grad is not None
            weight.grad = symmetrised(weight.grad)
        self.generator_optimiser.step()

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

    def _latents(self, count: int, random: torch.Generator, side: int = SIDE) -> Tensor:
        n = side // STRIDE + MARGIN
        shape = (count, self.config.latent_channels, n, n, n)
        latents = torch.randn(shape, generator=random).to(self.device)
        return latents.contiguous(memory_format=torch.channels_last_3d)

    def _precision(self) -> torch.autocast:
        enabled = self.config.mixed_precision and self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    # ------------------------------------------------------------------ the averaged generator

    def score(self) -> dict[str, float]:
        """Measure the averaged generator on one volume; see `Trainable.score`."""
        self._settled = self._settle(self.average)
        volume = self._generate(self.config.measured_side)
        indices = self._as_phases(volume.data)
        ratios = self.reference.score([indices]).to_dict()
        return {**ratios, "selection": self._selection(ratios)}

    def _settle(self, average: AveragedGenerator) -> SliceGenerator:
        """Return the averaged generator with its statistics and volume fractions set."""
        random = _torch_random(self.config.seed, 0, "settle")
        latents = [self._latents(1, random) for _ in range(SETTLE_VOLUMES)]
        generator = copy.deepcopy(average.settle(latents))
        assert isinstance(generator, SliceGenerator)
        if self.config.match_fractions and self.origin.kind == "labels":
            large = self._latents(MATCHED_VOLUMES, random, self.config.measured_side)
            match_fractions(generator, large, self.fractions)
        return generator

    def _generate(self, side: int) -> Sample:
        if self._settled is None:
            self._settled = self._settle(self.average)
        model = SliceGANModel(self.origin, self._settled)
        return model.generate((side, side, side), seed=0, device=self.device.type)

    def _as_phases(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn generated values into the phase indices that the reference counts."""
        if self.origin.kind == "labels":
            table = [phase.value for phase in self.origin.phases]
            return np.searchsorted(table, values).astype(np.uint8)
        low, high = (0.0, 255.0) if self.origin.kind == "colour" else self.origin.value_range
        scaled = (luminance(values, self.origin.kind) - low) / (high - low)
        assert self.levels is not None
        return np.digitize(scaled, self.levels).astype(np.uint8)

    def snapshot(self, steps: int, seconds: float, fidelity: Mapping[str, float]) -> SliceGANModel:
        """Return the averaged generator, as it was scored, as a model."""
        if self._settled is None:
            self._settled = self._settle(self.average)
        origin = dataclasses.replace(
            self.origin, steps=steps, seconds=seconds, fidelity=dict(fidelity)
        )
        return SliceGANModel(origin, copy.deepcopy(self._settled).cpu())

    def rebuild(self, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> SliceGANModel:
        """Return the model that an earlier `snapshot` was."""
        return SliceGANModel.from_tensors(origin, tensors)

    def preview(self) -> Sample:
        """Generate a volume with the averaged generator."""
        return self._generate(self.config.measured_side)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return networks, average and optimisers; see `Trainable.state`."""
        return {
            "generator": self.generator.state_dict(),
            "critics": self.critics.state_dict(),
            "average": self.average.module.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.generator.load_state_dict(state["generator"])
        self._follow_weights()
        self.critics.load_state_dict(state["critics"])
        self.average.module.load_state_dict(state["average"])
        self.generator_optimiser.load_state_dict(state["generator_optimiser"])
        self.critic_optimiser.load_state_dict(state["critic_optimiser"])


def selection(ratios: Mapping[str, float], isotropic: bool) -> float:
    """What the best model has least of: the geometric mean of what can be told from the image.

    Ratios below 1 are no better than 1. A preferred axis counts in isotropic materials only: in
    others S2 and chords are compared along each axis anyway.
    """
    names = ["volume_fraction", "s2", "ssa", "chord", "ripple"] + ["isotropy"] * isotropic
    return float(np.prod([max(ratios[name], 1.0) for name in names]) ** (1 / len(names)))


def _neighbours(layers: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the feature sizes that differ by one layer along one axis."""
    for axis, change in itertools.product(range(len(layers)), (-1, 1)):
        moved = list(layers)
        moved[axis] += change
        if moved[axis] in START_LAYERS:
            yield tuple(moved)


def _laid_out(module: _Network, layout: torch.memory_format) -> _Network:
    """Store the weights channels last, which the convolutions are faster with."""
    return module.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def _torch_random(seed: int, index: int, purpose: str) -> torch.Generator:
    """Return a generator whose numbers depend on seed, step and purpose alone."""
    words = np.random.SeedSequence((seed, index, *purpose.encode())).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def _mean_fractions(orientations: Sequence[Orientation]) -> list[float]:
    """Volume fractions over all axes, each axis counted alike."""
    axes = [o.image.fractions for o in orientations for _ in o.axes]
    return [float(f) for f in np.mean(axes, axis=0)]
