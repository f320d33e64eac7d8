"""Numbers and errors as a user reads them."""

from __future__ import annotations

import logging
import math

from napari_microgen.errors import MicrogenError, ran_out_of_memory

_logger = logging.getLogger("napari_microgen")


def duration(seconds: float) -> str:
    """Return a time in at most two units, ``"3 min 20 s"``."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def speed(steps_per_second: float) -> str:
    """Return steps per second, or seconds per step if they are slow."""
    if steps_per_second >= 1 or steps_per_second <= 0:
        return f"{steps_per_second:.1f} steps/s"
    return f"{1 / steps_per_second:.1f} s per step"


def words(name: str) -> str:
    """Return the name of a field, a loss or a measure as words, ``"volume fraction"``."""
    known = {
        "s2": "two-point correlation", "ssa": "specific surface area", "chord": "chord length",
        "d_rel": "relative diffusivity",
    }  # fmt: skip
    return known.get(name, name.replace("_", " "))


def sentence(error: Exception, what: str) -> str:
    """Return one sentence for the user; what is unexpected is logged in full.

    Parameters
    ----------
    error : Exception
    what : str
        What failed, for example ``"The training"``.
    """
    if isinstance(error, MicrogenError):
        return str(error)
    _logger.error("%s failed", what, exc_info=error)
    if ran_out_of_memory(error):
        return f"{what} ran out of memory; ask for less, or close other programs."
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return (
        f"{what} failed unexpectedly ({type(error).__name__}: {reason}); the log has the details."
    )
