"""SuperRes as a method: what it asks for, what it checks, and how it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, Input, Method, Progress
from napari_microgen.methods.rare_phases import rare_phase_warnings
from napari_microgen.methods.superres.config import SuperResConfig
from napari_microgen.methods.superres.model import LOW_INPUT, SuperResModel
from napari_microgen.methods.superres.pair import Pair
from napari_microgen.methods.superres.training import SEEN, SuperResTraining
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.networks.superres_generator import count_doublings
from napari_microgen.training.adversarial_config import SIDE
from napari_microgen.training.cubes import CubeSampler
from napari_microgen.training.loop import Schedule, TrainingLoop
from napari_microgen.training.orientations import find_orientations
from napari_microgen.training.patches import PatchSampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_microgen.phases import PhaseImage


class SuperRes(Method):
    """2D high resolution and 3D low resolution to 3D high resolution (paper 001)."""

    name = "superres"
    title = "SuperRes"
    paper = "Dahari, Kench, Squires and Cooper, Advanced Energy Materials 13 (2023) 2202407"
    config_class = SuperResConfig
    model_class = SuperResModel
    budget = ("preset", "minutes", "steps", "patience", "preview_seconds", "threads")
    inputs = (
        Input(
            "image", "High-resolution image", "One image of an isotropic material, or the "
            "sections normal to z.",
        ),
        Input(
            "image_y", "Sections normal to y", "For anisotropic materials: a high-resolution "
            "image, or a stack of images, seen along y.", optional=True,
        ),
        Input(
            "image_x", "Sections normal to x", "For anisotropic materials: a high-resolution "
            "image, or a stack of images, seen along x.", optional=True,
        ),
        LOW_INPUT,
    )  # fmt: skip

    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check images and settings; see `Method.check`."""
        settings = _own(config)
        self.check_inputs(data)
        pair = Pair.of(data, settings)
        warnings = pair.warnings()
        orientations = find_orientations(pair.images, settings)
        for orientation in orientations:
            PatchSampler(orientation.image, SEEN, "none")
        CubeSampler(pair.low, pair.low_side, "none")
        if not all(o.image.labelled.all() for o in orientations):
            # With gaps an image may hold patches and yet too little to measure its own noise.
            Reference({a: o.image for o in orientations for a in o.axes})
        for image in {i.digest: i for i in pair.images}.values():
            warnings += rare_phase_warnings(image)
        if settings.preset == "paper" and not torch.cuda.is_available():
            warnings.append(
                "The paper's networks take days without a GPU; quick is made for this machine."
            )
        return warnings

    def notes(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Tell scale factor and phase map."""
        settings = _own(config)
        self.check_inputs(data)
        return Pair.of(data, settings).notes(settings)

    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate training memory from the activations of one generator and critic step."""
        settings = _own(config)
        pair = Pair.of(data, settings)
        volumes = settings.volumes
        if settings.loss == "wasserstein":
            volumes = max(volumes, settings.generator_volumes)
        phases, doublings = pair.images[0].n_phases, count_doublings(pair.factor)
        widths = settings.generator_channels
        coarse = 8 * widths[doublings + 1] * pair.low_side**3
        finer = sum(
            3 * widths[doublings - i] * (pair.low_side * 2 ** (i + 1)) ** 3
            for i in range(doublings)
        )
        fine = (2 * widths[1] + 3 * widths[0] + 6 * phases) * (SIDE + 4) ** 3
        sections = volumes * settings.planes * len(settings.axes) + settings.real_patches
        pixels = sum(2 * w * (SEEN >> i + 1) ** 2 for i, w in enumerate(settings.critic_channels))
        critic = 2 * sections * (pixels + 2 * phases * SEEN**2)
        images = sum(image.data.nbytes for image in data)
        return int(4 * (volumes * (coarse + finer + fine) + critic) + 2 * images + 600e6)

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
        pair = Pair.of(data, settings)
        loop = TrainingLoop(
            lambda: SuperResTraining(data, pair, settings),
            Schedule.of(settings),
            self.signature(data, settings),
            checkpoint,
        )
        return loop.run(resume)


def _own(config: Config) -> SuperResConfig:
    if not isinstance(config, SuperResConfig):
        raise InputError("SuperRes needs its own settings (SuperResConfig).")
    return config
