"""Which refinement a material needs, by how far the calibrated set is from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_microgen.methods.fieldgan.misfit import Misfit

GOOD_ENOUGH = 1.3
"""Misfit over the image's own noise up to which nothing is to be gained."""

SHAPE = 5.0
"""Misfit of chords beyond which a filter is not enough.

Chosen between a fuel-cell anode (2.8), which a filter mends, and packed spheres (6.6), which it
does not. The Euler numbers do not decide: crumbs of single pixels, which a filter mends, change
them most.
"""


def advise(misfit: Misfit) -> tuple[str, str]:
    """Return the refinement that a misfit asks for, and why, in one sentence.

    Parameters
    ----------
    misfit : Misfit
        Of the calibrated set.
    """
    said = (
        f"The calibrated set is off by {misfit.chord:.1f} times the image's own noise in its "
        f"chords, {misfit.euler:.1f} in its Euler numbers and {misfit.pattern:.1f} in its patterns"
    )
    if max(misfit) <= GOOD_ENOUGH:
        return "none", f"{said}, which is hardly any: no refinement is needed."
    if misfit.chord <= SHAPE:
        return "filter", f"{said}: a filter is advised, which mends interfaces and crumbs."
    return "adversarial", (
        f"{said}: the adversarial refinement is advised, as phases have other shapes."
    )
