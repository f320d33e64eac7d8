"""Algorithm 1 of paper 002: calibrating by simulated sections that can be differentiated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from napari_microgen.errors import RunError
from napari_microgen.methods.excursion.assessment import draw_section
from napari_microgen.methods.excursion.calibration import Fit, detached
from napari_microgen.methods.excursion.covariances import section_density
from napari_microgen.methods.excursion.coverage import pair_rows
from napari_microgen.methods.excursion.estimator import BANDWIDTH, lag_averages
from napari_microgen.methods.excursion.fields import FINE, filtered, unit_filter, wave_numbers
from napari_microgen.metrics.fractions import volume_fractions
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.training.randomness import torch_random

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from napari_microgen.methods.excursion.calibration import Parameters, Problem
    from napari_microgen.methods.excursion.estimator import CoverageTarget

WINDOW = 512
"""Side of a simulated section in pixels. Its coverage functions scatter about those of the model,
and the squared difference is small where that scatter is, too: at 256 the fit ends beside the
model that a larger window or the closed form finds."""

SLOWER = 0.2
"""Share of an exact fit's learning rates, as every section is another."""

STEEPNESS = 50.0
"""b of the relaxed Heaviside function; the paper's value is not legible. Calibrated to a fuel-cell
anode, coverage between phases at one voxel is 35-55 % too high at 10, and 2-3 % at 50."""

FIRST_STOP = 100
"""Epochs before which the paper never stops."""

JUDGED_EVERY = 25
JUDGED_SIDE = 512
JUDGED_SEEDS = (11, 12)
"""Epochs between two judgements, and the sections they are made on: the same every time, so that
what differs is the parameters."""


class SimulatedSections:
    """Periodic planar sections of a model, differentiable in its parameters.

    Parameters
    ----------
    problem : Problem
    side : int
        Rows and columns.
    device : torch.device
        Where fields are drawn; parameters stay on the CPU.
    """

    def __init__(self, problem: Problem, side: int, device: torch.device) -> None:
        self.problem, self.side, self.device = problem, side, device
        count = problem.spectrum.count
        grid = torch.linspace(0, math.pi, FINE, dtype=torch.float64)
        self._table = section_density(grid, torch.eye(count, dtype=torch.float64))
        place = wave_numbers((side, side), 1.0) * ((FINE - 1) / math.pi)
        self._outside = place > FINE - 1
        self._below = place.long().clamp_max(FINE - 2)
        self._share = place - self._below

    def functions(self, parameters: Parameters, random: torch.Generator) -> Tensor:
        """Return F_1, F_2, shape (n_phases - 1, side, side)."""
        model = self.problem.model
        table = self._table @ self.problem.weights(parameters).T
        filters = [self._filter(column) for column in table.T]
        shape = (self.side, self.side)
        fields = [
            filtered(torch.randn(shape, generator=random).to(self.device), filters[index])
            for index in model.noises
        ]
        return model.functions(self.problem.scalars(parameters), fields)

    def _filter(self, table: Tensor) -> Tensor:
        density = torch.lerp(table[self._below], table[self._below + 1], self._share)
        # The root has no derivative at 0, which densities reach beyond pi.
        density = density.masked_fill(self._outside, 0.0).clamp_min(1e-20)
        return unit_filter(density, (self.side, self.side)).to(self.device)


def relaxed(functions: Tensor, steepness: float) -> Tensor:
    r"""Return the phases with a smooth step instead of a sharp one (paper 002, equations 31, 32).

    .. math:: H_b(x) = \frac{1}{1 + e^{-bx}} \qquad
       \Xi_1 = H_b(F_1) \quad \Xi_2 = (1 - H_b(F_1))\,H_b(F_2) \quad
       \Xi_3 = (1 - H_b(F_1))(1 - H_b(F_2))

    Parameters
    ----------
    functions : Tensor, shape (n_phases - 1, ...)
    steepness : float
        b.

    Returns
    -------
    Tensor, shape (n_phases, ...)
        In the order of the model; they sum to 1.
    """
    return _phases(torch.sigmoid(steepness * functions))


def indicators(functions: Tensor) -> Tensor:
    """Return 1 in every phase and 0 elsewhere (paper 002, equation 30), as `relaxed` does."""
    return _phases((functions >= 0).to(functions.dtype))


def _phases(steps: Tensor) -> Tensor:
    rest = torch.ones_like(steps[0])
    phases = []
    for step in steps:
        phases.append(rest * step)
        rest = rest * (1 - step)
    return torch.stack([*phases, rest])


