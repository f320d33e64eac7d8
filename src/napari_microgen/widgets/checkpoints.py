"""Where the viewer keeps the state of trainings, so that each can go on later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.base import Config, Method
    from napari_microgen.phases import PhaseImage

KEPT = 10
"""Checkpoints that are kept; older ones are deleted."""


def folder() -> Path:
    """Return the folder of the checkpoints of this user."""
    return Path(platformdirs.user_data_dir("napari-microgen", appauthor=False)) / "checkpoints"


def checkpoint_path(method: Method, images: Sequence[PhaseImage], config: Config) -> Path:
    """Return the file that belongs to these images and settings, whatever the budget."""
    return folder() / f"{method.signature(images, config)[:24]}.checkpoint"


def discard_old() -> None:
    """Delete all but the `KEPT` youngest checkpoints."""
    files = sorted(folder().glob("*.checkpoint"), key=lambda f: f.stat().st_mtime, reverse=True)
    for file in files[KEPT:]:
        file.unlink(missing_ok=True)
