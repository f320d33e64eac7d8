import numpy as np
import pytest
from conftest import periodic_field

from napari_microgen.metrics.representativity import representativity


def test_noise_counts_every_voxel(noise):
    found = representativity(noise, 3, voxel_size=2.0)
    assert found.integral_ranges == pytest.approx(np.full(3, 8.0), rel=0.1)
    assert found.standard_errors == pytest.approx(np.full(3, np.sqrt(2 / 9 / noise.size)), rel=0.1)
    # Relative error 1 %: phi (1 - phi) / N = (.01 phi)^2, N = 2 / 1e-4.
    assert found.sides == pytest.approx(np.full(3, 2 * 20000 ** (1 / 3)), rel=0.1)
    assert not found.too_small


def test_predicts_the_spread_of_volume_fractions():
    measured, predicted = [], []
    for seed in range(3):
        data = (periodic_field((512, 512), 4.0, seed) > 0).astype(np.uint8)
        for crop in data.reshape(4, 128, 4, 128).swapaxes(1, 2).reshape(-1, 128, 128):
            measured.append(crop.mean())
            predicted.append(representativity(crop, 2).standard_errors[1])
    assert np.median(predicted) == pytest.approx(np.std(measured), rel=0.3)
    # A = 8 s^2 integral of asin(t)/t = 4 pi ln(2) s^2.
    whole = representativity(data, 2, periodic=True)
    assert whole.integral_ranges[1] == pytest.approx(4 * np.pi * np.log(2) * 16, rel=0.2)


def test_sections_of_a_stack_count_as_independent(noise):
    found = representativity(noise, 3, stacked=True)
    assert found.integral_ranges == pytest.approx(np.ones(3), rel=0.1)
    assert found.standard_errors == pytest.approx(np.full(3, np.sqrt(2 / 9 / noise.size)), rel=0.1)


def test_says_so_where_a_feature_spans_the_image():
    data = np.zeros((40, 40), np.uint8)
    data[:, 20:] = 1
    assert representativity(data, 2).too_small


def test_an_absent_phase_needs_no_size():
    data = (np.arange(400).reshape(20, 20) % 2).astype(np.uint8)
    assert representativity(data, 3).to_dict()["sides"][2] is None
