"""Which models are calibrated, in which order, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_microgen.methods.excursion.assessment import choose
from napari_microgen.methods.excursion.calibration import Candidate, candidates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.excursion.assessment import Misfit
    from napari_microgen.methods.excursion.config import ExcursionConfig


@dataclass(frozen=True)
class Job:
    """A candidate, and how it is to be calibrated.

    Attributes
    ----------
    candidate : Candidate
    spectrum : str
        How its correlation functions are written down: a name in `SPECTRA`.
    algorithm : str
        "exact", or "1", "2", "3".
    from_fit : int or None
        Index of the fit that it starts from.
    """

    candidate: Candidate
    spectrum: str
    algorithm: str = "exact"
    from_fit: int | None = None


def next_job(config: ExcursionConfig, n_phases: int, misfits: Sequence[Misfit]) -> Job | None:
    """Return what to calibrate next, given what has been; None at the end.

    First every candidate of the ladder in closed form, then, if asked for, the best of them with
    six numbers per correlation function, and last the result by one of the paper's algorithms.
    Algorithms 1 and 2 start from scratch, as the paper does, Algorithm 3 from the exact fit.
    """
    candidate = next_candidate(config, n_phases, misfits)
    if candidate is not None:
        return Job(candidate, config.spectrum)
    best = choose(misfits)
    known = misfits[best]
    chosen = Candidate(known.model, known.roles, known.sign, config.freedom)
    if config.model == "lowparam" and not any(m.spectrum == "lowparam" for m in misfits):
        return Job(chosen, "lowparam", from_fit=best)
    if config.algorithm != "exact" and all(m.algorithm == "exact" for m in misfits):
        start = best if config.algorithm == "3" else None
        return Job(chosen, known.spectrum, config.algorithm, start)
    return None


def next_candidate(
    config: ExcursionConfig, n_phases: int, misfits: Sequence[Misfit]
) -> Candidate | None:
    """Return the next step of the ladder of models; None at its end.

    With the best orders only, sums of Gaussian and squared fields, which take five times as long,
    are left out where a simpler model is good.
    """
    tried = {(m.model, m.roles, m.sign) for m in misfits}
    good = config.orders == "best" and any(m.passes for m in misfits)
    for name in _ladder(config, n_phases):
        if good and name == "gaussian+chi2" and config.model != "chi2":
            continue
        options = candidates(name, n_phases, config.freedom)
        simplest = [m for m in misfits if m.model == "independent"]
        if config.orders == "best" and simplest and name != "independent":
            best = min(simplest, key=lambda m: m.s2_rmse)
            options = [c for c in options if c.roles[0] == best.roles[0]]
        for candidate in options:
            if (candidate.model, candidate.roles, candidate.sign) not in tried:
                return candidate
    return None


def count_steps(config: ExcursionConfig, n_phases: int) -> int:
    """Return how many gradient steps there will be at most."""
    sizes = {n: len(candidates(n, n_phases)) for n in _ladder(config, n_phases)}
    if config.orders == "best" and "independent" in sizes:
        fits = sum(n if name == "independent" else n // 3 for name, n in sizes.items())
    else:
        fits = sum(sizes.values())
    fits += config.model == "lowparam"
    return fits * config.fit_steps + (config.algorithm != "exact") * config.epochs


def _ladder(config: ExcursionConfig, n_phases: int) -> tuple[str, ...]:
    if n_phases == 2:
        ladder = {"plurigaussian": ("gaussian",), "chi2": ("chi2",)}
        return ladder.get(config.model, ("gaussian", "chi2"))
    if config.model == "chi2":
        return ("gaussian+chi2",)
    pluri = ("independent", "correlated")
    return pluri if config.model == "plurigaussian" else (*pluri, "gaussian+chi2")
