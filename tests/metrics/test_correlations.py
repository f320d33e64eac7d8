import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_microgen.errors import InputError
from napari_microgen.metrics import correlations
from napari_microgen.metrics.correlations import (
    along_axes,
    correlation_length,
    fft_profile,
    radial,
    same_phase_probability,
    two_point_map,
    two_point_maps,
)
from napari_microgen.metrics.fractions import volume_fractions
from napari_microgen.metrics.surfaces import unlike_fractions

volumes = arrays(np.uint8, st.tuples(*[st.integers(3, 7)] * 3), elements=st.integers(0, 2))


def counted(data: np.ndarray, i: int, j: int, lag: tuple[int, ...]) -> float:
    """Return P(x in i, x + lag in j) by counting pairs inside the window."""
    near = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(lag, data.shape, strict=True))
    far = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(lag, data.shape, strict=True))
    a, b = data[near], data[far]
    both = (a != 255) & (b != 255)
    return np.sum((a == i) & (b == j)) / max(np.sum(both), 1)


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.uint8, st.tuples(*[st.integers(3, 6)] * 3), elements=st.sampled_from([0, 1, 255])),
    st.integers(0, 1),
)
def test_every_lag_is_what_counting_gives(data, j):
    found = two_point_map(data, 0, j, max_lag=2)
    for lag in ((0, 0, 0), (1, 0, 0), (-2, 1, 0), (2, 2, -1), (0, -1, 2)):
        at = found[tuple(2 + d for d in lag)]
        expected = counted(data, 0, j, lag)
        assert (np.isnan(at) and expected == 0) or at == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(volumes)
