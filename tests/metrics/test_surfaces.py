import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_microgen.errors import InputError
from napari_microgen.metrics.surfaces import (
    crofton_directions,
    interface_densities,
    interphase_areas,
    ssa,
    ssa_faces,
    triple_phase_boundary,
    triple_phase_points,
    unlike_fractions,
)

volumes = arrays(np.uint8, st.tuples(*[st.integers(2, 6)] * 3), elements=st.integers(0, 3))


def ball(radius: float) -> np.ndarray:
    n = int(2 * radius + 8)
    grid = np.ogrid[:n, :n, :n]
    centre = (n / 2 + 0.21, n / 2 - 0.37, n / 2 + 0.13)
    square = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
    return (square <= radius**2).astype(np.uint8)


@pytest.mark.parametrize(("start", "expected"), [(5, 0.075), (0, 0.0375)])
def test_faces_of_a_cube_inside_and_in_a_corner(start, expected):
    data = np.zeros((20, 20, 20), np.uint8)
    data[(slice(start, start + 10),) * 3] = 1
    assert ssa_faces(data, 2).tolist() == [expected, expected]


def test_surfaces_of_independent_noise(noise):
    assert ssa(noise, 3) == pytest.approx(np.full(3, 0.66757), abs=5e-3)
    assert interface_densities(noise) == pytest.approx(np.full(3, 2 / 3), abs=5e-3)
    assert triple_phase_boundary(noise).fraction == pytest.approx(4 / 9, abs=5e-3)


def test_weights_of_the_thirteen_directions():
    weights = {round(d.length**2): d.weight for d in crofton_directions((1.0, 1.0, 1.0))}
    assert weights == pytest.approx({1: 0.0915558, 2: 0.0739613, 3: 0.0703913}, abs=1e-7)
    assert sum(d.weight for d in crofton_directions((1.0, 2.0, 0.5))) == pytest.approx(1)


@pytest.mark.parametrize(
    ("normal", "share"), [((1, 0, 0), 0.92662), ((1, 1, 0), 0.93262), ((1, 1, 1), 0.96106)]
)
def test_digital_planes_show_most_of_their_area(normal, share):
    # A periodic laminate whose planes are lattice planes: two planes per period of 16.
    height = sum(n * g for n, g in zip(normal, np.ogrid[:16, :16, :16], strict=True))
    data = (height % 16 < 8).astype(np.uint8)
    true_area = 2 / 16 * np.linalg.norm(normal)
    found = ssa(data, 2, periodic=True)[1]
    assert found / true_area == pytest.approx(share, abs=1e-5)
    if normal == (1, 0, 0):
        assert found == pytest.approx(0.1158275, abs=1e-5)


@pytest.mark.parametrize(("radius", "tolerance"), [(5, 0.03), (10, 0.01), (20, 0.005)])
def test_balls_have_their_area(radius, tolerance):
    data = ball(radius)
    area = ssa(data, 2, periodic=True)[1] * data.size
    assert area == pytest.approx(4 * np.pi * radius**2, rel=tolerance)


def test_ball_in_flat_voxels_has_its_area():
    radius, sizes = 10.0, (1.0, 1.0, 2.0)
    grid = np.ogrid[-14:15, -14:15, -14:15:2]
    data = (sum(g**2 for g in grid) <= radius**2).astype(np.uint8)
    area = ssa(data, 2, voxel_size=sizes, periodic=True)[1] * data.size * 2
    assert area == pytest.approx(4 * np.pi * radius**2, rel=0.03)


def test_disc_has_its_perimeter():
    grid = np.ogrid[-24:25, -24:25]
    data = (sum((g - 0.3) ** 2 for g in grid) <= 400).astype(np.uint8)
    length = ssa(data, 2, periodic=True)[1] * data.size
    assert length == pytest.approx(40 * np.pi, rel=0.01)


@pytest.mark.parametrize(("level", "expected"), [(0.0, 0.15005), (0.5, 0.13242)])
def test_excursion_sets_have_rice_surface(gaussian_fields, level, expected):
    found = [ssa((f > level).astype(np.uint8), 2, periodic=True)[1] for f in gaussian_fields]
    assert np.mean(found) == pytest.approx(expected, rel=0.02)


