"""SuperRes' training: SliceGAN's critics and a voxel-wise loss (paper 001, algorithm 1)."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_microgen.methods.base import Origin
from napari_microgen.methods.superres.agreement import disagreement
from napari_microgen.methods.superres.degradation import Degradation, voxel_loss
from napari_microgen.methods.superres.model import SuperResModel
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.networks.critics import PatchCritic, SliceCritic
from napari_microgen.networks.superres_generator import initialise_direct, match_alike
from napari_microgen.phases import to_indices
from napari_microgen.training.adversarial_config import SIDE
from napari_microgen.training.anchors import FollowedAnchor
from napari_microgen.training.cubes import CubeSampler
from napari_microgen.training.device import choose_device, spare_threads
from napari_microgen.training.orientations import find_orientations, is_isotropic
from napari_microgen.training.randomness import torch_random
from napari_microgen.training.section_training import SectionTraining

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Sample
    from napari_microgen.methods.superres.config import SuperResConfig
    from napari_microgen.methods.superres.pair import Pair
    from napari_microgen.networks.superres_generator import SuperResGenerator
    from napari_microgen.phases import PhaseImage
    from napari_microgen.training.anchors import TwoPointAnchor
    from napari_microgen.training.averaging import AveragedGenerator

SEEN = 56
"""Side of the middle of every training cube that the critics see (paper 001: 4 voxels cropped)."""

PAPER_KERNELS = (4, 4, 4, 3, 4)
"""Kernels of the paper's critic, for sections of 56 x 56."""

SETTLE_CUBES = 8
"""Training cubes on which the kept generator's statistics and fractions are set."""

START_CUBES = 4


