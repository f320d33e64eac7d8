import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.metrics.particles import measure_grain_sections, measure_particles


def test_a_ball_is_spherical_and_a_rod_is_not():
    grid = np.ogrid[:60, :40, :40]
    ball = sum((g - c) ** 2 for g, c in zip(grid, (14.2, 19.7, 20.1), strict=True)) <= 144
    rod = np.zeros((60, 40, 40), bool)
    rod[30:58, 18:22, 18:22] = True
    found = measure_particles(np.where(ball, 3, 0) + np.where(rod, 7, 0))
    assert found.numbers.tolist() == [3, 7]
    assert found.volumes[0] == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.01)
    assert found.surfaces[0] == pytest.approx(4 * np.pi * 144, rel=0.01)
    assert found.sphericities[0] == pytest.approx(1, abs=0.01)
    assert found.sphericities[1] < 0.8
    half = measure_particles(np.where(ball, 1, 0), voxel_size=0.5)
    assert half.surfaces[0] == pytest.approx(found.surfaces[0] / 4)
    assert half.sphericities[0] == pytest.approx(found.sphericities[0])


def test_grains_point_to_the_origin_or_across():
    section = np.zeros((101, 101), int)
    section[48:53, 70:90] = 1  # on the x axis, along it
    section[70:90, 48:53] = 2  # on the y axis, along it
    section[10:15, 40:61] = 3  # on the y axis, across it
    found = measure_grain_sections(section, origin=(50, 50))
    assert found.areas.tolist() == [100, 100, 105]
    assert found.angles == pytest.approx([0, 0, np.pi / 2], abs=1e-6)
    assert found.aspect_ratios == pytest.approx([4, 4, 4.2])
    assert found.per_area == pytest.approx(3 / 305)


def test_a_grain_at_45_degrees():
    y, x = np.mgrid[:80, :80]
    along = np.abs(y - x) <= 2
    section = (along & (x + y > 100) & (x + y < 140)).astype(int)
    found = measure_grain_sections(section, origin=(60, 0))
    # Seen from (60, 0) its centre (60, 60) lies along x, 45 degrees from its axis.
    assert found.angles == pytest.approx([np.pi / 4], abs=1e-6)


def test_wrong_dimensions_are_refused():
    with pytest.raises(InputError):
        measure_particles(np.ones((4, 4), int))
    with pytest.raises(InputError):
        measure_grain_sections(np.zeros((4, 4), int))