def test_t_junction_line():
    data = np.zeros((16, 16, 16), np.uint8)
    data[:, :8, 8:], data[:, 8:] = 1, 2
    line = triple_phase_boundary(data)
    assert line.count == 16
    assert line.fraction == 16 / (3 * 15 * 15 * 16)
    assert line.fraction == pytest.approx(0.00148148, abs=1e-8)
    assert line.density == 16 / 16**3
    points = triple_phase_points(data)
    assert len(points) == 16
    assert set(points[:, 1]) == {7.5}
    assert set(points[:, 2]) == {7.5}


def test_triple_line_length_follows_the_voxel_size():
    data = np.zeros((16, 16, 16), np.uint8)
    data[:, :8, 8:], data[:, 8:] = 1, 2
    volume = 16**3 * 2 * 3 * 5
    assert triple_phase_boundary(data, voxel_size=(2, 3, 5)).density == 16 * 2 / volume


def test_triple_points_of_a_section():
    data = np.array([[0, 0, 1], [0, 2, 1], [0, 2, 2]], np.uint8)
    assert triple_phase_points(data).tolist() == [[0.5, 1.5]]
    assert triple_phase_boundary(data).fraction == 0.25


def test_periodic_edges_are_counted_once():
    data = np.zeros((4, 4, 4), np.uint8)
    data[:, 2:, :2], data[:, 2:, 2:] = 1, 2
    # Per layer two triple corners: in the middle and across both periodic sides.
    assert triple_phase_boundary(data).count == 4 * 1
    assert triple_phase_boundary(data, periodic=True).count == 4 * 4
    assert triple_phase_boundary(data, periodic=(False, True, False)).count == 4 * 2


def test_both_conventions_of_interphase_area(noise):
    per_volume = interphase_areas(noise, 3, periodic=True)
    per_face = interphase_areas(noise, 3, periodic=True, per="face")
    assert per_volume == pytest.approx(3 * per_face)
    assert interphase_areas(noise, 3, per="face")[0, 1] == pytest.approx(2 / 9, abs=5e-3)


@settings(max_examples=40, deadline=None)
@given(volumes, st.tuples(*[st.booleans()] * 3))
def test_interphase_areas_add_up_to_the_surface(data, periodic):
    sizes = (1.0, 2.0, 0.5)
    areas = interphase_areas(data, 4, voxel_size=sizes, periodic=periodic)
    faces = ssa_faces(data, 4, voxel_size=sizes, periodic=periodic)
    assert areas.sum(axis=1) == pytest.approx(faces, abs=1e-12)
    assert np.array_equal(areas, areas.T)


@settings(max_examples=40, deadline=None)
@given(volumes, st.integers(0, 2), st.integers(0, 5))
def test_periodic_volumes_may_be_rolled(data, axis, by):
    rolled = np.roll(data, by, axis)
    for metric in (ssa, ssa_faces, unlike_fractions):
        assert np.allclose(metric(data, 4, periodic=True), metric(rolled, 4, periodic=True))
    assert triple_phase_boundary(data, periodic=True) == triple_phase_boundary(
        rolled, periodic=True
    )


@settings(max_examples=25, deadline=None)
@given(volumes)
def test_unlabelled_surroundings_change_nothing(data):
    padded = np.pad(data, ((1, 2), (0, 3), (2, 0)), constant_values=255)
    assert np.allclose(ssa(data, 4), ssa(padded, 4))
    assert np.allclose(ssa_faces(data, 4), ssa_faces(padded, 4))
    assert triple_phase_boundary(data) == triple_phase_boundary(padded)
    assert np.allclose(interface_densities(data), interface_densities(padded), equal_nan=True)


def test_a_stack_pools_its_sections(noise):
    stack = noise[:5]
    each = np.mean([ssa(s, 3) for s in stack], axis=0)
    assert ssa(stack, 3, stacked=True) == pytest.approx(each)
    assert interface_densities(stack, stacked=True) == pytest.approx(
        np.mean([interface_densities(s) for s in stack], axis=0)
    )


@pytest.mark.parametrize("bad", [{"voxel_size": (1, 1)}, {"voxel_size": 0}, {"periodic": [True]}])
def test_wrong_number_of_axes_is_refused(noise, bad):
    with pytest.raises(InputError):
        ssa(noise, 3, **bad)


def test_four_dimensions_are_refused():
    with pytest.raises(InputError, match="2D or 3D"):
        ssa_faces(np.zeros((2, 2, 2, 2), np.uint8), 1)
