import csv
from types import SimpleNamespace

import numpy as np
import pytest

from napari_microgen.cli import main
from napari_microgen.errors import InputError
from napari_microgen.io.tiff import read_tiff
from napari_microgen.methods.base import Origin
from napari_microgen.methods.particles.grain_model import GrainModel
from napari_microgen.methods.particles.grain_network import MarkerNetwork, MarkerRange
from napari_microgen.methods.particles.shell_model import ShellModel
from napari_microgen.methods.particles.whole import combine
from napari_microgen.metrics.grains import measure_grains
from napari_microgen.sample_particles import true_shells


def origin(method, voxel, unit="um"):
    return Origin(method, {}, "numbered", (), (voxel,) * 3, unit)


@pytest.fixture(scope="module")
def grains():
    """Untrained but for the mean of its markers: long grains of about 0.4 um."""
    import torch

    torch.manual_seed(0)
    network = MarkerNetwork(MarkerRange(), spread=0.1)
    network.start_at((1.4, 4.5, 4.5), 25.0)
    return GrainModel(origin("grains", 0.1), network, 0.0026, 0.075, 40.0)


@pytest.fixture(scope="module")
def shells():
    return ShellModel(origin("shell", 300.0, "nm"), true_shells(), np.zeros((3, 100)), 300.0, 0.0)


@pytest.fixture(scope="module")
def particles(grains, shells):
    return combine(grains, shells)


@pytest.fixture(scope="module")
def sample(particles):
    return particles.generate(particles.fitting_shape(1), 1)


def test_a_particle_is_its_shell_filled_with_grains(particles, shells, sample):
    shell = shells.with_voxel_size(100.0)
    assert particles.fitting_shape(1) == shell.fitting_shape(1)
    np.testing.assert_array_equal(
        sample.data > 0, shell.generate(shell.fitting_shape(1), 1).data == 1
    )
    assert len(np.unique(sample.data)) > 100


def test_sizes_are_matched_in_physical_units(shells, sample):
    volume = float(shells.table(1, np.zeros(1))["volume (nm^3)"][0]) * 1e-9
    assert np.count_nonzero(sample.data) * 0.1**3 == pytest.approx(volume, rel=0.02)


def test_grains_do_not_know_of_the_shell(grains, particles, sample):
    """Inside both, a particle and a ball of the same seed have the same grains."""
    ball = grains.generate(sample.data.shape, 1).data
    both = (ball > 0) & (sample.data > 0)
    pairs = np.unique(np.stack([ball[both], sample.data[both]]), axis=1)
    assert both.sum() > 1000
    assert len(np.unique(pairs[0])) == pairs.shape[1] == len(np.unique(pairs[1]))


def test_few_grains_are_in_pieces(sample):
    shares = measure_grains(sample.data.astype(int)).largest_shares
    assert np.mean(shares < 0.95) < 0.05


