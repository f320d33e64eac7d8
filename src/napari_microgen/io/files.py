"""Writing files so that a crash, a full disk or an interrupt never leaves half of one."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_microgen.errors import InputError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place if the block ends well.

    Raises
    ------
    RunError
        If the file cannot be written; whatever `path` held before is still there then.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise RunError(
            f"'{path}' cannot be written ({error.strerror or error}); make room, or choose a "
            "place where you may write."
        ) from None
    finally:
        part.unlink(missing_ok=True)


def check_readable(path: str | Path) -> Path:
    """Return `path` if it is a file with content that may be read.

    Raises
    ------
    InputError
        If it is missing, a folder, empty, or protected.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"'{path}' is a folder; give a file.")
        if not path.is_file():
            raise InputError(f"There is no file '{path}'; check the name and the folder.")
        if path.stat().st_size == 0:
            raise InputError(f"'{path}' is empty (0 bytes); it was probably never fully written.")
        with path.open("rb"):
            return path
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from None
