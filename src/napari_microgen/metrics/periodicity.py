"""What periodic sides change: diffusion with mirror and with joined sides, and how it converges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.metrics._steps import finish, share, telling
from napari_microgen.metrics.transport import transport_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step
    from napari_microgen.metrics.transport import Transport

    MakeVolume = Callable[[int, int], NDArray[np.uint8]]

CLOSE = 0.05
"""Relative difference from the largest volumes up to which a side counts as long enough."""


@dataclass(frozen=True, eq=False)
class BothSides:
    """Diffusion through one phase of one volume, with either kind of sides.

    Attributes
    ----------
    mirror : Transport
        Nothing passes the sides.
    periodic : Transport
        What leaves at a side comes in at the opposite one.
    """

    mirror: Transport
    periodic: Transport

    @property
    def gain(self) -> float:
        """D_rel with periodic over that with mirror sides, minus 1; infinite if only one is 0.

        Never negative but for the solver's error: joining sides opens paths and closes none.
        """
        mirror, periodic = self.mirror.d_rel, self.periodic.d_rel
        if mirror == 0:
            return float("inf") if periodic else 0.0
        return periodic / mirror - 1


def both_sides(data: NDArray[np.uint8], phase: int, axis: int, **options: Any) -> BothSides:
    """Solve diffusion with mirror and with periodic sides; see `both_sides_steps`."""
    return finish(both_sides_steps(data, phase, axis, **options))


def both_sides_steps(
    data: NDArray[np.uint8],
    phase: int,
    axis: int,
    *,
    joined: bool | Sequence[bool] = True,
    **options: Any,
) -> Generator[Step, None, BothSides]:
    """Solve diffusion with mirror and with periodic sides step by step (paper 000, figure 8).

    Parameters
    ----------
    data : ndarray of uint8, shape (z, y, x)
        Phase indices, 255 unlabelled, of a volume that continues at its opposite faces.
    phase : int
        Index of the phase.
    axis : int
        Direction of diffusion; the volume need not be periodic along it.
    joined : bool or sequence of bool
        Axes whose sides are joined in the second solution.
    **options
        `voxel_size`, `tolerance`, `flux` and `device` of `transport`.

    Yields
    ------
    tuple of float and str
        Share done, and what was done.
    """
    mirror = yield from share(
        transport_steps(data, phase, axis, **options), 0.0, 0.5, "mirror sides, "
    )
    periodic = yield from share(
        transport_steps(data, phase, axis, periodic=joined, **options), 0.5, 1.0, "periodic sides, "
    )
    return BothSides(mirror, periodic)


def seam_mismatch(data: NDArray[np.uint8], axis: int) -> float:
    """Return how much more often voxels differ across opposite faces than between neighbours.

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices.
    axis : int
        Axis whose two faces are put together.

    Returns
    -------
    float
        About 1 for a volume that continues at its faces, far above 1 for any other.
    """
    seam = float(np.mean(data.take(0, axis) != data.take(-1, axis)))
    inside = float(np.mean(np.diff(data.astype(np.int16), axis=axis) != 0))
    return seam / inside if inside else (float("inf") if seam else 1.0)


# ---------------------------------------------------------------------- convergence


@dataclass(frozen=True)
class Size:
    """Relative diffusivities of volumes of one size.

    Attributes
    ----------
    side : int
        Side of the cubes in voxels.
    mirror, periodic : tuple of float
        D_rel of every volume with either kind of sides.
    """

    side: int
    mirror: tuple[float, ...]
    periodic: tuple[float, ...]


@dataclass(frozen=True)
class Convergence:
    """How relative diffusivity converges with the side of the volume.

    Attributes
    ----------
    sizes : tuple of Size
        From small to large.
    """

    sizes: tuple[Size, ...]

    @property
    def bulk(self) -> float:
        """Mean over the largest volumes with periodic sides: what both kinds converge to."""
        return float(np.mean(self.sizes[-1].periodic)) if self.sizes else float("nan")

    def needed(self, kind: str, within: float = CLOSE) -> int | None:
        """Return the side from which on the mean stays close to `bulk`.

        Parameters
        ----------
        kind : {"mirror", "periodic"}
            Which sides.
        within : float
            Relative difference that counts as close.

        Returns
        -------
        int or None
            None if even the largest volumes are not close.
        """
        enough = None
        for size in reversed(self.sizes):
            if abs(np.mean(getattr(size, kind)) - self.bulk) > within * self.bulk:
                break
            enough = size.side
        return enough


def convergence(
    make: MakeVolume, sides: Sequence[int], seeds: Sequence[int], phase: int, axis: int,
    **options: Any,
) -> Convergence:  # fmt: skip
    """Measure how D_rel converges with the volume's size; see `convergence_steps`."""
    return finish(convergence_steps(make, sides, seeds, phase, axis, **options))


def convergence_steps(
    make: MakeVolume, sides: Sequence[int], seeds: Sequence[int], phase: int, axis: int,
    **options: Any,
) -> Generator[tuple[float, str, Convergence], None, Convergence]:  # fmt: skip
    """Measure D_rel in volumes of growing size with either kind of sides, step by step.

    Both kinds see the same volumes, so that only the sides make a difference.

    Parameters
    ----------
    make : callable
        ``make(side, seed)`` returns the phase indices of a cube that repeats along all axes.
    sides : sequence of int
        Sides of the cubes in voxels, from small to large.
    seeds : sequence of int
        A volume of every size is made from each.
    phase, axis
        As in `both_sides_steps`.
    **options
        `tolerance` and `device` of `transport`.

    Yields
    ------
    tuple of float, str and Convergence
        Share done, what was done, and the sizes that are finished.
    """
    total = len(seeds) * sum(side**3 for side in sides)
    found, done = Convergence(()), 0
    for side in sides:
        pairs = []
        for seed in seeds:
            yield done / total, f"making a volume of {side}^3", found
            data, start, done = make(side, seed), done, done + side**3
            steps = both_sides_steps(data, phase, axis, **options)
            inner = share(steps, start / total, done / total, f"{side}^3 voxels, ")
            pairs.append((yield from telling(inner, found)))
        mirror, periodic = ((p.mirror.d_rel for p in pairs), (p.periodic.d_rel for p in pairs))
        found = Convergence((*found.sizes, Size(side, tuple(mirror), tuple(periodic))))
        yield done / total, f"{side}^3 voxels", found
    return found
