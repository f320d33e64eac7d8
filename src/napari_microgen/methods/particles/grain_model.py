"""A trained grain model: the grains of one particle per seed, on voxels of any size."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.centred import CentredModel
from napari_microgen.methods.particles.cutouts import MARGIN, NEAR
from napari_microgen.methods.particles.grain_network import MarkerNetwork, MarkerRange, realise
from napari_microgen.methods.particles.seeds import poisson_seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Origin, Shape
    from napari_microgen.methods.particles.centred import Numbering
    from napari_microgen.methods.particles.diagram import Diagram


MOST_GRAINS = 10**6


class GrainModel(CentredModel):
    """Grains of random particles.

    Parameters
    ----------
    origin : Origin
        Its `voxel_size` is that of the volumes.
    network : MarkerNetwork
    intensity : float
        Seeds per cubic unit.
    unit : float
        Length of a unit (see `sections`), in the origin's unit of length.
    radius : float
        Radius of the ball that is filled with grains, in units: that of the sections.
    """

    def __init__(
        self,
        origin: Origin,
        network: MarkerNetwork,
        intensity: float,
        unit: float,
        radius: float,
    ) -> None:
        super().__init__(origin)
        self.network = network.eval().requires_grad_(False)
        self.intensity, self.unit, self.radius = intensity, unit, radius

    # ------------------------------------------------------------------ the file

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the marker network and what it needs to be realised."""
        limits = self.network.limits
        weights = {k: v.cpu().numpy() for k, v in self.network.state_dict().items()}
        return {
            **weights,
            "limits": np.array([*limits.diagonal, *limits.offset, limits.exponent]),
            "scalars": np.array([self.intensity, self.unit, self.radius]),
        }

    @classmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> GrainModel:
        """Rebuild the model; raises `InputError` if the weights do not fit."""
        try:
            stored = {k: np.array(v) for k, v in tensors.items()}
            low, high, least, most, exponent = map(float, stored.pop("limits"))
            intensity, unit, radius = map(float, stored.pop("scalars"))
            limits = MarkerRange((low, high), (least, most), int(exponent))
            network = MarkerNetwork(limits, len(stored["last.weight"].T))
            network.load_state_dict({k: torch.from_numpy(v) for k, v in stored.items()})
            if not (min(intensity, unit, radius) > 0 and low > 0 and exponent in (1, 2)):
                raise ValueError("scalars")
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError):
            raise InputError(
                "The model file's weights do not describe grains; it is damaged, so train the "
                "grains again."
            ) from None
        return cls(origin, network, intensity, unit, radius)

    def with_voxel_size(self, voxel_size: float) -> GrainModel:
        """Return the same grains on cubic voxels of another size; see `Model`."""
        origin = dataclasses.replace(self.origin, voxel_size=(voxel_size,) * 3)
        return GrainModel(origin, self.network, self.intensity, self.unit, self.radius)

    # ------------------------------------------------------------------ particles

    @property
    def step(self) -> float:
        """Edge of a voxel in units."""
        return self.origin.voxel_size[0] / self.unit

    def diagram(self, seed: int, radius: float | None = None) -> Diagram:
        """Return the diagram that fills a ball about the centre, by default that of the model.

        Parameters
        ----------
        seed : int
        radius : float, optional
            In units.

        Raises
        ------
        InputError
            If there were too many grains, as in a shell whose size is wrong.
        """
        radius = self.radius if radius is None else radius
        expected = self.intensity * 4 / 3 * pi * radius**3
        if expected > MOST_GRAINS:
            raise InputError(
                f"This particle would hold about {expected:.2g} grains, more than can be made; "
                "check whether the images of shell and grains have the right voxel sizes."
            )
        return _diagram(self, seed, radius)

    def numbering(self, seed: int, device: str) -> Numbering:
        """Return what numbers the grains of a seed's ball."""
        grains, step = self.grain_numbering(seed), self.step

        def numbers(start: Sequence[int], shape: Shape) -> NDArray[np.int32]:
            axes = [(np.arange(s, s + n) * step) ** 2 for s, n in zip(start, shape, strict=True)]
            squared = axes[0][:, None, None] + axes[1][:, None] + axes[2]
            return grains(start, squared <= self.radius**2)

        return numbers

    def grain_numbering(
        self, seed: int, radius: float | None = None
    ) -> Callable[[Sequence[int], NDArray[np.bool_]], NDArray[np.int32]]:
        """Return what numbers the grains of a seed on the voxels of a block that are inside.

        It is called with the block's first voxel, seen from the centre, and which are inside.
        """
        diagram, step = self.diagram(seed, radius), self.step

        def numbers(start: Sequence[int], inside: NDArray[np.bool_]) -> NDArray[np.int32]:
            first = [s * step for s in start]
            return (diagram.owners(first, inside.shape, step, inside) + 1).astype(np.int32)

        return numbers

    def width(self, seed: int) -> float:
        """Return the diameter of the ball."""
        return 2 * self.radius * self.unit

    def whole_shape(self, seed: int) -> Shape:
        """Return the smallest shape that holds the ball."""
        side = 2 * int(self.radius / self.step) + 3
        return side, side, side

    def table(self, seed: int, numbers: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
        """Return seed, markers and volume of every grain in a volume."""
        return self.grain_table(self.diagram(seed), numbers)

    def grain_table(
        self, diagram: Diagram, numbers: NDArray[np.integer]
    ) -> dict[str, NDArray[Any]]:
        """Return seed, markers and volume of the grains of a diagram that are in a volume."""
        counts = np.bincount(numbers.ravel())
        present = np.flatnonzero(counts[1:]) + 1
        size = float(np.prod(self.origin.voxel_size))
        return {
            "index": present,
            f"volume ({self.origin.unit}^3)": counts[present] * size,
            **{k: v[present - 1] for k, v in self.tessellation(diagram).items()},
        }

    def parameters(self, seed: int) -> dict[str, NDArray[Any]]:
        """Return the continuous tessellation of a seed's ball; see `tessellation`."""
        return self.tessellation(self.diagram(seed))

    def tessellation(self, diagram: Diagram) -> dict[str, NDArray[Any]]:
        """Return the continuous tessellation, one row per grain; row n is grain n + 1.

        The grain at x is that with the least ``((x - s)^T M (x - s))^(p/2) - r``, lengths in the
        origin's unit and seen from the particle's centre.
        """
        unit = self.origin.unit
        columns = {
            f"seed {axis} ({unit})": diagram.seeds[:, i] * self.unit for i, axis in enumerate("zyx")
        }
        columns |= {f"D{i + 1}": diagram.diagonals[:, i] for i in range(3)} | {"r": diagram.offsets}
        for i, a in enumerate("zyx"):
            for j, b in enumerate("zyx"):
                if j >= i:
                    columns[f"M {a}{b} ({unit}^-2)"] = diagram.matrices[:, i, j] / self.unit**2
        return columns


@lru_cache(maxsize=4)
def _diagram(model: GrainModel, seed: int, radius: float) -> Diagram:
    """Realise a diagram; kept, as volume, table and parameters need the same one."""
    seeds = poisson_seeds(model.intensity, seed, radius + MARGIN)
    near = np.flatnonzero(np.linalg.norm(seeds.points, axis=1) <= radius + NEAR)
    return realise(model.network, seeds, near)