def test_slope_at_zero_is_the_interface_density(data):
    maps = two_point_maps(data, 3, max_lag=1, periodic=True)
    fractions, unlike = volume_fractions(data, 3), unlike_fractions(data, 3, periodic=True)
    for axis, curve in enumerate(along_axes(maps, 3)):
        assert curve[:, 0] == pytest.approx(fractions, abs=1e-12)
        assert fractions - curve[:, 1] == pytest.approx(unlike[:, axis] / 2, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(volumes, st.integers(0, 2))
def test_correlations_with_all_phases_add_up(data, i):
    total = sum(two_point_map(data, i, j, max_lag=2, periodic=True) for j in range(3))
    assert total == pytest.approx(np.full(total.shape, volume_fractions(data, 3)[i]), abs=1e-12)


def test_independent_noise_is_uncorrelated(noise):
    radii, curves = radial(two_point_maps(noise, 3, max_lag=16), 3)
    assert radii[0] == 0
    assert radii == pytest.approx(np.arange(17), abs=0.3)
    assert curves[:, 1:] == pytest.approx(np.full((3, 16), 1 / 9), abs=5e-3)


def test_excursion_sets_follow_the_arcsine_law(gaussian_fields):
    r = np.arange(13)
    rho = np.exp(-(r**2) / 36)
    expected = 0.25 + np.arcsin(rho) / (2 * np.pi)
    found = []
    for field in gaussian_fields:
        data = (field > 0).astype(np.uint8)
        maps = two_point_maps(data, 2, max_lag=12, periodic=True)
        found.append(np.mean([c[1] for c in along_axes(maps, 3)], axis=0) - data.mean() ** 2)
    assert np.mean(found, axis=0) == pytest.approx(expected - 0.25, abs=0.005)


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_excursion_sets_have_their_volume_fraction(gaussian_fields, level):
    expected = 0.5 * math.erfc(level / math.sqrt(2))
    found = [volume_fractions((f > level).astype(np.uint8), 2)[1] for f in gaussian_fields]
    assert np.mean(found) == pytest.approx(expected, abs=0.015)


def test_boolean_spheres_leave_the_void_of_theory():
    radius, side, density = 5, 160, 1e-3
    values = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        centres = rng.uniform(0, side, (rng.poisson(density * side**3), 3))
        solid = np.zeros((side,) * 3, bool)
        box = np.arange(-radius - 1, radius + 2)
        for centre in centres:
            near = [np.floor(c).astype(int) + box for c in centre]
            off = [n - c for n, c in zip(near, centre, strict=True)]
            inside = (off[0][:, None, None] ** 2 + off[1][:, None] ** 2 + off[2] ** 2) <= radius**2
            solid[np.ix_(*(n % side for n in near))] |= inside
        maps = two_point_maps((~solid).astype(np.uint8), 2, max_lag=12, periodic=True, exact=False)
        r, curves = radial(maps, 3)
        values.append(curves[1])
    reach = np.minimum(r, 2 * radius)
    union = 4 / 3 * np.pi * radius**3 * (1 + 3 * reach / (4 * radius) - reach**3 / (16 * radius**3))
    assert np.mean(values, axis=0) == pytest.approx(np.exp(-density * union), abs=0.01)


def test_window_and_padding_do_not_bias():
    rng = np.random.default_rng(1)
    data = rng.integers(0, 2, (20, 17, 11)).astype(np.uint8)
    for lag in ((7, 0, 0), (0, -7, 3), (7, 7, -7)):
        found = two_point_map(data, 1, 1, max_lag=7)[tuple(7 + d for d in lag)]
        assert found == pytest.approx(counted(data, 1, 1, lag), abs=1e-12)


def test_single_precision_is_good_to_a_millionth(noise):
    exact = two_point_maps(noise, 3, max_lag=8)
    fast = two_point_maps(noise, 3, max_lag=8, exact=False)
    assert fast == pytest.approx(exact, abs=2e-6)


def test_a_stack_pools_its_sections(noise, monkeypatch):
    stack = noise[:6]
    pooled = two_point_maps(stack, 3, max_lag=5, stacked=True)
    each = np.mean([two_point_maps(s, 3, max_lag=5) for s in stack], axis=0)
    assert pooled == pytest.approx(each, abs=1e-12)
    monkeypatch.setattr(correlations, "CHUNK", 6000)
    assert np.array_equal(two_point_maps(stack, 3, max_lag=5, stacked=True), pooled)


def test_same_phase_probability_is_the_sum_of_all(noise):
    for axis in range(3):
        found = same_phase_probability(noise, 3, axis, max_lag=5)
        maps = two_point_maps(noise, 3, max_lag=5)
        assert found == pytest.approx(along_axes(maps.sum(axis=0), 3)[axis], abs=1e-12)


def test_radii_follow_the_voxel_size():
    data = np.zeros((12, 24, 24), np.uint8)
    data[:, ::2] = 1
    radii, _ = radial(two_point_maps(data, 2, max_lag=6), 3, voxel_size=(2.0, 1.0, 1.0))
    assert radii == pytest.approx([0, 1, 2, 3, 4, 5, 6], abs=0.3)
    assert radii[1] == pytest.approx((4 * 1 + 4 * 2**0.5) / 8)


def test_correlation_length_of_noise_and_of_features(noise, gaussian_fields):
    assert correlation_length(two_point_maps(noise, 3, max_lag=16), 3) == 1
    data = (gaussian_fields[0] > 0).astype(np.uint8)
    # asin(rho) / asin(1) falls to .1 where rho = .156, at r = 8.2.
    assert correlation_length(two_point_maps(data, 2, max_lag=24), 3) in (8, 9, 10)


def test_a_lattice_is_a_peak_of_the_fourier_profile():
    x = np.arange(64)
    data = ((x % 8 < 4)[:, None] & np.ones(64, bool)).astype(np.uint8)
    profile = fft_profile(data, 2)
    assert profile.shape == (2, 33)
    assert profile[1, 1:].argmax() + 1 == 8
    assert fft_profile(np.stack([data, data]), 2) == pytest.approx(profile)


def test_negative_lag_is_refused(noise):
    with pytest.raises(InputError, match="negative"):
        two_point_maps(noise, 3, max_lag=-1)
