"""The two networks of the grain model (paper 004, section 2.5): markers and the discriminator."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from napari_microgen.methods.particles.diagram import Diagram, metrics, radial_bases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_microgen.methods.particles.seeds import Seeds

NEIGHBOURS = 12
"""Nearest other seeds that a marker depends on (kappa)."""

LENGTH = 8.0
"""Units by which displacements are divided before they enter the network."""

FAR = 1e4
"""Distance that parts independent realisations, in units."""

CHANNELS = 12
"""Grains of a cutout that the discriminator sees, the largest ones."""


@dataclass(frozen=True)
class MarkerRange:
    """Values that markers may take, and the exponent of the diagram.

    The paper's text gives r in 1-10 and D in 0-50, which leaves a fifth of the grains in pieces;
    exchanged, as by default here, grains are at most sqrt(10) times as long as wide, as the paper
    says it wants.

    Attributes
    ----------
    diagonal : tuple of float
        Least and greatest entry of D.
    offset : tuple of float
        Least and greatest r.
    exponent : {1, 2}
    """

    diagonal: tuple[float, float] = (1.0, 10.0)
    offset: tuple[float, float] = (0.0, 50.0)
    exponent: int = 2


class MarkerNetwork(nn.Module):
    """From a seed's nearest seeds to its markers D and r.

    Parameters
    ----------
    limits : MarkerRange
    width : int
        Neurons of both hidden layers [ours: the paper's figure is lost].
    spread : float
        Standard deviation of the last layer's first weights: how much markers differ at first
        [ours]. From equal markers it takes long to learn that grains differ.
    """

    def __init__(self, limits: MarkerRange, width: int = 128, spread: float = 0.3) -> None:
        super().__init__()
        self.limits = limits
        self.hidden = nn.Sequential(
            nn.Linear(5 * NEIGHBOURS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.last = nn.Linear(width, 4)
        nn.init.normal_(self.last.weight, std=spread)
        nn.init.zeros_(self.last.bias)

    def forward(self, displacements: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return markers.

        Parameters
        ----------
        displacements : Tensor, shape (n, 12, 3)
            The nearest seeds in the seed's own basis, Q_i (s_ij - s_i), in units.
        noise : Tensor, shape (n, 12, 2)
            Their noise.

        Returns
        -------
        diagonals : Tensor, shape (n, 3)
        offsets : Tensor, shape (n,)
        """
        inputs = torch.cat([displacements / LENGTH, noise], -1).flatten(1)
        shares = torch.sigmoid(self.last(self.hidden(inputs)))
        (low, high), (least, most) = self.limits.diagonal, self.limits.offset
        return low + (high - low) * shares[:, :3], least + (most - least) * shares[:, 3]

    def start_at(self, diagonal: tuple[float, float, float], offset: float) -> None:
        """Let every marker be near these values, by the biases of the last layer."""
        (low, high), (least, most) = self.limits.diagonal, self.limits.offset
        shares = [(d - low) / (high - low) for d in diagonal] + [(offset - least) / (most - least)]
        clipped = [min(max(s, 0.02), 0.98) for s in shares]
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor([math.log(s / (1 - s)) for s in clipped]))


class Discriminator(nn.Module):
    """Tells cutouts of sections from generated ones; widths ours, as the paper's figure is lost."""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 64)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((CHANNELS, *widths), widths, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
                       nn.MaxPool2d(2)]  # fmt: skip
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(16 * widths[-1], 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, cutouts: Tensor) -> Tensor:
        """Return a score per cutout, shape ``(n,)``: 1 for real, 0 for generated."""
        scores: Tensor = self.layers(cutouts)
        return scores[:, 0]


# ---------------------------------------------------------------------- seeds to markers


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the marker network sees of chosen seeds, as tensors of single precision.

    Attributes
    ----------
    points : Tensor, shape (n, 3)
    bases : Tensor, shape (n, 3, 3)
    displacements : Tensor, shape (n, 12, 3)
    noise : Tensor, shape (n, 12, 2)
    """

    points: Tensor
    bases: Tensor
    displacements: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> Surroundings:
        """Return the same on a device."""
        values = (getattr(self, field.name).to(device) for field in dataclasses.fields(self))
        return Surroundings(*values)


def surroundings(
    seeds: Seeds, chosen: NDArray[np.integer], realisation: NDArray[np.integer] | None = None
) -> Surroundings:
    """Find the nearest seeds of the chosen ones, turned into their own bases (algorithm 1).

    Parameters
    ----------
    seeds : Seeds
    chosen : ndarray of int
    realisation : ndarray of int, shape (len(seeds),), optional
        Several independent processes in one: seeds of different numbers do not see each other.
    """
    points = seeds.points[chosen]
    apart = seeds.points
    if realisation is not None:
        apart = apart + FAR * realisation[:, None]
    _, nearest = cKDTree(apart).query(apart[chosen], NEIGHBOURS + 1)
    nearest = np.minimum(nearest[:, 1:], len(seeds) - 1)  # where there are fewer seeds than that
    own = torch.from_numpy(points).float()
    bases = radial_bases(own, torch.from_numpy(seeds.turns[chosen]).float())
    off = torch.from_numpy(seeds.points[nearest] - points[:, None]).float()
    return Surroundings(
        own, bases, torch.einsum("nij,nkj->nki", bases, off),
        torch.from_numpy(seeds.noise[nearest]).float(),
    )  # fmt: skip


@torch.no_grad()
def realise(
    network: MarkerNetwork, seeds: Seeds, chosen: NDArray[np.integer] | None = None
) -> Diagram:
    """Return the diagram of the chosen seeds, by default of all."""
    chosen = np.arange(len(seeds)) if chosen is None else chosen
    around = surroundings(seeds, chosen)
    where = next(network.parameters()).device
    diagonals, offsets = network(around.displacements.to(where), around.noise.to(where))
    diagonals, offsets = diagonals.double().cpu(), offsets.double().cpu()
    matrices = metrics(around.bases.double(), diagonals)
    return Diagram(
        seeds.points[chosen], diagonals.numpy(), matrices.numpy(), offsets.numpy(),
        network.limits.exponent,
    )  # fmt: skip
