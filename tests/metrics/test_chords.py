import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_microgen.metrics import chords as chords_module
from napari_microgen.metrics.chords import chord_lengths, chords, mean_chords
from napari_microgen.metrics.fractions import volume_fractions

volumes = arrays(np.uint8, st.tuples(*[st.integers(2, 7)] * 3), elements=st.integers(0, 2))


def test_independent_noise_has_mean_chord_1_5(noise):
    assert mean_chords(noise, 3) == pytest.approx(np.full((3, 3), 1.5), rel=0.02)
    for axis in range(3):
        found = chords(noise, 3, axis)
        # Geometric: a chord goes on with probability 1/3.
        assert found.survival()[:, 1:5] == pytest.approx(
            np.tile((1 / 3.0) ** np.arange(4), (3, 1)), abs=0.01
        )


@pytest.mark.parametrize(("level", "expected"), [(0.0, 13.329), (0.5, 9.320)])
def test_excursion_sets_have_their_mean_chord(gaussian_fields, level, expected):
    found = [mean_chords((f > level).astype(np.uint8), 2, periodic=True) for f in gaussian_fields]
    assert np.mean([f[1] for f in found]) == pytest.approx(expected, rel=0.02)


def test_stripes_seen_in_a_window_and_whole():
    stripes = np.tile(np.array([0, 0, 0, 1, 1], np.uint8), (2, 4))
    assert chord_lengths(stripes, 0, 1).tolist() == [3] * 8
    assert chord_lengths(stripes[:, 1:], 0, 1, voxel_size=(1, 0.5)).tolist() == [1] * 2 + [1.5] * 6
    assert mean_chords(stripes, 2, periodic=True)[:, 1] == pytest.approx([3, 2])
    assert np.isinf(mean_chords(stripes, 2)[:, 0]).all()


def test_chords_wrap_around_in_periodic_axes():
    row = np.array([[1, 1, 0, 0, 0, 1]], np.uint8).repeat(2, axis=0)
    assert chord_lengths(row, 1, 1).tolist() == [1, 1, 2, 2]
    assert chord_lengths(row, 1, 1, periodic=True).tolist() == [3, 3]
    whole = chords(np.ones((2, 4), np.uint8), 2, 1, periodic=True)
    assert whole.counts[1].tolist() == [0, 0, 0, 0, 2]
    assert not whole.ends.any()


def test_distributions_sum_to_one_and_weigh_as_named():
    row = np.array([[0, 1, 1, 1, 0]], np.uint8).repeat(2, axis=0)
    found = chords(row, 3, 1)
    assert found.distribution("number")[:2].sum(axis=1) == pytest.approx(1)
    assert found.distribution("length")[:2].sum(axis=1) == pytest.approx(1)
    assert not found.distribution("number")[2].any()
    mixed = chords(np.array([[1, 0, 1, 1, 1, 0]], np.uint8).repeat(2, 0), 2, 1)
    assert mixed.distribution("number")[1, [1, 3]].tolist() == [0.5, 0.5]
    assert mixed.distribution("length")[1, [1, 3]].tolist() == [0.25, 0.75]


def test_survival_is_not_biased_by_the_window(gaussian_fields):
    r = np.arange(1, 17)
    whole, window, naive = [], [], []
    for field in gaussian_fields:
        data = (field > 0).astype(np.uint8)
        whole.append(chords(data, 2, 0, periodic=True).survival()[1, r])
        pieces = chords(data.reshape(4, 24, 96 * 96).transpose(0, 2, 1).reshape(-1, 24), 2, 1)
        window.append(pieces.survival()[1, r])
        naive.append(1 - np.cumsum(pieces.distribution("number")[1])[r - 1])
    truth = np.mean(whole, axis=0)
    assert np.mean(window, axis=0) == pytest.approx(truth, abs=0.015)
    assert np.abs(np.mean(naive, axis=0) - truth).max() > 0.1


def test_unlabelled_voxels_cut_without_ending():
    row = np.array([[0, 1, 1, 255, 1, 0]], np.uint8).repeat(2, axis=0)
    found = chords(row, 2, 1)
    assert found.counts[1, :3].tolist() == [0, 2, 2]
    assert found.ends[1, :3].tolist() == [0, 2, 2]
    # Three labelled voxels, then two: places for an end followed by 0, 1, 2 voxels.
    assert found.places[:4].tolist() == [10, 6, 2, 0]


@settings(max_examples=60, deadline=None)
@given(volumes, st.integers(0, 2), st.booleans())
def test_chords_hold_every_voxel_of_the_phase_once(data, axis, periodic):
    found = chords(data, 3, axis, periodic=periodic)
    lengths = np.arange(found.counts.shape[1])
    assert (found.counts @ lengths).tolist() == np.bincount(data.ravel(), minlength=3).tolist()


@settings(max_examples=60, deadline=None)
@given(volumes, st.integers(0, 2))
def test_mean_chord_is_fraction_over_half_the_unlike_share(data, axis):
    found = chords(data, 3, axis, periodic=True)
    mean = mean_chords(data, 3, periodic=True)[:, axis]
    for k, fraction in enumerate(volume_fractions(data, 3)):
        ends = found.ends[k].sum()
        if ends:
            # Lines wholly in the phase have no end and infinite length.
            voxels = fraction * data.size
            assert mean[k] == pytest.approx(voxels / (ends / 2), rel=1e-12)


def test_slabs_give_the_same_as_the_whole(noise, monkeypatch):
    whole = chords(noise, 3, 1)
    monkeypatch.setattr(chords_module, "CHUNK", 5000)
    pieces = chords(noise, 3, 1)
    assert np.array_equal(whole.counts, pieces.counts)
    assert np.array_equal(whole.ends, pieces.ends)
    assert np.array_equal(whole.places, pieces.places)
