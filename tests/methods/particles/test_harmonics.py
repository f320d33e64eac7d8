import numpy as np
import pytest

from napari_microgen.methods.particles.harmonics import (
    icosphere,
    orders,
    random_rotation,
    real_harmonics,
    roughness_spectrum,
)


def sphere_quadrature(n=24):
    """Points and weights that integrate polynomials up to degree 2 n - 1 over the sphere."""
    cosine, weights = np.polynomial.legendre.leggauss(n)
    azimuth = np.arange(2 * n) * np.pi / n
    polar, turn = np.meshgrid(np.arccos(cosine), azimuth, indexing="ij")
    z, y, x = np.cos(polar), np.sin(polar) * np.sin(turn), np.sin(polar) * np.cos(turn)
    return np.stack([z, y, x], -1).reshape(-1, 3), np.repeat(weights, 2 * n) * np.pi / n


def test_harmonics_are_orthonormal_on_the_sphere():
    directions, weights = sphere_quadrature()
    basis = real_harmonics(directions)
    assert basis.shape[1] == 100
    np.testing.assert_allclose(basis.T @ (weights[:, None] * basis), np.eye(100), atol=1e-12)


def test_low_orders_are_the_textbook_polynomials():
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    z, y, x = directions.T
    expected = np.stack([np.full(50, 0.5), *np.sqrt(3) / 2 * np.array([y, z, x])], 1)
    np.testing.assert_allclose(real_harmonics(directions, 1), expected / np.sqrt(np.pi), atol=1e-12)
    xy = 0.5 * np.sqrt(15 / np.pi) * x * y  # l = 2, m = -2
    np.testing.assert_allclose(real_harmonics(directions, 2)[:, 4], xy, atol=1e-12)


def test_icosphere_has_642_points_that_lie_nearly_evenly():
    points, triangles = icosphere()
    assert points.shape == (642, 3)
    assert triangles.shape == (1280, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
    edges = np.linalg.norm(points[triangles[:, 0]] - points[triangles[:, 1]], axis=1)
    assert edges.max() / edges.min() < 1.3
    assert np.linalg.cond(real_harmonics(points)) < 1.1


def test_icosphere_is_closed_and_faces_outwards():
    points, triangles = icosphere(2)
    a, b, c = (points[triangles[:, i]][:, ::-1] for i in range(3))
    assert np.sum(np.cross(b - a, c - a) * a, axis=1).min() > 0
    directed = np.concatenate([triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    assert len(np.unique(directed, axis=0)) == len(directed)  # each edge once in each direction
    assert set(map(tuple, directed)) == set(map(tuple, directed[:, ::-1]))


def test_rotating_a_surface_keeps_the_roughness_of_every_order():
    random = np.random.default_rng(3)
    points, _ = icosphere()
    basis = real_harmonics(points)
    coefficients = random.normal(size=100) / (1 + orders())
    coefficients[0] = 30
    rotated = real_harmonics(points @ random_rotation(random).T) @ coefficients
    again = np.linalg.lstsq(basis, rotated, rcond=None)[0]
    assert not np.allclose(again, coefficients, atol=0.1)
    np.testing.assert_allclose(
        roughness_spectrum(again), roughness_spectrum(coefficients), rtol=1e-9
    )


def test_rotations_are_proper_and_differ():
    random = np.random.default_rng(0)
    first, second = random_rotation(random), random_rotation(random)
    np.testing.assert_allclose(first @ first.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(first) == pytest.approx(1)
    assert not np.allclose(first, second)
