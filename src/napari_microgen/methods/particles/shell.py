"""Star-shaped particles: radius functions, their random model, and what is made of them.

A shell is a row of coefficients of real spherical harmonics (`harmonics`). Lengths are in the unit
of the voxel size that a function is given, directions and positions ordered ``(z, y, x)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_microgen.errors import RunError
from napari_microgen.methods.particles.distributions import Fitted, fit_families
from napari_microgen.methods.particles.harmonics import (
    ORDER,
    icosphere,
    orders,
    random_rotation,
    real_harmonics,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

STEP = 0.1
"""Step along a ray, in voxels."""

THINNEST, THICKEST = 0.15, 3.0
"""A shell is possible if its radius stays between these shares of its mean radius."""

MOST_DRAWS = 10_000
TABLE = (91, 181)
"""Polar and azimuthal angles, 2 degrees apart, at which a radius function is tabulated."""


# ---------------------------------------------------------------------- from voxels


def radius_function(
    inside: NDArray[np.bool_],
    centre: Sequence[float],
    directions: NDArray[np.float64],
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
) -> NDArray[np.float64]:
    """Return how far a particle reaches from its centre (paper 004, equation 1).

    The ray is followed in steps of a tenth of a voxel to the first point whose nearest voxel is
    outside; half a step is taken off.

    Parameters
    ----------
    inside : ndarray of bool, shape (z, y, x)
    centre : sequence of float
        Star point in voxels.
    directions : ndarray, shape (n, 3)
        Unit vectors.
    voxel_size : sequence of float

    Returns
    -------
    ndarray, shape (n,)
        0 where the centre is outside.
    """
    sizes = np.asarray(voxel_size, float)
    padded = np.pad(inside, 1)
    step = STEP * sizes.min()
    longest = float(np.linalg.norm(np.array(padded.shape) * sizes))
    radii = np.arange(0, ceil(longest / step) + 1) * step
    result = np.full(len(directions), 0.0)
    going = np.arange(len(directions))
    # A few steps at a time: most rays are much shorter than the box.
    for part in np.array_split(radii, max(1, len(radii) // 64)):
        points = part[:, None, None] * (directions[going] / sizes) + np.asarray(centre) + 1
        nearest = np.rint(points).astype(int)
        clipped = np.clip(nearest, 0, np.array(padded.shape) - 1)
        there = padded[tuple(np.moveaxis(clipped, -1, 0))]
        out = ~there
        first = out.argmax(axis=0)
        ended = out.any(axis=0)
        result[going[ended]] = np.maximum(part[first[ended]] - step / 2, 0)
        going = going[~ended]
        if not len(going):
            break
    return result


def fit_shell(
    inside: NDArray[np.bool_],
    voxel_size: Sequence[float],
    random: np.random.Generator,
    order: int = ORDER,
) -> tuple[NDArray[np.float64], float]:
    """Write a particle's surface in spherical harmonics (paper 004, equation 3).

    Least squares between P(R u) and the harmonics at 642 nearly equidistant u, with a random
    rotation R that spreads what voxels and segmentation favour over all directions.

    Returns
    -------
    coefficients : ndarray, shape ((order + 1)^2,)
    share : float
        Volume of the star-shaped representation over that of the particle.
    """
    directions, _ = icosphere()
    centre = np.argwhere(inside).mean(axis=0)
    rotated = directions @ random_rotation(random).T
    radii = radius_function(inside, centre, rotated, voxel_size)
    coefficients = _least_squares(order) @ radii
    volume = np.count_nonzero(inside) * float(np.prod(voxel_size))
    return coefficients, float(4 * pi / 3 * np.mean(radii**3) / volume)


@cache
def _least_squares(order: int) -> NDArray[np.float64]:
    """Return the matrix that turns radii on the icosphere into coefficients."""
    return np.asarray(np.linalg.pinv(_icosphere_basis(3, order)))


# ---------------------------------------------------------------------- the random model


@dataclass(frozen=True, eq=False)
class ShellLaw:
    """The random shell (paper 004, equations 5 to 7): independent coefficients, one law per order.

    Attributes
    ----------
    choices : tuple of list of Fitted
        For l = 0, 1, ... every family that was fitted, the chosen one first.
    centred : bool
        Whether a_1m is 0: order 1 shifts a particle more than it shapes it.
    """

    choices: tuple[list[Fitted], ...]
    centred: bool = True

    @classmethod
    def fit(cls, coefficients: NDArray[np.float64], centred: bool = True) -> ShellLaw:
        """Fit the families to every order; the 2 l + 1 coefficients of an order share one law."""
        of = orders(round(sqrt(coefficients.shape[1])) - 1)
        choices = [
            fit_families(coefficients[:, of == n].ravel(), centred=n > 0) for n in range(of[-1] + 1)
        ]
        return cls(tuple(choices), centred)

    @property
    def order(self) -> int:
        """Highest order."""
        return len(self.choices) - 1

    def propose(self, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Draw coefficients, whether or not their shells are possible."""
        columns = []
        for n, fitted in enumerate(self.choices):
            drawn = fitted[0].sample(count * (2 * n + 1), random).reshape(count, -1)
            columns.append(0 * drawn if n == 1 and self.centred else drawn)
        return np.concatenate(columns, axis=1)

    def sample(self, random: np.random.Generator) -> NDArray[np.float64]:
        """Draw one possible shell, shape ``((order + 1)^2,)``.

        Raises
        ------
        RunError
            If hardly any shell is possible.
        """
        for _ in range(MOST_DRAWS):
            drawn = self.propose(1, random)
            if is_possible(drawn).all():
                return np.asarray(drawn[0])
        raise RunError(
            "Hardly any shell of this model is possible: the particles vary too wildly; segment "
            "them more carefully, or drop those that are no single particles."
        )

    def rejection_rate(self, random: np.random.Generator, draws: int = 2000) -> float:
        """Return the share of drawn shells that are impossible."""
        return 1 - float(is_possible(self.propose(draws, random)).mean())


