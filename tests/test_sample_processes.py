import time

import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.sample_processes import (
    ELECTRODE_FRACTIONS,
    FIBRE_FRACTIONS,
    POLYCRYSTAL_FRACTIONS,
    SPHERES_FRACTIONS,
    cathode,
    coarse_cathode,
    electrode,
    electrode_sem,
    fibres,
    polycrystal,
    spheres,
)

PROCESSES = [cathode, electrode, electrode_sem, fibres, polycrystal, spheres]


def interfaces(labels, value):
    """Fraction of unlike neighbours of one phase and the rest, along each axis."""
    phase = labels == value
    return np.array(
        [np.mean(np.diff(phase.astype(np.int8), axis=axis) != 0) for axis in range(phase.ndim)]
    )


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("shape", [(40, 50, 60), (70, 90), (1, 30, 40), (20, 1, 90)])
def test_a_seed_gives_one_array_of_the_given_shape(process, shape):
    first = process(shape, seed=3)

    assert first.shape == shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, process(shape, seed=3))
    assert not np.array_equal(first, process(shape, seed=4))


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("shape", [(8,), (4, 4, 4, 4), (0, 8), (8, -1, 8)])
def test_refuses_shapes_that_are_no_section_and_no_volume(process, shape):
    with pytest.raises(InputError, match="two or three positive numbers"):
        process(shape)


@pytest.mark.parametrize("shape", [(256, 256), (96, 96, 96)])
@pytest.mark.parametrize(
    ("process", "values", "fractions"),
    [
        (cathode, (0, 1, 2), ELECTRODE_FRACTIONS),
        (electrode, (0, 1, 2), ELECTRODE_FRACTIONS),
        (polycrystal, (1, 2), POLYCRYSTAL_FRACTIONS),
        (spheres, (0, 1, 2), SPHERES_FRACTIONS),
    ],
)
def test_volume_fractions_are_the_declared_ones(process, values, fractions, shape):
    labels = process(shape, seed=1)

    measured = [np.mean(labels == value) for value in values]

    assert sum(measured) == pytest.approx(1)
    assert measured == pytest.approx(fractions, abs=0.004)


def test_fibre_fraction_is_the_declared_one_in_the_mean_over_sections():
    across = fibres((256, 256, 1))
    along = [fibres((1, 128, 64), seed).mean() for seed in range(60)]

    assert across.mean() == pytest.approx(FIBRE_FRACTIONS[1], abs=0.01)
    standard_error = np.std(along) / np.sqrt(len(along))
    assert np.mean(along) == pytest.approx(FIBRE_FRACTIONS[1], abs=4 * standard_error)


@pytest.mark.parametrize(
    ("process", "values", "tolerance"),
    [(electrode, (0, 1, 2), 0.05), (polycrystal, (2,), 0.08), (spheres, (0, 1), 0.06)],
)
def test_section_and_volume_are_one_isotropic_process(process, values, tolerance):
    section = process((512, 512), seed=0)
    volume = process((128, 128, 128), seed=1)
    for value in values:
        in_section, in_volume = interfaces(section, value), interfaces(volume, value)

        assert in_volume == pytest.approx(in_volume.mean(), rel=tolerance)
        assert in_section == pytest.approx(in_volume.mean(), rel=tolerance)


def test_electrode_phases_form_one_network_each_in_3d():
    from scipy.ndimage import label

    volume = electrode((96, 96, 96))
    for value in (0, 1):
        pieces, _ = label(volume == value)
        largest = np.bincount(pieces.ravel())[1:].max()
        assert largest > 0.9 * np.sum(volume == value)


def test_spheres_are_apart_in_a_section_and_hang_together_in_space():
    from scipy.ndimage import label

    def largest_share(particles):
        pieces, count = label(particles)
        return np.bincount(pieces.ravel())[1:].max() / particles.sum(), count

    in_section, discs = largest_share(spheres((512, 512)) == 1)
    in_volume, _ = largest_share(spheres((96, 96, 96)) == 1)
    assert in_section < 0.1
    assert discs > 500
    assert in_volume > 0.8


def test_binder_lies_on_the_particles():
    from scipy.ndimage import binary_dilation

    volume = electrode((96, 96, 96))
    near = binary_dilation(volume == 1, iterations=3)

    assert np.mean(near[volume == 2]) > 0.95
    assert np.mean(near[volume == 0]) < 0.8


def test_fibres_are_round_across_and_run_through_the_volume_along_x():
    volume = fibres((96, 96, 192))
    z, y, x = interfaces(volume, 1)

    assert z == pytest.approx(y, rel=0.08)
    assert x < 0.15 * z
    # Fibres wave, so the end faces differ, but whichever enters far from the sides comes out.
    from scipy.ndimage import label

    pieces, _ = label(volume)
    ends = pieces[..., 0], pieces[..., -1]
    assert not np.array_equal(*(end > 0 for end in ends))
    for entering, leaving in (ends, ends[::-1]):
        assert set(np.unique(entering[16:-16, 16:-16])) <= set(np.unique(leaving)) | {0}


def test_a_fibre_goes_on_along_x_and_ends_across():
    volume = fibres((96, 96, 96)) == 1
    along = volume[..., 12:][volume[..., :-12]].mean()
    across = volume[12:][volume[:-12]].mean()

    assert along > 0.85
    assert across < 0.65


def test_sections_of_fibres_show_rods_along_and_discs_across():
    normal_to_z, normal_to_y, normal_to_x = (
        interfaces(fibres(shape).squeeze(), 1)
        for shape in [(1, 256, 256), (256, 1, 256), (256, 256, 1)]
    )

    assert normal_to_z[1] < 0.2 * normal_to_z[0]
    assert normal_to_y[1] < 0.2 * normal_to_y[0]
    assert normal_to_x[0] == pytest.approx(normal_to_x[1], rel=0.05)


def test_micrograph_shows_the_phases_of_the_electrode_in_its_grey_levels():
    shape = (160, 160)
    labels, grey = electrode(shape, seed=5), electrode_sem(shape, seed=5).astype(float)

    pore, particle, binder = (grey[labels == value] for value in range(3))
    assert pore.mean() + 30 < binder.mean() < particle.mean() - 40
    assert min(pore.std(), particle.std(), binder.std()) > 5  # shading and noise


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("shape", [(512, 512), (96, 96, 96)])
def test_is_made_in_seconds(process, shape):
    start = time.process_time()
    process(shape)
    assert time.process_time() - start < 6


def test_particles_of_the_cathode_are_twice_as_large():
    small, large = (process((96, 96, 96), seed=2) for process in (electrode, cathode))
    assert interfaces(large, 1).mean() == pytest.approx(interfaces(small, 1).mean() / 2, rel=0.2)


def test_the_coarse_cathode_is_blind_for_the_binder():
    coarse = coarse_cathode((16, 18, 20), seed=1)
    assert coarse.shape == (16, 18, 20)
    assert set(np.unique(coarse)) == {0, 1}
    for shape in ((16, 16), (16, 0, 16)):
        with pytest.raises(InputError, match="three positive"):
            coarse_cathode(shape)
