"""Which refinement a material needs, by how far the calibrated set is from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_microgen.methods.fieldgan.misfit import Misfit

GOOD_ENOUGH = 1.3
"""Misfit over the image's own noise up to which nothing is to be gained."""

TOPOLOGY = 4.0
"""Misfit of chords or of the Euler number beyond which a filter is not enough."""


def advise(misfit: Misfit) -> tuple[str, str]:
    """Return the refinement that a misfit asks for, and why, in one sentence.

    Parameters
    ----------
    misfit : Misfit
        Of the calibrated set.
    """
    said = (
        f"The calibrated set is off by {misfit.chord:.1f} times the image's own noise in its "
        f"chords, {misfit.euler:.1f} in its Euler number and {misfit.pattern:.1f} in its patterns"
    )
    if max(misfit) <= GOOD_ENOUGH:
        return "none", f"{said}, which is hardly any: no refinement is needed."
    if max(misfit.chord, misfit.euler) <= TOPOLOGY:
        return "filter", f"{said}: a filter is advised, which corrects shapes but no topology."
    return "adversarial", (
        f"{said}: the adversarial refinement is advised, as phases hang together differently."
    )
