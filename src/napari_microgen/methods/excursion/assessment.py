"""Judging calibrated models by what they were not fitted to: surfaces, chords and connectivity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_microgen.methods.excursion.fields import section_fields
from napari_microgen.metrics.chords import chords
from napari_microgen.metrics.surfaces import ssa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.excursion.calibration import Candidate, Fit
    from napari_microgen.methods.excursion.estimator import CoverageTarget

SIDE = 512
SEEDS = (1, 2)
GOOD = {"s2_rmse": 0.003, "surface": 0.05, "shape": 0.1}
"""Errors below which a model is good."""

NEARLY_AS_GOOD = 1.25
"""Fits whose error is within this factor of the least are told apart by their score."""


@dataclass(frozen=True)
class Misfit:
    """How far a calibrated model is from the image.

    Attributes
    ----------
    model, roles, sign
        What was fitted, see `Candidate`.
    s2_rmse : float
        Root mean squared error of the two-point coverage functions.
    start_rmse : float
        The same before the fit.
    surface : float
        Largest relative error of the perimeter per area of a phase in drawn sections.
    chord : float
        Largest distance between chord-length distributions (Kolmogorov-Smirnov), summed over
        phases.
    euler : float
        Relative error of the Euler number per area, summed over phases.
    spectrum, algorithm : str
        How it was written down and calibrated, see `Fit`.
    """

    model: str
    roles: tuple[int, ...]
    sign: int
    s2_rmse: float
    start_rmse: float
    surface: float
    chord: float
    euler: float
    spectrum: str = "shells"
    algorithm: str = "exact"

    @property
    def score(self) -> float:
        """Chords and Euler number together: what the fit did not see."""
        return self.chord + self.euler

    @property
    def shape(self) -> float:
        """Distance between chord-length distributions, averaged over phases."""
        return self.chord / len(self.roles)

    @property
    def passes(self) -> bool:
        """Whether it is good enough for richer models not to be worth their time."""
        return all(getattr(self, name) <= limit for name, limit in GOOD.items())

    @property
    def stage(self) -> tuple[bool, bool]:
        """What comes later: six numbers after any, and the paper's algorithms after exact fits."""
        return self.algorithm != "exact", self.spectrum == "lowparam"

    @property
    def title(self) -> str:
        """The model's name with how it was calibrated, where that was not the usual way."""
        ways = {"kernels": "radial kernels", "lowparam": "low-parametric"}
        notes = [ways[self.spectrum]] if self.spectrum in ways else []
        notes += [f"Algorithm {self.algorithm}"] if self.algorithm != "exact" else []
        return f"'{self.model}'" + (f" ({', '.join(notes)})" if notes else "")

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain JSON types."""
        return {**asdict(self), "roles": list(self.roles), "score": self.score}


def draw_section(fit: Fit, shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Draw a periodic planar section of a calibrated model, as indices of the image's phases."""
    model = fit.candidate.build()
    drawn = section_fields(fit.weights, model.noises, shape, seed)
    return cut_phases(model.functions(fit.scalars, drawn).numpy(), fit.candidate)


def cut_phases(functions: NDArray[np.float32], candidate: Candidate) -> NDArray[np.uint8]:
    """Return the image's phase indices where F_1, F_2 have these values, shape ``(n - 1, ...)``."""
    order = np.full(functions.shape[1:], len(functions), np.uint8)
    for index in reversed(range(len(functions))):
        order[functions[index] >= 0] = index
    phases: NDArray[np.uint8] = np.asarray(candidate.roles, np.uint8)[order]
    return phases


def assess(fit: Fit, target: CoverageTarget, data: NDArray[np.uint8]) -> Misfit:
    """Compare drawn sections of a calibrated model with the image.

    Parameters
    ----------
    fit : Fit
    target : CoverageTarget
    data : ndarray of uint8
        Phase indices of the image, 255 unlabelled, 2D or 3D.
    """
    n = len(target.fractions)
    with torch.no_grad():
        drawn = np.stack([draw_section(fit, (SIDE, SIDE), seed) for seed in SEEDS])
    real = data if data.ndim == 3 else data[None]
    perimeters = ssa(drawn, n, stacked=True)
    surface = np.max(np.abs(perimeters / np.maximum(target.perimeters, 1e-9) - 1))
    first, second = _chord_curves(drawn, n), _chord_curves(real, n)
    length = min(first.shape[1], second.shape[1])
    chord = np.abs(first[:, :length] - second[:, :length]).max(axis=1).sum()
    euler = np.abs(_euler(drawn, n) / _nonzero(_euler(real, n)) - 1).sum()
    candidate = fit.candidate
    return Misfit(
        candidate.model, candidate.roles, candidate.sign, fit.rmse, fit.start_rmse,
        float(surface), float(chord), float(euler), fit.spectrum, fit.algorithm,
    )  # fmt: skip


def choose(misfits: Sequence[Misfit]) -> int:
    """Return the index of the best model: least S2 error, near-ties told apart by the score.

    What was made at a later stage was asked for by name, and goes before what came earlier.
    """
    last = max(m.stage for m in misfits)
    least = min(m.s2_rmse for m in misfits if m.stage == last)
    close = [
        i for i, m in enumerate(misfits)
        if m.stage == last and m.s2_rmse <= NEARLY_AS_GOOD * least
    ]  # fmt: skip
    return min(close, key=lambda i: misfits[i].score)


def _chord_curves(stack: NDArray[np.uint8], n_phases: int) -> NDArray[np.float64]:
    side = min(stack.shape[1:]) // 2
    curves = [chords(stack, n_phases, axis).survival()[:, :side] for axis in (1, 2)]
    return np.asarray(np.mean(curves, axis=0))


def _euler(stack: NDArray[np.uint8], n_phases: int) -> NDArray[np.float64]:
    """Return the Euler number of every phase per pixel; corners touch in no phase."""
    from skimage.measure import euler_number

    numbers = [
        np.mean([euler_number(section == k, connectivity=1) for section in stack])
        for k in range(n_phases)
    ]
    return np.asarray(np.array(numbers) / stack[0].size)


def _nonzero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.where(np.abs(values) < 1e-6, 1e-6, values))
