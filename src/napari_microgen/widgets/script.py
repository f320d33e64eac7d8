"""The command that repeats a training without a viewer."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.base import Config

OPTIONS = ("minutes", "steps", "seed", "device")
"""Settings that the command line has an option for; the others go through ``--set``."""


def train_command(method: str, inputs: Sequence[str], config: Config) -> str:
    """Return the ``napari-microgen train`` command for these settings.

    Parameters
    ----------
    method : str
        Registered name.
    inputs : sequence of str
        Files of the images.
    config : Config
        Only what differs from its preset is written out.
    """
    words = ["napari-microgen", "train", method, *inputs, "--out", "model.safetensors"]
    words += ["--preset", config.preset]
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
