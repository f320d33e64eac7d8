import numpy as np
import pytest

from napari_microgen.methods.particles.cutouts import WINDOW
from napari_microgen.methods.particles.section_fit import (
    FittedCutouts,
    PlanarDiagram,
    agreement,
    fit_planar,
)
from napari_microgen.methods.particles.sections import Section, read_section, unit_length
from napari_microgen.phases import PhaseImage
from napari_microgen.sample_particles import grain_section


def fitted(section, unit):
    steps = fit_planar(section, unit, np.random.default_rng(0))
    shares = []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as end:
            assert shares[-1] == 1
            return end.value


@pytest.fixture(scope="module")
def section():
    image = PhaseImage.from_numbered(grain_section(2)[::2, ::2], name="EBSD")
    return read_section(image, (80.0, 80.0))


@pytest.fixture(scope="module")
def diagram(section):
    return fitted(section, unit_length([section]))


def test_plain_distances_give_voronoi_cells():
    random = np.random.default_rng(0)
    seeds, points = random.uniform(-20, 20, (60, 2)), random.uniform(-20, 20, (500, 2))
    plain = PlanarDiagram(seeds, np.ones((60, 2)), np.zeros(60))
    nearest = np.linalg.norm(points[:, None] - seeds, axis=2).argmin(1)
    np.testing.assert_array_equal(plain.owners(points), nearest)


def test_widths_are_along_and_across_the_radius():
    """A grain that is narrow across the radius gives way to its neighbours there alone."""
    seeds = np.array([[0.0, 10.0], [0.0, 14.0], [4.0, 10.0]])
    widths = np.array([[1.0, 9.0], [1.0, 1.0], [1.0, 1.0]])
    narrow = PlanarDiagram(seeds, widths, np.zeros(3))
    along, across = narrow.owners(np.array([[0.0, 11.5], [1.5, 10.0]]))
    assert (along, across) == (0, 2)


def test_a_diagram_is_recovered_from_its_own_pixels():
    y, x = np.indices((121, 121)) - 60
    inside = y * y + x * x <= 58**2
    random = np.random.default_rng(3)
    seeds = random.uniform(-40, 40, (160, 2))
    true = PlanarDiagram(seeds, random.uniform((1, 3), (2, 6), (160, 2)), random.uniform(0, 8, 160))
    points = np.stack([y, x], -1).reshape(-1, 2) / 1.5
    numbers = np.where(inside, true.owners(points).reshape(y.shape) + 1, 0).astype(np.int32)
    section = Section(numbers, (60.0, 60.0), 0.0, "diagram")
    assert agreement(fitted(section, 1.5), section, 1.5) > 0.97


def test_most_pixels_of_a_map_get_their_grain(section, diagram):
    assert agreement(diagram, section, unit_length([section])) > 0.93
    assert diagram.offsets.min() == 0


def test_varied_markers_make_similar_sections_but_others(section, diagram):
    unit = unit_length([section])
    varied = diagram.varied(np.random.default_rng(0))
    assert np.abs(varied.diagonals / diagram.diagonals - 1).max() <= 0.2
    alike = agreement(varied, section, unit)
    assert 0.85 < alike < agreement(diagram, section, unit)


def test_cutouts_of_diagrams_show_the_grains_of_the_section(section, diagram):
    unit = unit_length([section])
    cutouts = FittedCutouts([section], unit, [diagram])
    numbers, distances = cutouts.draw(12, np.random.default_rng(0))
    assert numbers.shape == (12, WINDOW, WINDOW)
    assert distances.min() >= 0
    count = np.mean([len(np.unique(n)) for n in numbers])
    assert count == pytest.approx(28 + 2 * np.sqrt(28), rel=0.35)  # whole ones and cut ones