class SuperResTraining(SectionTraining):
    """Fine volumes from coarse ones; what `TrainingLoop` trains.

    Parameters
    ----------
    data : sequence of PhaseImage
        As the user gave it: images, then the volume.
    pair : Pair
    config : SuperResConfig
    """

    config: SuperResConfig
    seen = SEEN
    anchor_class = FollowedAnchor

    def __init__(self, data: Sequence[PhaseImage], pair: Pair, config: SuperResConfig) -> None:
        spare_threads(config.threads)
        device, reason = choose_device(config.device)
        self.pair = pair
        config = dataclasses.replace(
            config, scale_factor=float(pair.factor), phase_map=pair.phase_map.text
        )
        orientations = find_orientations(pair.images, config)
        self._look_at(orientations, config, device)
        self.isotropic = is_isotropic(orientations)
        self.reference = Reference({a: o.image for o in orientations for a in o.axes})
        self.cubes = CubeSampler(pair.low, pair.low_side, "none")
        self.degradation = Degradation(
            pair.factor, pair.phase_map.matrix, config.super_sampling, config.sharpness
        ).to(device)
        origin = Origin.of_training(
            "superres", config, data, device, like=pair.images[0], voxel_size=pair.voxel_size
        )
        origin = dataclasses.replace(origin, unit=pair.low.unit)
        super().__init__(origin, config, (device, reason))

    def build_generator(self) -> nn.Module:
        """Return the untrained generator."""
        return SuperResModel.build(self.origin)

    def build_critics(self) -> nn.ModuleList:
        """Return a critic per orientation."""
        channels, widths = self.pair.images[0].n_phases, self.config.critic_channels
        if self.config.loss == "logistic":
            return nn.ModuleList(PatchCritic(channels, widths) for _ in self.orientations)
        return nn.ModuleList(
            SliceCritic(channels, widths, PAPER_KERNELS, bias=True) for _ in self.orientations
        )

    def prepare(self) -> Iterator[str]:
        """Let the generator start from the interpolated volume; see `Trainable.prepare`."""
        if self.config.direct:
            yield "Starting from the interpolated volume."
            merging = torch.from_numpy(self.pair.phase_map.matrix)
            latents = self._latents(START_CUBES, torch_random(self.config.seed, 0, "start"))
            fractions = torch.from_numpy(self.pair.expected_fractions)
            generator = self.generator.cpu()
            initialise_direct(generator, merging, fractions, latents.cpu(), self.config.seed)
            self.generator = generator.to(self.device)
            self._follow_weights()

    # ------------------------------------------------------------------ one step

    def _latents(self, count: int, random: torch.Generator) -> Tensor:
        """Draw cubes of the coarse volume, with noise beside their phases."""
        seed = int(torch.randint(2**31, (), generator=random))
        phases = self.cubes.draw(count, np.random.default_rng(seed))
        shape = (count, self.config.noise_channels, *phases.shape[2:])
        noise = torch.randn(shape, generator=random)
        latents = torch.cat([phases, noise], 1).to(self.device)
        return latents.contiguous(memory_format=torch.channels_last_3d)

    def _added_loss(self, latents: Tensor, volumes: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the voxel-wise loss, if it is above the threshold (algorithm 1, lines 9-13)."""
        low = latents[:, : self.pair.low.n_phases]
        loss = voxel_loss(low, self.degradation(volumes))
        value = float(loss.detach())
        weight = self.config.weight if value > self.config.threshold else 0.0
        return weight * loss, {"voxel-wise": value}

    # ------------------------------------------------------------------ the averaged generator

    def score(self) -> dict[str, float]:
        """Measure the averaged generator on the middle of the volume; see `Trainable.score`."""
        self._settled = self._settle(self.average)
        sample, offset = self._middle()
        indices = to_indices(sample.data, self.origin.phases)
        ratios = self.reference.score([indices]).to_dict()
        model = self._as_model(self.origin, self._settled)
        ratios["disagreement"] = disagreement(model, indices, offset).share
        return {**ratios, "selection": self._selection(ratios)}

    def _selection(self, ratios: Mapping[str, float]) -> float:
        names = ["volume_fraction", "s2", "ssa", "chord", "ripple"] + ["isotropy"] * self.isotropic
        kept = [max(ratios[name], 1.0) for name in names]
        kept.append(max(ratios["disagreement"] / 0.02, 1.0))
        return float(np.prod(kept) ** (1 / len(kept)))

    def _settle(self, average: AveragedGenerator) -> SuperResGenerator:
        """Return the averaged generator with its statistics and fractions set."""
        random = torch_random(self.config.seed, 0, "settle")
        cubes = [self._latents(1, random) for _ in range(SETTLE_CUBES)]
        settled = average.settle(cubes if self.config.normalised else [])
        generator: SuperResGenerator = copy.deepcopy(settled)  # type: ignore[assignment]
        if self.config.match_fractions:
            match_alike(generator, cubes, self.degradation.merging, self.pair.images[0].fractions)
        return generator

    def _as_model(self, origin: Origin, generator: Any) -> SuperResModel:
        return SuperResModel(origin, generator, self.pair.low)

    def _middle(self) -> tuple[Sample, tuple[int, int, int]]:
        """Generate the middle of the volume, and say where it begins."""
        model = self._as_model(self.origin, self._settled_generator())
        whole = model.fitting_shape()
        assert whole is not None
        z, y, x = (min(self.config.measured_side, n) for n in whole)
        oz, oy, ox = (middle_start(w, n, model.crop) for w, n in zip(whole, (z, y, x), strict=True))
        sample = model.generate((z, y, x), 0, (oz, oy, ox), device=self.device.type)
        return sample, (oz, oy, ox)

    def rebuild(self, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> SuperResModel:
        """Return the model that an earlier `snapshot` was."""
        model = SuperResModel.from_tensors(origin, tensors)
        return SuperResModel(origin, model.generator, self.pair.low)

    def preview(self) -> Sample:
        """Generate the middle of the volume with the averaged generator."""
        return self._middle()[0]

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return networks, average and optimisers, and the statistics seen so far."""
        return {**super().state(), "seen": [self._followed(a).seen for a in self.anchors]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load_state(state)
        for anchor, seen in zip(self.anchors, state["seen"], strict=True):
            self._followed(anchor).seen = [each.to(self.device) for each in seen]

    @staticmethod
    def _followed(anchor: TwoPointAnchor) -> FollowedAnchor:
        assert isinstance(anchor, FollowedAnchor)
        return anchor


def middle_start(whole: int, side: int, crop: int) -> int:
    """Return where a part of `side` begins: in the middle, at the edge of a tile if it can be.

    Parameters
    ----------
    whole : int
        Length of the cropped volume along an axis.
    side : int
        Length of the part.
    crop : int
        Voxels that were cropped, which tiles are counted from.
    """
    middle = (whole - side) // 2
    edges = range(-crop % SIDE, whole - side + 1, SIDE)
    return min(edges, key=lambda edge: abs(edge - middle), default=middle)
