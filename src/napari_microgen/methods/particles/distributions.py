"""Families of distributions for the coefficients of shells, fitted by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from scipy.optimize import minimize

from napari_microgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST_FREEDOM = 200.0
"""Student's t with more degrees of freedom is the normal distribution for all that we can see."""


@dataclass(frozen=True)
class Fitted:
    """A family with its parameters, fitted to values.

    Attributes
    ----------
    family : str
        One of `FAMILIES`.
    parameters : tuple of float
        Normal: mean, standard deviation. Log-normal: mu, sigma of the logarithm. Student's t:
        degrees of freedom nu, centre, scale.
    aic : float
        Akaike's information criterion, ``2 k - 2 log L`` with k free parameters; the family with
        the least describes the values best.
    """

    family: str
    parameters: tuple[float, ...]
    aic: float

    @cached_property
    def law(self) -> Any:
        """The distribution as scipy's frozen one."""
        return FAMILIES[self.family].law(*self.parameters)

    def sample(self, size: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Draw values."""
        values: NDArray[np.float64] = self.law.rvs(size=size, random_state=random)
        return values


@dataclass(frozen=True)
class Family:
    """A family of distributions.

    Attributes
    ----------
    law : callable
        Gives scipy's frozen distribution for parameters.
    fit : callable
        ``fit(values, centred)`` gives the parameters of the greatest likelihood; if centred, the
        values scatter about 0 by definition.
    """

    law: Callable[..., Any]
    fit: Callable[[NDArray[np.float64], bool], tuple[float, ...]]


def fit_families(values: NDArray[np.float64], *, centred: bool) -> list[Fitted]:
    """Fit every family that can hold the values; the best is first.

    Parameters
    ----------
    values : ndarray, shape (n,)
    centred : bool
        Whether the values scatter about 0 by definition, as all coefficients but a_00 do: the
        centre is then no free parameter. The log-normal family is for values above 0 alone.

    Raises
    ------
    InputError
        If the values do not differ.

    References
    ----------
    Paper 004, section 2.3: normal, log-normal and Student's t, chosen by their likelihood.
    """
    if len(values) < 2 or float(np.ptp(values)) == 0:
        raise InputError("The particles do not differ from one another; label more of them.")
    fitted = []
    for name, family in FAMILIES.items():
        if name == "log-normal" and (centred or values.min() <= 0):
            continue
        parameters = family.fit(values, centred)
        free = len(parameters) - centred
        likelihood = float(np.sum(family.law(*parameters).logpdf(values)))
        fitted.append(Fitted(name, parameters, 2 * free - 2 * likelihood))
    return sorted(fitted, key=lambda f: f.aic)


def _fit_normal(values: NDArray[np.float64], centred: bool) -> tuple[float, ...]:
    mean = 0.0 if centred else float(values.mean())
    return mean, float(np.sqrt(np.mean((values - mean) ** 2)))


def _fit_log_normal(values: NDArray[np.float64], _centred: bool) -> tuple[float, ...]:
    logarithms = np.log(values)
    return float(logarithms.mean()), float(logarithms.std())


def _fit_student(values: NDArray[np.float64], centred: bool) -> tuple[float, ...]:
    spread = float(np.median(np.abs(values - np.median(values)))) * 1.4826 or float(values.std())
    middle = 0.0 if centred else float(np.median(values))

    def parameters(free: NDArray[np.float64]) -> tuple[float, float, float]:
        # nu stays between 1 (Cauchy) and what is as good as normal.
        nu = float(np.exp(np.clip(free[0], 0, np.log(MOST_FREEDOM))))
        return nu, 0.0 if centred else middle + spread * float(free[2]), spread * np.exp(free[1])

    def loss(free: NDArray[np.float64]) -> float:
        nu, centre, scale = parameters(free)
        return -float(np.sum(stats.t.logpdf(values, nu, centre, scale)))

    start = np.array([np.log(4.0), 0.0, 0.0])[: 2 if centred else 3]
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-7})
    return parameters(best.x)


FAMILIES = {
    "normal": Family(stats.norm, _fit_normal),
    "log-normal": Family(lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu)), _fit_log_normal),
    "t": Family(stats.t, _fit_student),
}
"""The families by name."""
