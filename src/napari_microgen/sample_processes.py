"""Random processes in 3D that look like real materials, evaluated wherever they are asked for.

A section is a plane through the process, computed without the rest of the volume, so section and
volume have the same statistics by construction. All processes are periodic in a box at least
`SMALLEST_BOX` long, from which smaller volumes and sections are cut.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

SMALLEST_BOX = 64
"""Shortest period of a process, in voxels."""

ELECTRODE_FRACTIONS = (0.40, 0.45, 0.15)
"""Volume fractions of pore, particle and binder in `electrode`."""

FIBRE_FRACTIONS = (0.5, 0.5)
"""Volume fractions of matrix and fibre in `fibres`."""

COARSENESS = 4
"""Voxels of `cathode` along an edge of one of `coarse_cathode`."""

POLYCRYSTAL_FRACTIONS = (0.65, 0.35)
"""Volume fractions of ferrite and martensite in `polycrystal`."""

SPHERES_FRACTIONS = (0.46, 0.44, 0.10)
"""Volume fractions of pore, particle and binder in `spheres`."""

SPHERES_DENSITY = 0.45
"""Density of their packing, before levels are chosen. Where it is much above the fraction of
particles, they are drawn smaller than they were packed, and contacts are few and left to chance."""


def electrode(shape: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
    """Make a battery electrode: rounded polydisperse particles held by a thin, patchy binder.

    Particles are slightly flattened and rough, about 11 voxels wide, and mostly touch; the
    binder wets them and gathers in the necks between them. The process is isotropic, and the
    declared volume fractions are met by choosing both levels on the image that is made.

    Parameters
    ----------
    shape : sequence of int
        Voxels along z, y, x; two numbers, or a 1 among three, give a section.
    seed : int
        Same shape and seed give the same array.

    Returns
    -------
    ndarray of uint8
        0 pore, 1 particle, 2 binder, of the given shape.

    Raises
    ------
    InputError
        If the shape is not two or three positive numbers.
    """
    return _electrode(_full_shape(shape), seed)[0].reshape(shape)


def cathode(shape: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
    """Make a battery cathode: the material of `electrode` with particles twice as large.

    Parameters
    ----------
    shape, seed
        As for `electrode`.

    Returns
    -------
    ndarray of uint8
        0 pore, 1 particle, 2 binder, of the given shape.

    Raises
    ------
    InputError
        If the shape is not two or three positive numbers.
    """
    return _cathode(_full_shape(shape), seed).reshape(shape).copy()


@lru_cache(maxsize=1)  # the coarse volume is made from the fine one
def _cathode(shape: _Box, seed: int) -> NDArray[np.uint8]:
    return _electrode(shape, seed, 2.0)[0]


def coarse_cathode(shape: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
    """Image the material of `cathode` by X-rays: four times as coarse, and blind for the binder.

    Binder is merged with pore, then the volume is blurred, taken at every fourth voxel and cut
    at one half, as in paper 001 (figure 12).

    Parameters
    ----------
    shape : sequence of int
        Coarse voxels along z, y, x: a quarter of those of the `cathode` of the same seed.
    seed : int

    Returns
    -------
    ndarray of uint8
        0 pore (or binder), 1 particle, of the given shape.

    Raises
    ------
    InputError
        If the shape is not three positive numbers.
    """
    from napari_microgen.methods.superres.degradation import coarsened

    if len(shape) != 3 or any(n < 1 for n in shape):
        raise InputError(f"The shape {tuple(shape)} must be three positive numbers.")
    fine = cathode([COARSENESS * n for n in shape], seed)
    return coarsened(fine == 1, COARSENESS).astype(np.uint8)


def electrode_sem(shape: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
    """Image the material of `electrode` (same shape and seed) as a microscope would.

    Every phase has its grey level, shaded smoothly; particles differ in brightness and glow at
    their edges; blur and shot noise follow.

    Parameters
    ----------
    shape, seed
        As for `electrode`.

    Returns
    -------
    ndarray of uint8
        Grey values, of the given shape.

    Raises
    ------
    InputError
        If the shape is not two or three positive numbers.
    """
    from scipy.ndimage import gaussian_filter

    full = _full_shape(shape)
    labels, depth, owner = _electrode(full, seed)
    rng = np.random.default_rng([seed, 1])
    box = _box(full)
    brightness = 11 * rng.standard_normal(owner.max() + 1, dtype=np.float32)
    levels = (
        46 + 10 * _field(box, full, 8, rng),
        188 + 6 * _field(box, full, 6, rng) + brightness[owner] + 22 * np.exp(-depth.clip(0)),
        112 + 8 * _field(box, full, 6, rng),
    )
    signal = gaussian_filter(np.choose(labels, levels), 0.7, mode="nearest").clip(5)
    noisy = signal + 0.45 * np.sqrt(signal) * rng.standard_normal(full, dtype=np.float32)
    grey: NDArray[np.uint8] = noisy.clip(0, 255).round().astype(np.uint8)
    return grey.reshape(shape)


def fibres(shape: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
    """Make a composite of endless, slightly wavy fibres along x in a matrix.

    Fibres are about 10 voxels thick and packed at random, with matrix-rich gaps; a smooth
    displacement of the z-y plane, changing slowly along x, bends neighbours together. Across
    the fibres the process is isotropic.

    Parameters
    ----------
    shape, seed
        As for `electrode`; a section normal to an axis has a 1 there, as in ``(256, 1, 256)``,
        and two numbers give the section normal to z.

    Returns
    -------
    ndarray of uint8
        0 matrix, 1 fibre, of the given shape.

    Raises
    ------
    InputError
        If the shape is not two or three positive numbers.
    """
    from scipy.ndimage import map_coordinates

    full = _full_shape(shape)
    box = _box(full)
    rng = np.random.default_rng(seed)
    centres, radii = _knock_out(*_pack(box[:2], 6, 0.06, 0.76, rng), box[:2], 0.08, 5, rng)
    flat = np.pad(centres, ((0, 0), (0, 1)))
    discs = np.zeros((len(radii), 3, 3))
    discs[:, 0, 0] = discs[:, 1, 1] = radii**-2.0
    plane = (*box[:2], 1)
    distance = _draw(plane, plane, flat, radii, discs, reach=24.0).distance[..., 0]

    distance -= np.quantile(distance, FIBRE_FRACTIONS[1])
    z, y, _ = np.ogrid[tuple(map(slice, full))]
    waves = [3.0 * _field(box, full, (24, 24, 32), rng) for _ in "zy"]
    depth = map_coordinates(distance, [z + waves[0], y + waves[1]], order=1, mode="grid-wrap")
    labels: NDArray[np.uint8] = (depth < 0).astype(np.uint8)
    return labels.reshape(shape)


def polycrystal(shape: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
    """Make a dual-phase polycrystal: space-filling grains, the smaller ones hard, in clusters.

    Grains are the cells of an ellipsoidal, additively weighted Voronoi tessellation of packed
    seeds, about 13 voxels wide. Whole grains become the second phase, in the order of a score
    that is high in random regions and for small grains, until its fraction is reached.

    Parameters
    ----------
    shape, seed
        As for `electrode`.

    Returns
    -------
    ndarray of uint8
        1 ferrite, 2 martensite, of the given shape.

    Raises
    ------
    InputError
        If the shape is not two or three positive numbers.
    """
    full = _full_shape(shape)
    box = _box(full)
    rng = np.random.default_rng(seed)
    centres, radii = _pack(box, 5.5, 0.28, 0.6, rng)
    forms = _ellipsoids(radii, 0.15, rng)
    grain = _draw(full, box, centres, radii, forms, reach=14.0).owner

    score = _field_at(centres, box, 8, rng) + rng.standard_normal(len(radii))
    score -= 2 * np.log(radii / radii.mean())
    size = np.bincount(grain.ravel(), minlength=len(radii))
    order = np.argsort(-score)
    hard = np.zeros(len(radii), bool)
    hard[order[size[order].cumsum() <= POLYCRYSTAL_FRACTIONS[1] * grain.size]] = True
    return (1 + hard[grain]).astype(np.uint8).reshape(shape)


def spheres(shape: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
    """Make an electrode of round particles that hardly overlap, with a thin binder at contacts.

    Balls of lognormal radii, about 13 voxels wide, touch their neighbours in small spots, so
    that a section shows mostly separate discs while nearly all of the particles hang together
    in 3D. The binder gathers where two are close. The process is isotropic, and the declared
    volume fractions are met by choosing both levels on the image that is made.

    Parameters
    ----------
    shape, seed
        As for `electrode`.

    Returns
    -------
    ndarray of uint8
        0 pore, 1 particle, 2 binder, of the given shape.

    Raises
    ------
    InputError
        If the shape is not two or three positive numbers.
    """
    full = _full_shape(shape)
    box = _box(full)
    rng = np.random.default_rng(seed)
    centres, radii = _pack(box, 6.5, 0.3, SPHERES_DENSITY, rng, exact=True)
    forms = np.eye(3) * (radii**-2.0)[:, None, None]
    drawn = _draw(full, box, centres, radii, forms, reach=8.0, width=1.2)
    pore, particle, _ = SPHERES_FRACTIONS
    solid = drawn.distance < np.quantile(drawn.distance, particle)
    wetting = drawn.closeness + 0.5 * _field(box, full, 5, rng)
    binder = wetting > np.quantile(wetting[~solid], pore / (1 - particle))
    return np.where(solid, 1, np.where(binder, 2, 0)).astype(np.uint8).reshape(shape)


# ---------------------------------------------------------------------- what they share

_Box = tuple[int, int, int]


def _full_shape(shape: Sequence[int]) -> _Box:
    """Return `shape` with the leading 1 of a section, or raise `InputError`."""
    if len(shape) not in (2, 3) or any(n < 1 for n in shape):
        raise InputError(f"The shape {tuple(shape)} must be two or three positive numbers.")
    z, y, x = (1,) * (3 - len(shape)) + tuple(int(n) for n in shape)
    return z, y, x


def _box(shape: _Box) -> _Box:
    """Return the period of the process along every axis."""
    z, y, x = (max(n, SMALLEST_BOX) for n in shape)
    return z, y, x


def _electrode(
    shape: _Box, seed: int, size: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
    """Return the labels, the depth below a particle's surface, and the nearest particle."""
    rng = np.random.default_rng(seed)
    box = _box(shape)
    centres, radii = _knock_out(*_pack(box, 5.5 * size, 0.35, 0.56, rng), box, 0.1, 8 * size, rng)
    forms = _ellipsoids(radii, 0.2, rng)
    drawn = _draw(shape, box, centres, radii, forms, reach=8.0 * size, width=1.2 * size)
    distance = drawn.distance + 0.8 * size * _field(box, shape, 3 * size, rng)
    pore, particle, _ = ELECTRODE_FRACTIONS
    surface = np.quantile(distance, particle)
    solid = distance < surface
    wetting = drawn.closeness + 0.8 * size * _field(box, shape, 5 * size, rng)
    binder = wetting > np.quantile(wetting[~solid], pore / (1 - particle))
    labels = np.where(solid, 1, np.where(binder, 2, 0)).astype(np.uint8)
    return labels, (surface - distance).astype(np.float32), drawn.owner


