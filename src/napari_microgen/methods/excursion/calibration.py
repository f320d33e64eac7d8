"""Fitting excursion sets to the coverage functions of an image, by closed form and gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_microgen.methods.excursion.covariances import bump_weights, shell_basis, shell_volumes
from napari_microgen.methods.excursion.models import (
    MODELS,
    Excursion,
    Scalars,
    coverage_at_zero,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_microgen.methods.excursion.estimator import CoverageTarget

RATE = 0.1
WARM_UP = 0.1
"""Learning rate of Adam at its highest, and the share of the steps in which it rises."""

SHORTEST_CYCLE = 20
NEAR_WEIGHT = 3e-3
ROUGHNESS_WEIGHT = 1e-5
"""High enough for kernels that end within tens of voxels; the curves lose nothing by it."""
SHARES = (1e-4, 1 - 1e-4)
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
        The same before the fit; never less than `rmse`.
    """

    candidate: Candidate
    weights: Tensor
    scalars: Scalars
    rmse: float
    start_rmse: float


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
    target: CoverageTarget, candidate: Candidate, steps: int, seed: int = 0
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
    """
    problem = _Problem(target, candidate)
    values = problem.start()
    optimiser = torch.optim.Adam(values.values(), RATE)
    rise = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=max(steps, SHORTEST_CYCLE), pct_start=WARM_UP
    )
    started = problem.fit(values)
    best, kept = float("inf"), {k: v.detach().clone() for k, v in values.items()}
    for step in range(steps):
        variant = (seed + step) % problem.variants
        loss = problem.loss(values, variant)
        if float(loss.detach()) < best and problem.variants == 1:
            best, kept = float(loss.detach()), {k: v.detach().clone() for k, v in values.items()}
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        rise.step()
        yield float(loss.detach())
    ended = [problem.fit(kept), problem.fit(values)]
    found = min([started, *ended], key=lambda f: f.rmse)
    return Fit(candidate, found.weights, found.scalars, found.rmse, started.rmse)


class _Problem:
    """The loss of one candidate as a function of unconstrained parameters."""

    def __init__(self, target: CoverageTarget, candidate: Candidate) -> None:
        self.target, self.candidate, self.model = target, candidate, candidate.build()
        self.basis = shell_basis(torch.as_tensor(target.nodes), target.shells)
        self.rows = target.rows(candidate.roles)
        self.goal = torch.as_tensor(target.fractions[list(candidate.roles)])
        # Of the density, not of the mass: that of a shell near 0 must fall with its volume, or
        # volume fractions would vary far more between volumes than between images.
        self.log_volumes = shell_volumes(target.shells).log()
        spacing = torch.as_tensor(np.gradient(target.lags))
        self.lag_weights = spacing / spacing.sum()
        self.between = [
            row for row, (i, j) in enumerate(_pairs(self.model.n_phases))
            if i != j and (self.rows[row, 1:3] > 1e-6).all()
        ]  # fmt: skip
        self.variants = 32 if self.model.random_points else 1

    def start(self) -> dict[str, Tensor]:
        target, model = self.target, self.model
        length = max(START_LENGTH * target.correlation_length, 1.0)
        logits = torch.stack([
            bump_weights(length * f, target.shells).log() for f in START_FACTORS[: model.n_fields]
        ])  # fmt: skip
        values = {"logits": logits, "levels": torch.zeros(model.n_phases - 1, dtype=torch.float64)}
        if model.has_share:
            values["share"] = torch.zeros((), dtype=torch.float64)
        if model.has_scales:
            values["scales"] = torch.full((2,), 0.462, dtype=torch.float64)  # softplus + .05 = 1
        values["levels"] = model.matched(_scalars(values), self.goal).levels
        return {k: v.detach().requires_grad_() for k, v in values.items()}

    def loss(self, values: dict[str, Tensor], variant: int) -> Tensor:
        logits = values["logits"]
        curves = self.curves(torch.softmax(logits, 1), _scalars(values), variant)
        square = ((curves - self.rows) ** 2 @ self.lag_weights).mean()
        near = (curves[self.between, 1:3] / self.rows[self.between, 1:3] - 1).square().mean()
        rough = (logits - self.log_volumes).diff(n=2, dim=1).square().mean()
        loss = square + ROUGHNESS_WEIGHT * rough
        return loss + NEAR_WEIGHT * near if self.between else loss

    def curves(self, weights: Tensor, scalars: Scalars, variant: int) -> Tensor:
        correlations = weights @ self.basis.T
        return coverage_curves(self.target, self.model, correlations, scalars, variant)

    @torch.no_grad()
    def fit(self, values: dict[str, Tensor]) -> Fit:
        weights = torch.softmax(values["logits"].detach(), 1)
        scalars = self.model.matched(
            Scalars(*(v.detach() for v in vars(_scalars(values)).values())), self.goal, -1
        )
        square = (self.curves(weights, scalars, -1) - self.rows) ** 2
        rmse = float((square @ self.lag_weights).mean().sqrt())
        return Fit(self.candidate, weights, scalars, rmse, rmse)


def _scalars(values: dict[str, Tensor]) -> Scalars:
    """Turn unconstrained parameters into a model's numbers."""
    levels = values["levels"]
    share = torch.sigmoid(values["share"]).clamp(*SHARES) if "share" in values else None
    scales = torch.nn.functional.softplus(values["scales"]) + 0.05 if "scales" in values else None
    return Scalars(
        levels,
        levels.new_zeros(()) if share is None else share,
        levels.new_ones(2) if scales is None else scales,
    )


def _pairs(n: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(n) for j in range(i, n)]
