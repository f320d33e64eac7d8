"""Telling real crops from generated ones by eye: questions, score and what it means."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.metrics.pairing import same_kind, same_voxel_size
from napari_microgen.widgets.comparison import read_pair

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage
    from napari_microgen.widgets.comparison import ComparisonPlan
    from napari_microgen.widgets.tasks import Stopping

SIDES = (256, 192, 128, 96, 64, 48, 32)
"""Sides of crops in pixels; the largest of which there are enough is taken."""

Z95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 5 % outside, both sides together."""


class BlindTest:
    """Crops to be told apart, in an order that nothing but the eye can find out.

    Whether a question shows a real crop is a coin's toss of its own, so that counting does not
    help; no two crops of one side overlap, so that neither does memory. All pictures are made
    beforehand, so that waiting times say nothing.

    Parameters
    ----------
    real, generated : PhaseImage
        2D or 3D; of a volume, sections normal to all three axes are shown.
    count : int
        Number of questions.
    seed : int
        Decides order and places.

    Attributes
    ----------
    pictures : list of ndarray of uint8, shape (side, side, 3)
        What to show, in order.
    answers : list of bool
        What was answered so far: True for real.

    Raises
    ------
    InputError
        If the images cannot be compared, or are too small for so many different crops.
    """

    def __init__(
        self, real: PhaseImage, generated: PhaseImage, count: int = 20, seed: int = 0
    ) -> None:
        generated = same_kind(real, generated)
        real, generated = same_voxel_size(real, generated, False, [])
        rng = np.random.default_rng(seed)
        self._truth = [bool(v) for v in rng.random(count) < 0.5]
        sides = {True: real, False: generated}
        side = _common_side(real, generated, count)
        crops = {is_real: _crops(image, side) for is_real, image in sides.items()}
        order = {is_real: iter(rng.permutation(len(crops[is_real]))) for is_real in sides}
        self.pictures = [
            picture(crops[is_real][next(order[is_real])], real) for is_real in self._truth
        ]
        self.answers: list[bool] = []

    @property
    def asked(self) -> int:
        """Number of questions answered."""
        return len(self.answers)

    @property
    def finished(self) -> bool:
        """Whether all questions are answered."""
        return self.asked == len(self.pictures)

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """What to show now; None after the last answer."""
        return None if self.finished else self.pictures[self.asked]

    def answer(self, is_real: bool) -> None:
        """Answer the present question; nothing is said until the end."""
        if not self.finished:
            self.answers.append(is_real)

    def score(self) -> Score:
        """Return how many answers were right."""
        pairs = zip(self.answers, self._truth, strict=False)
        return Score(sum(a == t for a, t in pairs), self.asked)


def blind_steps(
    plan: ComparisonPlan, count: int, seed: int, stopping: Stopping
) -> Generator[tuple[float, str], None, BlindTest | None]:
    """Read the layers and make a test of them; returns None if it was stopped.

    Raises
    ------
    InputError
        If there is no generated layer, or as `BlindTest`.
    """
    real, generated = read_pair(plan)
    if generated is None:
        raise InputError("Choose a generated layer too; a blind test tells two images apart.")
    yield 0.5, "choosing crops"
    return None if stopping() else BlindTest(real, generated, count, seed)


@dataclass(frozen=True)
class Score:
    """Right answers out of so many."""

    right: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        r"""Wilson's 95 % confidence interval of the share of right answers.

        .. math:: \frac{p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}

        References
        ----------
        Wilson, J. Am. Stat. Assoc. 22, 1927.
        """
        return wilson(self.right, self.total)

    def __str__(self) -> str:
        low, high = self.interval
        share = self.right / self.total if self.total else 0.0
        text = (
            f"{self.right} of {self.total} right: {100 * share:.0f} %, 95 % confidence interval "
            f"{100 * low:.0f} to {100 * high:.0f} %. "
        )
        if low > 0.5:
            return text + "You can tell real from generated."
        if high < 0.5:
            return text + "You see a difference, but take real for generated."
        return text + "That does not differ from guessing."


def wilson(right: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % confidence interval of a share; 0 to 1 if nothing was asked."""
    if total == 0:
        return 0.0, 1.0
    share, n = right / total, total
    middle = share + Z95**2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    whole = 1 + Z95**2 / n
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def picture(values: NDArray[Any], like: PhaseImage) -> NDArray[np.uint8]:
    """Return values of an image as red, green and blue, shape ``(..., 3)``.

    Labels are shown in their phases' colours, grey and colour values as they are.
    """
    if like.kind == "labels":
        colours = [[int(p.color[i : i + 2], 16) for i in (1, 3, 5)] for p in like.phases]
        return np.asarray(np.array(colours, np.uint8)[values])
    bright = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return np.repeat(bright[..., None], 3, axis=-1) if like.kind == "grey" else bright


def _common_side(real: PhaseImage, generated: PhaseImage, count: int) -> int:
    """Return the largest side of which both images have `count` crops."""
    for side in SIDES:
        if all(len(_places(image, side)) >= count for image in (real, generated)):
            return side
    smaller = min((real, generated), key=lambda image: len(_places(image, SIDES[-1])))
    found = len(_places(smaller, SIDES[-1]))
    raise InputError(
        f"'{smaller.name}' has only {found} separate crops of {SIDES[-1]} x {SIDES[-1]} pixels "
        f"for {count} questions; ask fewer, or take a larger image."
    )


def _crops(image: PhaseImage, side: int) -> list[NDArray[Any]]:
    stack = image.data[None] if image.ndim == 2 else image.data
    return [
        np.moveaxis(stack, axis, 0)[plane, y : y + side, x : x + side]
        for axis, plane, y, x in _places(image, side)
    ]


def _places(image: PhaseImage, side: int) -> list[tuple[int, int, int, int]]:
    """Return axis, plane and corner of crops that do not overlap and are labelled throughout.

    Planes of a volume are as far apart as crops are wide.
    """
    labelled = image.labelled[None] if image.ndim == 2 else image.labelled
    found = []
    for axis in range(3 if image.ndim == 3 else 1):
        planes = np.moveaxis(labelled, axis, 0)
        n, height, width = planes.shape
        steps = (
            range(side // 2, n, side) if n > 1 else (0,),
            range(0, height - side + 1, side),
            range(0, width - side + 1, side),
        )
        for plane, y, x in itertools.product(*steps):
            if planes[plane, y : y + side, x : x + side].all():
                found.append((axis, plane, y, x))
    return found
