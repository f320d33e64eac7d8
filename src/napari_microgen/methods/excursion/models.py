r"""Excursion sets of two and three phases: their coverage functions, levels and fields.

A model is made of Gaussian fields :math:`X_1, X_2, \dots` with correlation functions of their
own, and cuts phases out of two functions of them: phase 1 is where :math:`F_1 \ge 0`, phase 2
where :math:`F_1 < 0` and :math:`F_2 \ge 0`, phase 3 the rest.

=================  =============================================================  ============
model              functions                                                      source
=================  =============================================================  ============
``gaussian``       :math:`F_1 = X_1 - l_1` (two phases)                           eq. 17
``chi2``           :math:`F_1 = \sum_{j \le k} X_{1,j}^2 - l_1` (two phases)      eqs 15, 17
``independent``    :math:`F_i = X_i - l_i`                                        eqs 18, 19
``correlated``     :math:`F_i = \sqrt{1-a}\,X_i \pm \sqrt{a}\,X_3 - l_i`          eqs 12-14
``gaussian+chi2``  :math:`F_i = s_i X_i + \sum_j A_{ij}^2 - l_i`,                 eq. 20
                   :math:`A_{ij} = \sqrt{1-a}\,X_{2+i,j} + \sqrt{a}\,X_{5,j}`
=================  =============================================================  ============

The equations are those of paper 002.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from napari_microgen.methods.excursion.coverage import (
    NODES,
    chi2_coverage,
    chi2_tail,
    conditional_coverage,
    gaussian_coverage,
    hermite,
    normal_points,
    upper_tail,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERMITE_NODES = 20
FRACTION_NODES = 48
POINTS = 1024
FINE_POINTS = 16384
SCRAMBLES = 32
FEWER_NODES = 8
"""Gauss-Legendre nodes where quasi-random points are a thousand times less exact."""


@dataclass(frozen=True)
class Scalars:
    """The numbers of a model beside its correlation functions.

    Attributes
    ----------
    levels : Tensor, shape (n_phases - 1,)
    share : Tensor, shape ()
        Share a of the common field, 0 to 1; 0 where there is none.
    scales : Tensor, shape (2,)
        Weights of the Gaussian fields beside the squares; 1 where there are none.
    """

    levels: Tensor
    share: Tensor
    scales: Tensor


class Excursion(ABC):
    """A model's formulas; the parameters are handed in.

    Parameters
    ----------
    freedom : int
        Squared fields that are summed, 1 to 4; without meaning where nothing is squared.
    sign : int
        Sign of the common field in the second function.
    """

    name: ClassVar[str]
    n_phases: ClassVar[int] = 3
    n_fields: ClassVar[int]
    """Correlation functions."""
    has_share: ClassVar[bool] = False
    has_scales: ClassVar[bool] = False
    signs: ClassVar[tuple[int, ...]] = (1,)
    random_points: ClassVar[bool] = False
    """Whether the coverage is a mean over quasi-random points, which a fit must vary."""

    def __init__(self, freedom: int = 2, sign: int = 1) -> None:
        self.freedom, self.sign = freedom, sign

    @property
    def noises(self) -> tuple[int, ...]:
        """Index of the correlation function of every independent field that is drawn."""
        return tuple(range(self.n_fields))

    @classmethod
    def roles(cls) -> list[tuple[int, ...]]:
        """Return which image phase can be phase 1, 2, 3, where that makes a difference."""
        return list(itertools.permutations(range(cls.n_phases)))

    @abstractmethod
    def coverage(self, scalars: Scalars, correlations: Tensor, variant: int = 0) -> Tensor:
        """Return the coverage functions in rows 11, 12, ..., shape (rows, m).

        Parameters
        ----------
        scalars : Scalars
        correlations : Tensor, shape (n_fields, m)
            Correlation functions at m distances greater than 0.
        variant : int
            Which set of quasi-random points, where they are used; -1 is the fine one.
        """

    @abstractmethod
    def fractions(self, scalars: Scalars, variant: int = 0) -> Tensor:
        """Return the volume fractions of phases 1, 2, 3, shape (n_phases,)."""

    @abstractmethod
    def functions(self, scalars: Scalars, fields: Sequence[Tensor]) -> Tensor:
        """Return F_1, F_2 of drawn fields, one per entry of `noises`; shape (n - 1, ...).

        They can be differentiated with respect to the scalars and the fields.
        """

    @abstractmethod
    def slopes(self, scalars: Scalars, curvatures: Tensor) -> Tensor:
        """Return the root mean squared slope of F_1, F_2 along a line, per voxel edge."""

    def matched(self, scalars: Scalars, goal: Tensor, variant: int = 0) -> Scalars:
        """Return the scalars with the levels at which the volume fractions are `goal`."""
        levels = scalars.levels.clone()
        for index in range(self.n_phases - 1):
            levels[index] = _bisect(
                lambda level, i=index: self.fractions(  # type: ignore[misc]
                    Scalars(_with(levels, i, level), scalars.share, scalars.scales), variant
                )[i],
                float(goal[index]),
            )
        return Scalars(levels, scalars.share, scalars.scales)


def coverage_at_zero(fractions: Tensor) -> Tensor:
    """Return the rows 11, 12, ... at distance 0: the volume fractions, and 0 between phases."""
    n = len(fractions)
    rows = [
        fractions[i] if i == j else fractions.new_zeros(()) for i in range(n) for j in range(i, n)
    ]
    return torch.stack(rows)


class Gaussian(Excursion):
    """Two phases, one Gaussian field."""

    name = "gaussian"
    n_phases = 2
    n_fields = 1

    @classmethod
    def roles(cls) -> list[tuple[int, ...]]:
        """Return one order: the model is the same with its phases exchanged."""
        return [(0, 1)]

    def coverage(self, scalars: Scalars, correlations: Tensor, variant: int = 0) -> Tensor:
        """See `Excursion.coverage`."""
        level = scalars.levels[0]
        return _two_phases(gaussian_coverage(level, level, correlations[0]), upper_tail(level))

    def fractions(self, scalars: Scalars, variant: int = 0) -> Tensor:
        """See `Excursion.fractions`."""
        p = upper_tail(scalars.levels[0])
        return torch.stack([p, 1 - p])

    def functions(self, scalars: Scalars, fields: Sequence[Tensor]) -> Tensor:
        """See `Excursion.functions`."""
        return (fields[0] - scalars.levels[0])[None]

    def slopes(self, scalars: Scalars, curvatures: Tensor) -> Tensor:
        """See `Excursion.slopes`."""
        return curvatures.sqrt()


class ChiSquare(Gaussian):
    """Two phases, one chi-square field: round holes or grains rather than a maze."""

    name = "chi2"

    @property
    def noises(self) -> tuple[int, ...]:
        """See `Excursion.noises`."""
        return (0,) * self.freedom

    @classmethod
    def roles(cls) -> list[tuple[int, ...]]:
        """Return both orders."""
        return [(0, 1), (1, 0)]

    def coverage(self, scalars: Scalars, correlations: Tensor, variant: int = 0) -> Tensor:
        """See `Excursion.coverage`."""
        level = scalars.levels[0].clamp_min(1e-6)
        both = chi2_coverage(level, level, correlations[0], self.freedom)
        return _two_phases(both, chi2_tail(level, self.freedom))

    def fractions(self, scalars: Scalars, variant: int = 0) -> Tensor:
        """See `Excursion.fractions`."""
        p = chi2_tail(scalars.levels[0].clamp_min(1e-6), self.freedom)
        return torch.stack([p, 1 - p])

    def functions(self, scalars: Scalars, fields: Sequence[Tensor]) -> Tensor:
        """See `Excursion.functions`."""
        return (_sum_of_squares(fields) - scalars.levels[0])[None]

    def slopes(self, scalars: Scalars, curvatures: Tensor) -> Tensor:
        """See `Excursion.slopes`."""
        return (4 * self.freedom * curvatures).sqrt()


class Independent(Excursion):
    """Three phases, two independent Gaussian fields (pluri-Gaussian)."""

    name = "independent"
    n_fields = 2

    @classmethod
    def roles(cls) -> list[tuple[int, ...]]:
        """Return three orders: exchanging phases 2 and 3 only turns the second field over."""
        return [(0, 1, 2), (1, 0, 2), (2, 0, 1)]

    def coverage(self, scalars: Scalars, correlations: Tensor, variant: int = 0) -> Tensor:
        """See `Excursion.coverage`."""
        first, second = scalars.levels
        return conditional_coverage(
            (first, first, correlations[0]), (second, second, correlations[1])
        )

    def fractions(self, scalars: Scalars, variant: int = 0) -> Tensor:
        """See `Excursion.fractions`."""
        p, q = upper_tail(scalars.levels)
        return torch.stack([p, (1 - p) * q, (1 - p) * (1 - q)])

    def functions(self, scalars: Scalars, fields: Sequence[Tensor]) -> Tensor:
        """See `Excursion.functions`."""
        levels = scalars.levels
        return torch.stack([fields[0] - levels[0], fields[1] - levels[1]])

    def slopes(self, scalars: Scalars, curvatures: Tensor) -> Tensor:
        """See `Excursion.slopes`."""
        return curvatures.sqrt()


class Correlated(Excursion):
    """Three phases, two Gaussian fields that share a third."""

    name = "correlated"
    n_fields = 3
    has_share = True
    signs = (1, -1)

    @classmethod
    def roles(cls) -> list[tuple[int, ...]]:
        """Return three orders: exchanging phases 2 and 3 is the same as the other sign."""
        return [(0, 1, 2), (1, 0, 2), (2, 0, 1)]

    def coverage(self, scalars: Scalars, correlations: Tensor, variant: int = 0) -> Tensor:
        """See `Excursion.coverage`; the mean over the common field is Gauss-Hermite's."""
        x, w = hermite(HERMITE_NODES if variant >= 0 else 2 * HERMITE_NODES)
        near = x[:, None, None]
        rho = correlations[2]
        far = rho * near + (1 - rho**2).clamp_min(1e-8).sqrt() * x[:, None]
        rows = conditional_coverage(
            (self._level(scalars, 0, near), self._level(scalars, 0, far), correlations[0]),
            (self._level(scalars, 1, near), self._level(scalars, 1, far), correlations[1]),
        )
        return torch.einsum("rabm,a,b->rm", rows, w, w)

    def _level(self, scalars: Scalars, index: int, common: Tensor) -> Tensor:
        sign = self.sign if index else 1
        shift = sign * scalars.share.sqrt() * common
        return (scalars.levels[index] - shift) / (1 - scalars.share).sqrt()

    def fractions(self, scalars: Scalars, variant: int = 0) -> Tensor:
        """See `Excursion.fractions`; the two functions are correlated by their share."""
        u, v = scalars.levels
        p, q = upper_tail(u), upper_tail(v)
        both = gaussian_coverage(u, v, self.sign * scalars.share, FRACTION_NODES)
        return torch.stack([p, q - both, 1 - p - q + both])

    def functions(self, scalars: Scalars, fields: Sequence[Tensor]) -> Tensor:
        """See `Excursion.functions`."""
        own, common = (1 - scalars.share).sqrt(), scalars.share.sqrt()
        levels = scalars.levels
        return torch.stack([
            own * fields[0] + common * fields[2] - levels[0],
            own * fields[1] + self.sign * common * fields[2] - levels[1],
        ])  # fmt: skip

    def slopes(self, scalars: Scalars, curvatures: Tensor) -> Tensor:
        """See `Excursion.slopes`."""
        return ((1 - scalars.share) * curvatures[:2] + scalars.share * curvatures[2]).sqrt()


