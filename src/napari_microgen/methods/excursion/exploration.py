"""Moving the parameters of an excursion set by hand, and what follows from them in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Origin
from napari_microgen.methods.excursion.calibration import Candidate, Fit
from napari_microgen.methods.excursion.config import ExcursionConfig
from napari_microgen.methods.excursion.covariances import bump_weights, shell_basis
from napari_microgen.methods.excursion.coverage import pair_rows
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.models import MODELS, Scalars, coverage_at_zero
from napari_microgen.methods.excursion.rescaling import lost_variance, rescaled_fields
from napari_microgen.metrics.surfaces import crofton_directions
from napari_microgen.metrics.tables import plain
from napari_microgen.phases import PALETTE, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_microgen.methods.excursion.estimator import CoverageTarget
    from napari_microgen.methods.excursion.models import Excursion

    Values = Mapping[str, float]

FINE = -1
"""The variant of a model's quasi-random points that is used where single numbers are shown."""

LENGTH_RANGE = (0.25, 4.0)
STRETCH_RANGE = (0.2, 5.0)
WEIGHT_RANGE = (0.05, 10.0)
SHARE_RANGE = (0.0, 0.95)
"""Beyond, the two-point functions are off by more than a hundredth of a phase's surface."""
LAST_SEED = 2**31 - 1

CURVE_LAGS = 48
"""Distances at which curves are drawn that stand alone."""

LOST = 0.02
"""Share of a field's variance beyond the finest wave that is worth a warning."""

FRESH_LENGTH, FRESH_SHELLS = 8.0, 100
"""Correlation length in voxels, and shells, of a model that was not learned."""


