"""Which high-resolution phase looks like which low-resolution phase."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_microgen.phases import Phase, PhaseImage

SAME_LABEL = 0.05
"""Difference in volume fraction that an equal label outweighs in a guess."""

MAX_GUESSES = 500_000


@dataclass(frozen=True)
class PhaseMap:
    """For every phase of the image the phase of the volume that it cannot be told from there.

    Attributes
    ----------
    high, low : tuple of Phase
        Phases of image and volume.
    partners : tuple of int
        For every high-resolution phase the index of its partner in `low`.
    """

    high: tuple[Phase, ...]
    low: tuple[Phase, ...]
    partners: tuple[int, ...]

    @classmethod
    def parse(cls, text: str, high: Sequence[Phase], low: Sequence[Phase]) -> PhaseMap:
        """Return the map written as pairs of labels, ``HIGH:LOW``, as in ``"0:0,1:1,2:0"``.

        Raises
        ------
        InputError
            If it is written otherwise, names labels that do not occur, or leaves a phase of
            image or volume without a partner, or if the volume has more phases than the image.
        """
        _check_counts("the image", high, "The volume", low)
        pairs = _pairs(text)
        highs, lows = [p.value for p in high], [p.value for p in low]
        for name, known, given in (
            ("image", highs, pairs), ("volume", lows, pairs.values()),
        ):  # fmt: skip
            for value in given:
                if value not in known:
                    raise InputError(
                        f"The phase map names the label {value}, which the {name} does not have; "
                        f"it has {', '.join(map(str, known))}."
                    )
        for phase in high:
            if phase.value not in pairs:
                raise InputError(
                    f"The phase map leaves '{phase.name}' (label {phase.value}) of the image "
                    f"without a partner; add {phase.value}:LOW, LOW being the label that it looks "
                    "like in the volume."
                )
        for phase in low:
            if phase.value not in pairs.values():
                raise InputError(
                    f"The phase map leaves '{phase.name}' (label {phase.value}) of the volume "
                    f"without a partner; add HIGH:{phase.value}, HIGH being a label of the image."
                )
        return cls(tuple(high), tuple(low), tuple(lows.index(pairs[v]) for v in highs))

    @classmethod
    def guess(cls, image: PhaseImage, low: PhaseImage) -> PhaseMap:
        """Return the map with which the volume fractions of image and volume agree best.

        Phases of the same given name are partners; of two maps that fit about as well, the one
        with more equal labels is taken.

        Raises
        ------
        InputError
            If the volume has more phases than the image, or there are too many to guess.
        """
        high_count, low_count = image.n_phases, low.n_phases
        _check_counts(f"'{image.name}'", image.phases, f"'{low.name}'", low.phases)
        fixed = _by_name(image.phases, low.phases)
        choices = [[fixed[i]] if i in fixed else list(range(low_count)) for i in range(high_count)]
        if np.prod([len(c) for c in choices], dtype=float) > MAX_GUESSES:
            raise InputError("There are too many phases to guess the phase map; set phase_map.")
        complete = (p for p in itertools.product(*choices) if len(set(p)) == low_count)

        def misfit(partners: tuple[int, ...]) -> float:
            merged = np.bincount(partners, image.fractions, low_count)
            equal = sum(
                image.phases[i].value == low.phases[j].value for i, j in enumerate(partners)
            )
            return float(np.abs(merged - low.fractions).sum()) - SAME_LABEL * equal

        best = min(complete, key=misfit, default=None)
        if best is None:  # names alone leave a phase of the volume without a partner
            raise InputError(
                f"The names of the phases of '{image.name}' and '{low.name}' leave a phase of the "
                "volume without a partner; set the phase map, or correct the names."
            )
        return cls(image.phases, low.phases, best)

    @property
    def text(self) -> str:
        """The map as `parse` reads it."""
        return ",".join(
            f"{phase.value}:{self.low[j].value}"
            for phase, j in zip(self.high, self.partners, strict=True)
        )

    @property
    def matrix(self) -> NDArray[np.float32]:
        """1 where a high-resolution phase is part of a low-resolution one, ``(low, high)``."""
        return np.equal(np.arange(len(self.low))[:, None], self.partners).astype(np.float32)

    def describe(self) -> str:
        """Return the map in words."""
        return ", ".join(
            f"{phase.name} ({phase.value}) looks like {self.low[j].name} ({self.low[j].value})"
            for phase, j in zip(self.high, self.partners, strict=True)
        )


def _check_counts(image: str, high: Sequence[Phase], volume: str, low: Sequence[Phase]) -> None:
    if len(low) > len(high):
        raise InputError(
            f"{volume} has {len(low)} phases but {image} only {len(high)}; the image must show "
            "every phase of the volume, so merge some of the volume's."
        )


def _pairs(text: str) -> dict[int, int]:
    pairs: dict[int, int] = {}
    for part in text.replace(" ", "").split(","):
        high, _, low = part.partition(":")
        try:
            first, second = int(high), int(low)
        except ValueError:
            raise InputError(
                f"The phase map must be pairs of labels HIGH:LOW such as '0:0,1:1,2:0', not "
                f"'{text}'."
            ) from None
        if first in pairs:
            raise InputError(f"The phase map names the label {first} of the image twice.")
        pairs[first] = second
    return pairs


def _by_name(high: Sequence[Phase], low: Sequence[Phase]) -> dict[int, int]:
    """Return the partners that names tell; names that were made up tell nothing."""
    names = {p.name.lower(): j for j, p in enumerate(low) if p.name != f"phase {p.value}"}
    return {i: names[p.name.lower()] for i, p in enumerate(high) if p.name.lower() in names}
