import itertools

import numpy as np
import pytest

from napari_microgen.cli import main
from napari_microgen.errors import InputError
from napari_microgen.io.tiff import read_tiff, write_tiff
from napari_microgen.methods import load_model
from napari_microgen.methods.particles.shell_config import ShellConfig
from napari_microgen.methods.particles.shell_method import Shells, particles_of
from napari_microgen.metrics.ks import sample_distance
from napari_microgen.metrics.particles import measure_particles
from napari_microgen.phases import PhaseImage
from napari_microgen.sample_particles import ct_scan, particle_image

SETTINGS = ShellConfig()


@pytest.fixture(scope="module")
def particles():
    return particle_image()


@pytest.fixture(scope="module")
def fitted(particles):
    return list(Shells().train([particles], SETTINGS))[-1]


@pytest.fixture(scope="module")
def model(fitted):
    return fitted.model


def some(particles, count, shape=(40, 60, 60)):
    """An image of so many balls away from the border."""
    numbers = np.zeros(shape, int)
    places = itertools.product(range(8, shape[1], 14), range(8, shape[2], 14))
    z, y, x = np.indices(shape)
    for number, (cy, cx) in zip(range(1, count + 1), places, strict=False):
        numbers[(z - 20) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= (3 + number / count * 3) ** 2] = (
            number
        )
    return PhaseImage.from_numbered(numbers, name="few")


# ---------------------------------------------------------------------- the fit


def test_generated_particles_are_distributed_as_the_data(model, particles):
    real = measure_particles(particles_of(particles, SETTINGS))
    made = [measure_particles(model.generate(model.fitting_shape(i), i).data) for i in range(200)]
    volumes = np.concatenate([m.volumes for m in made])
    roundness = np.concatenate([m.sphericities for m in made])
    assert len(volumes) == 200
    assert sample_distance(real.volumes, volumes).p > 0.05
    assert sample_distance(real.sphericities, roundness).p > 0.05


def test_the_choice_among_families_and_the_rejection_rate_are_told(fitted):
    assert "0 log-normal" in fitted.message
    assert "% of the shells drawn are impossible" in fitted.message
    assert set(fitted.fidelity) == {"volume", "sphericity", "mean"}
    assert all(0 <= v < 2 for v in fitted.fidelity.values())
    assert fitted.fraction == 1


def test_a_fit_that_was_stopped_ends_as_if_it_had_never_been(particles, model, tmp_path):
    checkpoint = tmp_path / "shells.checkpoint"
    short = ShellConfig(steps=20)
    assert list(Shells().train([particles], short, checkpoint=checkpoint))[-1].step == 20
    resumed = list(Shells().train([particles], SETTINGS, checkpoint=checkpoint, resume=True))[-1]
    for name, tensor in model.tensors().items():
        np.testing.assert_array_equal(resumed.model.tensors()[name], tensor)


def test_grey_volumes_are_segmented_first():
    scan = PhaseImage.from_grey(ct_scan()[:80, :120, :120], name="scan")
    assert Shells().check([scan], SETTINGS) == []
    last = list(Shells().train([scan], SETTINGS))[-1]
    assert last.step >= 10
    assert last.model.origin.kind == "numbered"
    shown = {name: values for _, name, values in Shells().intermediates([scan], SETTINGS)}
    bright = next(name for name in shown if name.startswith("above"))
    assert 75 < float(bright.split()[1]) < 145  # in the scan's own grey values
    assert 60 < shown["smoothed"].min() < shown["smoothed"].max() < 165


# ---------------------------------------------------------------------- the model


def test_same_seed_same_particle_in_file_and_in_memory(model, tmp_path):
    again = load_model(model.save(tmp_path / "shells.safetensors"))
    shape = model.fitting_shape(3)
    first, second = model.generate(shape, 3), again.generate(shape, 3)
    np.testing.assert_array_equal(first.data, second.data)
    assert again.rejection_rate == model.rejection_rate
    assert [[f.family for f in c] for c in again.law.choices] == [
        [f.family for f in c] for c in model.law.choices
    ]
    assert not np.array_equal(first.data, model.generate(shape, 4).data)


def test_the_particle_is_whole_in_its_fitting_shape(model):
    for seed in range(5):
        shape = model.fitting_shape(seed)
        larger = model.generate(tuple(n + 9 for n in shape), seed)
        assert model.generate(shape, seed).data.sum() == larger.data.sum()


def test_parts_of_a_volume_are_what_the_whole_says(model):
    whole = model.generate((70, 80, 90), 1).data
    for shape, start in (((20, 30, 41), (5, 6, 40)), ((70, 80, 7), (0, 0, 37))):
        offset = tuple(
            a - n // 2 + m // 2 for a, n, m in zip(start, whole.shape, shape, strict=True)
        )
        part = model.generate(shape, 1, offset).data
        there = tuple(slice(a, a + m) for a, m in zip(start, shape, strict=True))
        np.testing.assert_array_equal(part, whole[there])


def test_other_voxel_sizes_and_meshes_show_the_same_particle(model):
    finer = model.with_voxel_size(0.3)
    unit = float(model.table(2, np.zeros(1))["volume (um^3)"][0])
    for each in (model, finer):
        sample = each.generate(each.fitting_shape(2), 2)
        assert sample.data.sum() * sample.voxel_size[0] ** 3 == pytest.approx(unit, rel=0.03)
    vertices, _ = finer.mesh(2)
    half = np.array(model.fitting_shape(2)) // 2 * model.origin.voxel_size[0]
    assert (np.abs(vertices).max(axis=0) <= half).all()