@dataclass(frozen=True)
class Parameter:
    """A number that a user may move.

    Attributes
    ----------
    name : str
        Its key.
    title, help : str
        What it is called, and what it does in the words of a material.
    start : float
        Its value in the model as it came.
    low, high : float
        Range of its slider.
    logarithmic : bool
        Whether equal factors, not equal differences, are equally far apart.
    whole : bool
        Whether it is a whole number.
    """

    name: str
    title: str
    help: str
    start: float
    low: float
    high: float
    logarithmic: bool = False
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model's parameters say of its volumes, in closed form; phases as in the image.

    Attributes
    ----------
    fractions : ndarray, shape (n_phases,)
        Volume fractions.
    surfaces : ndarray, shape (n_phases,)
        Specific surface areas as Crofton's formula gives them in an infinite volume of voxels,
        in 1/length.
    chords : ndarray, shape (n_phases, 3)
        Mean chord lengths along z, y, x; infinite for a phase that fills everything, NaN for an
        absent one.
    lags : ndarray, shape (m,)
        Distances within a section normal to z, in voxels.
    curves : ndarray, shape (n_phases, n_phases, m)
        Two-point coverage functions at the lags.
    """

    fractions: NDArray[np.float64]
    surfaces: NDArray[np.float64]
    chords: NDArray[np.float64]
    lags: NDArray[np.float64]
    curves: NDArray[np.float64]


class Exploration:
    """A model with its parameters laid open.

    Values are handed in as a mapping from the names of `parameters` to numbers; those that are
    left out stay at their start.

    Parameters
    ----------
    model : ExcursionModel
        Where to start from; it is not changed.
    name : str
        What it is called.
    """

    def __init__(self, model: ExcursionModel, name: str = "model") -> None:
        self.base, self.name = model, name
        self.phases = model.origin.phases
        self.voxel = float(model.origin.voxel_size[-1])
        self.parameters = tuple(_parameters(model))
        self.start = {p.name: p.start for p in self.parameters}

    # ------------------------------------------------------------------ the moved model

    def fit(self, values: Values) -> Fit:
        """Return the calibrated model with these values instead of its own."""
        values = {**self.start, **values}
        scalars, fit = self.base.fit.scalars, self.base.fit
        count = len(scalars.levels)
        levels = _doubles(*(values[f"threshold_{i + 1}"] for i in range(count)))
        formula = self.base.formula
        share = _doubles(values["share"])[0] if formula.has_share else scalars.share
        scales = scalars.scales
        if formula.has_scales:
            scales = _doubles(values["weight_1"], values["weight_2"])
        scalars = Scalars(levels, share, scales)
        weights = rescaled_fields(fit.weights, self.factors(values))
        if weights is fit.weights:
            return replace(fit, scalars=scalars)
        return Fit(fit.candidate, weights, scalars, fit.rmse, fit.start_rmse)

    def factors(self, values: Values) -> list[float]:
        """Return the factor by which every field is longer than in the model as it came."""
        values = {**self.start, **values}
        n = self.base.formula.n_fields
        own = [values.get(f"length_{i + 1}", 1.0) for i in range(n)]
        return [float(values["length"]) * float(factor) for factor in own]

    def stretch(self, values: Values) -> float:
        """Return the factor by which volumes are longer along z."""
        return float(values.get("stretch", self.start["stretch"]))

    def seed(self, values: Values) -> int:
        """Return which of the model's volumes is meant."""
        return int(values.get("seed", self.start["seed"]))

    def model(self, values: Values) -> ExcursionModel:
        """Return the model with these values; its origin says what was changed, and in which."""
        changed = {k: v for k, v in values.items() if k != "seed" and v != self.start.get(k)}
        if not changed:
            return self.base
        before = self.base.origin
        changes: dict[str, Any] = {
            "model": self.name, "set": changed, "was": {k: self.start[k] for k in changed},
        }  # fmt: skip
        if before.changes:
            changes["earlier"] = dict(before.changes)
        # What was measured of the model as it came does not hold for this one.
        origin = replace(before, fidelity={}, changes=changes)
        return ExcursionModel(origin, self.fit(values), (), self.stretch(values))

    def warnings(self, values: Values) -> list[str]:
        """Return what to know of these values, a sentence each."""
        lost = max(map(lost_variance, self.base.fit.weights, self.factors(values)))
        if lost <= LOST:
            return []
        return [
            f"{100 * lost:.0f} % of the structure is finer than a voxel at this length and is "
            "left out: surfaces come out smoother than they would be."
        ]

    # ------------------------------------------------------------------ what follows from it

    def predict(
        self, values: Values, target: CoverageTarget | None = None, fine: bool = False
    ) -> Prediction:
        r"""Return amounts, surfaces, chords and two-point functions without any volume.

        Surfaces and chords follow from the coverage functions at the distances of neighbouring
        voxels, as those measured in a volume do: with :math:`v_i - S_{ii}(d) = \sum_j S_{ij}(d)`,

        .. math:: S_V = 2 \sum_k c_k \frac{2 (v_i - S_{ii}(d_k))}{d_k}
           \qquad \bar\ell_a = \frac{v_i d_a}{v_i - S_{ii}(d_a)}

        Parameters
        ----------
        values : mapping of str to float
        target : CoverageTarget, optional
            An image's two-point functions; the model's are then given at the same lags, and
            averaged over neighbouring distances in the same way.
        fine : bool
            Whether curves that are means over quasi-random points are taken over as many as
            single numbers are, which takes half a second.
        """
        fit = self.fit(values)
        formula, scalars = fit.candidate.build(), fit.scalars
        directions = crofton_directions((1.0, 1.0, 1.0))
        offsets = np.array([d.offset for d in directions])
        stretched = offsets / (self.stretch(values), 1, 1)
        distances, which = np.unique(
            np.linalg.norm(stretched, axis=1).round(12), return_inverse=True
        )
        near = _coverage(formula, fit, distances, FINE)
        leaving = self._in_image_order(_leaving(near, formula.n_phases), fit)[:, which]
        fractions = self._in_image_order(formula.fractions(scalars, FINE).numpy(), fit)
        per_length = np.array([d.weight / d.length for d in directions])
        along = [int(np.flatnonzero((offsets == unit).all(axis=1))[0]) for unit in np.eye(3)]
        with np.errstate(divide="ignore", invalid="ignore"):  # phases that fill all or nothing
            chords = fractions[:, None] / leaving[:, along]
        lags, rows = self._curves(formula, fit, target, FINE if fine else 0)
        return Prediction(
            fractions, 4 * leaving @ per_length / self.voxel, chords * self.voxel,
            lags, self._as_matrix(rows, fit),
        )  # fmt: skip

    def _curves(
        self, formula: Excursion, fit: Fit, target: CoverageTarget | None, variant: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        at_zero = coverage_at_zero(formula.fractions(fit.scalars, variant))
        if target is None:
            lags = np.linspace(0, self.base.fit.weights.shape[1] / 1.6, CURVE_LAGS)
            rows = torch.cat([at_zero[:, None], _coverage(formula, fit, lags[1:], variant)], dim=1)
            return lags, rows.numpy()
        rows = target.smooth(at_zero, _coverage(formula, fit, target.nodes, variant))
        return target.lags, rows.numpy()

    @staticmethod
    def _in_image_order(values: NDArray[np.float64], fit: Fit) -> NDArray[np.float64]:
        result = np.empty_like(values)
        result[list(fit.candidate.roles)] = values
        return result

    @staticmethod
    def _as_matrix(rows: NDArray[np.float64], fit: Fit) -> NDArray[np.float64]:
        roles = fit.candidate.roles
        curves = np.empty((len(roles), len(roles), rows.shape[1]))
        for row, (i, j) in zip(rows, pair_rows(len(roles)), strict=True):
            curves[roles[i], roles[j]] = curves[roles[j], roles[i]] = row
        return curves

    # ------------------------------------------------------------------ amounts

    def fractions(self, values: Values) -> NDArray[np.float64]:
        """Return the volume fractions, phases as in the image."""
        fit = self.fit(values)
        found = fit.candidate.build().fractions(fit.scalars, FINE)
        return self._in_image_order(found.numpy(), fit)

    def fraction_parameters(self) -> list[Parameter]:
        """Return the volume fractions as parameters, which stand for the threshold behind them."""
        start = self.fractions({})
        return [
            Parameter(
                f"fraction_{k + 1}", f"Fraction of {phase.name}",
                "Volume fraction, by way of the threshold that sets it.", float(start[k]), 0.0, 1.0,
            )
            for k, phase in enumerate(self.phases)
        ]  # fmt: skip

    def moved(self, values: Values, changes: Values) -> dict[str, float]:
        """Return the values with some changed, volume fractions (`fraction_parameters`) too.

        Raises
        ------
        InputError
            If no thresholds give these fractions.
        """
        wanted = {int(k.removeprefix("fraction_")) - 1: v for k, v in changes.items()
                  if k.startswith("fraction_")}  # fmt: skip
        others = {k: v for k, v in changes.items() if not k.startswith("fraction_")}
        result = {**self.start, **values, **others}
        if len(wanted) == 2:
            return self._all_solved(result, wanted)
        for phase, fraction in wanted.items():
            result = self.solved(result, phase, fraction)
        return result

    def _all_solved(self, values: Values, wanted: Mapping[int, float]) -> dict[str, float]:
        """Return the values at which two of three phases fill these fractions."""
        fit = self.fit(values)
        for phase, fraction in wanted.items():
            self._check_fraction(phase, fraction)
        if sum(wanted.values()) >= 1:
            names = " and ".join(f"'{self.phases[phase].name}'" for phase in wanted)
            raise InputError(
                f"{names} cannot fill {sum(wanted.values()):.3f} of the volume together; ask for "
                "less than 1."
            )
        goal = np.full(3, 1 - sum(wanted.values()))
        goal[list(wanted)] = list(wanted.values())
        levels = (
            fit.candidate.build()
            .matched(fit.scalars, torch.as_tensor(goal[list(fit.candidate.roles)]), FINE)
            .levels
        )
        thresholds = {f"threshold_{i + 1}": float(level) for i, level in enumerate(levels)}
        return {**values, **thresholds}

    def solved(self, values: Values, phase: int, fraction: float) -> dict[str, float]:
        """Return the values with the one threshold moved that makes a phase fill `fraction`.

        The phase that is cut out first has a threshold of its own. The two others share one,
        which divides what the first leaves to them.

        Parameters
        ----------
        phase : int
            Index of the image's phase.
        fraction : float
            Wanted volume fraction, greater than 0.

        Raises
        ------
        InputError
            If no threshold gives the fraction.
        """
        from scipy.optimize import brentq

        fit = self.fit(values)
        roles = fit.candidate.roles
        first = float(self.fractions(values)[roles[0]])
        position = roles.index(phase)
        second = len(roles) == 3 and position > 0
        self._check_fraction(phase, fraction)
        if second and fraction >= 1 - first:
            raise InputError(
                f"'{self.phases[phase].name}' can fill less than {1 - first:.3f} of the volume as "
                f"long as '{self.phases[roles[0]].name}' fills {first:.3f}; lower that first, or "
                "ask for less."
            )
        formula, index = fit.candidate.build(), int(second)
        goal = fraction if position == index else 1 - (first if second else 0.0) - fraction
        levels = fit.scalars.levels.clone()

        def excess(level: float) -> float:
            levels[index] = level
            return float(formula.fractions(replace(fit.scalars, levels=levels), FINE)[index] - goal)

        level = brentq(excess, -40.0, 200.0, xtol=1e-9)
        return {**self.start, **values, f"threshold_{index + 1}": float(level)}

    def _check_fraction(self, phase: int, fraction: float) -> None:
        if not 0 < fraction < 1:
            raise InputError(
                f"A volume fraction is a number between 0 and 1, not {fraction:g}; enter one for "
                f"'{self.phases[phase].name}'."
            )

    # ------------------------------------------------------------------ taking it along

    def to_dict(self, values: Values) -> dict[str, Any]:
        """Return the parameters and what follows from them as plain JSON types.

        A chord of a phase that fills everything is "inf", that of an absent phase None.
        """
        values = {**self.start, **values}
        fit, predicted = self.fit(values), self.predict(values)
        distances = np.arange(0.0, self.base.fit.weights.shape[1] / 1.6)
        basis = shell_basis(torch.as_tensor(distances), fit.weights.shape[1])
        unit = self.base.origin.unit
        return {
            "model": fit.candidate.model,
            "changed from": self.name,
            "voxel size": self.voxel,
            "unit": unit,
            "parameters": {
                p.name: {"title": p.title, "value": values[p.name], "was": p.start}
                for p in self.parameters
            },
            "phases": [
                {
                    **phase.as_dict(), "role": fit.candidate.roles.index(k) + 1,
                    "volume fraction": float(predicted.fractions[k]),
                    f"specific surface area (1/{unit})": float(predicted.surfaces[k]),
                    f"mean chords along z, y, x ({unit})": plain(predicted.chords[k]),
                }
                for k, phase in enumerate(self.phases)
            ],
            "correlation functions": {
                f"distance ({unit})": (distances * self.voxel).tolist(),
                "fields": (fit.weights @ basis.T).tolist(),
            },
        }  # fmt: skip


def _doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _coverage(
    formula: Excursion, fit: Fit, distances: NDArray[np.float64], variant: int = 0
) -> Tensor:
    basis = shell_basis(torch.as_tensor(distances), fit.weights.shape[1])
    return formula.coverage(fit.scalars, fit.weights @ basis.T, variant)


def _leaving(rows: Tensor, n_phases: int) -> NDArray[np.float64]:
    """Return v_i - S_ii, the sum of S_ij over the other phases, shape ``(n_phases, m)``."""
    leaving = np.zeros((n_phases, rows.shape[1]))
    for row, (i, j) in zip(rows.numpy(), pair_rows(n_phases), strict=True):
        if i != j:
            leaving[i] += row
            leaving[j] += row
    return leaving


def curve_error(target: CoverageTarget, prediction: Prediction) -> float:
    """Return the root mean squared difference of all two-point functions of model and image.

    It is what a calibration reports: the mean over pairs of phases, lags weighted by their
    spacing.
    """
    spacing = np.gradient(target.lags)
    square = (prediction.curves - target.curves) ** 2 @ (spacing / spacing.sum())
    return float(np.sqrt(np.mean([square[i, j] for i, j in pair_rows(len(square))])))


# ---------------------------------------------------------------------- which parameters there are


def _parameters(model: ExcursionModel) -> list[Parameter]:
    scalars, formula = model.fit.scalars, model.formula
    first, *others = [model.origin.phases[k].name for k in model.fit.candidate.roles]
    rest = " and ".join(others)
    made = [
        _threshold(model, 0, f"Threshold of {first}", f"Higher: less {first}, more {rest}."),
    ]
    if len(others) == 2:
        made.append(_threshold(
            model, 1, f"Threshold of {others[0]}",
            f"Higher: less {others[0]} and more {others[1]}, between the {first}.",
        ))  # fmt: skip
    low, high = LENGTH_RANGE
    made.append(Parameter(
        "length", "Length", "Factor by which the whole structure is coarser: 2 doubles every "
        "chord and halves every surface.", 1.0, low, high, logarithmic=True,
    ))  # fmt: skip
    if formula.has_share:
        share, (low, high) = float(scalars.share), SHARE_RANGE
        made.append(Parameter(
            "share", "Correlation", "Share of the common field: 0 lets the phases ignore each "
            "other, 1 would tie them together.", share, low, max(high, share),
        ))  # fmt: skip
    low, high = STRETCH_RANGE
    made.append(Parameter(
        "stretch", "Stretch along z", "Factor by which everything is longer along z.",
        model.stretch, low, high, logarithmic=True,
    ))  # fmt: skip
    made.append(Parameter(
        "seed", "Seed", "Which of the model's volumes.", 0, 0, LAST_SEED, whole=True
    ))  # fmt: skip
    low, high = LENGTH_RANGE
    for i, part in enumerate(_field_parts(model) if formula.n_fields > 1 else ()):
        made.append(Parameter(
            f"length_{i + 1}", f"Length, {part}", f"Factor by which the field of {part} is "
            "coarser, the others staying as they are.", 1.0, low, high, logarithmic=True,
        ))  # fmt: skip
    if formula.has_scales:
        low, high = WEIGHT_RANGE
        for i, name in enumerate((first, " | ".join(others))):
            made.append(Parameter(
                f"weight_{i + 1}", f"Weight, {name}", "Weight of the Gaussian field beside the "
                "squared ones: higher is more maze-like, lower more like grains and holes.",
                float(scalars.scales[i]), low, high, logarithmic=True,
            ))  # fmt: skip
    return made


def _threshold(model: ExcursionModel, index: int, title: str, help: str) -> Parameter:
    """Return a threshold with a range that leaves next to nothing of either side."""
    start = float(model.fit.scalars.levels[index])
    squares = model.fit.candidate.freedom * (model.fit.candidate.model in SQUARED)
    weight = float(model.fit.scalars.scales[index]) if model.formula.has_scales else 1.0
    low, high = -3.0 * weight, 3.0 * weight
    if squares:
        low = -3.0 * weight if model.formula.has_scales else 0.01
        high = squares + 4 * (weight**2 + 2 * squares) ** 0.5
    return Parameter(
        f"threshold_{index + 1}", title, help, start, min(low, start), max(high, start)
    )


SQUARED = ("chi2", "gaussian+chi2")
"""Models with squared fields."""


def _field_parts(model: ExcursionModel) -> list[str]:
    """Return which part of the structure every field shapes."""
    first, *others = [model.origin.phases[k].name for k in model.fit.candidate.roles]
    parts = [first, " | ".join(others)]
    known = {
        "independent": parts,
        "correlated": [*parts, "common"],
        "gaussian+chi2": [*parts, *(f"{p}, squared" for p in (*parts, "common"))],
    }
    numbered = [f"field {i + 1}" for i in range(model.formula.n_fields)]
    return known.get(model.fit.candidate.model, numbered)


# ---------------------------------------------------------------------- a model of one's own


def fresh_model(n_phases: int) -> ExcursionModel:
    """Return a model of two or three phases in equal amounts that was learned from nothing.

    Two phases are cut out of one Gaussian field, three out of two that share a third.
    """
    name = "gaussian" if n_phases == 2 else "correlated"
    candidate = Candidate(name, tuple(range(n_phases)))
    formula = MODELS[name]()
    weights = bump_weights(FRESH_LENGTH, FRESH_SHELLS).repeat(formula.n_fields, 1)
    share = 0.3 if formula.has_share else 0.0
    scalars = Scalars(_doubles(*[0.0] * (n_phases - 1)), _doubles(share)[0], _doubles(1.0, 1.0))
    equal = _doubles(*[1 / n_phases] * n_phases)
    phases = tuple(Phase(k, f"phase {k + 1}", PALETTE[k]) for k in range(n_phases))
    origin = Origin("excursion", ExcursionConfig().to_dict(), "labels", phases, (1.0,) * 3, "pixel")
    return ExcursionModel(origin, Fit(candidate, weights, formula.matched(scalars, equal), 0, 0))