class PeriodicCoverage:
    r"""The coverage functions of a periodic section, by Fourier transform (equations 23, 24).

    .. math:: S_{ij}(h) = \frac{1}{N} \mathcal{F}^{-1}\left[\overline{\mathcal{F}[\Xi_i]}\,
       \mathcal{F}[\Xi_j]\right](h)

    averaged over lag vectors of neighbouring length as those of the image are.

    Parameters
    ----------
    target : CoverageTarget
    side : int
        Rows and columns of the section.
    device : torch.device
    """

    def __init__(self, target: CoverageTarget, side: int, device: torch.device) -> None:
        reach = min(math.ceil(target.lags[-1] + 4 * BANDWIDTH), side // 2 - 1)
        self._average = torch.as_tensor(lag_averages(target.lags, reach)).float().to(device)
        self._lags = torch.arange(-reach, reach + 1, device=device) % side

    def __call__(self, phases: Tensor) -> Tensor:
        """Return the rows 11, 12, ... at the target's lags, shape (rows, n)."""
        n, side = len(phases), phases.shape[-1]
        spectra = torch.fft.rfft2(phases)
        products = torch.stack([
            (spectra[i].conj() * spectra[j]).real for i, j in pair_rows(n)
        ])  # fmt: skip
        maps = torch.fft.irfft2(products, s=(side, side)) / side**2
        near: Tensor = maps[:, self._lags][:, :, self._lags].flatten(1)
        return near @ self._average.T


class Descent(ABC):
    r"""Gradient steps, one per epoch, and the paper's early stopping.

    Every so many epochs the model is judged on simulated sections by

    .. math:: \sum_i |v_i - v_i^{data}| + \sum_i |S_{V,i} - S_{V,i}^{data}|

    and the best model is kept, the start included: a result is never worse than its start. Its
    levels are those of the image's volume fractions. All random numbers of an epoch come from
    seed and epoch.

    Parameters
    ----------
    problem : Problem
    start : Fit or None
        Where to start from; None starts from scratch.
    epochs, patience : int
        Stop after so many epochs, or when so many brought no better model, after 100 at the
        earliest.
    seed : int
    device : torch.device
    """

    name: ClassVar[str]
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    """Of Adam."""

    def __init__(
        self,
        problem: Problem,
        start: Fit | None,
        epochs: int,
        patience: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem, self.epochs, self.patience = problem, epochs, patience
        self.seed, self.device = seed, device
        self.parameters = problem.start(start)
        self.optimiser = torch.optim.Adam(
            [{"params": [v], "lr": lr} for v, lr in
             zip(self.parameters.values(), self.rates(), strict=True)],
            betas=self.betas,
        )  # fmt: skip
        self.epoch, self.best_epoch = 0, 0
        self.first = problem.fit(self.parameters)
        self.best, self.best_error = self.first, self.error(self.first)

    @abstractmethod
    def rates(self) -> list[float]:
        """Return the learning rate of every entry of the parameters."""

    @abstractmethod
    def step(self) -> dict[str, float]:
        """Change the parameters once; return the losses."""

    def error(self, fit: Fit) -> float:
        """Return how far simulated sections of a fit are from the image; less is better."""
        target, n = self.problem.target, len(self.problem.target.fractions)
        with torch.no_grad():
            sides = (JUDGED_SIDE, JUDGED_SIDE)
            drawn = np.stack([draw_section(fit, sides, seed) for seed in JUDGED_SEEDS])
        fractions = np.abs(volume_fractions(drawn, n) - target.fractions).sum()
        surfaces = np.abs(ssa(drawn, n, stacked=True) - target.perimeters).sum()
        return float(fractions + 4 / math.pi * surfaces)

    def run(self) -> Generator[dict[str, float], None, Fit]:
        """Take all steps; yield the losses of each.

        Raises
        ------
        RunError
            If a loss is no longer finite.
        """
        while not self.finished:
            losses = self.step()
            if not math.isfinite(losses["loss"]):
                raise RunError(
                    f"Algorithm {self.name} was stopped at simulation {self.epoch + 1} because its "
                    "loss is no longer a finite number; try another seed, or algorithm=exact."
                )
            self.epoch += 1
            if self.epoch % JUDGED_EVERY == 0 or self.epoch == self.epochs:
                self._judge()
            yield {**losses, "error": self.best_error}
        return self.result()

    @property
    def finished(self) -> bool:
        """Whether the epochs or the patience are used up."""
        stale = self.epoch - self.best_epoch >= self.patience
        return self.epoch >= self.epochs or (stale and self.epoch > FIRST_STOP)

    def _judge(self) -> None:
        fit = self.problem.fit(self.parameters)
        error = self.error(fit)
        if error < self.best_error:
            self.best, self.best_error, self.best_epoch = fit, error, self.epoch

    def result(self) -> Fit:
        """Return the best model so far."""
        return replace(self.best, start_rmse=self.first.rmse, algorithm=self.name)

    # ------------------------------------------------------------------ the state

    def state(self) -> dict[str, Any]:
        """Return everything that the next epoch depends on, as tensors and plain types."""
        return {
            "epoch": self.epoch, "best_epoch": self.best_epoch, "best_error": self.best_error,
            "parameters": detached(self.parameters), "optimiser": self.optimiser.state_dict(),
            "best": self.best.state(),
        }  # fmt: skip

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.best, self.best_error = Fit.from_state(state["best"]), state["best_error"]
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(state["parameters"][name])
        self.optimiser.load_state_dict(state["optimiser"])


class Simulation(Descent):
    """Algorithm 1: coverage functions of one simulated section against the image's.

    Every epoch draws new noise, simulates the relaxed section, and takes a step of Adam down the
    mean squared difference of the coverage functions (equation 33).
    """

    name = "1"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._sections = SimulatedSections(self.problem, WINDOW, self.device)
        self._coverage = PeriodicCoverage(self.problem.target, WINDOW, self.device)

    def rates(self) -> list[float]:
        """See `Descent.rates`."""
        return [SLOWER * rate for rate in self.problem.rates(self.parameters)]

    def step(self) -> dict[str, float]:
        """See `Descent.step`."""
        random = torch_random(self.seed, self.epoch, "simulation")
        functions = self._sections.functions(self.parameters, random)
        curves = self._coverage(relaxed(functions, STEEPNESS)).cpu().double()
        loss = ((curves - self.problem.rows) ** 2 @ self.problem.lag_weights).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return {"loss": float(loss.detach())}
