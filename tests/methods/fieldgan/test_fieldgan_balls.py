from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from napari_microgen.methods.excursion.fields import white_noise
from napari_microgen.methods.fieldgan import balls, networks
from napari_microgen.methods.fieldgan.balls import CORE, STREAM, ball_fields, ball_radii, reaches
from napari_microgen.phases import PhaseImage

sides = st.integers(1, 30)
places = st.integers(-60, 60)
ENDLESS = (0, 0, 0)


def depths(first, shape, seed=0, periods=ENDLESS):
    """Return logits of two phases that depend on the place alone: noise, so no two are alike."""
    return white_noise(shape, first, periods, 2, 2**50 + seed)


def fields(radii, start, shape, seed, periods=ENDLESS, stretch=1.0):
    """Place balls in a block, by logits that reach as far around it as they must."""
    around = reaches(radii, stretch)
    first = [a - m for a, m in zip(start, around, strict=True)]
    wide = [n + 2 * m for n, m in zip(shape, around, strict=True)]
    logits = depths(first, wide, seed, periods)
    return ball_fields(radii, logits, first, start, shape, seed, periods, stretch)


def placed(radius, shape, stretch=1.0, start=(0, 0, 0), seed=5):
    """Return the balls of phase 0 that a block hears of."""
    around = reaches((radius,), stretch)
    first = [a - m for a, m in zip(start, around, strict=True)]
    depth = depths(first, [n + 2 * m for n, m in zip(shape, around, strict=True)], seed)[0].numpy()
    return balls._balls(
        radius, depth, first, start, shape, seed + STREAM, ENDLESS, stretch
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(start=st.tuples(*3 * (places,)), shape=st.tuples(*3 * (sides,)))
def test_any_block_of_a_repeating_volume_is_cut_out_of_it(start, shape):
    periods, origin = (32, 27, 40), (3, 0, -5)
    logits = depths(origin, periods, 3, periods)
    whole = ball_fields((4.0, 0.0), logits, origin, origin, periods, 3, periods)
    block = fields((4.0, 0.0), start, shape, 3, periods)
    assert len(whole) == len(block) == 2
    around = [
        (np.arange(s, s + n) - o) % p
        for s, n, o, p in zip(start, shape, origin, periods, strict=True)
    ]
    for values, part in zip(whole, block, strict=True):
        np.testing.assert_array_equal(values.numpy()[np.ix_(*around)], part)


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0])
def test_blocks_of_an_endless_volume_agree(stretch):
    first = fields((3.0, 5.0), (0, 0, 0), (40, 30, 30), 1, stretch=stretch)
    second = fields((3.0, 5.0), (-7, 5, 3), (40, 30, 30), 1, stretch=stretch)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a[:33, 5:, 3:], b[7:, :25, :27])


def test_centres_keep_their_distance_and_are_as_dense_as_they_should():
    radius, box = 3.0, np.array((80, 80, 80))
    centres, _ = placed(radius, box)
    inside = centres[((centres >= 0) & (centres < box)).all(1)]
    core = CORE * radius
    assert pdist(inside).min() > core
    # Matérn: of candidates of density c, (1 - exp(-c V)) / V stay, V being the core's volume.
    volume = 4 / 3 * np.pi * core**3
    wanted = (1 - np.exp(-balls.CROWDING)) / volume * box.prod()
    assert len(inside) == pytest.approx(wanted, rel=0.06)


def test_balls_lie_where_their_phase_is_deepest():
    radius, shape = 3.0, (60, 60, 60)
    place = np.indices(shape)
    # One bump every 20 voxels, farther apart than the core: a ball near the top of each.
    logits = torch.from_numpy(np.cos(2 * np.pi * place / 20).sum(0).astype(np.float32))[None]
    centres, _ = balls._balls(
        radius, logits[0].numpy(), (0, 0, 0), (0, 0, 0), shape, STREAM, shape, 1.0
    )
    at_tops = np.linalg.norm(centres - 20 * np.round(centres / 20), axis=1) < 0.75 * CORE * radius
    tops = {tuple(c) for c in np.round(centres[at_tops] / 20).astype(int)}
    assert all((z, y, x) in tops for z in range(3) for y in range(3) for x in range(3))
    assert logits[0].numpy()[tuple((centres % 60).T)].mean() > 1