def test_parts_of_a_particle_are_what_the_whole_says(particles, sample):
    n = np.array(sample.data.shape)
    shape, start = np.array((20, 31, 41)), n // 2 - (3, 9, 30)
    part = particles.generate(tuple(shape), 1, tuple(start - n // 2 + shape // 2)).data
    there = tuple(slice(a, a + m) for a, m in zip(start, shape, strict=True))
    np.testing.assert_array_equal(part, sample.data[there])


def test_mesh_and_voxels_show_one_particle(particles, sample):
    vertices, _ = particles.mesh(1)
    reach = np.abs(np.argwhere(sample.data > 0) - np.array(sample.data.shape) // 2).max(0) * 0.1
    assert np.abs(vertices).max(axis=0) == pytest.approx(reach, abs=0.15)


def test_models_of_something_else_are_refused(grains, shells):
    with pytest.raises(InputError, match="no shell"):
        combine(grains, grains)
    with pytest.raises(InputError, match="not with a shell"):
        combine(shells, shells)


def test_lengths_that_cannot_be_compared_are_refused(grains):
    nowhere = ShellModel(origin("shell", 1.0, "pixel"), true_shells(), np.zeros((3, 100)), 1.0, 0)
    with pytest.raises(InputError, match="set the voxel size"):
        combine(grains, nowhere)
    both = GrainModel(
        origin("grains", 1.0, "pixel"), grains.network, grains.intensity, grains.unit, grains.radius
    )
    with pytest.raises(InputError, match="set the voxel size"):
        combine(both, nowhere)


def test_a_particle_is_no_model_file(particles, tmp_path):
    with pytest.raises(InputError, match="save the shell and the grains"):
        particles.save(tmp_path / "particle.safetensors")


# ---------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def files(grains, shells, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    paths = grains.save(folder / "grains"), shells.save(folder / "shells")
    return [str(path) for path in paths]


def test_one_particle_with_all_that_belongs_to_it(files, particles, tmp_path, capsys):
    out, mesh, cells = (tmp_path / n for n in ("p.tif", "p.ply", "p.csv"))
    extra = ["--mesh", str(mesh), "--tessellation", str(cells), "--voxel-size", "200"]
    command = ["generate", files[0], "--shell", files[1], "--seed", "2", "--out", str(out)]
    assert main([*command, *extra]) == 0
    coarse = particles.with_voxel_size(0.2)
    np.testing.assert_array_equal(
        read_tiff(out).data, coarse.generate(coarse.fitting_shape(2), 2).data
    )
    assert mesh.read_bytes().startswith(b"ply")
    with cells.open() as file:
        assert len(list(csv.DictReader(file))) == len(coarse.parameters(2)["r"])


def test_a_data_set_has_volumes_tessellations_and_a_table(files, tmp_path, capsys):
    folder = tmp_path / "set"
    command = ["generate", files[0], "--shell", files[1], "--out", str(folder), "--count", "3"]
    assert main([*command, "--seed", "5", "--voxel-size", "300"]) == 0
    with (folder / "particles.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["5", "6", "7"]
    assert len({row["volume (um^3)"] for row in rows}) == 3
    for row in rows:
        data = read_tiff(folder / row["file"]).data
        assert int(row["grains"]) == len(np.unique(data[data > 0]))
        assert float(row["volume (um^3)"]) == pytest.approx(np.sum(data > 0) * 0.3**3)
        assert (folder / row["file"]).with_suffix(".csv").is_file()
    assert "shell" in (folder / "provenance.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["SHELL", "--tessellation", "t.csv"], "A shell model has no tessellation"),
        (["GRAINS", "--mesh", "m.stl"], "A grains model has no mesh"),
        (["SHELL", "--mesh", "m.obj"], "must end in .stl or .ply"),
        (["SHELL", "--shell", "SHELL"], "filled with grains, not with a shell"),
        (["GRAINS", "--count", "2", "--shape", "1", "2", "3"], "leave out --shape"),
        (["GRAINS", "--count", "2", "--periodic", "z"], "leave out --periodic"),
        (["GRAINS", "--table", "a.csv", "--tessellation", "a.csv"], "name the same file"),
        (["GRAINS", "--count", "0"], "'0' is no whole number from 1"),
        (["SHELL", "--voxel-size", "1e-320"], "choose a larger voxel size"),
        (["SHELL", "--voxel-size", "1e-300"], "choose a larger voxel size"),
        (["GRAINS", "--voxel-size", "1e-300"], "choose a larger voxel size"),
        (["GRAINS", "--shell", "SHELL", "--voxel-size", "1e-9"], "choose a larger voxel size"),
        (["GRAINS", "--voxel-size", "0.1"], "choose a larger voxel size"),
        (["GRAINS", "--voxel-size", "1e300"], "choose a smaller voxel size"),
        (["SHELL", "--voxel-size", "1e-300", "--count", "3"], "choose a larger voxel size"),
        (["SHELL", "--voxel-size", "0.5", "--count", "3"], "choose a larger voxel size"),
        (["SHELL", "--count", "2", "--seed", "2147483647"], "Seeds end at 2147483647"),
    ],
)
def test_what_a_model_cannot_give_is_said(files, arguments, told, tmp_path, capsys):
    names = {"GRAINS": files[0], "SHELL": files[1]}
    arguments = [names.get(a, a) for a in arguments]
    assert main(["generate", *arguments, "--out", str(tmp_path / "v.tif")]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_data_set_without_room_is_refused_before_its_folder_is_made(files, tmp_path, monkeypatch):
    usage = SimpleNamespace(total=10**9, used=10**9 - 1000, free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    folder = tmp_path / "new" / "set"
    assert main(["generate", files[1], "--out", str(folder), "--count", "3"]) == 2
    assert not list(tmp_path.iterdir())


def test_no_data_set_is_mixed_with_an_earlier_one(files, tmp_path, capsys):
    folder = tmp_path / "set"
    command = ["generate", files[1], "--voxel-size", "2000", "--out", str(folder)]
    assert main([*command, "--count", "3"]) == 0
    (folder / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main([*command, "--count", "1"]) == 2
    assert "holds a data set already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    assert main([*command[:-1], str(other), "--count", "1"]) == 0
    assert "Generating 1 particle " in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--count", "2"]])
def test_particles_of_a_voxel_or_two_are_warned_of(files, tmp_path, capsys, more):
    for size, warned in (("4000", True), ("400", False)):
        out = str(tmp_path / f"{size}.tif")
        command = ["generate", files[1], "--voxel-size", size, "--out", out, *more]
        assert main(command) == 0
        assert ("only 1.6 voxels wide" in capsys.readouterr().err) == warned


def test_a_shell_of_a_thousand_times_the_size_is_told_of(grains):
    huge = ShellModel(origin("shell", 0.3, "mm"), true_shells(), np.zeros((3, 100)), 0.3, 0.0)
    particles = combine(grains, huge).with_voxel_size(100.0)
    with pytest.raises(InputError, match="right voxel sizes"):
        particles.generate(particles.fitting_shape(0), 0)
