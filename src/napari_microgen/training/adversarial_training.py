"""What trainings of a generator against critics share: networks, average and state."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from napari_microgen.training.averaging import AveragedGenerator
from napari_microgen.training.randomness import torch_random

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Model, Origin, Sample
    from napari_microgen.training.adversarial_config import AdversarialConfig

_Network = TypeVar("_Network", bound=nn.Module)


class AdversarialTraining(ABC):
    """Generator, critics, optimisers and averaged generator; subclasses add what they learn.

    Every random number of step n comes from (seed, n), so a resumed training goes on as if it
    had never stopped.

    Parameters
    ----------
    origin : Origin
    settings : AdversarialConfig
    device, device_reason
        As `choose_device` returns them.
    """

    critic_layout: ClassVar[torch.memory_format] = torch.channels_last
    generator: Any

    def __init__(
        self, origin: Origin, settings: AdversarialConfig, device: tuple[torch.device, str]
    ) -> None:
        self.origin, self.settings = origin, settings
        self.device, self.device_reason = device
        self._build(torch_random(settings.seed, 0, "weights"))
        self._follow_weights()

    @abstractmethod
    def build_generator(self) -> nn.Module:
        """Return the untrained generator."""

    @abstractmethod
    def build_critics(self) -> nn.ModuleList:
        """Return the untrained critics."""

    @abstractmethod
    def step(self, index: int) -> Generator[None, None, dict[str, float]]:
        """Train one generator step; see `Trainable.step`."""

    @abstractmethod
    def score(self) -> dict[str, float]:
        """Measure the averaged generator on one volume; see `Trainable.score`."""

    @abstractmethod
    def preview(self) -> Sample:
        """Generate a volume with the averaged generator."""

    @abstractmethod
    def _settle(self, average: AveragedGenerator) -> Any:
        """Return the averaged generator, ready to generate."""

    @abstractmethod
    def _as_model(self, origin: Origin, generator: Any) -> Model:
        """Return a generator as a model."""

    @abstractmethod
    def rebuild(self, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> Model:
        """Return the model that an earlier `snapshot` was."""

    def _build(self, random: torch.Generator) -> None:
        settings = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random.initial_seed())
            generator = self.build_generator()
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
        """Start the average at the generator's weights."""
        self.average = AveragedGenerator(self.generator, self.settings.averaging)
        self._settled: Any = None

    def prepare(self) -> Iterator[str]:
        """Give the networks better first weights than random ones; see `Trainable.prepare`."""
        yield from ()

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
        self.generator_optimiser.step()

    def _stepped(self) -> None:
        """Let the average follow a step."""
        self.average.update(self.generator)
        self._settled = None

    # ------------------------------------------------------------------ the averaged generator

    def _settled_generator(self) -> Any:
        """Return the averaged generator as it stands, settled once per step."""
        if self._settled is None:
            self._settled = self._settle(self.average)
        return self._settled

    def snapshot(self, steps: int, seconds: float, fidelity: Mapping[str, float]) -> Model:
        """Return the averaged generator, as it was scored, as a model."""
        origin = dataclasses.replace(
            self.origin, steps=steps, seconds=seconds, fidelity=dict(fidelity)
        )
        return self._as_model(origin, copy.deepcopy(self._settled_generator()).cpu())

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


def laid_out(module: _Network, layout: torch.memory_format) -> _Network:
    """Store the weights channels last, which the convolutions are faster with."""
    return module.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]
