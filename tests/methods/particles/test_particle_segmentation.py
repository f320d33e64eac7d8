import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.segmentation import (
    drop_border,
    merge_pieces,
    segment_particles,
)


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
    np.testing.assert_array_equal(steps.basins > 0, steps.bright)
    np.testing.assert_array_equal(steps.pieces > 0, steps.bright)
    assert steps.merged.max() >= steps.particles.max()


def test_a_sliver_goes_to_the_neighbour_it_shares_most_with():
    pieces = balls((24, 24, 40), [(12, 12, 11, 8), (12, 12, 28, 8)])
    pieces[2:22, 2:22, 20] = 3  # a wall that cuts into the second ball and touches the first
    pieces[4, 4, 4] = 4  # alone
    merged = merge_pieces(pieces)
    assert set(np.unique(merged)) == {0, 1, 2}
    assert (merged[pieces == 3] == 2).all()
    assert merged[4, 4, 4] == 0


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
