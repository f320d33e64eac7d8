"""Model files: one ``.safetensors`` with the weights and a JSON document; nothing is executed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError, RunError
from napari_microgen.io.files import check_readable, replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KEY = "napari-microgen"
FORMAT = 1
SUFFIX = ".safetensors"
MAX_HEADER_BYTES = 10_000_000
"""A header longer than this is refused unread; ours have a few thousand bytes."""


def write_model(
    path: str | Path, header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> Path:
    """Write a model file in one step; an older file of that name stays until it is replaced.

    Parameters
    ----------
    path : str or Path
        ``.safetensors`` is added if the name lacks it.
    header : mapping
        Plain JSON types; see `napari_microgen.methods.base.Origin`.
    tensors : mapping from str to ndarray
        The weights.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    RunError
        If it cannot be written (no room, no permission, no folder).
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    path = model_path(path)
    weights = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    header = json.loads(json.dumps(header))
    document = {"format": FORMAT, "digest": _digest(header, weights), "header": header}
    try:
        content = save(weights, metadata={KEY: json.dumps(document)})
    except SafetensorError as error:
        raise RunError(f"The model cannot be stored: {error}.") from None
    with replacing(path) as part:
        part.write_bytes(content)
    return path


def model_path(path: str | Path) -> Path:
    """Return `path` with ``.safetensors`` added if its name lacks it."""
    path = Path(path)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def read_model(path: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a model file; the inverse of `write_model`.

    Returns
    -------
    header : dict
    tensors : dict from str to ndarray

    Raises
    ------
    InputError
        If the file is missing, truncated, damaged, of another kind or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    path = check_readable(path)
    _check_start(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if KEY not in metadata:
                raise InputError(
                    f"'{path}' is a safetensors file of another program; choose a model that "
                    "napari-microgen has saved."
                )
            header, digest = _parse(metadata[KEY], path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(path) from None
    if digest != _digest(header, tensors):
        raise _damaged(path)
    return header, tensors


def is_foreign(path: str | Path) -> bool:
    """Whether `path` is a sound safetensors file of another program."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return KEY not in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _check_start(path: Path) -> None:
    """Refuse what the first bytes show to be no safetensors file, or one with a huge header."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] != b"{":  # where every safetensors header begins
        if start[:2] == b"PK" or start[:1] == b"\x80":
            raise InputError(
                f"'{path}' is a zip or pickle file, as .pt files are, which could run code when "
                "it is loaded; only .safetensors models are read."
            )
        raise InputError(f"'{path}' is no model file: it is not in the safetensors format.")
    if int.from_bytes(start[:8], "little") > MAX_HEADER_BYTES:
        raise InputError(f"'{path}' is no model file of ours, or damaged: its header is too long.")


def _parse(text: str, path: Path) -> tuple[dict[str, Any], str]:
    try:
        document = json.loads(text)
        version, header = document["format"], dict(document["header"])
        digest = str(document["digest"])
        if not isinstance(version, int) or version < 1:
            raise ValueError(version)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _damaged(path) from None
    if version > FORMAT:
        raise InputError(
            f"'{path}' was saved by a newer napari-microgen (format {version}, this one reads "
            f"{FORMAT}); update napari-microgen to open it."
        )
    return header, digest


def _damaged(path: Path) -> InputError:
    return InputError(f"'{path}' is damaged or incomplete; copy or train the model again.")


def _digest(header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return a SHA-256 of everything in the file, so that no damage goes unseen."""
    hashed = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        hashed.update(repr((name, value.dtype.str, value.shape)).encode())
        hashed.update(value.tobytes())
    return hashed.hexdigest()
