"""Real spherical harmonics: the basis in which the surface of a star-shaped particle is written.

Directions are unit vectors ``(z, y, x)``; the polar angle is counted from the z axis.
"""

from __future__ import annotations

from functools import cache
from math import factorial, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import lpmv

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORDER = 9
"""Highest order l: (9 + 1)^2 = 100 coefficients, all that a CT's resolution is worth."""


def real_harmonics(directions: NDArray[np.float64], order: int = ORDER) -> NDArray[np.float64]:
    """Evaluate every real spherical harmonic up to an order (paper 004, equation 2).

    Parameters
    ----------
    directions : ndarray, shape (n, 3)
        Unit vectors.
    order : int
        Highest l.

    Returns
    -------
    ndarray, shape (n, (order + 1)^2)
        Orthonormal on the sphere; columns by l, then by m from -l to l (`orders`).
    """
    z, y, x = np.moveaxis(np.asarray(directions, float), -1, 0)
    azimuth = np.arctan2(y, x)
    cosine = np.clip(z, -1, 1)
    columns = []
    for degree in range(order + 1):
        for m in range(-degree, degree + 1):
            k = abs(m)
            norm = sqrt((2 * degree + 1) / (4 * pi) * factorial(degree - k) / factorial(degree + k))
            # scipy's Legendre functions carry the sign (-1)^m, which the paper's do not.
            legendre = (-1) ** k * lpmv(k, degree, cosine)
            turn = np.sin(k * azimuth) if m < 0 else np.cos(k * azimuth)
            columns.append(norm * (sqrt(2) if k else 1.0) * legendre * turn)
    return np.stack(columns, axis=-1)


def orders(order: int = ORDER) -> NDArray[np.int64]:
    """Return the order l of every column of `real_harmonics`."""
    return np.repeat(np.arange(order + 1), 2 * np.arange(order + 1) + 1)


@cache
def icosphere(subdivisions: int = 3) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return nearly equidistant points on the unit sphere, and the triangles between them.

    An icosahedron whose triangles are cut into four, `subdivisions` times: 642 points after
    three (paper 004, section 2.1), 10 * 4^n + 2 after n.

    Returns
    -------
    points : ndarray, shape (n, 3)
    triangles : ndarray of int, shape (m, 3)
        Indices of points, counter-clockwise seen from outside in the frame ``(x, y, z)``.
    """
    golden = (1 + sqrt(5)) / 2
    corners = [
        (a * one, b * golden, 0.0) for one in (1.0,) for a in (-1, 1) for b in (-1, 1)
    ]  # fmt: skip
    points = np.array([np.roll(c, shift) for shift in range(3) for c in corners])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    from scipy.spatial import ConvexHull

    triangles = _outwards(points, ConvexHull(points).simplices.astype(np.int64))
    for _ in range(subdivisions):
        points, triangles = _divided(points, triangles)
    points.flags.writeable = triangles.flags.writeable = False
    return points, triangles


def _outwards(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give every triangle the orientation whose normal points away from the centre."""
    a, b, c = (points[triangles[:, i]][:, ::-1] for i in range(3))  # in the frame (x, y, z)
    inwards = np.sum(np.cross(b - a, c - a) * a, axis=1) < 0
    triangles[inwards] = triangles[inwards][:, ::-1]
    return triangles


def _divided(
    points: NDArray[np.float64], triangles: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cut every triangle into four, with the new points on the sphere."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, which = np.unique(edges, axis=0, return_inverse=True)
    middle = points[unique].sum(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    a, b, c = triangles.T
    ab, bc, ca = (which.reshape(-1, 3) + len(points)).T
    parts = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    return np.concatenate([points, middle]), np.concatenate([np.stack(p, 1) for p in parts])


def random_rotation(random: np.random.Generator) -> NDArray[np.float64]:
    """Return a rotation matrix, all rotations being equally likely."""
    from scipy.spatial.transform import Rotation

    matrix: NDArray[np.float64] = Rotation.from_quat(random.normal(size=4)).as_matrix()
    return matrix


def roughness_spectrum(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much every order adds to the surface, relative to the size.

    Parameters
    ----------
    coefficients : ndarray, shape (..., (order + 1)^2)

    Returns
    -------
    ndarray, shape (..., order)
        Root of the summed squares of the coefficients of l = 1, 2, ... over a_00; no rotation of
        the particle changes it.
    """
    highest = round(sqrt(coefficients.shape[-1])) - 1
    of = orders(highest)
    squares = [np.sum(coefficients[..., of == n] ** 2, axis=-1) for n in range(1, highest + 1)]
    return np.asarray(np.sqrt(np.stack(squares, axis=-1)) / coefficients[..., :1])
