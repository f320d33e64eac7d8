"""Units of length by one short name each, so that images from different sources compare."""

from __future__ import annotations

import math

_OTHER_NAMES = {
    "pm": ("picometer", "picometre"),
    "angstrom": ("å",),
    "nm": ("nanometer", "nanometre"),
    "um": ("micron", "micrometer", "micrometre"),
    "mm": ("millimeter", "millimetre"),
    "cm": ("centimeter", "centimetre"),
    "m": ("meter", "metre"),
    "inch": ("in", "inche"),
    "pixel": ("px", "voxel"),
}

METRES = {
    "pm": 1e-12, "angstrom": 1e-10, "nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0,
    "inch": 0.0254,
}  # fmt: skip
"""Length of every unit but the pixel, by its short name."""


def short_unit(name: str) -> str | None:
    """Return the short ASCII name of a unit of length, or None if it is none we know.

    Examples
    --------
    >>> short_unit("micron"), short_unit("µm"), short_unit("nanometers"), short_unit("furlong")
    ('um', 'um', 'nm', None)
    """
    plain = name.strip().lower().replace("\\u00b5", "u").replace("µ", "u").replace("μ", "u")
    for short, others in _OTHER_NAMES.items():
        if plain in (short, *others) or plain.removesuffix("s") in others:
            return short
    return None


def length_ratio(unit: str, other: str) -> float | None:
    """Return how many of another unit one unit is; None unless both are lengths.

    Examples
    --------
    >>> length_ratio("nm", "um"), length_ratio("nm", "pixel"), length_ratio("pixel", "pixel")
    (0.001, None, None)
    """
    if not {unit, other} <= METRES.keys():
        return None
    return METRES[unit] / METRES[other]


def count_text(count: int, noun: str) -> str:
    """Return how many there are of something, in the singular of one.

    Examples
    --------
    >>> count_text(1, "grain"), count_text(0, "grain"), count_text(1200, "grain")
    ('1 grain', '0 grains', '1,200 grains')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def length_text(length: float, unit: str) -> str:
    """Return a length in the unit that suits it, in three digits.

    Examples
    --------
    >>> length_text(59800, "nm"), length_text(0.25, "um"), length_text(1234.5, "pixel")
    ('59.8 um', '250 nm', '1230 pixels')
    """
    length = float(f"{length:.3g}")
    metres = float(f"{length * METRES.get(unit, math.nan):.3g}")
    fitting = [name for name in ("pm", "nm", "um", "mm", "m") if METRES[name] <= metres]
    if fitting:
        length, unit = metres / METRES[fitting[-1]], fitting[-1]
    digits = 2 - math.floor(math.log10(length)) if length > 0 else 0
    return f"{length:.{max(digits, 0)}f} {'pixels' if unit == 'pixel' else unit}"
