"""The state of a training on disk, written so that a crash never leaves half a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_microgen.errors import InputError, RunError, ran_out_of_memory
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
        if ran_out_of_memory(error):
            raise
        # torch tells a full disk by the name of a source file of its own and two positions.
        reason = error.strerror if isinstance(error, OSError) else "the disk is probably full"
        raise RunError(
            f"The checkpoint '{path}' cannot be written ({reason}); make room on the disk."
        ) from None


def load_checkpoint(path: Path | None, signature: str) -> dict[str, Any]:
    """Read the checkpoint of a training; nothing in it is executed.

    Parameters
    ----------
    path : Path or None
        Where `save_checkpoint` wrote it.
    signature : str
        What ``"signature"`` must be in it: tells images and settings apart.

    Raises
    ------
    InputError
        If there is none, or it is damaged, no checkpoint of ours, or of another training.
    """
    if path is None:
        raise InputError("Resuming needs the checkpoint of the training to go on with.")
    if not path.is_file():
        raise InputError(f"There is no checkpoint '{path}' to resume from; start a new training.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        state = None  # torch raises anything from EOFError to UnpicklingError
    if not isinstance(state, dict) or "signature" not in state:
        raise InputError(f"The checkpoint '{path}' is damaged; start a new training instead.")
    if state["signature"] != signature:
        raise InputError(
            f"The checkpoint '{path.name}' belongs to other images or settings; choose those "
            "again, or start a new training."
        )
    return state
