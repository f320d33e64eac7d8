import numpy as np
import pytest
from conftest import periodic_field
from hypothesis import given
from hypothesis import strategies as st
from skimage.graph import MCP_Geometric

from napari_microgen.errors import InputError
from napari_microgen.metrics.paths import geodesic_steps, geodesic_tortuosity


@st.composite
def masks(draw) -> np.ndarray:
    """Return a mask of 2D or 3D blobs, at times hardly connected."""
    shape = draw(st.lists(st.integers(2, 12), min_size=2, max_size=3))
    seed, share = draw(st.integers(0, 10**6)), draw(st.floats(0.3, 0.9))
    return np.random.default_rng(seed).random(shape) < share


def lengths_by_search(mask: np.ndarray, axis: int, sizes) -> np.ndarray:
    """Return the shortest path from every voxel to the last layer, by scikit-image."""
    search = MCP_Geometric(np.where(mask, 1.0, -1.0), fully_connected=True, sampling=sizes)
    ends = np.argwhere(mask)
    ends = ends[ends[:, axis] == mask.shape[axis] - 1]
    return search.find_costs(ends)[0] if len(ends) else np.full(mask.shape, np.inf)


def test_empty_box_is_straight():
    found = geodesic_tortuosity(np.ones((9, 7, 8), np.uint8), 1, 0)
    assert found.mean == pytest.approx(1, abs=1e-12)
    assert found.reaching == 1


def test_sheet_at_45_degrees():
    data = np.zeros((20, 20, 4), np.uint8)
    data[np.arange(20), np.arange(20)] = 1
    found = geodesic_tortuosity(data, 1, 0)
    assert found.mean == pytest.approx(2**0.5, abs=1e-12)
    flat = geodesic_tortuosity(data, 1, 0, voxel_size=(4, 3, 1))
    assert flat.mean == pytest.approx(5 / 4, abs=1e-12)


def test_dead_ends_do_not_count():
    data = np.zeros((6, 5, 5), np.uint8)
    data[:, 0, 0] = 1
    data[:3, 4, 4] = 1
    found = geodesic_tortuosity(data, 1, 0)
    assert found.mean == pytest.approx(1)
    assert found.reaching == 0.5


@pytest.mark.parametrize("gap", [0, 3, 5])
def test_a_blocked_phase_has_infinite_paths(gap):
    data = np.ones((6, 5, 5), np.uint8)
    data[gap] = 0
    found = geodesic_tortuosity(data, 1, 0)
    assert (found.mean, found.reaching) == (float("inf"), 0)


def test_a_single_layer_is_refused():
    with pytest.raises(InputError, match="two layers"):
        geodesic_tortuosity(np.ones((1, 4, 4), np.uint8), 1, 0)


@given(masks(), st.data())
def test_paths_are_those_of_a_search_through_the_graph(mask, data):
    axis = data.draw(st.integers(0, mask.ndim - 1))
    sizes = data.draw(st.sampled_from([(1.0,) * mask.ndim, (3.0, 1.0, 1.5)[: mask.ndim]]))
    first = np.take(mask, 0, axis=axis)
    lengths = np.take(lengths_by_search(mask, axis, sizes), 0, axis=axis)[first]
    reached = lengths[np.isfinite(lengths)]
    found = geodesic_tortuosity(mask.astype(np.uint8), 1, axis, voxel_size=sizes)
    if not reached.size:
        assert (found.mean, found.reaching) == (float("inf"), 0)
        return
    straight = (mask.shape[axis] - 1) * sizes[axis]
    assert found.mean == pytest.approx(reached.mean() / straight, rel=1e-9)
    assert found.reaching == reached.size / lengths.size


@pytest.mark.parametrize("seed", range(3))
def test_paths_cross_periodic_sides(seed):
    mask = periodic_field((16, 10, 12), 1.5, seed) > -0.3
    found = geodesic_tortuosity(mask.astype(np.uint8), 1, 0, periodic=(False, True, True))
    tiled = np.tile(mask, (1, 5, 5))
    lengths = lengths_by_search(tiled, 0, (1, 1, 1))[0, 20:30, 24:36][mask[0]]
    reached = lengths[np.isfinite(lengths)]
    assert found.mean == pytest.approx(reached.mean() / 15, rel=1e-9)
    assert found.reaching == reached.size / lengths.size
    walled = geodesic_tortuosity(mask.astype(np.uint8), 1, 0)
    assert (walled.mean, walled.reaching) != (found.mean, found.reaching)


def test_a_path_around_the_side_is_the_short_one():
    # A sheet that leaves at one side and comes back at the other.
    data = np.zeros((9, 6, 3), np.uint8)
    data[np.arange(9), np.arange(9) % 6] = 1
    assert geodesic_tortuosity(data, 1, 0).reaching == 0
    around = geodesic_tortuosity(data, 1, 0, periodic=(False, True, False))
    assert around.mean == pytest.approx(2**0.5, abs=1e-12)


def test_progress_rises():
    steps = geodesic_steps(np.ones((20, 20, 20), np.uint8), 1, 0)
    shares = [share for share, _ in steps]
    assert len(shares) >= 10
    assert shares == sorted(shares)
    assert shares[-1] <= 1
