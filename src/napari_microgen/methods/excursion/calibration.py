"""Fitting excursion sets to the coverage functions of an image, by closed form and gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_microgen.methods.excursion.covariances import shell_basis
from napari_microgen.methods.excursion.coverage import pair_rows
from napari_microgen.methods.excursion.models import (
    MODELS,
    SCRAMBLES,
    Excursion,
    Scalars,
    coverage_at_zero,
)
from napari_microgen.methods.excursion.spectra import SPECTRA

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from napari_microgen.methods.excursion.estimator import CoverageTarget

RATE = 0.1
"""Learning rate of Adam at its highest, for levels, share and scales."""

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""

SHORTEST_CYCLE = 20
NEAR_WEIGHT = 3e-3
ROUGHNESS_WEIGHT = 1e-5
"""High enough for kernels that end within tens of voxels; the curves lose nothing by it."""
SHARES = (1e-4, 1 - 1e-4)
LEAST_SCALE = 0.05
START_LENGTH = 0.5
"""In correlation lengths. From a longer one the short waves start too faint to be found."""

START_FACTORS = (1.0, 0.8, 1.2, 0.9, 1.1)
"""Correlation lengths of the fields at the start, in that of the start."""


@dataclass(frozen=True)
class Candidate:
    """A model with the image's phases in their roles.

    Attributes
    ----------
    model : str
        Name in `MODELS`.
    roles : tuple of int
        Index of the image phase that is phase 1, 2, 3 of the model.
    sign : int
        Sign of the common field.
    freedom : int
        Squared fields that are summed.
    """

    model: str
    roles: tuple[int, ...]
    sign: int = 1
    freedom: int = 2

    def build(self) -> Excursion:
        """Return the model's formulas."""
        return MODELS[self.model](self.freedom, self.sign)


@dataclass(frozen=True)
class Fit:
    """A calibrated candidate.

    Attributes
    ----------
    candidate : Candidate
    weights : Tensor, shape (n_fields, count)
        Spectral shells of the correlation functions.
    scalars : Scalars
    rmse : float
        Root mean squared error of all coverage functions over all lags.
    start_rmse : float
        The same before the fit; for exact fits never less than `rmse`.
    spectrum : str
        How the correlation functions were written down: a name in `SPECTRA`.
    values : Tensor or None, shape (n_fields, m)
        The values of that `Spectrum`; None stands for the weights themselves.
    algorithm : str
        How it was calibrated: "exact", or "1", "2", "3" as in paper 002.
    """

    candidate: Candidate
    weights: Tensor
    scalars: Scalars
    rmse: float
    start_rmse: float
    spectrum: str = "shells"
    values: Tensor | None = None
    algorithm: str = "exact"

    def state(self) -> dict[str, Any]:
        """Return everything as tensors and plain types, for a checkpoint."""
        return {**vars(self), "candidate": vars(self.candidate), "scalars": vars(self.scalars)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Fit:
        """Return the fit that `state` described."""
        candidate, scalars = Candidate(**state["candidate"]), Scalars(**state["scalars"])
        return cls(**{**state, "candidate": candidate, "scalars": scalars})


def candidates(model: str, n_phases: int, freedom: int = 2) -> list[Candidate]:
    """Return all distinct assignments of the image's phases to a model's."""
    kind = MODELS[model]
    if kind.n_phases != n_phases:
        return []
    return [Candidate(model, roles, sign, freedom) for roles in kind.roles() for sign in kind.signs]


def coverage_curves(
    target: CoverageTarget, model: Excursion, correlations: Tensor, scalars: Scalars, variant: int
) -> Tensor:
    """Return a model's coverage functions at the target's lags, smoothed as the image's are.

    Parameters
    ----------
    correlations : Tensor, shape (n_fields, m)
        At the target's nodes.

    Returns
    -------
    Tensor, shape (rows, n)
    """
    at_zero = coverage_at_zero(model.fractions(scalars, variant))
    return target.smooth(at_zero, model.coverage(scalars, correlations, variant))


def calibrate(
    target: CoverageTarget,
    candidate: Candidate,
    steps: int,
    seed: int = 0,
    spectrum: str = "shells",
    start: Fit | None = None,
) -> Generator[float, None, Fit]:
    """Fit a candidate to the coverage functions of an image; yields the loss of every step.

    The loss is the mean squared error over pairs of phases and lags (weighted by their spacing),
    plus the relative error between phases at one and two voxels, which the surface areas hang
    on, plus the roughness of the spectra. Adam with one cycle of the learning rate; the levels
    are set last, to the image's volume fractions. The best parameters met are kept, so a fit is
    never worse than its start.

    Parameters
    ----------
    target : CoverageTarget
    candidate : Candidate
    steps : int
    seed : int
        Turns the order of the quasi-random points, where there are some.
    spectrum : str
        How the correlation functions are written down: a name in `SPECTRA`.
    start : Fit, optional
        Where to start from, a fit of the same candidate to the same target; default smooth
        spectra of half the image's correlation length.
    """
    problem = Problem(target, candidate, spectrum)
    values = problem.start(start)
    optimiser = torch.optim.Adam([{"params": [value]} for value in values.values()])
    cycle = max(steps, SHORTEST_CYCLE)
    rise = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, problem.rates(values), total_steps=cycle, pct_start=WARM_UP
    )
    started = problem.fit(values)
    best, kept = float("inf"), detached(values)
    for step in range(steps):
        variant = (seed + step) % problem.variants
        loss = problem.loss(values, variant)
        if float(loss.detach()) < best and problem.variants == 1:
            best, kept = float(loss.detach()), detached(values)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        rise.step()
        yield float(loss.detach())
    found = min([started, problem.fit(kept), problem.fit(values)], key=lambda f: f.rmse)
    return replace(found, start_rmse=started.rmse)


