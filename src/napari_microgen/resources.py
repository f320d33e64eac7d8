"""Memory and disk: what is free, what was used, and saying so before a run starts."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import psutil

from napari_microgen.errors import InputError


def size_text(n_bytes: float) -> str:
    """Return a number of bytes as people write it.

    Examples
    --------
    >>> size_text(1_500_000), size_text(2**40)
    ('1.5 MB', '1.1 TB')
    """
    power = 0
    while n_bytes >= 999.5 and power < 5:
        n_bytes, power = n_bytes / 1000, power + 1
    return f"{n_bytes:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


def check_memory(n_bytes: int, what: str, mend: str, free: int | None = None) -> None:
    """Raise `InputError` if `what` needs more memory than is free; `mend` says what to lower.

    Parameters
    ----------
    n_bytes : int
        Memory needed.
    what, mend : str
        Beginning and end of the sentence.
    free : int, optional
        Bytes that are free, on a GPU for example; default those of the machine.
    """
    free = psutil.virtual_memory().available if free is None else free
    if n_bytes > free:
        raise InputError(
            f"{what} needs about {size_text(n_bytes)} of memory but {size_text(free)} are free; "
            f"{mend}."
        )


def check_disk(
    path: str | Path, n_bytes: int, mend: str = "make room or choose another folder"
) -> None:
    """Raise `InputError` if `path` cannot be written, or has no room for `n_bytes`.

    `mend` says what to do then.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; give the name of a file to write.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}' to write '{path.name}' into; make it.")
    if not os.access(folder, os.W_OK):
        raise InputError(f"The folder '{folder}' may not be written to; choose another one.")
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise InputError(
            f"'{path.name}' needs up to {size_text(n_bytes)} of disk but {size_text(free)} are "
            f"free in '{folder}'; {mend}."
        )


def peak_memory() -> int:
    """Return the largest memory that this process has held so far, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
