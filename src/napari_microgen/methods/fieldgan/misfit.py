"""How far a material is from the image in what two-point statistics do not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_microgen.methods.fieldgan.sections import (
    calibrated_sections,
    independent_sections,
    real_sections,
)
from napari_microgen.methods.fieldgan.statistics import descriptions, in_batches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from napari_microgen.methods.excursion.model import ExcursionModel
    from napari_microgen.training.orientations import Orientation

HELD_OUT = 1
"""Seed of the random filters that judge; those that teach are others."""


class Misfit(NamedTuple):
    """Distances to the image over the image's own sampling noise; 1 where none can be told.

    Attributes
    ----------
    chord : float
        Chord lengths, as the chance that a segment lies within a phase.
    euler : float
        Euler number and area of every phase, as it is and eroded: how it hangs together.
    pattern : float
        Responses of random filters: what small pieces look like.
    """

    chord: float
    euler: float
    pattern: float


class Judge:
    """Tells how far a calibrated set, and what became of it, is from the image.

    What became of it is compared with the set in the very same place: its statistics are those
    of the set, which are known well, plus the difference. So a volume or two are enough.

    Parameters
    ----------
    orientations : sequence of Orientation
    calibrated : ExcursionModel
    seed : int
        Draws the real sections.
    """

    def __init__(
        self, orientations: Sequence[Orientation], calibrated: ExcursionModel, seed: int
    ) -> None:
        self.axes = [o.axes for o in orientations]
        # Chords, erosions and patterns, as `Misfit` has them.
        self._described = [
            descriptions(
                real_sections(orientation, np.random.default_rng((seed, index))),
                calibrated_sections(calibrated, orientation.axes[0]),
                independent_sections(orientation), HELD_OUT,
            ).values()
            for index, orientation in enumerate(orientations)
        ]  # fmt: skip

    def calibrated(self) -> Misfit:
        """Return how far the calibrated set is."""
        found = [[d.target.misfit(d.calibrated) for d in view] for view in self._described]
        return Misfit(*np.mean(found, axis=0).tolist())

    def describe(self, sections: Mapping[int, Tensor]) -> list[list[Tensor]]:
        """Return mean statistics of indicators of sections by the axis they are normal to."""
        return [
            [in_batches(d.describe, torch.cat([sections[a] for a in axes])).mean(0) for d in view]
            for axes, view in zip(self.axes, self._described, strict=True)
        ]

    def refined(
        self, refined: Mapping[int, Tensor], calibrated: Sequence[Sequence[Tensor]]
    ) -> Misfit:
        """Return how far a refined set is.

        Parameters
        ----------
        refined : mapping from int to Tensor
            Indicators of sections by axis.
        calibrated : sequence
            What `describe` returned for the calibrated set in the same place.
        """
        found = [
            [d.target.misfit(d.calibrated + mean - before)
             for d, mean, before in zip(view, means, own, strict=True)]
            for view, means, own in zip(
                self._described, self.describe(refined), calibrated, strict=True
            )
        ]  # fmt: skip
        return Misfit(*np.mean(found, axis=0).tolist())
