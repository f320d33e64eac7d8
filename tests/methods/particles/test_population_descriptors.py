import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.descriptors import (
    Populations,
    compare_populations,
    grains_in_section,
    particles,
)
from napari_microgen.phases import PhaseImage
from napari_microgen.sample_particles import grain_section, grain_volume


def image(numbers, unit="um", size=0.1):
    return PhaseImage.from_numbered(numbers, voxel_size=(size,) * numbers.ndim, unit=unit)


def balls(*radii):
    """Balls in a row, apart from each other and the border."""
    y = np.indices((40, 40, 40)) - 20
    parts = [np.where((y**2).sum(0) <= r * r, i, 0) for i, r in enumerate(radii, 1)]
    return image(np.concatenate(parts, axis=2))


def result_of(real, generated, kind, centres=()):
    steps = list(compare_populations(real, generated, kind, centres))
    assert isinstance(steps[-1], Populations)
    return steps[-1]


def test_balls_are_round_smooth_and_of_their_volume():
    found = particles(balls(6, 12, 15)).values
    expected = 4 / 3 * np.pi * np.array([0.6, 1.2, 1.5]) ** 3
    assert found["volume (um³)"] == pytest.approx(expected, rel=0.03)
    assert found["sphericity"] == pytest.approx(1, abs=0.05)
    assert np.all(found["roughness, order 2"] < 0.02)


def test_real_layers_are_put_together():
    found = result_of([balls(6, 9), balls(12)], balls(6, 9, 12), "particles")
    assert len(found.real["sphericity"]) == 3
    assert found.distances["volume (um³)"].ks == 0


def test_a_volume_shows_its_sections_the_density_of_its_sections():
    ball = image(grain_volume(3)[::2, ::2, ::2])
    section = image(grain_section(4)[::2, ::2])
    found = result_of([section], ball, "grains in sections", [(80, 80), (40, 40, 40)])
    ((real, generated),) = found.densities.values()
    # A third more grains are cut by the outline of the smaller disc than by that of the section.
    assert generated == pytest.approx(real, rel=0.2)
    assert found.distances["angle (°)"].p > 0.001


def test_the_centre_decides_on_the_angles():
    section = image(grain_section(1)[::2, ::2])
    right = grains_in_section(section, (80.0, 80.0)).values["angle (°)"]
    wrong = grains_in_section(section, (40.0, 90.0)).values["angle (°)"]
    assert right.mean() < 0.85 * wrong.mean()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="Sizes in nm and um"):
        result_of([balls(6)], PhaseImage.from_numbered(balls(6).data, voxel_size=(1,) * 3,
                                                       unit="nm"), "particles")  # fmt: skip
    with pytest.raises(InputError, match="1 real image and 2 centres"):
        result_of([balls(6)], balls(6), "particles", [None, None, None])
    with pytest.raises(InputError, match="meets the border"):
        particles(image(np.ones((9, 9, 9), int)))
    with pytest.raises(InputError, match="is a section"):
        particles(image(grain_section(1)))
