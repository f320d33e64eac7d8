"""Field-GAN as a method: what it asks for, what it checks, and how it is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, Method, Progress
from napari_microgen.methods.excursion import ExcursionConfig, ExcursionSets
from napari_microgen.methods.fieldgan.config import FieldGANConfig
from napari_microgen.methods.fieldgan.model import FieldGANModel
from napari_microgen.methods.fieldgan.sections import SIDE
from napari_microgen.methods.fieldgan.training import FieldGANTraining
from napari_microgen.methods.fieldgan.transport_check import transport_note
from napari_microgen.training.loop import Schedule, TrainingLoop
from napari_microgen.training.patches import PatchSampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_microgen.phases import PhaseImage


class FieldGAN(Method):
    """One image to calibrated random fields, refined by a small network (our own)."""

    name = "fieldgan"
    title = "Field-GAN"
    paper = "napari-microgen's own: excursion sets (paper 002) refined by learning"
    config_class = FieldGANConfig
    model_class = FieldGANModel
    budget = ("preset", "minutes", "steps", "preview_seconds", "threads")
    inputs = ExcursionSets.inputs
    _calibration = ExcursionSets()

    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check images and settings; see `Method.check`."""
        settings = _own(config)
        self._check(data)
        return self._calibration.check(data, _calibrated_as(settings))

    def notes(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Return what was read off the images; see `Method.notes`."""
        settings = _own(config)
        self._check(data)
        return self._calibration.notes(data, _calibrated_as(settings))

    def _check(self, data: Sequence[PhaseImage]) -> None:
        self.check_inputs(data)
        image = data[0]
        if image.n_phases > 3:
            raise InputError(
                f"'{image.name}' has {image.n_phases} phases, and random fields are calibrated for "
                "two and three; merge phases, or use SliceGAN."
            )
        PatchSampler(image.sections(0), SIDE, "none")

    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate the memory of the transforms, of the sections and of a step."""
        _own(config)
        pixels = max(int(np.prod(image.shape)) for image in data)
        return int(1.2e9 + 80 * pixels)

    def train(
        self,
        data: Sequence[PhaseImage],
        config: Config,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> Iterator[Progress]:
        """Calibrate and refine; see `Method.train`."""
        settings = _own(config)
        self.check(data, settings)
        schedule = Schedule(settings.minutes, settings.steps, 1, 0, settings.preview_seconds)
        training = FieldGANTraining(data, settings, schedule)
        loop = TrainingLoop(lambda: training, schedule, self.signature(data, settings), checkpoint)
        for progress in loop.run(resume):
            # While fits and networks are made ready the calibrated set is there to be looked at.
            look = training.first_look() if settings.preview_seconds else None
            yield replace(progress, preview=progress.preview or look)
        if isinstance(progress.model, FieldGANModel):
            note = transport_note(training.image, progress.model)
            yield replace(progress, fidelity=None, preview=None, message=note)


def _calibrated_as(config: FieldGANConfig) -> ExcursionConfig:
    """Return the settings of the excursion set that everything starts from."""
    return ExcursionConfig(stretch=config.stretch, fit_steps=config.fit_steps)


def _own(config: Config) -> FieldGANConfig:
    if not isinstance(config, FieldGANConfig):
        raise InputError("Field-GAN needs its own settings (FieldGANConfig).")
    return config
