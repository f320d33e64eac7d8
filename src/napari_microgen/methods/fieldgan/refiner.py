"""What both ways of refining share: a network, its average, and volume fractions that hold."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_microgen.methods.fieldgan.networks import (
    INDICATOR_SHARPNESS,
    Refinement,
    cropped,
    indicators,
)
from napari_microgen.networks.slice_generator import COUNTED_VOXELS, fraction_shifts
from napari_microgen.training.averaging import AveragedGenerator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_microgen.methods.fieldgan.inputs import FieldInputs

AVERAGING_START = 10
ROUNDS = 200
"""Passes over the phases at most until they are balanced; three phases need many at times."""


def balance(logits: Tensor, calibrated: Tensor) -> Tensor:
    """Return what must be added to logits, so that every phase fills what it did before.

    In a finite volume a phase fills more or less than on average, as its field has it. Compared
    in the same place, that drops out, and few voxels are enough.

    Parameters
    ----------
    logits, calibrated : Tensor, shape (batch, n_phases, ...)
        Refined, and of the calibrated set in the same place.

    Returns
    -------
    Tensor, shape (n_phases,)
        Exactly 0 where nothing was refined.
    """
    refined, before = (_some_voxels(values.detach()) for values in (logits, calibrated))
    if torch.equal(refined, before):
        return torch.zeros_like(refined[:, 0])
    n_phases = len(before)
    shares = torch.bincount(before.argmax(0), minlength=n_phases) / before.shape[1]
    return fraction_shifts(refined, shares.tolist(), ROUNDS)


def answered(logits: Tensor) -> Tensor:
    """Return the same logits, with the gradient that they have if the fractions are held.

    Moving one voxel changes the fractions, which a shift of all voxels makes up for: with the
    means m of the indicators and their derivative J by such a shift, it is - J^-1 dm.

    Parameters
    ----------
    logits : Tensor, shape (batch, n_phases, ...)
    """
    shares = indicators(logits).transpose(0, 1).flatten(1)
    with torch.no_grad():
        products = shares @ shares.T / shares.shape[1]
        by_shift = INDICATOR_SHARPNESS * (torch.diag(shares.mean(1)) - products)
        # A phase that hardly occurs would be moved by single voxels, and they by all the others.
        inverse = torch.linalg.pinv(by_shift, atol=1e-3, rtol=1e-4)
    means = shares.mean(1)
    shift = -inverse @ (means - means.detach())
    return shifted(logits, shift)


def held(logits: Tensor, calibrated: Tensor) -> Tensor:
    """Return logits with the bias at which they fill what the calibrated set fills there.

    It is found anew in every step, and the gradient knows that it will be. What moves all voxels
    alike has no gradient, so nothing keeps a network from drifting; a bias that followed in
    small steps would fall behind, and the phases' shares with it.

    Parameters
    ----------
    logits, calibrated : Tensor, shape (batch, n_phases, ...)
        Refined without a bias, and not refined.
    """
    return answered(shifted(logits, balance(logits, calibrated)))


def shifted(logits: Tensor, shift: Tensor) -> Tensor:
    """Add one number per phase to logits, shape ``(batch, n_phases, ...)``."""
    return logits + shift.reshape(-1, *[1] * (logits.ndim - 2))


def _some_voxels(values: Tensor) -> Tensor:
    """Return evenly spread voxels, shape ``(n_phases, n)``."""
    flat = values.transpose(0, 1).flatten(1)
    return flat[:, :: max(1, flat.shape[1] // COUNTED_VOXELS)]


class Refiner(ABC):
    """A network that learns, and its moving average.

    Every random number of step n comes from (seed, n), so a resumed training goes on as if it
    had never stopped.

    Parameters
    ----------
    network : Refinement
    inputs : FieldInputs
        What it acts on.
    optimiser : Optimizer
    length : int
        Steps that it plans; learning rates fall towards this end.
    decay : float
        Of the moving average in the end; at first it forgets sooner.

    Attributes
    ----------
    judged_every : int
        Steps between two measurements.
    """

    judged_every: int

    def __init__(
        self,
        network: Refinement,
        inputs: FieldInputs,
        optimiser: torch.optim.Optimizer,
        length: int,
        decay: float,
    ) -> None:
        self.network, self.inputs, self.optimiser = network, inputs, optimiser
        self.length, self.decay = length, decay
        self.average = AveragedGenerator(network, 0.0)

    def prepare(self) -> Iterator[str]:
        """Make what the steps need besides their state; yield what is being done."""
        yield from ()

    @abstractmethod
    def step(self, index: int) -> dict[str, float]:
        """Learn one step; return the losses."""

    def _descend(self, loss: Tensor, index: int) -> None:
        """Follow the gradient of a loss, and let the average follow."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.average.decay = min(self.decay, (index + 1) / (index + AVERAGING_START))
        self.average.update(self.network)

    def settled(self, inputs: Sequence[Tensor]) -> tuple[Refinement, list[Tensor]]:
        """Return the averaged network with the bias that keeps the calibrated fractions.

        Parameters
        ----------
        inputs : sequence of Tensor, shape (1, channels, z, y, x)
            Volumes, with the network's radius around them.

        Returns
        -------
        network : Refinement
        logits : list of Tensor, shape (1, n_phases, z, y, x)
            The volumes, refined.
        """
        network = copy.deepcopy(self.average.module).eval()
        assert isinstance(network, Refinement)
        network.bias.zero_()
        refined = [network.refined(i) for i in inputs]
        own = torch.cat([cropped(i[:, : network.n_phases], network.radius) for i in inputs])
        network.bias.copy_(balance(torch.cat(refined), own))
        return network, [logits + network.bias[:, None, None, None] for logits in refined]

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.average.module.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
