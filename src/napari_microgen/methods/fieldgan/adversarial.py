"""Learning a network against critics that look at sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_microgen.methods.fieldgan.balls import ball_radii
from napari_microgen.methods.fieldgan.inputs import FieldInputs, wrapped
from napari_microgen.methods.fieldgan.matching import Matching
from napari_microgen.methods.fieldgan.networks import (
    FieldNetwork,
    cropped,
    normalise,
    sharp,
    straight_through,
)
from napari_microgen.methods.fieldgan.refiner import Refiner, held
from napari_microgen.methods.fieldgan.sections import LEARNED_SEEDS, SIDE, calibrated_sections
from napari_microgen.networks.critics import PatchCritic
from napari_microgen.training.losses import (
    logistic_critic,
    logistic_generator,
    real_gradient_penalty,
)
from napari_microgen.training.randomness import torch_random

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_microgen.methods.excursion.model import ExcursionModel
    from napari_microgen.methods.fieldgan.config import FieldGANConfig
    from napari_microgen.methods.fieldgan.networks import Groups
    from napari_microgen.training.orientations import Orientation

POOL_SIDE = 96
POOL = 4
"""Volumes that sections are taken from. One alone has more of a phase than others by chance, which
the network would learn to mend."""

POOL_STEPS = 10
"""Steps after which one of them is another one."""

BATCH = 8
REAL = 24
"""Sections of the image, and as many generated ones, that a critic sees in a step."""

REPLAYED = 252
"""Earlier sections that are kept, so that a critic does not forget what it has refused."""

CRITIC_WIDTHS = (32, 64, 128)
CRITIC_RATE = 1e-3
WARM_UP = 50
"""Steps in which only the critics learn, from the calibrated set."""

PENALTY = 10.0
PENALTY_INTERVAL = 8
PENALTY_SECTIONS = 8
CRITIC_BETAS = (0.5, 0.99)
NETWORK_BETAS = (0.9, 0.99)
"""The network goes by the mean of some ten steps: a batch has few sections."""

RISE = 50
"""Steps over which the network's learning rate rises after the warm-up."""

DECAY_FROM = 0.5
CRITIC_WEIGHT = 0.1
"""Weight of what the critics say beside the statistics; with more of it they soon see through the
network and throw it off."""

PATH_WEIGHT = 0.3
"""Of what paths reach. With all its weight it takes particles farther apart than they are: touching
in small spots is hardly seen in sections."""

DAMPED_FROM = 20.0
"""Squared distance beyond which statistics pull no harder."""

AVERAGING = 0.9
"""Decay of the moving average; as the rate falls to zero by itself, a longer memory lags behind."""


