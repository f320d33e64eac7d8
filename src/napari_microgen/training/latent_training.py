"""What trainings of generators of endless volumes share: start, settling and score."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from napari_microgen.networks.slice_generator import (
    SliceGenerator,
    fraction_weights,
    initialise_smooth,
    match_fractions,
    symmetric_kernels,
    symmetrised,
)
from napari_microgen.phases import luminance, to_indices
from napari_microgen.training.adversarial_training import AdversarialTraining
from napari_microgen.training.averaging import AveragedGenerator
from napari_microgen.training.latent_config import SIDE, LatentConfig
from napari_microgen.training.randomness import torch_random

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.generation.latent_model import LatentModel
    from napari_microgen.methods.base import Origin, Sample
    from napari_microgen.metrics.fidelity import Reference
    from napari_microgen.networks.latent_generator import LatentGenerator

START_SEEDS = 2
START_LAYERS = (1, 2, 3, 4)
SETTLE_VOLUMES = 4
MATCHED_VOLUMES = 2


class LatentTraining(AdversarialTraining):
    """A generator of endless volumes; a subclass adds its critics and its step.

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
    even_start: ClassVar[bool] = False
    """Whether the smooth start spreads interfaces evenly over pairs of voxels."""

    settings: LatentConfig
    generator: LatentGenerator

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
        self.reference, self.fractions, self.levels = reference, list(fractions), levels
        self.isotropic, self.keeps_symmetry = isotropic, symmetric
        super().__init__(origin, settings, device)

    def build_generator(self) -> LatentGenerator:
        """Return the untrained generator."""
        return self.model_class.build(self.origin)

    def _follow_weights(self) -> None:
        """Start the average at the generator's weights, and see which kernels are symmetric."""
        super()._follow_weights()
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
        initialise_smooth(generator, best[0], self.fractions, best[1], even=self.even_start)

    def _score_start(self, generator: SliceGenerator, layers: tuple[int, ...], seed: int) -> float:
        candidate = copy.deepcopy(generator)
        initialise_smooth(candidate, layers, self.fractions, seed, even=self.even_start)
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
        ratios = self._measure(self._as_phases(volume.data))
        return {**ratios, "selection": self._selection(ratios)}

    def _measure(self, indices: NDArray[np.uint8]) -> dict[str, float]:
        """Return the errors of a volume over the image's own noise, by name."""
        return self.reference.score([indices]).to_dict()

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

    def _as_model(self, origin: Origin, generator: Any) -> LatentModel:
        return self.model_class(origin, generator)

    def _generate(self, side: int) -> Sample:
        model = self._as_model(self.origin, self._settled_generator())
        return model.generate((side, side, side), seed=0, device=self.device.type)

    def _as_phases(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Turn generated values into the phase indices that the reference counts."""
        if self.origin.kind == "labels":
            return to_indices(values, self.origin.phases)
        low, high = (0.0, 255.0) if self.origin.kind == "colour" else self.origin.value_range
        scaled = (luminance(values, self.origin.kind) - low) / (high - low)
        assert self.levels is not None
        return np.digitize(scaled, self.levels).astype(np.uint8)

    def rebuild(self, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> LatentModel:
        """Return the model that an earlier `snapshot` was."""
        return self.model_class.from_tensors(origin, tensors)

    def preview(self) -> Sample:
        """Generate a volume with the averaged generator."""
        return self._generate(self.settings.measured_side)


def selection(ratios: Mapping[str, float], isotropic: bool) -> float:
    """What the best model has least of: the geometric mean of what can be told from the image.

    Ratios below 1 are no better than 1. A preferred axis counts in isotropic materials only: in
    others S2 and chords are compared along each axis anyway. Diffusivities count where the image
    is a volume that shows them.
    """
    names = ["volume_fraction", "s2", "ssa", "chord", "ripple"] + ["isotropy"] * isotropic
    names += ["d_rel"] * ("d_rel" in ratios)
    return float(np.prod([max(ratios[name], 1.0) for name in names]) ** (1 / len(names)))


def _neighbours(layers: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the feature sizes that differ by one layer along one axis."""
    for axis, change in itertools.product(range(len(layers)), (-1, 1)):
        moved = list(layers)
        moved[axis] += change
        if moved[axis] in START_LAYERS:
            yield tuple(moved)
