"""SliceGAN as a method: what it asks for, what it checks, and how it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, Input, Method, Progress
from napari_microgen.methods.rare_phases import rare_phase_warnings
from napari_microgen.methods.slicegan.config import SliceGANConfig
from napari_microgen.methods.slicegan.model import SliceGANModel
from napari_microgen.methods.slicegan.training import SliceGANTraining
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.training.latent_config import SIDE
from napari_microgen.training.loop import Schedule, TrainingLoop
from napari_microgen.training.orientations import find_orientations, is_isotropic
from napari_microgen.training.patches import PatchSampler
from napari_microgen.training.sections import image_symmetry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_microgen.phases import PhaseImage


class SliceGAN(Method):
    """2D sections to a 3D generator (paper 003)."""

    name = "slicegan"
    title = "SliceGAN"
    paper = "Kench and Cooper, Nature Machine Intelligence 3 (2021) 299"
    config_class = SliceGANConfig
    model_class = SliceGANModel
    budget = ("preset", "minutes", "steps", "patience", "preview_seconds", "threads")
    inputs = (
        Input(
            "image", "Image", "One image of an isotropic material, a 3D volume, or the sections "
            "normal to z.", ("labels", "grey", "colour"),
        ),
        Input(
            "image_y", "Sections normal to y", "For anisotropic materials: an image, or a stack "
            "of images, seen along y.", ("labels", "grey", "colour"), optional=True,
        ),
        Input(
            "image_x", "Sections normal to x", "For anisotropic materials: an image, or a stack "
            "of images, seen along x.", ("labels", "grey", "colour"), optional=True,
        ),
    )  # fmt: skip

    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check images and settings; see `Method.check`."""
        settings = _own(config)
        self.check_inputs(data)
        warnings = []
        orientations = find_orientations(data, settings)
        for orientation in orientations:
            image = orientation.image
            PatchSampler(image, SIDE, "none")
            if min(image.shape[-2:]) < 2 * SIDE and image.ndim == 2:
                warnings.append(
                    f"'{image.name}' is only {image.shape[0]} x {image.shape[1]} pixels; the "
                    "volume can hold no more variety than it shows."
                )
            height, width = image.voxel_size[-2:]
            if is_isotropic(orientations) and not 0.99 < height / width < 1.01:
                warnings.append(
                    f"'{image.name}' has pixels of {height:g} x {width:g} {image.unit}, but the "
                    "generated voxels are cubes; resample it first, or correct the layer scale."
                )
            if len(orientation.axes) == 3 and image_symmetry(image.as_labels()) != "square":
                warnings.append(
                    f"'{image.name}' looks different along its two axes, but one image stands for "
                    "all three directions; give one image per axis if the material is anisotropic."
                )
        if not all(o.image.labelled.all() for o in orientations):
            # With gaps an image may hold patches and yet too little to measure its own noise.
            Reference({a: o.image for o in orientations for a in o.axes})
        for image in {i.digest: i for i in data}.values():
            warnings += rare_phase_warnings(image)
        if settings.preset == "paper" and not torch.cuda.is_available():
            warnings.append(
                "The paper's networks take days without a GPU; quick is made for this machine."
            )
        return warnings

    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate training memory from the activations of one generator and critic step."""
        settings = _own(config)
        channels = max(image.channels for image in data)
        volumes = settings.volumes
        if settings.loss == "wasserstein":
            volumes = max(volumes, settings.generator_volumes)
        sides = (6, 10, 18, 34)
        hidden = sum(3 * w * n**3 for w, n in zip(settings.generator_channels, sides, strict=True))
        generator = volumes * (hidden + 6 * channels * 66**3)
        critic_pixels = sum(
            2 * w * (SIDE >> i + 1) ** 2 for i, w in enumerate(settings.critic_channels)
        )
        sections = volumes * settings.planes * len(settings.axes) + settings.real_patches
        critic = 2 * sections * (critic_pixels + 2 * channels * SIDE**2)
        images = sum(image.data.nbytes for image in data)
        return int(4 * (generator + critic) + 2 * images + 600e6)

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
        loop = TrainingLoop(
            lambda: SliceGANTraining(data, settings),
            Schedule.of(settings),
            self.signature(data, settings),
            checkpoint,
        )
        return loop.run(resume)


def _own(config: Config) -> SliceGANConfig:
    if not isinstance(config, SliceGANConfig):
        raise InputError("SliceGAN needs its own settings (SliceGANConfig).")
    return config
