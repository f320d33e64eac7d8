"""How far the diffusivities of generated volumes are from those of a real volume's cubes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.metrics.sides import spread
from napari_microgen.metrics.spread import disjoint_cubes
from napari_microgen.metrics.transport import transport
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

MAX_CUBES = 8
"""Cubes on each side: diffusion takes a twentieth of a second per phase and axis in 64^3."""

TOLERANCE = 1e-2


class DiffusivityReference:
    """A real volume, ready to judge the diffusivities of generated ones.

    Sections say nothing about how phases are connected; a real volume does.

    Parameters
    ----------
    image : PhaseImage
        A volume of labels with cubic voxels.
    side : int
        Side of the cubes in voxels, at most half the volume's.

    Raises
    ------
    InputError
        If the volume holds fewer than two cubes without unlabelled voxels.
    """

    def __init__(self, image: PhaseImage, side: int) -> None:
        self.side, self.n_phases = side, image.n_phases
        cubes = [c for c in disjoint_cubes(image.data, side) if (c != UNLABELLED).all()]
        if len(cubes) < 2:
            raise InputError(f"'{image.name}' holds fewer than two labelled cubes of {side}^3.")
        axes = range(3)
        self.real = np.array([[self._solve(c, a) for a in axes] for c in spread(cubes, MAX_CUBES)])

    def score(self, volume: NDArray[np.uint8]) -> float:
        """Return the distance to the real cubes over the distance between them.

        Parameters
        ----------
        volume : ndarray of uint8, shape (z, y, x)
            Phase indices of a generated volume, at least as large as a cube.

        Returns
        -------
        float
            Mean over the phases that conduct; about 1 if no difference is seen. Diffusion is
            solved along z in the first cube, along y in the second, and so on.
        """
        cubes = spread(disjoint_cubes(volume, self.side), MAX_CUBES)
        along: dict[int, list[NDArray[np.float64]]] = {}
        for axis, cube in zip(itertools.cycle(range(3)), cubes):
            along.setdefault(axis, []).append(self._solve(cube, axis))
        distances, floors = [], []
        for axis, solved in along.items():
            real = self.real[:, axis]
            distances.append(np.abs(real - np.mean(solved, axis=0)).mean(axis=0))
            pairs = itertools.combinations(real, 2)
            floors.append(np.mean([np.abs(a - b) for a, b in pairs], axis=0))
        distance, floor = np.mean(distances, axis=0), np.mean(floors, axis=0)
        conducts = floor > 0
        return float(np.mean(distance[conducts] / floor[conducts])) if conducts.any() else 1.0

    def _solve(self, cube: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
        solved = [transport(cube, k, axis, tolerance=TOLERANCE) for k in range(self.n_phases)]
        return np.array([s.d_rel for s in solved])