Parameters = dict[str, Tensor]
"""Unconstrained numbers that a fit changes: of the spectra, and of the levels, share, scales."""


class Problem:
    """A candidate whose parameters are to be found, and the loss of a fit in closed form.

    Parameters
    ----------
    target : CoverageTarget
    candidate : Candidate
    spectrum : str
        How the correlation functions are written down: a name in `SPECTRA`.
    """

    def __init__(
        self, target: CoverageTarget, candidate: Candidate, spectrum: str = "shells"
    ) -> None:
        self.target, self.candidate, self.model = target, candidate, candidate.build()
        self.spectrum = SPECTRA[spectrum](target.shells)
        self.basis = shell_basis(torch.as_tensor(target.nodes), target.shells)
        self.rows = target.rows(candidate.roles)
        self.goal = torch.as_tensor(target.fractions[list(candidate.roles)])
        spacing = torch.as_tensor(np.gradient(target.lags))
        self.lag_weights = spacing / spacing.sum()
        self.between = [
            row for row, (i, j) in enumerate(pair_rows(self.model.n_phases))
            if i != j and (self.rows[row, 1:3] > 1e-6).all()
        ]  # fmt: skip
        self.variants = SCRAMBLES if self.model.random_points else 1

    # ------------------------------------------------------------------ parameters

    def start(self, fit: Fit | None = None) -> Parameters:
        """Return the parameters of a fit, or those to start from without one."""
        values = self._first() if fit is None else self._of(fit)
        return {k: v.requires_grad_() for k, v in detached(values).items()}

    def _first(self) -> Parameters:
        target, model = self.target, self.model
        length = max(START_LENGTH * target.correlation_length, 1.0)
        lengths = [length * factor for factor in START_FACTORS[: model.n_fields]]
        values = {
            "spectra": self.spectrum.parameters(self.spectrum.start(lengths)),
            "levels": torch.zeros(model.n_phases - 1, dtype=torch.float64),
        }
        if model.has_share:
            values["share"] = torch.zeros((), dtype=torch.float64)
        if model.has_scales:
            values["scales"] = _scale_parameters(torch.ones(2, dtype=torch.float64))
        values["levels"] = model.matched(self.scalars(values), self.goal).levels
        return values

    def _of(self, fit: Fit) -> Parameters:
        own = fit.weights if fit.values is None else fit.values
        same = fit.spectrum == self.spectrum.name
        values = own if same else self.spectrum.nearest(fit.weights)
        parameters = {"spectra": self.spectrum.parameters(values), "levels": fit.scalars.levels}
        if self.model.has_share:
            parameters["share"] = torch.logit(fit.scalars.share)
        if self.model.has_scales:
            parameters["scales"] = _scale_parameters(fit.scalars.scales)
        return parameters

    def rates(self, parameters: Parameters) -> list[float]:
        """Return the learning rate of every entry."""
        return [self.spectrum.rate if name == "spectra" else RATE for name in parameters]

    def weights(self, parameters: Parameters) -> Tensor:
        """Return the spectral shells, shape (n_fields, count)."""
        return self.spectrum.weights(self.spectrum.values(parameters["spectra"]))

    def scalars(self, parameters: Parameters) -> Scalars:
        """Return the model's numbers."""
        levels = parameters["levels"]
        share, scales = levels.new_zeros(()), levels.new_ones(2)
        if "share" in parameters:
            share = torch.sigmoid(parameters["share"]).clamp(*SHARES)
        if "scales" in parameters:
            scales = torch.nn.functional.softplus(parameters["scales"]) + LEAST_SCALE
        return Scalars(levels, share, scales)

    # ------------------------------------------------------------------ what they are worth

    def loss(self, parameters: Parameters, variant: int) -> Tensor:
        """Return what a fit makes small, see `calibrate`.

        Parameters
        ----------
        variant : int
            Which set of quasi-random points, where they are used.
        """
        curves = self._curves(self.weights(parameters), self.scalars(parameters), variant)
        loss = ((curves - self.rows) ** 2 @ self.lag_weights).mean()
        loss = loss + ROUGHNESS_WEIGHT * self.spectrum.roughness(parameters["spectra"])
        if self.between:
            near = curves[self.between, 1:3] / self.rows[self.between, 1:3] - 1
            loss = loss + NEAR_WEIGHT * near.square().mean()
        return loss

    def _curves(self, weights: Tensor, scalars: Scalars, variant: int) -> Tensor:
        return coverage_curves(self.target, self.model, weights @ self.basis.T, scalars, variant)

    @torch.no_grad()
    def fit(self, parameters: Parameters) -> Fit:
        """Return the calibrated candidate, its levels set to the image's volume fractions."""
        parameters = detached(parameters)
        values = self.spectrum.values(parameters["spectra"])
        weights = self.spectrum.weights(values)
        scalars = self.model.matched(self.scalars(parameters), self.goal, -1)
        square = (self._curves(weights, scalars, -1) - self.rows) ** 2
        rmse = float((square @ self.lag_weights).mean().sqrt())
        return Fit(self.candidate, weights, scalars, rmse, rmse, self.spectrum.name, values)


def detached(parameters: Parameters) -> Parameters:
    """Return copies that no longer change, and have no gradient."""
    return {name: value.detach().clone() for name, value in parameters.items()}


def _scale_parameters(scales: Tensor) -> Tensor:
    return torch.log(torch.expm1((scales - LEAST_SCALE).clamp_min(1e-6)))