class AdversarialRefiner(Refiner):
    """Learns a `FieldNetwork` from critics, one per orientation.

    A step takes thin slabs out of a volume, each as thick as the network sees, and so one
    section out of each.

    Parameters
    ----------
    calibrated : ExcursionModel
    orientations : sequence of Orientation
    groups : Groups
    config : FieldGANConfig
    device : torch.device
    """

    network: FieldNetwork
    judged_every = 200

    def __init__(
        self,
        calibrated: ExcursionModel,
        orientations: Sequence[Orientation],
        groups: Groups,
        config: FieldGANConfig,
        device: torch.device,
    ) -> None:
        n_phases = orientations[0].image.n_phases
        radii = ball_radii([orientation.image for orientation in orientations])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_random(config.seed, 0, "weights").initial_seed())
            network = FieldNetwork(n_phases, groups, radii).to(device)
            critics = nn.ModuleList(PatchCritic(n_phases, CRITIC_WIDTHS) for _ in orientations)
        inputs = FieldInputs(calibrated, network.bands, network.radii)
        normalise(network, inputs.periodic((POOL_SIDE,) * 3, LEARNED_SEEDS, device=device)[None])
        optimiser = torch.optim.Adam(network.parameters(), config.network_rate, NETWORK_BETAS)
        super().__init__(network, inputs, optimiser, config.network_steps + WARM_UP, AVERAGING)
        self.config, self.device = config, device
        self.critics = critics.to(device)
        self.critic_optimiser = torch.optim.Adam(
            self.critics.parameters(), CRITIC_RATE, CRITIC_BETAS
        )
        self.orientations = orientations
        self._views: list[_View] = []
        self._pool: dict[int, Tensor] = {}

    def prepare(self) -> Iterator[str]:
        """Take the statistics of the images, and sections of the calibrated set."""
        for index, (orientation, critic) in enumerate(
            zip(self.orientations, self.critics, strict=True)
        ):
            yield f"Describing '{orientation.image.name}'."
            random = np.random.default_rng((self.config.seed, index))
            own = calibrated_sections(self.inputs.calibrated, orientation.axes[0])
            self._views.append(_View(orientation, critic, own.to(self.device), random))

    # ------------------------------------------------------------------ one step

    def step(self, index: int) -> dict[str, float]:
        """See `Refiner.step`."""
        random = np.random.default_rng((self.config.seed, index))
        if index < WARM_UP:
            return {"critic": self._criticise([None] * len(self._views), index, random)}
        self._set_rate(index)
        refined = [self._refined(view, index, random) for view in self._views]
        shown = [sharp(logits) for logits, _ in refined]
        losses = {"critic": self._criticise(shown, index, random)}
        self.critics.requires_grad_(False)
        total = torch.zeros((), device=self.device)
        for view, (logits, own) in zip(self._views, refined, strict=True):
            for name, loss in view.losses(straight_through(logits), sharp(own)).items():
                total = total + loss
                losses[name] = losses.get(name, 0.0) + float(loss.detach()) / len(self._views)
        self.critics.requires_grad_(True)
        self._descend(total, index)
        return losses

    def _set_rate(self, index: int) -> None:
        left = (self.length - index) / (self.length * (1 - DECAY_FROM))
        rise = (index - WARM_UP + 1) / RISE
        rate = self.config.network_rate * min(1.0, rise, left)
        self.optimiser.param_groups[0]["lr"] = rate

    def _refined(
        self, view: _View, index: int, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return logits of refined sections, and those of the calibrated set in the same place."""
        axis, radius = view.axes[index % len(view.axes)], self.network.radius
        shape = [2 * radius + (1 if a == axis else SIDE) for a in range(3)]
        pool = self._volumes(index)
        places = random.integers(POOL_SIDE, size=(BATCH, 3))
        slabs = [wrapped(pool[i % POOL], place.tolist(), shape) for i, place in enumerate(places)]
        own = torch.cat([cropped(slab[:, : self.network.n_phases], radius) for slab in slabs])
        # One by one, as many small pieces of memory are had sooner than few large ones.
        refined = own + torch.cat([self.network.correction(slab, axis) for slab in slabs])
        refined = held(refined, own)
        return refined.squeeze(2 + axis), own.squeeze(2 + axis)

    def _volumes(self, index: int) -> list[Tensor]:
        """Return the inputs that sections are taken from; one after the other is renewed."""
        newest = index // POOL_STEPS
        numbers = range(newest, newest + POOL)
        for number in numbers:
            if number not in self._pool:
                seed = LEARNED_SEEDS + (self.config.seed << 16) + number
                self._pool[number] = self.inputs.periodic(
                    (POOL_SIDE,) * 3, seed, device=self.device
                )
        self._pool = {number: self._pool[number] for number in numbers}
        return list(self._pool.values())

    def _criticise(
        self, shown: Sequence[Tensor | None], index: int, random: np.random.Generator
    ) -> float:
        """Let the critics learn from real sections, refined ones and those of earlier steps."""
        total = torch.zeros((), device=self.device)
        for view, current in zip(self._views, shown, strict=True):
            total = total + view.criticised(current, random, index % PENALTY_INTERVAL == 0)
        self.critic_optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.critic_optimiser.step()
        return float(total.detach()) / len(self._views)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """See `Refiner.state`; critics and replayed sections belong to it."""
        return {
            **super().state(),
            "critics": self.critics.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
            "replayed": [view.replayed.to("cpu", torch.uint8) for view in self._views],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See `Refiner.load_state`."""
        super().load_state(state)
        self.critics.load_state_dict(state["critics"])
        self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        for view, replayed in zip(self._views, state["replayed"], strict=True):
            view.replayed = replayed.to(view.replayed)


class _View:
    """One orientation: its critic, and what the critic is shown.

    Parameters
    ----------
    orientation : Orientation
    critic : Module
    own : Tensor, shape (n, n_phases, SIDE, SIDE)
        Indicators of sections of the calibrated set.
    random : numpy Generator
    """

    def __init__(
        self, orientation: Orientation, critic: nn.Module, own: Tensor, random: np.random.Generator
    ) -> None:
        self.axes, self.critic = orientation.axes, critic
        self.matching = Matching(orientation, own, random, paths=True)
        self.replayed = own[:REPLAYED].clone()

    def criticised(
        self, current: Tensor | None, random: np.random.Generator, penalised: bool
    ) -> Tensor:
        """Return the critic's loss, and keep some of the current sections for later.

        Parameters
        ----------
        current : Tensor or None, shape (batch, n_phases, SIDE, SIDE)
            Indicators of refined sections, if there are some already.
        """
        kept = random.integers(len(self.replayed), size=REAL if current is None else REAL - BATCH)
        fake = self.replayed[torch.from_numpy(kept).to(self.replayed.device)]
        if current is not None:
            fake = torch.cat([current, fake])
            places = random.choice(len(self.replayed), size=len(current), replace=False)
            self.replayed[torch.from_numpy(places).to(self.replayed.device)] = current
        real = self.matching.sampler.draw(REAL, random).to(fake)
        loss = logistic_critic(self.critic, real, fake)
        if penalised:
            penalty = real_gradient_penalty(self.critic, real[:PENALTY_SECTIONS])
            loss = loss + PENALTY_INTERVAL * PENALTY * penalty
        return loss

    def losses(self, refined: Tensor, own: Tensor) -> dict[str, Tensor]:
        """Return what the network has to make small: what the critic says, and the statistics.

        Parameters
        ----------
        refined, own : Tensor, shape (batch, n_phases, SIDE, SIDE)
            Indicators of sections, refined and of the calibrated set in the same place.
        """
        found = self.matching.losses(refined, own, self.matching.describe(own))
        matched = {name: damped(loss) for name, loss in found.items()}
        matched["paths"] = PATH_WEIGHT * matched["paths"]
        return {"network": CRITIC_WEIGHT * logistic_generator(self.critic, refined), **matched}


def damped(loss: Tensor) -> Tensor:
    """Return a loss whose gradient no longer grows where the loss is beyond `DAMPED_FROM`.

    Squared distances of a few sections that have gone astray would outweigh all others for many
    steps.
    """
    return loss / (1 + loss.detach().abs() / DAMPED_FROM)
