"""DC-GAN as a method: what it asks for, what it checks, and how it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, Input, Method, Progress
from napari_microgen.methods.dcgan.config import DCGANConfig
from napari_microgen.methods.dcgan.model import DCGANModel
from napari_microgen.methods.dcgan.training import DCGANTraining, count_places
from napari_microgen.methods.rare_phases import rare_phase_warnings
from napari_microgen.training.cubes import CubeSampler
from napari_microgen.training.loop import Schedule, TrainingLoop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_microgen.phases import PhaseImage
FEW_CUBES = 8
"""Disjoint cubes below which a volume says little about how cubes differ."""


class DCGAN(Method):
    """A 3D volume to a generator of volumes like it (paper 000)."""

    name = "dcgan"
    title = "DC-GAN"
    paper = "Gayon-Lombardo, Mosser, Brandon and Cooper, npj Comput. Mater. 6 (2020) 82"
    config_class = DCGANConfig
    model_class = DCGANModel
    budget = (
        "preset", "minutes", "steps", "epochs", "patience", "preview_seconds", "threads",
    )  # fmt: skip
    inputs = (
        Input("volume", "Volume", "A 3D volume of labels, at least 64 voxels along every axis "
              "(32 with 'side' set to 32); slicegan and fieldgan learn from 2D images.",
              ndims=(3,)),
    )  # fmt: skip

    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check volume and settings; see `Method.check`."""
        settings = _own(config)
        source, image = self._volume(data)
        CubeSampler(image, settings.side, "none")
        warnings = []
        if image is not source:
            edges = " x ".join(f"{s:g}" for s in source.voxel_size)
            warnings.append(
                f"'{source.name}' has voxels of {edges} {source.unit}; it is resampled to cubes "
                f"of {image.voxel_size[0]:g} {image.unit}, the nearest voxel each."
            )
        cubes = count_places(image.shape, settings.side, settings.side)
        if cubes < FEW_CUBES:
            warnings.append(
                f"'{image.name}' holds only {cubes} separate cube{'s' * (cubes > 1)} of "
                f"{settings.side} voxels a side; the volumes can hold no more variety than it."
            )
        warnings += rare_phase_warnings(image)
        if settings.preset == "paper" and not torch.cuda.is_available():
            warnings.append(
                "The paper's networks take weeks without a GPU; quick is made for this machine."
            )
        return warnings

    def _volume(self, data: Sequence[PhaseImage]) -> tuple[PhaseImage, PhaseImage]:
        """Return the volume as given and with cubic voxels."""
        if len(data) == 1 and data[0].ndim == 2:
            raise InputError(
                f"'{data[0].name}' is a 2D image, but {self.title} learns from a 3D volume; train "
                "SliceGAN, which makes volumes from 2D images."
            )
        self.check_inputs(data)
        return data[0], data[0].with_cubic_voxels()

    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate training memory from the activations of one generator and critic step."""
        settings = _own(config)
        phases = data[0].n_phases
        scale = settings.side / 64
        sides = (6, 10, 18, 34)
        widths = settings.generator_channels
        hidden = sum(3 * w * n**3 for w, n in zip(widths, sides, strict=True))
        generator = settings.volumes * (hidden + 6 * phases * 66**3) * scale**3
        voxels = [2 * w * (settings.side >> i + 1) ** 3
                  for i, w in enumerate(settings.critic_channels)]  # fmt: skip
        cubes = settings.volumes + 2 * settings.real_cubes
        critic = 2 * cubes * (sum(voxels) + 2 * phases * settings.side**3)
        return int(4 * (generator + critic) + 2 * data[0].data.nbytes + 600e6)

    def train(
        self,
        data: Sequence[PhaseImage],
        config: Config,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> Iterator[Progress]:
        """Train; see `Method.train`."""
        settings = _own(config)
        self.check(data, settings)
        source, image = self._volume(data)
        loop = TrainingLoop(
            lambda: DCGANTraining(source, image, settings),
            Schedule.of(settings, steps=_steps(settings, image)),
            self.signature(data, settings),
            checkpoint,
        )
        return loop.run(resume)


def _steps(settings: DCGANConfig, image: PhaseImage) -> int:
    """Return the step budget: the given steps, or as many as the epochs hold."""
    if settings.steps or not settings.epochs:
        return settings.steps
    batches = -(-count_places(image.shape, settings.side) // settings.real_cubes)
    return settings.epochs * batches * settings.generator_steps


def _own(config: Config) -> DCGANConfig:
    if not isinstance(config, DCGANConfig):
        raise InputError("DC-GAN needs its own settings (DCGANConfig).")
    return config
