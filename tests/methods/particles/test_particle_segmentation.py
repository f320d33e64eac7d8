import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.segmentation import (
    drop_border,
    fill_pores,
    merge_pieces,
    segment_particles,
)
from napari_microgen.metrics.particles import measure_particles


def balls(shape, places):
    """Number balls (z, y, x, radius); earlier ones lie on top."""
    numbers = np.zeros(shape, np.int32)
    z, y, x = np.indices(shape)
    for number, (cz, cy, cx, radius) in reversed(list(enumerate(places, 1))):
        numbers[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return numbers


@pytest.fixture(scope="module")
def scan():
    """A CT of two touching balls, one alone, one cut off by the border, and a speck."""
    truth = balls(
        (48, 64, 64), [(24, 20, 20, 10), (24, 20, 39, 10), (24, 48, 30, 9), (24, 60, 60, 9)]
    )
    random = np.random.default_rng(0)
    grey = np.where(truth > 0, 160.0, 60.0) + random.normal(0, 20, truth.shape)
    return truth, segment_particles(grey)


def test_touching_particles_are_parted_and_cut_ones_dropped(scan):
    truth, steps = scan
    assert steps.particles.max() == 3
    for number in (1, 2, 3):
        found = np.bincount(steps.particles[truth == number]).argmax()
        there, true = steps.particles == found, truth == number
        assert np.sum(there & true) / np.sum(there | true) > 0.85


def test_every_step_is_there_to_be_looked_at(scan):
    truth, steps = scan
    assert steps.smoothed[truth > 0].min() > steps.smoothed[truth == 0].mean()
    assert 80 < steps.threshold < 140
    np.testing.assert_array_equal(steps.bright, steps.smoothed > steps.threshold)
    assert (steps.filled | ~steps.bright).all()
    np.testing.assert_array_equal(steps.basins > 0, steps.filled)
    np.testing.assert_array_equal(steps.pieces > 0, steps.filled)
    assert steps.merged.max() >= steps.particles.max()


def test_a_sliver_goes_to_the_neighbour_it_shares_most_with():
    pieces = balls((24, 24, 40), [(12, 12, 11, 8), (12, 12, 28, 8)])
    pieces[2:22, 2:22, 20] = 3  # a wall that cuts into the second ball and touches the first
    pieces[4, 4, 4] = 4  # alone
    merged = merge_pieces(pieces)
    assert set(np.unique(merged)) == {0, 1, 2}
    assert (merged[pieces == 3] == 2).all()
    assert merged[4, 4, 4] == 0


def merged_one_by_one(pieces, smallest, least_sphericity):
    """Merge as `merge_pieces` does, all faces counted anew for every piece."""
    measured = measure_particles(pieces)
    odd = (measured.volumes < smallest) | (measured.sphericities < least_sphericity)
    order = np.argsort(measured.volumes)
    counts = Counter()
    for axis in range(3):
        a, b = np.delete(pieces, -1, axis).ravel(), np.delete(pieces, 0, axis).ravel()
        counts.update(tuple(sorted(pair)) for pair in zip(a.tolist(), b.tolist(), strict=True))
    owner = np.arange(pieces.max() + 1)
    for number in measured.numbers[order][odd[order]]:
        shared = Counter()
        for (a, b), count in sorted(counts.items()):
            pair = {owner[a], owner[b]} if a and b else {0}
            if number in pair and len(pair) == 2 and 0 not in pair:
                shared[(pair - {number}).pop()] += count
        owner[owner == number] = max(shared, key=shared.get, default=0)
    return owner[pieces]


def test_pieces_of_noise_go_where_they_go_if_all_is_counted_anew():
    noise = np.random.default_rng(0).normal(size=(24, 24, 24))
    pieces = segment_particles(noise, blur=0.8, apart=1).pieces
    merged = merge_pieces(pieces, 10, 0.85)
    assert pieces.max() > 60
    assert len(np.unique(merged)) < 0.6 * pieces.max()
    np.testing.assert_array_equal(merged, merged_one_by_one(pieces, 10, 0.85))


def test_thousands_of_pieces_are_merged_in_no_more_time_than_they_are_measured_in():
    noise = np.random.default_rng(0).normal(size=(72, 72, 72))
    pieces = segment_particles(noise, blur=0.8, apart=1).pieces
    assert pieces.max() > 1500
    started = time.process_time()
    measure_particles(pieces)
    measured = time.process_time()
    merge_pieces(pieces, 10, 0.9)
    assert time.process_time() - measured < 2.5 * (measured - started)


def test_closed_pores_belong_to_their_particle_and_open_ones_do_not():
    solid = balls((30, 30, 60), [(15, 15, 15, 9), (15, 15, 44, 9)])
    porous = np.where(balls(solid.shape, [(15, 15, 15, 5)]) > 0, 0, solid)
    np.testing.assert_array_equal(fill_pores(porous), solid)
    bored = porous.copy()
    bored[:, 15, 15] = 0  # a bore from the pore to the outside
    np.testing.assert_array_equal(fill_pores(bored), bored)
    grey = np.pad(np.where(porous > 0, 160.0, 60.0), 3, mode="edge")
    steps = segment_particles(grey, blur=0.5)
    assert steps.particles.max() == 2
    assert steps.particles[18, 18, 18] > 0
    assert not steps.bright[18, 18, 18]


def test_particles_can_be_told_from_noise_and_from_what_is_between_them(scan):
    """Otsu's criterion of normal noise is 2 / pi."""
    _, steps = scan
    assert steps.contrast > 0.8
    assert steps.bulge > 0.05
    noise = segment_particles(np.random.default_rng(0).normal(size=(48, 64, 64)))
    assert noise.contrast == pytest.approx(2 / np.pi, abs=0.02)
    assert noise.bulge == pytest.approx(0, abs=0.02)
    inverse = replace(steps, bright=~steps.bright)
    assert inverse.bulge == pytest.approx(-steps.bulge, abs=0.03)


def test_particles_at_the_border_are_dropped_and_the_rest_numbered_from_one():
    numbers = balls((30, 30, 30), [(0, 15, 15, 5), (15, 15, 15, 5)]) * 7
    np.testing.assert_array_equal(drop_border(numbers.astype(np.int32)), (numbers == 14) * 1)


def test_sections_and_empty_volumes_are_refused():
    with pytest.raises(InputError, match="3D"):
        segment_particles(np.zeros((9, 9)))
    grey = np.zeros((20, 20, 20))
    grey[:, :, 10:] = 1  # one "particle" that fills half the volume
    with pytest.raises(InputError, match="No whole particle"):
        segment_particles(grey)


def test_labels_may_be_far_larger_than_the_volume():
    numbered = np.zeros((9, 9, 9), np.int32)
    numbered[0, 0, 0], numbered[2:4, 2:4, 2:4], numbered[5:8, 5:8, 5:8] = 5, 7, 2**31 - 2
    kept = drop_border(numbered)
    assert Counter(kept[kept > 0].tolist()) == {1: 8, 2: 27}
