"""The state of a training on disk, written so that a crash never leaves half a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_microgen.errors import InputError, RunError
from napari_microgen.io.files import replacing

if TYPE_CHECKING:
    from pathlib import Path


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain types) to `path`, replacing it in one step.

    Raises
    ------
    RunError
        If it cannot be written; an older checkpoint is still there then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            torch.save(state, part)
    except (OSError, RuntimeError) as error:
        # torch tells a full disk by the name of a source file of its own and two positions.
        reason = error.strerror if isinstance(error, OSError) else "the disk is probably full"
        raise RunError(
            f"The checkpoint '{path}' cannot be written ({reason}); make room on the disk."
        ) from None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises
    ------
    InputError
        If it is missing, damaged or no checkpoint of ours.
    """
    if not path.is_file():
        raise InputError(f"There is no checkpoint '{path}' to resume from; start a new training.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        state = None  # torch raises anything from EOFError to UnpicklingError
    if not isinstance(state, dict) or "signature" not in state:
        raise InputError(f"The checkpoint '{path}' is damaged; start a new training instead.")
    return state
