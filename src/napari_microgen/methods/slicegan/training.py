"""SliceGAN's training: sections of volumes made from latents alone (paper 003, algorithm 1)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from napari_microgen.methods.base import Origin
from napari_microgen.methods.slicegan.model import SliceGANModel
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.training.device import choose_device, spare_threads
from napari_microgen.training.latent_training import LatentTraining
from napari_microgen.training.lattices import lattice_variance
from napari_microgen.training.orientations import (
    find_orientations,
    generated_voxel_size,
    is_isotropic,
    mean_fractions,
)
from napari_microgen.training.section_training import SectionTraining

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_microgen.methods.slicegan.config import SliceGANConfig
    from napari_microgen.phases import PhaseImage

LATTICE_PERIOD = 16
"""Voxels after which a lattice of the transposed convolutions was seen to repeat."""


class SliceGANTraining(LatentTraining, SectionTraining):
    """Endless volumes against critics of sections; what `TrainingLoop` trains.

    Parameters
    ----------
    data : sequence of PhaseImage
    config : SliceGANConfig
    """

    model_class = SliceGANModel
    config: SliceGANConfig

    def __init__(self, data: Sequence[PhaseImage], config: SliceGANConfig) -> None:
        spare_threads(config.threads)
        device, reason = choose_device(config.device)
        orientations = find_orientations(data, config)
        if config.isotropic == "auto":
            alike = "yes" if is_isotropic(orientations) else "no"
            config = dataclasses.replace(config, isotropic=alike)
        self._look_at(orientations, config, device)
        origin = Origin.of_training(
            "slicegan", config, data, device, voxel_size=generated_voxel_size(orientations)
        )
        levels = None if data[0].kind == "labels" else data[0].tercile_levels
        reference = Reference({a: o.image.as_labels(levels) for o in orientations for a in o.axes})
        super().__init__(
            origin, config, reference, mean_fractions(orientations), levels,
            isotropic=is_isotropic(orientations), symmetric=config.isotropic == "yes",
            device=(device, reason),
        )  # fmt: skip

    def _added_loss(self, latents: Tensor, volumes: Tensor) -> tuple[Tensor, dict[str, float]]:
        added = torch.zeros((), device=self.device)
        # The Wasserstein step is the paper's; others than isotropic may have long features.
        if self.config.loss == "logistic" and self.config.isotropic == "yes":
            added = self.config.lattice * lattice_variance(volumes, LATTICE_PERIOD)
        return added, {}
