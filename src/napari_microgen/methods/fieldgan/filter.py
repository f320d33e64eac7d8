"""Learning a filter by matching statistics of sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_microgen.methods.fieldgan.inputs import FieldInputs, wrapped
from napari_microgen.methods.fieldgan.matching import Matching
from napari_microgen.methods.fieldgan.networks import (
    FilterNetwork,
    indicators,
)
from napari_microgen.methods.fieldgan.refiner import Refiner, held
from napari_microgen.methods.fieldgan.sections import (
    LEARNED_SEEDS,
    calibrated_sections,
    cut_sections,
)
from napari_microgen.training.randomness import torch_random

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_microgen.methods.excursion.model import ExcursionModel
    from napari_microgen.methods.fieldgan.config import FieldGANConfig
    from napari_microgen.methods.fieldgan.networks import Groups
    from napari_microgen.training.orientations import Orientation

VOLUMES = 2
SPACING = 9
"""Voxels between two sections of a volume that are learned from."""

BATCH = 24
BETAS = (0.9, 0.99)
DECAY_FROM = 0.2
"""Share of the steps after which the learning rate falls linearly to zero."""

AVERAGING = 0.99


class FilterRefiner(Refiner):
    """Learns a `FilterNetwork` from sections of a few volumes.

    A linear filter's features are cut into sections once and for all; a step only mixes them.

    Parameters
    ----------
    calibrated : ExcursionModel
    orientations : sequence of Orientation
    groups : Groups
    config : FieldGANConfig
    device : torch.device
    """

    network: FilterNetwork
    judged_every = 40

    def __init__(
        self,
        calibrated: ExcursionModel,
        orientations: Sequence[Orientation],
        groups: Groups,
        config: FieldGANConfig,
        device: torch.device,
    ) -> None:
        network = FilterNetwork(orientations[0].image.n_phases, groups).to(device)
        optimiser = torch.optim.Adam(network.parameters(), config.filter_rate, BETAS)
        super().__init__(
            network, FieldInputs(calibrated), optimiser, config.filter_steps, AVERAGING
        )
        self.orientations, self.config, self.device = orientations, config, device
        self._views: list[_View] = []

    def prepare(self) -> Iterator[str]:
        """Cut sections out of volumes, and take the statistics of the image."""
        volumes = []
        for index in range(VOLUMES):
            yield f"Drawing fields to learn from: {index + 1} of {VOLUMES}."
            volumes.append(self._volume(LEARNED_SEEDS + VOLUMES * self.config.seed + index))
        for index, orientation in enumerate(self.orientations):
            yield f"Describing '{orientation.image.name}'."
            random = np.random.default_rng((self.config.seed, index))
            exact = calibrated_sections(self.inputs.calibrated, orientation.axes[0])
            parts = [cut_sections(v, a, SPACING) for v in volumes for a in orientation.axes]
            self._views.append(_View(orientation, torch.cat(parts), exact.to(self.device), random))

    @torch.no_grad()
    def _volume(self, seed: int) -> Tensor:
        """Return logits and features of a volume, shape ``(channels, z, y, x)``."""
        side, radius = self.config.side, self.network.radius
        whole = self.inputs.periodic((side,) * 3, seed, device=self.device)
        around = wrapped(whole, (-radius,) * 3, (side + 2 * radius,) * 3)
        return torch.cat([whole, self.network.features(around)[0]])

    def step(self, index: int) -> dict[str, float]:
        """See `Refiner.step`."""
        left = (self.length - index) / (self.length * (1 - DECAY_FROM))
        self.optimiser.param_groups[0]["lr"] = self.config.filter_rate * max(0.0, min(1.0, left))
        random = torch_random(self.config.seed, index, "sections")
        losses: dict[str, Tensor] = {}
        for view in self._views:
            chosen = torch.randperm(len(view.logits), generator=random)[:BATCH].to(self.device)
            for name, loss in view.losses(self._refined(view, chosen), chosen).items():
                losses[name] = losses.get(name, 0.0) + loss / len(self._views)
        self._descend(torch.stack(list(losses.values())).sum(), index)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _refined(self, view: _View, chosen: Tensor) -> Tensor:
        """Return indicators of refined sections."""
        own = view.logits[chosen]
        return indicators(held(own + self.network.mixed(view.features[chosen]), own))


class _View:
    """The sections of one orientation, and what their statistics should be.

    Parameters
    ----------
    orientation : Orientation
    sections : Tensor, shape (count, channels, SIDE, SIDE)
        Logits of the calibrated set, then the filter's features.
    exact : Tensor, shape (n, n_phases, SIDE, SIDE)
        Indicators of sections of the calibrated set that its means are taken from.
    random : numpy Generator
    """

    def __init__(
        self,
        orientation: Orientation,
        sections: Tensor,
        exact: Tensor,
        random: np.random.Generator,
    ) -> None:
        n_phases = orientation.image.n_phases
        self.logits, self.features = sections[:, :n_phases], sections[:, n_phases:]
        self.matching = Matching(orientation, exact, random)
        self.described = self.matching.describe(indicators(self.logits))

    def losses(self, refined: Tensor, chosen: Tensor) -> dict[str, Tensor]:
        """Return squared distances to the image; see `Matching.losses`."""
        described = {name: values[chosen] for name, values in self.described.items()}
        return self.matching.losses(refined, indicators(self.logits[chosen]), described)
