"""Steady diffusion through one phase: relative diffusivity, tortuosity factor and flux map."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_microgen.errors import InputError, RunError
from napari_microgen.metrics._clusters import among, label_clusters
from napari_microgen.metrics._grid import check_indices, flags, per_axis
from napari_microgen.metrics._multigrid import Multigrid
from napari_microgen.metrics._steps import finish

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_microgen.metrics._steps import Step

MAX_ITERATIONS = 500

WINDOW = 2
"""Iterations whose gain in energy must be below the tolerance before the solver stops."""


THREADS_ABOVE = 2**23
"""Voxels from which a volume is worth more than one thread."""


@dataclass(frozen=True, eq=False)
class Transport:
    """What steady diffusion through a phase along an axis gives.

    Attributes
    ----------
    d_rel : float
        Effective over free diffusivity, ``D_eff / D_0``; 0 if the phase does not percolate.
    tortuosity_factor : float
        ``phi / d_rel`` with the total volume fraction phi; infinite if it does not percolate.
    volume_fraction : float
        Share of all voxels, unlabelled ones included, that are in the phase.
    percolating : float
        Share of the phase's voxels that are connected with both faces.
    iterations : int
        Iterations of the solver.
    error : float
        Estimate of the relative error of `d_rel`, which comes out too large by it.
    flux : ndarray of float32 or None
        Magnitude of the flux in every voxel relative to free diffusion between the same faces.
    """

    d_rel: float
    tortuosity_factor: float
    volume_fraction: float
    percolating: float
    iterations: int = 0
    error: float = 0.0
    flux: NDArray[np.float32] | None = field(default=None, repr=False)


def transport(
    data: NDArray[np.uint8],
    phase: int,
    axis: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
    tolerance: float = 1e-4,
    flux: bool = False,
    device: str = "cpu",
) -> Transport:
    r"""Solve steady diffusion through a phase between the two faces normal to an axis.

    The concentration is 1 on the first face and 0 on the last, half a voxel outside the first
    and last layer of voxels; D is 1 in the phase and 0 elsewhere, unlabelled voxels included.

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices, 255 unlabelled; ``(y, x)`` or ``(z, y, x)``.
    phase : int
        Index of the phase.
    axis : int
        Direction of diffusion.
    voxel_size : float or sequence of float
        Edge lengths of a voxel; only their ratios matter.
    periodic : bool or sequence of bool
        Axes whose sides are joined; elsewhere sides are mirrors. The entry of `axis` is not used.
    tolerance : float
        Relative error of `d_rel` at which to stop. From 1e-4 upwards single precision is used.
    flux : bool
        Whether to return the flux map too.
    device : str
        Torch device that computes.

    Returns
    -------
    Transport

    Raises
    ------
    RunError
        If the solver does not converge.

    Notes
    -----
    Conjugate gradients preconditioned by multigrid minimise the Dirichlet energy
    :math:`E(x) = x^T A x - 2 b^T x + 2 n_{top}`, whose minimum is the total flux, on the voxels
    connected with both faces. The error of the energy is quadratic in that of the field. The
    mismatch of inlet and outlet flux is no criterion: it crosses zero by accident.
    """
    return finish(
        transport_steps(
            data, phase, axis, voxel_size=voxel_size, periodic=periodic, tolerance=tolerance,
            flux=flux, device=device,
        )
    )  # fmt: skip


def transport_steps(
    data: NDArray[np.uint8],
    phase: int,
    axis: int,
    *,
    voxel_size: float | Sequence[float] = 1.0,
    periodic: bool | Sequence[bool] = False,
    tolerance: float = 1e-4,
    flux: bool = False,
    device: str = "cpu",
) -> Generator[Step, None, Transport]:
    """Do what `transport` does step by step, an iteration in each."""
    ndim = check_indices(data)
    if not 0 <= axis < ndim:
        raise InputError(f"There is no axis {axis} in an image of {ndim} axes.")
    mask = data == phase
    fraction = float(mask.mean())
    cluster = percolating_cluster(mask, axis, periodic=periodic)
    percolating = float(cluster.sum() / max(mask.sum(), 1))
    if not percolating:
        flow = np.zeros(data.shape, np.float32) if flux else None
        return Transport(0.0, float("inf"), fraction, 0.0, flux=flow)
    around = flags(periodic, ndim)
    sizes = per_axis(voxel_size, ndim)
    order = [axis, *(i for i in range(ndim) if i != axis)]
    with _threads(data.size):
        stencil = Stencil(
            np.transpose(cluster, order),
            [(sizes[axis] / sizes[i]) ** 2 for i in order],
            [False, *(around[i] for i in order[1:])],
            torch.float32 if tolerance >= 1e-4 or device == "mps" else torch.float64,
            device,
        )
        del mask, cluster
        yield 0.05, "percolating cluster"
        x, energy, iterations, error = yield from _minimise_steps(stencil, tolerance)
    d_rel = energy * data.shape[axis] / (data.size / data.shape[axis])
    flow = None
    if flux:
        map_ = _flux(stencil, x).reshape([data.shape[i] for i in order])
        flow = np.ascontiguousarray(np.transpose(map_, np.argsort(order)))
    return Transport(d_rel, fraction / d_rel, fraction, percolating, iterations, error, flow)


@contextmanager
def _threads(voxels: int) -> Iterator[None]:
    """Let torch work on a small volume in one thread; waiting for others would take longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if voxels < THREADS_ABOVE else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def percolating_cluster(
    mask: NDArray[np.bool_], axis: int, *, periodic: bool | Sequence[bool] = False
) -> NDArray[np.bool_]:
    """Return the voxels connected, face to face, with both faces normal to an axis.

    Parameters
    ----------
    mask : ndarray of bool
        Where the phase is; 2D or 3D.
    axis : int
        Axis whose two faces are to be joined.
    periodic : bool or sequence of bool
        Axes across whose sides voxels are neighbours; not that of `axis`.
    """
    around = flags(periodic, mask.ndim)
    labels = label_clusters(mask, [p and i != axis for i, p in enumerate(around)])
    faces = (np.take(labels, end, axis=axis) for end in (0, -1))
    return among(labels, np.intersect1d(*faces))


