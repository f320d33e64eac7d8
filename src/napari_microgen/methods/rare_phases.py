"""Warning of phases that an image hardly has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_microgen.phases import PhaseImage

RARE = 0.005
"""Volume fraction below which a phase is warned of."""


def rare_phase_warnings(image: PhaseImage, so_it: str = "may be lost") -> list[str]:
    """Return a sentence for every phase below half a per cent, with what `so_it` does."""
    return [
        f"'{phase.name}' fills only {100 * fraction:.2g} % of '{image.name}'; so rare a phase "
        f"{so_it}."
        for phase, fraction in zip(image.phases, image.fractions, strict=False)
        if fraction < RARE
    ]