def test_distances_are_those_to_the_two_nearest_surfaces():
    radius, shape = 4.0, (12, 14, 16)
    centres, radii = placed(radius, shape, 2.0, (5, 5, 5), 2)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) + 5
    apart = (grid[..., None, :] - centres) / (2.0, 1, 1)
    distances = np.sort(np.linalg.norm(apart, axis=-1) - radii, -1)[..., :2]
    distances = np.minimum(distances, balls.FAR * radius)
    nearest, farther = fields((radius,), (5, 5, 5), shape, 2, stretch=2.0)
    np.testing.assert_allclose(nearest, 2 * distances[..., 0] / radius, atol=1e-5)
    np.testing.assert_allclose(farther, 2 * np.diff(distances)[..., 0] / radius - 1, atol=1e-5)


def test_nothing_farther_than_the_reach_is_heard_of():
    radius = 4.0
    centres, radii = placed(radius, (1, 1, 1))
    near = np.linalg.norm(centres, axis=1) - radii < balls.FAR * radius
    assert near.any() and (abs(centres[near]) <= reaches((radius,))).all()


def test_balls_are_as_large_as_the_phases_that_are_thick_enough():
    stripes = np.tile(np.repeat([0, 1, 2], [12, 2, 6]), (100, 40))
    image = PhaseImage.from_labels(stripes)
    # Mean chords along x are 12, 2 and 6; ends of the image fall between two phases.
    np.testing.assert_allclose(ball_radii([image]), balls.RADIUS * np.array([12, 0, 6]), rtol=0.06)
    assert ball_radii([PhaseImage.from_labels(np.kron(np.eye(2, dtype=int), np.ones((40, 40))))
                       ]) == (0, 0)  # fmt: skip


def test_a_phase_absent_from_one_of_two_images_is_as_thick_as_in_the_other():
    both = PhaseImage.from_labels(np.tile(np.repeat([0, 1], [12, 6]), (100, 40)))
    images = [both, replace(both, data=np.zeros_like(both.data))]
    np.testing.assert_allclose(ball_radii(images)[-1], balls.RADIUS * 6, rtol=0.02)


@settings(max_examples=15, deadline=None)
@given(period=st.integers(1, 14), shift=st.integers(-20, 20), seed=st.integers(0, 2**62))
def test_periods_shorter_than_the_core_have_balls_too(period, shift, seed):
    periods, moved = (period, 40, 40), (shift, 5, -3)
    whole, other = (
        ball_fields((8.0,), depths(at, periods, 1, periods), at, at, periods, seed, periods)[0]
        for at in ((0, 0, 0), moved)
    )
    np.testing.assert_array_equal(np.roll(whole, (-shift, -5, 3), (0, 1, 2)), other)


def test_a_ball_is_no_rival_of_its_own_copies():
    periods, origin = (9, 40, 40), (0, 0, 0)
    depth = depths(origin, periods, 0, periods)[0].numpy()
    found = [
        balls._balls(8.0, depth, origin, origin, periods, seed, periods, 1.0)[0]
        for seed in range(4)
    ]
    assert all(len(centres) > 3 for centres in found)


@pytest.mark.parametrize(
    "radii", [(np.nan, 0, 0), (0, np.inf, 0), (-3.0, 0, 0), (0, 0, 1e-9), (1e9, 0, 0), (5.0, 5.0)]
)
def test_networks_with_impossible_balls_are_refused(radii):
    with pytest.raises(ValueError, match="radii"):
        networks.rebuild_network([1.0, 3.0, 0.0, *radii])


@pytest.mark.parametrize("description", [(-1.0, 3.0, 0.0), (1.0, 3.0, -1.0), (9.0, 3.0, 0.0)])
def test_kinds_and_symmetries_that_there_are_not_are_refused(description):
    with pytest.raises(IndexError):
        networks.rebuild_network(description)
