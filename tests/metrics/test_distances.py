import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_microgen.metrics._clusters import among, label_clusters
from napari_microgen.metrics._distances import square_weights, squared_distances


@st.composite
def seeds(draw) -> np.ndarray:
    shape = draw(st.lists(st.integers(1, 9), min_size=2, max_size=3))
    share = draw(st.floats(0.02, 0.7))
    mask = np.random.default_rng(draw(st.integers(0, 10**6))).random(shape) < share
    mask.flat[draw(st.integers(0, mask.size - 1))] = True
    return mask


def flag_lists(ndim: int):
    return st.lists(st.booleans(), min_size=ndim, max_size=ndim)


def middle(tiled: np.ndarray, around: list[bool]) -> np.ndarray:
    """Return the middle of three copies along periodic axes."""
    cuts = (slice(n // 3, 2 * n // 3) if p else slice(None)
            for n, p in zip(tiled.shape, around, strict=True))  # fmt: skip
    return tiled[tuple(cuts)]


@given(seeds(), st.sampled_from([(1.0, 1.0, 1.0), (2.0, 1.0, 3.0), (0.5, 0.4, 0.7)]), st.data())
def test_distances_are_scipys(mask, sizes, data):
    sizes, around = sizes[: mask.ndim], data.draw(flag_lists(mask.ndim))
    tiled = np.tile(mask, [3 if p else 1 for p in around])
    expected = middle(ndimage.distance_transform_edt(~tiled, sampling=sizes), around)
    expected = (expected / min(sizes)) ** 2
    weights = square_weights(sizes)
    assert squared_distances(mask, weights, around) == pytest.approx(expected, rel=1e-8)
    limit = data.draw(st.integers(1, 20))
    capped = squared_distances(mask, weights, around, limit)
    assert capped == pytest.approx(np.minimum(expected, limit), rel=1e-8)


def test_whole_numbers_stay_whole_and_small():
    mask = np.zeros((120, 120, 120), bool)
    mask[0, 0, 0] = True
    distances = squared_distances(mask, (1, 1, 1), (False,) * 3)
    assert distances.dtype == np.int32
    assert distances[-1, -1, -1] == 3 * 119**2
    assert squared_distances(mask, (4, 1, 1), (False,) * 3, 400).dtype == np.uint16
    assert square_weights((0.3, 0.1)) == (9.0, 1.0)


def test_without_a_seed_the_distance_is_the_limit():
    assert (squared_distances(np.zeros((4, 5), bool), (1, 1), (False, True), 9) == 9).all()


@given(seeds(), st.booleans(), st.data())
def test_clusters_are_joined_across_periodic_sides(mask, corners, data):
    around = data.draw(flag_lists(mask.ndim))
    labels = label_clusters(mask, around, corners=corners)
    assert np.array_equal(labels > 0, mask)
    # Neighbours, across sides too, have one number...
    steps = np.stack(np.meshgrid(*([-1, 0, 1],) * mask.ndim, indexing="ij"), -1)
    steps = steps.reshape(-1, mask.ndim)
    parents = {n: n for n in np.unique(labels[mask])}
    for step in steps if corners else steps[np.abs(steps).sum(axis=1) == 1]:
        for place in np.argwhere(mask):
            to = place + step
            inside = (to >= 0) & (to < mask.shape)
            if np.all(inside | around) and mask[tuple(to % mask.shape)]:
                assert labels[tuple(place)] == labels[tuple(to % mask.shape)]
    # ...and clusters of one number are no more than there are.
    assert len(parents) <= ndimage.label(mask, np.ones((3,) * mask.ndim) if corners else None)[1]


def test_chosen_clusters_leave_out_the_rest():
    labels = np.array([[0, 1, 2], [2, 0, 3]], np.int32)
    assert np.array_equal(among(labels, np.array([0, 2])), labels == 2)
