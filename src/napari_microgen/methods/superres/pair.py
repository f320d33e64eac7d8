"""A pair of images and volume: what belongs to what, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.methods.superres.phase_map import PhaseMap
from napari_microgen.methods.superres.scale import (
    TOLERANCE,
    check_edges,
    nearest_factor,
    stated_ratio,
    voxel_ratio,
)
from napari_microgen.training.adversarial_config import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from napari_microgen.methods.superres.config import SuperResConfig
    from napari_microgen.phases import PhaseImage

FRACTION_GAP = 0.1
"""Difference of volume fractions between image and volume from which on the user is told."""

FACTOR_GAP = 0.01


@dataclass(frozen=True)
class Pair:
    """High-resolution images and a low-resolution volume of one material.

    Attributes
    ----------
    images : tuple of PhaseImage
        One for all axes, or one each for z, y and x.
    low : PhaseImage
    factor : Fraction
        Scale factor, 64/d with a whole d.
    stated : float
        Scale factor that the voxel sizes, or the settings, state.
    phase_map : PhaseMap
    """

    images: tuple[PhaseImage, ...]
    low: PhaseImage
    factor: Fraction
    stated: float
    phase_map: PhaseMap

    @classmethod
    def of(cls, data: Sequence[PhaseImage], config: SuperResConfig) -> Pair:
        """Work out how images and volume belong together.

        Parameters
        ----------
        data : sequence of PhaseImage
            The volume last.
        config : SuperResConfig

        Raises
        ------
        InputError
            If that cannot be told, or is impossible; the sentence says why.
        """
        images, low = tuple(data[:-1]), data[-1]
        if len(images) not in (1, 3):
            raise InputError(
                f"SuperRes takes one image for all axes, or three for z, y and x, beside the "
                f"volume, not {len(images)}."
            )
        if low.ndim != 3:
            raise InputError(f"'{low.name}' is {low.ndim}D; the low-resolution image must be 3D.")
        check_edges(images, low)
        stated = config.scale_factor or voxel_ratio(images, low)
        factor = nearest_factor(stated)
        if config.phase_map:
            phase_map = PhaseMap.parse(config.phase_map, images[0].phases, low.phases)
        else:
            phase_map = PhaseMap.guess(images[0], low)
        pair = cls(images, low, factor, stated, phase_map)
        if min(low.shape) < pair.low_side:
            raise InputError(
                f"'{low.name}' has {' x '.join(map(str, low.shape))} voxels, but at a scale factor "
                f"of {float(factor):.3g} the training draws cubes of {pair.low_side} voxels a side "
                "from it; bring a larger volume."
            )
        return pair

    @property
    def low_side(self) -> int:
        """Side of a training cube in low-resolution voxels."""
        return int(SIDE / self.factor)

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Voxel size of the result, in the unit of the volume: its layers then line up."""
        z, y, x = (size / float(self.factor) for size in self.low.voxel_size)
        return z, y, x

    @property
    def expected_fractions(self) -> NDArray[np.float64]:
        """Volume fractions of the result: the volume's, shared among partners as in the image."""
        fractions, matrix = self.images[0].fractions, self.phase_map.matrix
        shares = fractions / (matrix.T @ (matrix @ fractions))
        return np.asarray(shares * (matrix.T @ self.low.fractions))

    def notes(self, config: SuperResConfig) -> list[str]:
        """Return what was worked out, one sentence each."""
        origin = "as set" if config.scale_factor else "from the voxel sizes"
        sizes = " x ".join(f"{s:.4g}" for s in self.voxel_size)
        guessed = "as set" if config.phase_map else "guessed; check it"
        return [
            f"Scale factor {float(self.factor):.4g} ({origin}); voxels of the result: {sizes} "
            f"{self.low.unit}.",
            f"Phase map {self.phase_map.text} ({guessed}): {self.phase_map.describe()}.",
        ]

    def warnings(self) -> list[str]:
        """Return where image and volume do not quite fit together, one sentence each."""
        told = []
        gap = float(self.factor) / self.stated - 1
        if abs(gap) > FACTOR_GAP:
            told.append(
                f"The scale factor {float(self.factor):.4g} is the nearest possible one to "
                f"{self.stated:.4g}, so features come out {100 * abs(gap):.1f} % too "
                f"{'small' if gap > 0 else 'large'}."
            )
        ratio = stated_ratio(self.images, self.low)
        if ratio is not None and abs(self.stated / ratio - 1) > TOLERANCE:
            told.append(
                f"The scale factor is set to {self.stated:.4g}, but the voxel sizes say "
                f"{ratio:.4g}; set it to 0 to follow them, or correct the layer scales."
            )
        merged = self.phase_map.matrix @ self.images[0].fractions
        gaps = abs(merged - self.low.fractions)
        if gaps.max() > FRACTION_GAP:
            worst = int(gaps.argmax())
            told.append(
                f"'{self.low.phases[worst].name}' fills {100 * self.low.fractions[worst]:.0f} % of "
                f"the volume, but its partners fill {100 * merged[worst]:.0f} % of the image; "
                "check the phase map, or whether the image is representative."
            )
        return told
