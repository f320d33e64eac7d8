"""What trainings of generators of endless volumes share: start, average, score and state."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from napari_microgen.networks.slice_generator import (
    SliceGenerator,
    fraction_weights,
    initialise_smooth,
    match_fractions,
    symmetric_kernels,
    symmetrised,
)
from napari_microgen.phases import luminance
from napari_microgen.training.averaging import AveragedGenerator
from napari_microgen.training.latent_config import SIDE, LatentConfig
from napari_microgen.training.randomness import torch_random

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.generation.latent_model import LatentModel
    from napari_microgen.methods.base import Origin, Sample
    from napari_microgen.metrics.fidelity import Reference
    from napari_microgen.networks.latent_generator import LatentGenerator

_Network = TypeVar("_Network", bound=nn.Module)

START_SEEDS = 2
START_LAYERS = (1, 2, 3, 4)
SETTLE_VOLUMES = 4
MATCHED_VOLUMES = 2


class LatentTraining(ABC):
    """Networks, optimisers and averaged generator; a subclass adds its critics and its step.

    Every random number of step n comes from (seed, n), so a resumed training goes on as if it
    had never stopped.

    Parameters
    ----------
    origin : Origin
    settings : LatentConfig
    reference : Reference
        What the averaged generator is measured against.
    fractions : sequence of float
        Wanted volume fraction per phase.
    levels : ndarray or None
        Where grey values are cut into the phases of `reference`; None for labels.
    isotropic : bool
        Whether no axis of the material is special.
    symmetric : bool
        Whether kernels that prefer no axis are kept so.
    device, device_reason
        As `choose_device` returns them.
    """

    model_class: ClassVar[type[LatentModel]]
    critic_layout: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(
        self,
        origin: Origin,
        settings: LatentConfig,
        reference: Reference,
        fractions: Sequence[float],
        levels: NDArray[np.float64] | None,
        *,
        isotropic: bool,
        symmetric: bool,
        device: tuple[torch.device, str],
    ) -> None:
        self.origin, self.settings, self.reference = origin, settings, reference
        self.fractions, self.levels = list(fractions), levels
        self.isotropic, self.keeps_symmetry = isotropic, symmetric
        self.device, self.device_reason = device
        self._build(torch_random(settings.seed, 0, "weights"))
        self._follow_weights()

    @abstractmethod
    def build_critics(self) -> nn.ModuleList:
        """Return the untrained critics."""

    @abstractmethod
    def step(self, index: int) -> Generator[None, None, dict[str, float]]:
        """Train one generator step; see `Trainable.step`."""

    def _build(self, random: torch.Generator) -> None:
        settings = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random.initial_seed())
            generator = self.model_class.build(self.origin)
            critics = self.build_critics()
        self.generator = laid_out(generator.to(self.device), torch.channels_last_3d)
        self.critics = laid_out(critics.to(self.device), self.critic_layout)
        betas = (settings.beta1, settings.beta2)
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), settings.generator_rate, betas
        )
        self.critic_optimiser = torch.optim.Adam(
            self.critics.parameters(), settings.critic_rate, betas
        )

    def _follow_weights(self) -> None:
        """Start the average at the generator's weights, and see which kernels are symmetric."""
        self.average = AveragedGenerator(self.generator, self.settings.averaging)
        self._settled: LatentGenerator | None = None
        self.symmetric: list[Tensor] = []
        if self.keeps_symmetry and isinstance(self.generator, SliceGenerator):
            self.symmetric = symmetric_kernels(self.generator)

    def prepare(self) -> Iterator[str]:
        """Give the generator its first weights; see `Trainable.prepare`."""
        if self.settings.smooth_start and self.origin.kind == "labels":
            assert isinstance(self.generator, SliceGenerator)
            yield from self._start_smooth(self.generator)
            self._follow_weights()

    def _start_smooth(self, generator: SliceGenerator) -> Iterator[str]:
        """Try feature sizes and seeds, and keep the start that is most like the image.

        One size for all axes at first; where orientations differ, the size along each axis is
        then changed as long as that helps.
        """
        tried: dict[tuple[tuple[int, ...], int], float] = {}
        seeds = [START_SEEDS * self.settings.seed + i for i in range(START_SEEDS)]
        waiting: list[tuple[tuple[int, ...], int]]
        waiting = [((layers,) * 3, seed) for layers in START_LAYERS for seed in seeds]
        while waiting:
            for layers, seed in waiting:
                tried[layers, seed] = self._score_start(generator, layers, seed)
                yield f"Looking for a good start: {len(tried)} tried."
            best = min(tried, key=lambda start: tried[start])
            if self.isotropic:
                break
            near = [(layers, best[1]) for layers in _neighbours(best[0])]
            waiting = [start for start in near if start not in tried]
        initialise_smooth(generator, best[0], self.fractions, best[1])

    def _score_start(self, generator: SliceGenerator, layers: tuple[int, ...], seed: int) -> float:
        candidate = copy.deepcopy(generator)
        initialise_smooth(candidate, layers, self.fractions, seed)
        random = torch_random(self.settings.seed, 0, "start")
        settled = AveragedGenerator(candidate, 0.0).settle([self._latents(2, random)])
        with torch.no_grad():
            values = settled(self._latents(1, random, self.settings.measured_side))
        weights = fraction_weights(values, self.fractions)
        indices = (values[0] * weights[:, None, None, None]).argmax(0)
        return self._selection(self.reference.score([indices.byte().cpu().numpy()]).to_dict())

    def _selection(self, ratios: Mapping[str, float]) -> float:
        return selection(ratios, self.isotropic)

    def _latents(self, count: int, random: torch.Generator, side: int = SIDE) -> Tensor:
        n = side // self.generator.stride + self.generator.margin
        shape = (count, self.settings.latent_channels, n, n, n)
        latents = torch.randn(shape, generator=random).to(self.device)
        return latents.contiguous(memory_format=torch.channels_last_3d)

    def _precision(self) -> torch.autocast:
        enabled = self.settings.mixed_precision and self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

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

    # ------------------------------------------------------------------ the averaged generator

    def score(self) -> dict[str, float]:
        """Measure the averaged generator on one volume; see `Trainable.score`."""
        self._settled = self._settle(self.average)
        volume = self._generate(self.settings.measured_side)
        indices = self._as_phases(volume.data)
        ratios = self.reference.score([indices]).to_dict()
        return {**ratios, "selection": self._selection(ratios)}

    def _settle(self, average: AveragedGenerator) -> LatentGenerator:
        """Return the averaged generator with its statistics and volume fractions set."""
        random = torch_random(self.settings.seed, 0, "settle")
        latents = [self._latents(1, random) for _ in range(SETTLE_VOLUMES)]
        inside = cast("LatentGenerator", average.module).endless
        generator = cast("LatentGenerator", copy.deepcopy(average.settle(latents, inside)))
        if self.settings.match_fractions and isinstance(generator, SliceGenerator):
            large = self._latents(MATCHED_VOLUMES, random, self.settings.measured_side)
            match_fractions(generator, large, self.fractions)
        return generator

    def _generate(self, side: int) -> Sample:
        if self._settled is None:
            self._settled = self._settle(self.average)
        model = self.model_class(self.origin, self._settled)
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

    def snapshot(self, steps: int, seconds: float, fidelity: Mapping[str, float]) -> LatentModel:
        """Return the averaged generator, as it was scored, as a model."""
        if self._settled is None:
            self._settled = self._settle(self.average)
        origin = dataclasses.replace(
            self.origin, steps=steps, seconds=seconds, fidelity=dict(fidelity)
        )
        return self.model_class(origin, copy.deepcopy(self._settled).cpu())

    def rebuild(self, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> LatentModel:
        """Return the model that an earlier `snapshot` was."""
        return self.model_class.from_tensors(origin, tensors)

    def preview(self) -> Sample:
        """Generate a volume with the averaged generator."""
        return self._generate(self.settings.measured_side)

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


def laid_out(module: _Network, layout: torch.memory_format) -> _Network:
    """Store the weights channels last, which the convolutions are faster with."""
    return module.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]