def _pack(
    box: Sequence[int],
    radius: float,
    spread: float,
    density: float,
    rng: Generator,
    exact: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pack discs or balls of lognormal radii into a periodic box, hardly overlapping.

    Overlapping neighbours are pushed apart, the smaller one farther, 48 times.

    Parameters
    ----------
    box : sequence of int
        Period along each axis, two or three.
    radius, spread : float
        Median radius in voxels, and standard deviation of its logarithm.
    density : float
        Sum of the balls' volumes over the volume of the box, in the mean.
    rng : Generator
    exact : bool
        Scale the radii, so that the density is met by every packing.

    Returns
    -------
    centres : ndarray, shape (n, ndim)
    radii : ndarray, shape (n,)
    """
    period, ndim = np.array(box, float), len(box)
    unit_ball = np.pi if ndim == 2 else 4 / 3 * np.pi
    mean_volume = unit_ball * radius**ndim * np.exp((ndim * spread) ** 2 / 2)
    count = round(density * period.prod() / mean_volume)
    radii = radius * np.exp(spread * rng.standard_normal(count).clip(-2.2, 2.2))
    if exact:
        volume = unit_ball * (radii**ndim).sum()
        radii *= (density * period.prod() / volume) ** (1 / ndim)
    centres = rng.uniform(0, period, (count, ndim))
    for step in range(48):
        if step % 8 == 0:
            first, second = _neighbours(centres, radii, period, margin=radius / 2)
        apart, distance = _separation(centres, first, second, period)
        contact = radii[first] + radii[second]
        move = apart * (0.45 * (contact - distance).clip(0) / distance)[:, None]
        share = (radii[second] / contact)[:, None]
        for axis in range(ndim):
            forth = np.bincount(second, (move * (1 - share))[:, axis], count)
            back = np.bincount(first, (move * share)[:, axis], count)
            centres[:, axis] += forth - back
        centres %= period
        centres[centres >= period] = 0  # rounding of tiny negatives
    return centres, radii


def _neighbours(
    centres: NDArray[np.float64], radii: NDArray[np.float64], period: NDArray[Any], margin: float
) -> NDArray[np.intp]:
    """Return the pairs of balls less than `margin` apart, shape ``(2, pairs)``."""
    from scipy.spatial import cKDTree

    reach = 2 * radii.max() + margin
    first, second = cKDTree(centres, boxsize=period).query_pairs(reach, output_type="ndarray").T
    _, distance = _separation(centres, first, second, period)
    near = distance < radii[first] + radii[second] + margin
    return np.stack([first[near], second[near]])


def _separation(
    centres: NDArray[np.float64],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    period: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return vector and distance from the first to the second of pairs in a periodic box."""
    apart = centres[second] - centres[first]
    apart -= period * np.round(apart / period)
    return apart, np.sqrt((apart**2).sum(axis=1)) + 1e-9


def _knock_out(
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    box: Sequence[int],
    share: float,
    length: float,
    rng: Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take a share of the balls out again, in groups of about `length`: larger gaps remain."""
    score = _field_at(centres, box, length, rng) + 0.5 * rng.standard_normal(len(radii))
    kept = score < np.quantile(score, 1 - share)
    return centres[kept], radii[kept]


def _ellipsoids(radii: NDArray[np.float64], spread: float, rng: Generator) -> NDArray[np.float64]:
    """Return quadratic forms of randomly turned ellipsoids with the volumes of balls."""
    from scipy.spatial.transform import Rotation

    stretch = np.exp(spread * rng.standard_normal((len(radii), 3)))
    axes = radii[:, None] * stretch / stretch.prod(axis=1, keepdims=True) ** (1 / 3)
    turn = Rotation.from_quat(rng.standard_normal((len(radii), 4))).as_matrix()
    forms: NDArray[np.float64] = np.einsum("nij,nj,nkj->nik", turn, axes**-2.0, turn)
    return forms


@dataclass(frozen=True)
class _Drawn:
    """Per voxel: distance to the nearest surface, whose it is, and closeness to all of them."""

    distance: NDArray[np.float32]
    owner: NDArray[np.int32]
    closeness: NDArray[np.float32]


def _draw(
    shape: Sequence[int],
    box: Sequence[int],
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    forms: NDArray[np.float64],
    reach: float,
    width: float = 1.0,
) -> _Drawn:
    """Draw periodic ellipsoids into the window of `shape` at the origin of `box`.

    The distance to an ellipsoid ``x' F x = 1`` is taken as ``(sqrt(x' F x) - 1) R``. Closeness
    is ``w log(sum(exp(-distance / w)))``, which is large in the necks between neighbours.

    Parameters
    ----------
    shape, box : sequence of int
        Voxels of the window and period of the process along z, y, x.
    centres, radii, forms : ndarray
        Shapes ``(n, 3)``, ``(n,)`` and ``(n, 3, 3)``.
    reach : float
        How far from its surface an ellipsoid matters, in voxels.
    width : float
        The w of the closeness, in voxels.
    """
    distance = np.full(shape, np.inf, np.float32)
    owner = np.zeros(shape, np.int32)
    total = np.zeros(shape, np.float32)
    window = np.array(shape)
    half = radii[:, None] + reach
    for copy in itertools.product((-1, 0, 1), repeat=3):
        moved = centres + np.array(copy) * box
        lows = np.ceil(moved - half).clip(0).astype(int)
        highs = np.minimum(np.floor(moved + half) + 1, window).astype(int)
        for i in np.flatnonzero((lows < highs).all(axis=1)):
            view = tuple(map(slice, lows[i], highs[i]))
            here = _scaled_radius(lows[i], highs[i], moved[i], forms[i])
            here -= 1
            here *= np.float32(radii[i])
            owner[view][here < distance[view]] = i
            np.minimum(distance[view], here, out=distance[view])
            total[view] += np.exp(here / np.float32(-width))
    return _Drawn(distance, owner, np.float32(width) * np.log(total + np.float32(1e-6)))


def _scaled_radius(
    low: NDArray[np.int_], high: NDArray[np.int_], centre: NDArray[Any], form: NDArray[Any]
) -> NDArray[np.float32]:
    """Return ``sqrt(x' F x)`` on the grid from `low` to `high`, as a polynomial in x."""
    f = form.astype(np.float32)
    z, y, x = (
        np.arange(a, b, dtype=np.float32) - np.float32(c)
        for a, b, c in zip(low, high, centre, strict=True)
    )
    z = z[:, None]
    value: NDArray[np.float32] = f[2, 2] * x + (2 * (f[0, 2] * z + f[1, 2] * y))[..., None]
    value *= x
    value += (f[0, 0] * z * z + 2 * f[0, 1] * z * y + f[1, 1] * y * y)[..., None]
    return np.sqrt(value.clip(0, out=value), out=value)


def _field(
    box: Sequence[int], shape: Sequence[int], length: float | Sequence[float], rng: Generator
) -> NDArray[np.float32]:
    """Evaluate a smooth periodic Gaussian field of variance 1 in the window of `shape`.

    White noise on a lattice of about the spacing `length` is spread by Gaussian kernels, so
    that the correlation at lag r is ``exp(-r^2 / (4 length^2))``, whatever the window.
    """
    lengths = np.broadcast_to(length, len(box))
    counts = [max(1, round(n / s)) for n, s in zip(box, lengths, strict=True)]
    field = rng.standard_normal(counts, dtype=np.float32)
    for axis, size in enumerate(shape):
        kernel = _kernel(np.arange(size), box[axis], counts[axis], lengths[axis])
        field = np.moveaxis(np.tensordot(kernel, field, (1, axis)), 0, axis)
    return field


def _kernel(positions: NDArray[Any], period: int, count: int, length: float) -> NDArray[np.float32]:
    """Return the weights of `count` lattice points at `positions`, shape (positions, count)."""
    lag = positions[:, None] - np.arange(count) * (period / count)
    lag -= period * np.round(lag / period)
    weights = np.exp(-((lag / length) ** 2) / 2)
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return np.asarray(weights, np.float32)


def _field_at(
    points: NDArray[np.float64], box: Sequence[int], length: float, rng: Generator
) -> NDArray[np.float32]:
    """Evaluate such a field at scattered points, shape ``(n, ndim)``.

    The field is made on a grid of half its length, and interpolated.
    """
    from scipy.ndimage import map_coordinates

    step = length / 2
    coarse = [max(1, round(n / step)) for n in box]
    field = _field(coarse, coarse, 2, rng)
    values: NDArray[np.float32] = map_coordinates(
        field, (points * coarse / np.array(box)).T, order=1, mode="grid-wrap"
    )
    return values
