"""The adversarial training of the grain model (paper 004, section 2.5 and algorithm 2)."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_microgen.methods.base import Origin
from napari_microgen.methods.particles.cutouts import (
    SectionCutouts,
    generated_cutouts,
    one_hot,
    seeds_around,
)
from napari_microgen.methods.particles.grain_anchor import GrainAnchor, flatness
from napari_microgen.methods.particles.grain_model import GrainModel
from napari_microgen.methods.particles.grain_network import (
    Discriminator,
    MarkerNetwork,
    MarkerRange,
)
from napari_microgen.methods.particles.section_fit import (
    FittedCutouts,
    PlanarDiagram,
    agreement,
    fit_planar,
)
from napari_microgen.methods.particles.section_judge import SectionJudge, Verdict
from napari_microgen.methods.particles.sections import GRAINS_PER_WINDOW, WINDOW, unit_length
from napari_microgen.training.averaging import AveragedGenerator
from napari_microgen.training.device import choose_device, spare_threads

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Sample
    from napari_microgen.methods.particles.grain_config import GrainConfig
    from napari_microgen.methods.particles.sections import Section
    from napari_microgen.phases import PhaseImage

VORONOI_SECTION = 1.458
"""Grains per area in a section of a Poisson-Voronoi tessellation, times intensity^(-2/3)."""

SHORT_AVERAGE, SHORT_STEPS = 0.8, 50
"""Decay of the average in the first steps, so that it leaves the untrained weights."""

STARTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 6.5)
"""Ratios D2 / D1 that are tried at the start."""

JUDGE = 0
"""Step whose random numbers the judge uses, every time: what changes is the model alone."""


class GrainTraining:
    """Networks, optimisers and one training step; what `TrainingLoop` trains.

    Every random number of step n comes from (seed, n), so a resumed training goes on as if it
    had never stopped.

    Parameters
    ----------
    data : sequence of PhaseImage
        The images, for the model's origin.
    sections : sequence of Section
        What they show.
    config : GrainConfig
    """

    def __init__(
        self, data: Sequence[PhaseImage], sections: Sequence[Section], config: GrainConfig
    ) -> None:
        spare_threads(config.threads)
        self.device, self.device_reason = choose_device(config.device)
        self.config, self.sections = config, sections
        self.unit = unit_length(sections)
        self.cutouts = SectionCutouts(sections, self.unit)
        self.judge = SectionJudge(sections, self.unit)
        self.anchor = GrainAnchor(self.cutouts, np.random.default_rng((config.seed, 0, 1)))
        self.origin = dataclasses.replace(
            Origin.of_training("grains", config, data, self.device),
            kind="numbered", phases=(), value_range=(0.0, 1.0),
        )  # fmt: skip
        # Grains per area to seeds per volume, as if the grains were Voronoi cells.
        self.intensity = (GRAINS_PER_WINDOW / WINDOW**2 / VORONOI_SECTION) ** 1.5
        self._build()
        self._judged: tuple[int, Verdict] | None = None
        self._steps = 0

    def _build(self) -> None:
        config = self.config
        limits = MarkerRange(
            (config.least_diagonal, config.greatest_diagonal), (0.0, config.greatest_offset),
            config.exponent,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = MarkerNetwork(limits, spread=config.spread).to(self.device)
            self.discriminator = Discriminator().to(self.device)
        betas = (config.beta1, config.beta2)
        self.network_optimiser = torch.optim.Adam(self.network.parameters(), config.rate, betas)
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), config.rate, betas
        )
        self.average = AveragedGenerator(self.network, config.averaging)

    def prepare(self) -> Iterator[str]:
        """Fit diagrams to the sections and look for a good start; see `Trainable.prepare`."""
        if self.config.fitted:
            yield from self._fit_sections()
        if self.config.searched_start:
            yield from self._search_start()

    def _fit_sections(self) -> Iterator[str]:
        """Learn from diagrams fitted to the sections, as the paper does."""
        random = np.random.default_rng((self.config.seed, 0, 4))
        diagrams = []
        for section in self.sections:
            fit = fit_planar(section, self.unit, random)
            told = 0.0
            while True:
                try:
                    done = next(fit)
                except StopIteration as end:
                    diagrams.append(end.value)
                    break
                if done - told > 0.2:
                    told = done
                    yield f"Fitting a diagram to '{section.name}': {100 * done:.0f} %."
            share = 100 * agreement(diagrams[-1], section, self.unit)
            yield f"The diagram of '{section.name}' gives {share:.0f} % of its pixels their grain."
        self.cutouts = FittedCutouts(self.sections, self.unit, diagrams)

    def _search_start(self) -> Iterator[str]:
        """Start from the markers whose sections are most like the data.

        Markers near ``D = (a, b, b)`` with one r, for several b / a.
        """
        low, high = self.network.limits.diagonal
        middle, offset = math.sqrt(low * high), self.config.greatest_offset / 2
        found: dict[float, Verdict] = {}
        for ratio in STARTS:
            across = middle * ratio ** (1 / 3)
            self.network.start_at((across / ratio, across, across), offset)
            found[ratio] = self._verdict_of(self.network)
            yield f"Looking for a good start: {len(found)} of {len(STARTS)} tried."
        best = min(found, key=lambda ratio: found[ratio].selection)
        across = middle * best ** (1 / 3)
        self.network.start_at((across / best, across, across), offset)
        self.intensity *= found[best].intensity_ratio ** -1.5
        self.average = AveragedGenerator(self.network, self.config.averaging)

    # ------------------------------------------------------------------ one step

    def step(self, index: int) -> Generator[None, None, dict[str, float]]:
        """Train one step of both networks (algorithm 2); see `Trainable.step`."""
        if index and index % self.config.intensity_every == 0:
            # Equation 13, with the average's sections.
            self.intensity *= 0.5 + 0.5 / self._verdict(index).intensity_ratio
            yield
        random = np.random.default_rng((self.config.seed, index, 2))
        self._set_rates(index)
        numbers, distances = self.cutouts.draw(self.config.batch, random)
        distances = np.resize(distances, self.config.generated)
        around, owner = seeds_around(distances, self.intensity, random)
        fake, shares, diagonals = generated_cutouts(
            self.network, around.to(self.device), owner, distances
        )
        yield
        losses = self._discriminator_step(one_hot(numbers).to(self.device), fake.detach())
        yield
        places = torch.from_numpy(distances).float()
        losses |= self._network_step(fake, shares, places, diagonals)
        decay = self.config.averaging
        self.average.decay = min(decay, SHORT_AVERAGE) if index < SHORT_STEPS else decay
        self.average.update(self.network)
        self._steps = index + 1
        return losses

    def _discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Least squares against 1 and 0 (equation 10), on cutouts rounded to whole grains."""
        on_real, on_fake = self.discriminator(real), self.discriminator(fake.round())
        loss = (on_real - 1).square().mean() + on_fake.square().mean()
        value = float(loss.detach())
        if value >= self.config.skip_below:
            self.discriminator_optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.discriminator_optimiser.step()
        return {"discriminator": value}

    def _network_step(
        self, fake: Tensor, shares: Tensor, distances: Tensor, diagonals: Tensor
    ) -> dict[str, float]:
        """Least squares against 1, the anchor, and `flatness`; the gradient is scaled to 1."""
        self.discriminator.requires_grad_(False)
        loss = (self.discriminator(fake) - 1).square().mean()
        self.discriminator.requires_grad_(True)
        losses = {"markers": float(loss.detach())}
        if self.config.anchor:
            anchor = self.anchor.loss(shares, distances)
            loss = loss + self.config.anchor * anchor
            losses["descriptors"] = float(anchor.detach())
        if self.config.flatness:
            loss = loss + self.config.flatness * flatness(diagonals)
        self.network_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        length = torch.stack([g.norm() for g in gradients]).norm() + 1e-12
        for gradient in gradients:
            gradient /= length
        self.network_optimiser.step()
        return losses

    def _set_rates(self, index: int) -> None:
        """Let the learning rates fall along a cosine over the budget of steps."""
        share = min(1.0, index / self.config.steps) if self.config.steps else 0.0
        first, last = self.config.rate, self.config.final_rate
        rate = last + (first - last) * (1 + math.cos(math.pi * share)) / 2
        for optimiser in (self.network_optimiser, self.discriminator_optimiser):
            optimiser.param_groups[0]["lr"] = rate

    # ------------------------------------------------------------------ the averaged network

    def score(self) -> dict[str, float]:
        """Compare sections of the averaged network with the data; see `Trainable.score`."""
        verdict = self._verdict(self._steps)
        return {**verdict.over_noise, "selection": verdict.selection}

    def _verdict(self, step: int) -> Verdict:
        """Judge the average after a step; kept, as both score and intensity need it."""
        if self._judged is None or self._judged[0] != step:
            self._judged = (step, self._verdict_of(self.average.module))
        return self._judged[1]

    def _verdict_of(self, network: torch.nn.Module) -> Verdict:
        assert isinstance(network, MarkerNetwork)
        return self.judge.judge(network, self.intensity, (self.config.seed, JUDGE, 3))

    def snapshot(self, steps: int, seconds: float, fidelity: Mapping[str, float]) -> GrainModel:
        """Return the averaged network as a model."""
        origin = dataclasses.replace(
            self.origin, steps=steps, seconds=seconds, fidelity=dict(fidelity)
        )
        network = copy.deepcopy(self.average.module).cpu()
        assert isinstance(network, MarkerNetwork)
        radius = float(np.mean([s.radius for s in self.sections])) / self.unit
        length = self.unit * self.origin.voxel_size[-1]
        return GrainModel(origin, network, self.intensity, length, radius)

    def rebuild(self, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> GrainModel:
        """Return the model that an earlier `snapshot` was."""
        return GrainModel.from_tensors(origin, tensors)

    def preview(self) -> Sample:
        """Generate a section through the centre, of the size of the first one."""
        height, width = self.sections[0].numbers.shape
        return self.snapshot(self._steps, 0.0, {}).generate((1, height, width))

    # ------------------------------------------------------------------ checkpoint

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        average = self.average.module.state_dict()
        scalars = {"intensity": self.intensity, "steps": self._steps}
        return {**parts, "average": average, **scalars, "diagrams": self._fitted()}

    def _fitted(self) -> list[dict[str, Tensor]]:
        """Return the fitted diagrams as tensors; none where pixels are learned from."""
        if not isinstance(self.cutouts, FittedCutouts):
            return []
        return [
            {name: torch.from_numpy(value) for name, value in vars(diagram).items()}
            for diagram in self.cutouts.diagrams
        ]

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.average.module.load_state_dict(state["average"])
        self.intensity, self._steps = state["intensity"], state["steps"]
        if state["diagrams"]:
            diagrams = [
                PlanarDiagram(**{name: value.numpy() for name, value in each.items()})
                for each in state["diagrams"]
            ]
            self.cutouts = FittedCutouts(self.sections, self.unit, diagrams)


_PARTS = ("network", "discriminator", "network_optimiser", "discriminator_optimiser")
