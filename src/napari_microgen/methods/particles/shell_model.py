"""A fitted shell model: one particle per seed, on voxels of any size or as a surface."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.centred import CentredModel
from napari_microgen.methods.particles.distributions import FAMILIES, Fitted
from napari_microgen.methods.particles.shell import (
    ShellLaw,
    Voxeliser,
    measure_shells,
    shell_mesh,
    shell_radii,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Origin, Shape
    from napari_microgen.methods.particles.centred import Numbering

NAMES = tuple(FAMILIES)
STREAM = 0x5E11
"""Keeps the random numbers of shells apart from those of grains of the same seed."""


class ShellModel(CentredModel):
    """Random star-shaped particles.

    Parameters
    ----------
    origin : Origin
        Its `voxel_size` is that of the volumes.
    law : ShellLaw
        In units of `length`.
    coefficients : ndarray, shape (n, (order + 1)^2)
        The particles that the law was fitted to.
    length : float
        Edge of the voxels that the model was fitted on, in the origin's unit.
    rejection_rate : float
        Share of drawn shells that are impossible and drawn again.
    """

    def __init__(
        self,
        origin: Origin,
        law: ShellLaw,
        coefficients: NDArray[np.float64],
        length: float,
        rejection_rate: float,
    ) -> None:
        super().__init__(origin)
        self.law, self.coefficients = law, coefficients
        self.length, self.rejection_rate = length, rejection_rate

    # ------------------------------------------------------------------ the file

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return every family of every order, and the particles."""
        rows = [
            (n, NAMES.index(f.family), f.aic, *f.parameters, *[0.0] * (3 - len(f.parameters)))
            for n, choices in enumerate(self.law.choices)
            for f in choices
        ]
        return {
            "families": np.array(rows),
            "coefficients": self.coefficients.astype(np.float32),
            "length": np.array([self.length]),
            "rejection_rate": np.array([self.rejection_rate]),
            "centred": np.array([self.law.centred]),
        }

    @classmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> ShellModel:
        """Rebuild the model; raises `InputError` if the parameters do not fit."""
        try:
            rows = np.array(tensors["families"], float)
            choices: list[list[Fitted]] = [[] for _ in range(int(rows[:, 0].max()) + 1)]
            for n, family, aic, *parameters in rows:
                name = NAMES[int(family)]
                kept = 3 if name == "t" else 2
                choices[int(n)].append(Fitted(name, tuple(map(float, parameters[:kept])), aic))
            law = ShellLaw(tuple(choices), bool(tensors["centred"][0]))
            coefficients = np.array(tensors["coefficients"], float)
            length, rate = float(tensors["length"][0]), float(tensors["rejection_rate"][0])
            sound = all(choices) and np.isfinite(rows).all() and length > 0
            if not sound or coefficients.shape[1] != len(choices) ** 2:
                raise ValueError("families")
        except (KeyError, ValueError, IndexError, TypeError):
            raise InputError(
                "The model file's parameters do not describe shells; it is damaged, so fit the "
                "shells again."
            ) from None
        return cls(origin, law, coefficients, length, rate)

    def with_voxel_size(self, voxel_size: float) -> ShellModel:
        """Return the same shells on cubic voxels of another size; see `Model`."""
        origin = dataclasses.replace(self.origin, voxel_size=(voxel_size,) * 3)
        return ShellModel(origin, self.law, self.coefficients, self.length, self.rejection_rate)

    # ------------------------------------------------------------------ particles

    def shell(self, seed: int) -> NDArray[np.float64]:
        """Return the coefficients of a seed's shell, in the origin's unit."""
        return self.law.sample(np.random.default_rng((seed, STREAM))) * self.length

    def voxeliser(self, seed: int) -> Voxeliser:
        """Return what puts a seed's shell on this model's voxels."""
        return Voxeliser(self.shell(seed), self.origin.voxel_size[0])

    def mesh(
        self, seed: int, subdivisions: int = 5
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the surface of a seed's particle in the origin's unit; see `shell_mesh`."""
        return shell_mesh(self.shell(seed), subdivisions)

    def numbering(self, seed: int, device: str) -> Numbering:
        """Return what gives the voxels of a seed's particle the number 1."""
        shell = self.voxeliser(seed)

        def numbers(start: Sequence[int], shape: Shape) -> NDArray[np.int32]:
            return shell.inside(start, shape).astype(np.int32)

        return numbers

    def width(self, seed: int) -> float:
        """Return twice the largest radius."""
        return 2 * float(shell_radii(self.shell(seed)[None]).max())

    def whole_shape(self, seed: int) -> Shape:
        """Return the smallest shape that holds the particle."""
        return self.voxeliser(seed).fitting_shape

    def table(self, seed: int, numbers: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
        """Return volume, surface and sphericity of the particle, by its mesh."""
        shape = measure_shells(self.shell(seed)[None])
        unit = self.origin.unit
        return {
            "index": np.array([1]),
            f"volume ({unit}^3)": shape.volumes,
            f"surface ({unit}^2)": shape.surfaces,
            "sphericity": shape.sphericities,
        }
