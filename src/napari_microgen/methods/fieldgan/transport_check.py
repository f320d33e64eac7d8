"""What can be said of transport: it is checked where there is a true volume, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.methods.excursion.preparation import is_stack
from napari_microgen.metrics.transport import transport
from napari_microgen.phases import to_indices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_microgen.methods.fieldgan.model import FieldGANModel
    from napari_microgen.phases import PhaseImage

LARGEST_SIDE = 80
"""Voxels along an edge of what is compared, to be done in seconds."""

SEED = 2
TOLERANCE = 1e-3
WARNING = (
    "Only sections were compared, and sections do not certify transport: hold diffusivities "
    "against those of a true volume where there is one."
)


def transport_note(image: PhaseImage, model: FieldGANModel) -> str:
    """Compare relative diffusivities with those of a true volume, or say that there is none.

    Parameters
    ----------
    image : PhaseImage
        What the model was trained on.
    model : FieldGANModel

    Returns
    -------
    str
        One sentence.
    """
    if image.ndim == 2 or is_stack(image):
        return WARNING
    side = min(LARGEST_SIDE, *image.shape)
    block = (slice(0, side),) * 3
    whole = model.generate((side,) * 3, SEED)
    generated = to_indices(whole.data, image.phases)
    said = []
    for index, phase in enumerate(image.phases):
        true, ours = (_diffusivity(v, index) for v in (image.data[block], generated))
        said.append(f"{phase.name} {ours:.3f} (true {true:.3f})")
    return (
        f"Relative diffusivity in {side} x {side} x {side} voxels, mean of the axes: "
        f"{', '.join(said)}."
    )


def _diffusivity(volume: NDArray[np.uint8], phase: int) -> float:
    """Return the relative diffusivity through a phase, averaged over the axes."""
    found = [transport(volume, phase, axis, tolerance=TOLERANCE).d_rel for axis in range(3)]
    return float(np.mean(found))
