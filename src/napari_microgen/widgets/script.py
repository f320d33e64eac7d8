"""The command that repeats a training without a viewer."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.widgets.validation import TrainingPlan

OPTIONS = ("minutes", "steps", "seed", "device")
"""Settings that the command line has an option for; the others go through ``--set``."""


def train_command(plan: TrainingPlan, files: Sequence[str]) -> str:
    """Return the ``napari-microgen train`` command that repeats a training.

    Parameters
    ----------
    plan : TrainingPlan
        Of its settings, only what differs from the preset is written out.
    files : sequence of str
        Where the images are.
    """
    config = plan.config
    words = ["napari-microgen", "train", plan.method.name, *files, "--out", "model.safetensors"]
    words += ["--preset", config.preset, "--kind", plan.images[0].kind, "--zero", plan.zero]
    preset = type(config).from_preset(config.preset)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == getattr(preset, field.name):
            continue
        if field.name in OPTIONS:
            words += [f"--{field.name}", str(value)]
        else:
            words += ["--set", f"{field.name}={value}"]
    return shlex.join(words)
