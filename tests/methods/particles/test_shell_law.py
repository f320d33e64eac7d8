import numpy as np
import pytest
from scipy import stats

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.distributions import Fitted, fit_families
from napari_microgen.methods.particles.harmonics import icosphere, orders
from napari_microgen.methods.particles.shell import (
    ShellLaw,
    Voxeliser,
    fit_shell,
    is_possible,
    measure_shells,
    radius_function,
    shell_mesh,
    shell_radii,
)
from napari_microgen.sample_particles import true_shells

CUBES = (1.0, 1.0, 1.0)


def ball(radius, centre=(0.0, 0.0, 0.0), voxel_size=CUBES):
    half = [int(np.ceil(radius / s)) + 2 for s in voxel_size]
    grid = np.meshgrid(*[np.arange(-h, h + 1) * s for h, s in zip(half, voxel_size, strict=True)],
                       indexing="ij")  # fmt: skip
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def shell_on_voxels(coefficients, voxel_size=1.0):
    shell = Voxeliser(coefficients, voxel_size)
    return shell.inside([-h for h in shell.half], shell.fitting_shape)


# ---------------------------------------------------------------------- from voxels to shells


@pytest.mark.parametrize("radius", [8, 12.5, 30])
def test_a_ball_has_its_radius_and_nothing_else(radius):
    random = np.random.default_rng(1)
    coefficients, share = fit_shell(ball(radius, random.uniform(-0.5, 0.5, 3)), CUBES, random)
    assert coefficients[0] / np.sqrt(4 * np.pi) == pytest.approx(radius, rel=0.005)
    assert np.abs(coefficients[1:]).max() < 0.5
    assert share == pytest.approx(1, abs=0.01)


def test_flat_voxels_give_the_same_ball():
    sizes = (2.5, 1.0, 1.0)
    coefficients, _ = fit_shell(ball(15, voxel_size=sizes), sizes, np.random.default_rng(0))
    assert coefficients[0] / np.sqrt(4 * np.pi) == pytest.approx(15, rel=0.01)
    assert np.abs(coefficients[1:]).max() < 1.5


def test_rays_stop_where_they_first_leave_the_particle():
    inside = np.zeros((5, 5, 41), bool)
    inside[1:4, 1:4, 1:20] = inside[1:4, 1:4, 30:40] = True
    along_x = np.array([[0.0, 0, 1], [0, 0, -1]])
    radii = radius_function(inside, (2, 2, 10), along_x)
    np.testing.assert_allclose(radii, [9.5, 9.5], atol=0.11)


