import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.metrics.paths import constrictivity, geodesic_tortuosity


def necked_cylinder(radius: int, neck: int) -> np.ndarray:
    """Return a cylinder along z with a neck in its middle, the phase being 1."""
    grid = np.ogrid[-radius - 2 : radius + 3, -radius - 2 : radius + 3]
    square = grid[0] ** 2 + grid[1] ** 2
    radii = np.full(60, radius)
    radii[26:34] = neck
    return (square[None] < radii[:, None, None] ** 2).astype(np.uint8)


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


@pytest.mark.parametrize(("radius", "neck", "expected"), [(10, 5, 0.25), (12, 4, 1 / 9)])
def test_cylinders_with_a_neck(radius, neck, expected):
    found = constrictivity(necked_cylinder(radius, neck), 1)
    assert found.r_max == radius
    assert found.r_min[0] == neck
    assert found.values[0] == pytest.approx(expected, abs=1e-9)
    # From the sides nothing comes in.
    assert found.values[1:] == (0, 0)


def test_constrictivity_does_not_depend_on_the_unit():
    data = necked_cylinder(6, 3)
    found = constrictivity(data, 1, voxel_size=20.0)
    assert found.r_max == pytest.approx(120)
    assert found.values[0] == pytest.approx(0.25)


def test_absent_and_filling_phases_have_no_width():
    assert constrictivity(np.ones((4, 4, 4), np.uint8), 1) is None
    assert constrictivity(np.ones((4, 4, 4), np.uint8), 0) is None