def test_particles_do_not_repeat(model):
    with pytest.raises(InputError, match="periodic"):
        model.generate((9, 9, 9), periodic=(True, False, False))


def test_damaged_parameters_are_refused(model):
    tensors = model.tensors()
    for name in tensors:
        broken = {k: v for k, v in tensors.items() if k != name}
        with pytest.raises(InputError, match="do not describe shells"):
            type(model).from_tensors(model.origin, broken)


# ---------------------------------------------------------------------- bad input


def test_particles_at_the_border_only_are_refused():
    numbers = np.zeros((20, 20, 20), int)
    numbers[:5], numbers[-5:] = 1, 2
    with pytest.raises(InputError, match="meets the border"):
        Shells().check([PhaseImage.from_numbered(numbers)], SETTINGS)


def test_few_particles_are_warned_of_and_two_refused(particles):
    (warning,) = Shells().check([some(particles, 8)], SETTINGS)
    assert "only 8 whole particles" in warning
    with pytest.raises(InputError, match="has 2 whole particles"):
        Shells().check([some(particles, 2)], SETTINGS)


def test_tiny_particles_are_warned_of():
    numbers = np.zeros((60, 60, 60), int)
    places = list(itertools.product(range(4, 56, 6), repeat=2))
    for number, (y, x) in enumerate(places, 1):
        numbers[10:13, y : y + 3, x : x + 3] = number
    (warning,) = Shells().check([PhaseImage.from_numbered(numbers)], SETTINGS)
    assert "radius below" in warning


def test_closed_pores_are_filled_and_counted(particles):
    from scipy.ndimage import distance_transform_edt

    inner = distance_transform_edt(particles.data > 0) > 3.5
    hollow = PhaseImage.from_numbered(np.where(inner, 0, particles.data), name="hollow")
    (warning,) = Shells().check([hollow], SETTINGS)
    whole = particles_of(particles, SETTINGS)
    np.testing.assert_array_equal(particles_of(hollow, SETTINGS), whole)
    assert "Closed pores" in warning
    assert f"{np.sum(inner & (whole > 0)):,} voxels in all" in warning


def test_what_is_not_star_shaped_is_counted_before_the_fit(particles):
    odd = some(particles, 12).data
    for number in (3, 7):  # cut by an open slit through their middle
        _, y, x = np.argwhere(odd == number).mean(0).astype(int)
        slit = odd[:, y, x - 1 : x + 9]
        slit[slit == number] = 0
    image = PhaseImage.from_numbered(odd, name="odd")
    (warning,) = Shells().check([image], SETTINGS)
    assert "Not star-shaped about their middle, and to be left out: 2 of the 12" in warning
    last = list(Shells().train([image], SETTINGS))[-1]
    assert "Left out: 2 particles, not star-shaped" in last.message
    rings = np.where(some(particles, 12).data * (np.indices(odd.shape)[0] != 20), odd, 0)
    with pytest.raises(InputError, match="not star-shaped"):
        Shells().check([PhaseImage.from_numbered(rings)], SETTINGS)


def test_dark_particles_and_noise_are_told_of():
    scan = ct_scan()
    with pytest.raises(InputError, match="if the particles are dark, invert the image"):
        Shells().check([PhaseImage.from_grey(255 - scan, name="dark")], SETTINGS)
    noise = np.random.default_rng(0).normal(size=(64, 80, 80))
    warnings = Shells().check([PhaseImage.from_grey(noise, name="noise")], SETTINGS)
    assert "no more than noise does" in warnings[0]


def test_sections_are_refused():
    with pytest.raises(InputError, match="2D"):
        Shells().check([PhaseImage.from_numbered(np.ones((20, 20), int))], SETTINGS)


# ---------------------------------------------------------------------- the command line


def test_from_tiff_to_particle_mesh_and_table_on_the_command_line(particles, tmp_path, capsys):
    source, model = tmp_path / "particles.tif", tmp_path / "shells.safetensors"
    write_tiff(source, particles.data.astype(np.uint16), voxel_size=particles.voxel_size, unit="um")
    assert main(["train", "shell", str(source), "--out", str(model), "--json"]) == 0
    out, mesh, table = (tmp_path / name for name in ("one.tif", "one.stl", "one.csv"))
    command = ["generate", str(model), "--out", str(out), "--seed", "4", "--voxel-size", "100"]
    assert main([*command, "--mesh", str(mesh), "--table", str(table)]) == 0
    capsys.readouterr()
    stored = read_tiff(out)
    assert set(np.unique(stored.data)) == {0, 1}
    assert stored.voxel_size == pytest.approx((0.1,) * 3)
    assert stored.unit == "um"
    assert mesh.stat().st_size > 1000
    assert table.read_text().startswith("index,volume (um^3)")


def test_endless_volumes_need_a_shape(train_tiny, three_phases, tmp_path, capsys):
    model = train_tiny(three_phases).save(tmp_path / "m.safetensors")
    assert main(["generate", str(model), "--out", str(tmp_path / "v.tif")]) == 2
    assert "--shape" in capsys.readouterr().err


def test_particles_that_share_one_number_are_refused_with_their_count(particles):
    merged = PhaseImage.from_numbered((some(particles, 6).data > 0).astype(int), name="cut")
    with pytest.raises(InputError, match="6 separate pieces of 'cut' all have the number 1"):
        Shells().check([merged], SETTINGS)