class GaussianChiSquare(Excursion):
    """Three phases, sums of a Gaussian and a chi-square field whose squares share a field."""

    name = "gaussian+chi2"
    n_fields = 5
    has_share = True
    has_scales = True
    random_points = True

    @property
    def noises(self) -> tuple[int, ...]:
        """See `Excursion.noises`: two Gaussian fields, then three for every square."""
        return (0, 1, *(2, 3, 4) * self.freedom)

    def coverage(self, scalars: Scalars, correlations: Tensor, variant: int = 0) -> Tensor:
        """See `Excursion.coverage`; the mean over the squared fields is quasi-Monte Carlo."""
        near, apart = self._points(variant)
        rho = correlations[2:, :, None]
        far = rho * near[:, :, None] + (1 - rho**2).clamp_min(1e-8).sqrt() * apart[:, :, None]
        here, there = self._levels(scalars, near[:, :, None]), self._levels(scalars, far)
        rows = conditional_coverage(
            (here[0], there[0], correlations[0][:, None]),
            (here[1], there[1], correlations[1][:, None]),
            NODES if variant < 0 else FEWER_NODES,
        )
        return rows.mean(dim=-1)

    def _levels(self, scalars: Scalars, fields: Tensor) -> Tensor:
        """Return what the Gaussian fields must exceed given the squared fields ``(n, 3, m, k)``.

        The shape is ``(2, m, n)``.
        """
        own, common = (1 - scalars.share).sqrt(), scalars.share.sqrt()
        squares = (own * fields[:, :2] + common * fields[:, 2:]).square().sum(dim=-1)
        levels = scalars.levels[:, None, None] - squares.movedim(0, -1)
        return levels / scalars.scales[:, None, None]

    def _points(self, variant: int) -> tuple[Tensor, Tensor]:
        return _common_points(self.freedom, variant)

    def fractions(self, scalars: Scalars, variant: int = 0) -> Tensor:
        """See `Excursion.fractions`."""
        near, _ = self._points(variant)
        p, q = upper_tail(self._levels(scalars, near[:, :, None])[:, 0])
        return torch.stack([p.mean(), ((1 - p) * q).mean(), ((1 - p) * (1 - q)).mean()])

    def functions(self, scalars: Scalars, fields: Sequence[Tensor]) -> Tensor:
        """See `Excursion.functions`."""
        own, common = (1 - scalars.share).sqrt(), scalars.share.sqrt()
        result = []
        for i in range(2):
            squared = [own * f + common * g for f, g in zip(fields[2 + i :: 3], fields[4::3],
                                                            strict=False)]  # fmt: skip
            total = scalars.scales[i] * fields[i] + _sum_of_squares(squared)
            result.append(total - scalars.levels[i])
        return torch.stack(result)

    def slopes(self, scalars: Scalars, curvatures: Tensor) -> Tensor:
        """See `Excursion.slopes`."""
        mixed = (1 - scalars.share) * curvatures[2:4] + scalars.share * curvatures[4]
        return (scalars.scales**2 * curvatures[:2] + 4 * self.freedom * mixed).sqrt()