class Stencil:
    """The diffusion operator on the voxels of a mask, applied without a matrix.

    Parameters
    ----------
    mask : ndarray of bool
        The percolating voxels, 2D or 3D; the concentration is fixed beyond both ends of axis 0.
    weights : sequence of float
        Conductance between neighbours along each axis, 1 along axis 0.
    periodic : sequence of bool
        Axes whose ends are joined.
    dtype, device
        Of the vectors, which are whole volumes; those it is applied to are zero outside the mask.
    """

    def __init__(
        self,
        mask: NDArray[np.bool_],
        weights: Sequence[float],
        periodic: Sequence[bool],
        dtype: torch.dtype,
        device: str,
    ) -> None:
        thin = mask.ndim == 2
        self.weights = (*weights, 1.0) if thin else tuple(weights)
        self.periodic = (*periodic, False) if thin else tuple(periodic)
        solid = np.ascontiguousarray(mask[..., None] if thin else mask)
        self.mask = torch.from_numpy(solid).to(device)
        self.dtype, self.device = dtype, device
        ones = self.mask.to(dtype)
        self.diagonal = torch.zeros_like(ones)
        self._subtract_neighbours(ones, self.diagonal)
        self.diagonal.neg_()
        self.diagonal[0] += 2
        self.diagonal[-1] += 2
        # Zero outside the mask, which keeps whatever the stencil leaves there out of every step.
        self.inverse_diagonal = ones.div_(self.diagonal.clamp_min(1e-30))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``A x``, which is meaningless outside the mask."""
        y = self.diagonal * x
        self._subtract_neighbours(x, y)
        return y

    def energy(self, x: torch.Tensor) -> float:
        """Return the Dirichlet energy of a concentration, in double precision.

        Whatever the rounding of `x`, it is an upper bound of the flux.
        """
        total, before = 0.0, None
        for layer, inside in zip(x.cpu(), self.mask.cpu(), strict=True):
            now, there = layer.double(), inside.double()
            for axis in (1, 2):
                drop = now - now.roll(1, axis - 1)
                joined = there * there.roll(1, axis - 1)
                if not self.periodic[axis]:
                    joined.select(axis - 1, 0).zero_()
                total += self.weights[axis] * float((joined * drop**2).sum())
            if before is None:
                total += 2 * float((there * (1 - now) ** 2).sum())
            else:
                total += float((there * before[1] * (now - before[0]) ** 2).sum())
            before = now, there
        assert before is not None
        return total + 2 * float((before[1] * before[0] ** 2).sum())

    def _subtract_neighbours(self, x: torch.Tensor, y: torch.Tensor) -> None:
        for axis, (weight, around) in enumerate(zip(self.weights, self.periodic, strict=True)):
            n = x.shape[axis]
            y.narrow(axis, 0, n - 1).sub_(x.narrow(axis, 1, n - 1), alpha=weight)
            y.narrow(axis, 1, n - 1).sub_(x.narrow(axis, 0, n - 1), alpha=weight)
            if around:
                y.narrow(axis, 0, 1).sub_(x.narrow(axis, n - 1, 1), alpha=weight)
                y.narrow(axis, n - 1, 1).sub_(x.narrow(axis, 0, 1), alpha=weight)


def _minimise_steps(
    stencil: Stencil, tolerance: float
) -> Generator[Step, None, tuple[torch.Tensor, float, int, float]]:
    """Minimise the Dirichlet energy; return field, energy, iterations and relative error."""
    precondition = Multigrid(stencil)
    done = 0.2
    yield done, "coarse grids"
    n = stencil.mask.shape[0]
    height = (torch.arange(n, device=stencil.device, dtype=stencil.dtype) + 0.5) / n
    x = (1 - height).view(-1, 1, 1) * stencil.mask
    residual = stencil(x).neg_()
    residual[0] += 2 * stencil.mask[0]
    energy = start = stencil.energy(x)
    gains: list[float] = []
    direction, old = torch.zeros_like(x), 0.0
    for iteration in range(MAX_ITERATIONS):
        step = precondition(residual)
        product = _dot(residual, step)
        if product <= 1e-28 * start:
            return x, stencil.energy(x), iteration, 0.0
        direction = step.add_(direction, alpha=product / old) if old else step
        image = stencil(direction)
        length = product / _dot(direction, image)
        x.add_(direction, alpha=length)
        residual.sub_(image, alpha=length)
        del image, step
        old = product
        energy -= length * product
        gains.append(length * product)
        error = sum(gains[-WINDOW:]) / max(energy, 1e-300)
        if len(gains) >= WINDOW and error <= tolerance:
            # Afresh, since the running value has lost digits where the start was far off.
            return x, stencil.energy(x), iteration + 1, error
        # The error falls by about the same factor in every iteration.
        left = math.log(max(error / tolerance, 1)) / math.log(max(1 / tolerance, 2))
        done = max(done, 1 - 0.8 * left)
        yield done, f"{iteration + 1} iterations"
    raise RunError(
        f"Diffusion did not converge in {MAX_ITERATIONS} iterations; raise the tolerance."
    )


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the scalar product, its layers summed in double precision."""
    layers = torch.bmm(a.view(len(a), 1, -1), b.view(len(b), -1, 1))
    return float(layers.cpu().double().sum())


def _flux(stencil: Stencil, x: torch.Tensor) -> NDArray[np.float32]:
    """Return the magnitude of the flux per voxel, 1 in free space."""
    n = x.shape[0]
    square = torch.zeros_like(x)
    for axis, (weight, around) in enumerate(zip(stencil.weights, stencil.periodic, strict=True)):
        mask = stencil.mask.movedim(axis, 0)
        field_ = x.movedim(axis, 0)
        drop = (field_[:-1] - field_[1:]) * (mask[:-1] & mask[1:])
        if axis == 0:
            first, last = 2 * (1 - field_[:1]) * mask[:1], 2 * field_[-1:] * mask[-1:]
        else:
            first = (field_[-1:] - field_[:1]) * (mask[-1:] & mask[:1]) * around
            last = first
        faces = torch.cat((first, drop, last))
        mean = (faces[:-1] + faces[1:]) / 2 * weight**0.5 * n
        square += (mean**2).movedim(0, axis)
    return np.asarray(square.sqrt_().to("cpu", torch.float32))
