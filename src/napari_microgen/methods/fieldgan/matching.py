"""Statistics that refined sections are held to, by their difference from the calibrated set's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_microgen.methods.fieldgan.sections import SIDE, independent_sections, real_sections
from napari_microgen.methods.fieldgan.statistics import descriptions, in_batches
from napari_microgen.training.anchors import SCALE, TwoPointAnchor
from napari_microgen.training.patches import PatchSampler

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from napari_microgen.training.orientations import Orientation

TAUGHT = 0
"""Seed of the random filters that teach."""


class Matching:
    """Distances of refined sections to one image.

    Statistics are matched by their difference from the calibrated set's on the very same
    sections (control variates), whose exact means are known: the sections' own scatter, which
    exceeds what is to be learned by far, drops out.

    Parameters
    ----------
    orientation : Orientation
        The image.
    exact : Tensor, shape (n, n_phases, SIDE, SIDE)
        Indicators of sections of the calibrated set that its means are taken from.
    random : numpy Generator
    paths : bool
        Whether to match what paths reach too, which a filter cannot change.
    """

    def __init__(
        self,
        orientation: Orientation,
        exact: Tensor,
        random: np.random.Generator,
        paths: bool = False,
    ) -> None:
        real = real_sections(orientation, random).to(exact)
        independent = independent_sections(orientation)
        self.described = descriptions(real, exact, independent, TAUGHT, paths)
        self.sampler = PatchSampler(orientation.image, SIDE, orientation.symmetry)
        self.anchor = TwoPointAnchor(self.sampler, random, exact.device)
        self.covariances = self.anchor.covariances(exact)

    def describe(self, sections: Tensor) -> dict[str, Tensor]:
        """Return the statistics of every section, by kind; no gradient passes."""
        return {name: in_batches(d.describe, sections) for name, d in self.described.items()}

    def losses(
        self, refined: Tensor, own: Tensor, described: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return squared distances to the image.

        Those of statistics are products of the distances of two halves of the sections: the
        square without the noise of either.

        Parameters
        ----------
        refined, own : Tensor, shape (batch, n_phases, SIDE, SIDE)
            Indicators of sections, refined and of the calibrated set in the same place.
        described : mapping from str to Tensor
            What `describe` returned for `own`.
        """
        found = {}
        for name, known in self.described.items():
            changes = known.describe(refined) - described[name]
            means = [half.mean(0) + known.calibrated for half in changes.tensor_split(2)]
            first, second = (known.target.deviation(mean) for mean in means)
            found[name] = first @ second
        change = self.anchor.covariances(refined) - self.anchor.covariances(own)
        error = self.covariances + change - self.anchor.correlations
        found["covariances"] = SCALE * error.square().mean()
        return found
