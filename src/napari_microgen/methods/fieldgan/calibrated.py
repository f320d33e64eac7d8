"""The excursion set that everything starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_microgen.methods.excursion.assessment import Misfit, assess, choose
from napari_microgen.methods.excursion.calibration import Candidate, Fit, calibrate, candidates
from napari_microgen.methods.excursion.model import ExcursionModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_microgen.methods.base import Origin
    from napari_microgen.methods.excursion.estimator import CoverageTarget
    from napari_microgen.phases import PhaseImage

KINDS = {2: ("gaussian", "chi2"), 3: ("correlated",)}
"""Models that are tried, by the number of phases. The correlated one contains the independent."""


def calibrated_sets(
    image: PhaseImage, target: CoverageTarget, origin: Origin, stretch: float, steps: int
) -> Iterator[tuple[float, ExcursionModel]]:
    """Fit every model with the image's phases in every role.

    All are fitted to the end: after a few steps a wrong role may still look better.

    Yields
    ------
    fraction : float
        Share of the fits that are done; every fit is yielded.
    model : ExcursionModel
        The best one so far.
    """
    n = image.n_phases
    options = [c for kind in KINDS[n] for c in candidates(kind, n)]
    fits: list[Fit] = []
    misfits: list[Misfit] = []
    for candidate in options:
        fits.append(_fitted(target, candidate, steps))
        misfits.append(assess(fits[-1], target, image.data))
        best = fits[choose(misfits)]
        yield len(fits) / len(options), ExcursionModel(origin, best, misfits, stretch)


def _fitted(target: CoverageTarget, candidate: Candidate, steps: int) -> Fit:
    run = calibrate(target, candidate, steps)
    while True:
        try:
            next(run)
        except StopIteration as end:
            fit: Fit = end.value
            return fit