def test_a_centre_outside_gives_no_radius():
    inside = np.ones((9, 9, 9), bool)
    inside[2:7, 2:7, 2:7] = False
    assert (radius_function(inside, (4, 4, 4), icosphere(1)[0]) == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_round_trip_through_voxels_keeps_shape_and_volume(seed):
    """Voxels to shell to voxels; without the random rotation, so that both can be overlaid."""
    random = np.random.default_rng(seed)
    before = shell_on_voxels(true_shells().sample(random) * 1.3)
    directions, _ = icosphere()
    radii = radius_function(before, np.argwhere(before).mean(0), directions)
    from napari_microgen.methods.particles.shell import _least_squares

    shell = Voxeliser(_least_squares(9) @ radii)
    after = shell.inside(-np.argwhere(before).mean(0), before.shape)
    assert np.sum(before & after) / np.sum(before | after) > 0.975
    assert np.sum(after) == pytest.approx(np.sum(before), rel=0.01)


# ---------------------------------------------------------------------- the law


def test_families_recover_what_values_were_drawn_from():
    random = np.random.default_rng(0)
    drawn = {
        "normal": random.normal(0, 2.0, 4000),
        "t": 0.5 * random.standard_t(3, 4000),
        "log-normal": random.lognormal(1.0, 0.6, 4000),
    }
    best = {
        name: fit_families(values, centred=name != "log-normal")[0]
        for name, values in drawn.items()
    }
    assert {name: fitted.family for name, fitted in best.items()} == {n: n for n in drawn}
    assert best["normal"].parameters == pytest.approx((0, 2.0), abs=0.06)
    assert best["t"].parameters == pytest.approx((3, 0, 0.5), rel=0.15)
    assert best["log-normal"].parameters == pytest.approx((1.0, 0.6), rel=0.04)


def test_likelihoods_are_at_least_those_of_scipys_own_fit():
    values = 1.3 * np.random.default_rng(2).standard_t(2.5, 500)
    ours = {f.family: f for f in fit_families(values, centred=True)}["t"]
    theirs = stats.t.logpdf(values, *stats.t.fit(values, floc=0)).sum()
    assert 4 - 2 * theirs >= ours.aic - 1e-3


def test_equal_particles_are_refused():
    with pytest.raises(InputError, match="do not differ"):
        fit_families(np.full(20, 3.0), centred=False)


def test_a_law_is_recovered_from_its_own_shells():
    truth, random = ShellLaw(true_shells().choices, centred=False), np.random.default_rng(0)
    law = ShellLaw.fit(truth.propose(800, random))
    assert law.choices[0][0].family == "log-normal"
    for n in range(1, 10):
        assert law.choices[n][0].law.std() == pytest.approx(truth.choices[n][0].law.std(), rel=0.15)


def test_generated_shells_are_possible_and_centred():
    law = true_shells()
    shells = np.array([law.sample(np.random.default_rng(i)) for i in range(50)])
    assert is_possible(shells).all()
    assert (shells[:, orders() == 1] == 0).all()
    assert (shells[:, orders() == 2] != 0).all()


def test_rejection_rate_counts_the_impossible_shells():
    small = Fitted("normal", (9.0, 2.0), 0.0)  # the size shrunk, not the roughness
    wild = ShellLaw(([small], *true_shells().choices[1:]))
    rate = wild.rejection_rate(np.random.default_rng(0))
    drawn = wild.propose(2000, np.random.default_rng(0))
    radii = shell_radii(drawn)
    mean = drawn[:, :1] / np.sqrt(4 * np.pi)
    impossible = ((radii < 0.15 * mean) | (radii > 3 * mean)).any(axis=1)
    assert 0.1 < rate < 0.95
    assert rate == pytest.approx(impossible.mean(), abs=1e-9)


# ---------------------------------------------------------------------- surfaces and voxels


def test_mesh_and_voxels_have_one_volume():
    coefficients = true_shells().sample(np.random.default_rng(5)) * 2
    by_mesh = measure_shells(coefficients[None]).volumes[0]
    assert shell_on_voxels(coefficients).sum() == pytest.approx(by_mesh, rel=0.01)


def test_the_mesh_of_a_ball_is_a_ball():
    coefficients = np.zeros(100)
    coefficients[0] = 10 * np.sqrt(4 * np.pi)
    vertices, triangles = shell_mesh(coefficients)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 10)
    assert triangles.max() == len(vertices) - 1
    shape = measure_shells(coefficients[None])
    assert shape.volumes[0] == pytest.approx(4 / 3 * np.pi * 1000, rel=0.005)
    assert shape.sphericities[0] == pytest.approx(1, abs=0.003)


@pytest.mark.parametrize("voxel_size", [0.5, 1.0, 2.0])
def test_any_voxel_size_gives_the_same_particle(voxel_size):
    coefficients = true_shells().sample(np.random.default_rng(6)) * 2
    volume = shell_on_voxels(coefficients, voxel_size).sum() * voxel_size**3
    assert volume == pytest.approx(measure_shells(coefficients[None]).volumes[0], rel=0.02)


def test_blocks_of_a_shell_are_parts_of_the_whole():
    shell = Voxeliser(true_shells().sample(np.random.default_rng(7)))
    start = [-h for h in shell.half]
    whole = shell.inside(start, shell.fitting_shape)
    assert not any(whole.take(face, axis).any() for axis in range(3) for face in (0, -1))
    block = shell.inside([start[0] + 5, start[1] + 3, start[2]], (7, 8, 9))
    np.testing.assert_array_equal(block, whole[5:12, 3:11, :9])