def is_possible(coefficients: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which shells keep their radius between 0.15 and 3 times its mean.

    Parameters
    ----------
    coefficients : ndarray, shape (n, (order + 1)^2)
    """
    radii = shell_radii(coefficients)
    mean = coefficients[:, :1] / sqrt(4 * pi)
    possible = (radii > THINNEST * mean) & (radii < THICKEST * mean) & (mean > 0)
    return np.asarray(possible.all(axis=1))


def shell_radii(coefficients: NDArray[np.float64], subdivisions: int = 3) -> NDArray[np.float64]:
    """Evaluate shells on the icosphere (paper 004, equation 7), shape ``(n, points)``."""
    order = round(sqrt(coefficients.shape[1])) - 1
    return np.asarray(coefficients @ _icosphere_basis(subdivisions, order).T)


@cache
def _icosphere_basis(subdivisions: int, order: int) -> NDArray[np.float64]:
    return real_harmonics(icosphere(subdivisions)[0], order)


# ---------------------------------------------------------------------- surfaces


def shell_mesh(
    coefficients: NDArray[np.float64], subdivisions: int = 5
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return a shell as a closed triangle mesh about the origin.

    Returns
    -------
    vertices : ndarray, shape (n, 3)
        Positions ``(z, y, x)``.
    triangles : ndarray of int, shape (m, 3)
        Counter-clockwise seen from outside in the frame ``(x, y, z)``.
    """
    directions, triangles = icosphere(subdivisions)
    radii = shell_radii(coefficients[None], subdivisions)[0]
    return radii[:, None] * directions, triangles


@dataclass(frozen=True, eq=False)
class ShellShapes:
    """Volume, surface and sphericity of shells, each of shape ``(n,)``."""

    volumes: NDArray[np.float64]
    surfaces: NDArray[np.float64]
    sphericities: NDArray[np.float64]


def measure_shells(coefficients: NDArray[np.float64], subdivisions: int = 4) -> ShellShapes:
    """Measure shells by their triangle meshes; the sphericity is paper 004's equation 20."""
    directions, triangles = icosphere(subdivisions)
    volumes, surfaces = [], []
    for radii in shell_radii(coefficients, subdivisions):
        points = (radii[:, None] * directions)[:, ::-1]
        a, b, c = (points[triangles[:, i]] for i in range(3))
        volumes.append(np.sum(a * np.cross(b, c)) / 6)
        surfaces.append(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
    v, s = np.array(volumes), np.array(surfaces)
    return ShellShapes(v, s, pi ** (1 / 3) * (6 * v) ** (2 / 3) / s)


# ---------------------------------------------------------------------- to voxels


class Voxeliser:
    """A shell on voxels of any size, any part of it at a time.

    Evaluating harmonics per voxel would be hundreds of times slower than the table used here.

    Parameters
    ----------
    coefficients : ndarray, shape ((order + 1)^2,)
    voxel_size : float
        Edge of the cubic voxels, in the unit of the shell.
    """

    def __init__(self, coefficients: NDArray[np.float64], voxel_size: float = 1.0) -> None:
        order = round(sqrt(len(coefficients))) - 1
        directions, basis = _table(order)
        self.radii = (basis @ coefficients / voxel_size).reshape(TABLE)
        reached = np.abs(self.radii[..., None] * directions).max(axis=(0, 1))
        self.half = tuple(ceil(n) + 1 for n in reached)
        self.least, self.most = float(self.radii.min()), float(self.radii.max())

    @property
    def fitting_shape(self) -> tuple[int, int, int]:
        """Shape of the smallest volume about the centre that holds the particle."""
        z, y, x = (2 * n + 1 for n in self.half)
        return z, y, x

    def inside(self, start: Sequence[int], shape: Sequence[int]) -> NDArray[np.bool_]:
        """Return which voxels of a block are inside.

        Parameters
        ----------
        start : sequence of int
            First voxel of the block; the voxel (0, 0, 0) is the particle's centre.
        shape : sequence of int
        """
        axes = [np.arange(s, s + n, dtype=float) for s, n in zip(start, shape, strict=True)]
        z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
        distance = np.sqrt(z * z + y * y + x * x)
        result = distance <= self.least
        near = np.nonzero((distance > self.least) & (distance <= self.most))
        z, y, x = (axis[i] for axis, i in zip(axes, near, strict=True))
        away = distance[near]
        polar = np.arccos(np.clip(z / away, -1, 1)) * (TABLE[0] - 1) / pi
        azimuth = (np.arctan2(y, x) + pi) * (TABLE[1] - 1) / (2 * pi)
        radii = ndimage.map_coordinates(self.radii, [polar, azimuth], order=1, mode="nearest")
        result[near] = away <= radii
        return np.asarray(result)


@cache
def _table(order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions of the table, and the harmonics there."""
    polar = np.linspace(0, pi, TABLE[0])[:, None]
    azimuth = np.linspace(-pi, pi, TABLE[1])[None]
    axes = np.cos(polar), np.sin(polar) * np.sin(azimuth), np.sin(polar) * np.cos(azimuth)
    directions = np.stack(np.broadcast_arrays(*axes), axis=-1)
    return directions, real_harmonics(directions.reshape(-1, 3), order)