MODELS: dict[str, type[Excursion]] = {
    m.name: m for m in (Gaussian, ChiSquare, Independent, Correlated, GaussianChiSquare)
}


@cache
def _common_points(freedom: int, variant: int) -> tuple[Tensor, Tensor]:
    """Return the squared fields at one point, and what is independent of them at the other.

    Shapes ``(n, 3, freedom)``, fields in the order 1, 2, common.
    """
    count = FINE_POINTS if variant < 0 else POINTS
    seed = 1000 if variant < 0 else variant % SCRAMBLES
    points = normal_points(count, 6 * freedom, seed).reshape(count, 2, 3, freedom)
    return points[:, 0], points[:, 1]


def _two_phases(both: Tensor, tail: Tensor) -> Tensor:
    return torch.stack([both, tail - both, 1 - 2 * tail + both])


def _sum_of_squares(fields: Sequence[Tensor]) -> Tensor:
    total = fields[0].square()
    for field in fields[1:]:
        total = total + field.square()
    return total


def _with(levels: Tensor, index: int, value: float) -> Tensor:
    changed = levels.clone()
    changed[index] = value
    return changed


def _bisect(share: Callable[[float], Tensor], goal: float) -> float:
    """Return the level at which a share that falls with the level is `goal`."""
    low, high = -40.0, 200.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(share(middle)) > goal else (low, middle)
    return (low + high) / 2
