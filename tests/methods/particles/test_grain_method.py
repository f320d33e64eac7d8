import numpy as np
import pytest

from napari_microgen.cli import main
from napari_microgen.errors import InputError
from napari_microgen.io.tiff import read_tiff, write_tiff
from napari_microgen.methods import load_model
from napari_microgen.methods.particles.grain_config import GrainConfig
from napari_microgen.methods.particles.grain_method import Grains
from napari_microgen.phases import PhaseImage
from napari_microgen.sample_particles import grain_section

SMALL = {
    "steps": 4, "minutes": 60, "batch": 4, "generated": 4, "fidelity_every": 2,
    "intensity_every": 2, "threads": 1, "preview_seconds": 0, "centres": "80 80",
    "searched_start": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def sections():
    """The middle of a section, at every second pixel, so that trainings take a second."""
    numbers = grain_section(1)[::2, ::2]
    return [PhaseImage.from_numbered(numbers, voxel_size=(0.1, 0.1), unit="um", name="EBSD")]


def trained(sections, **changes):
    return list(Grains().train(sections, GrainConfig(**{**SMALL, **changes})))[-1]


@pytest.fixture(scope="module")
def last(sections):
    return trained(sections, preview_seconds=1e-3)


@pytest.fixture(scope="module")
def model(last):
    return last.model


# ---------------------------------------------------------------------- training


def test_a_few_steps_give_losses_fidelity_and_a_section_to_look_at(last):
    assert set(last.losses) == {"discriminator", "markers", "descriptors"}
    assert np.isfinite(list(last.losses.values())).all()
    assert set(last.model.origin.fidelity) == {"angle", "aspect", "area", "intensity", "mean"}
    assert last.preview.data.shape == (1, 161, 161)
    assert last.preview.kind == "numbered"
    assert len(np.unique(last.preview.data)) > 100


def test_same_seed_gives_the_same_model(sections, model):
    again = trained(sections, preview_seconds=0).model
    for name, tensor in model.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], tensor)
    other = trained(sections, seed=1).model
    assert not np.array_equal(other.tensors()["last.weight"], model.tensors()["last.weight"])


def test_resuming_equals_never_having_stopped(sections, model, tmp_path):
    checkpoint = tmp_path / "grains.checkpoint"
    config = GrainConfig(**SMALL)
    run = Grains().train(sections, config, checkpoint=checkpoint)
    for progress in run:
        if progress.step >= 2:
            break
    run.close()
    resumed = list(Grains().train(sections, config, checkpoint=checkpoint, resume=True))[-1]
    assert resumed.step == 4
    for name, tensor in model.tensors().items():
        np.testing.assert_array_equal(resumed.model.tensors()[name], tensor)


def test_diagrams_fitted_to_the_sections_are_learned_from_and_survive_a_stop(sections, tmp_path):
    changes = {"fitted": True, "steps": 2}
    whole = list(Grains().train(sections, GrainConfig(**{**SMALL, **changes})))
    assert any("of its pixels their grain" in p.message for p in whole)
    checkpoint, config = tmp_path / "grains.checkpoint", GrainConfig(**{**SMALL, **changes})
    run = Grains().train(sections, config, checkpoint=checkpoint)
    for progress in run:
        if progress.step >= 1:
            break
    run.close()
    resumed = list(Grains().train(sections, config, checkpoint=checkpoint, resume=True))[-1]
    for name, tensor in whole[-1].model.tensors().items():
        np.testing.assert_array_equal(resumed.model.tensors()[name], tensor)


def test_the_start_is_searched_among_aspect_ratios(sections):
    """The untrained start points its grains to the centre already, as the data do."""
    start = trained(sections, steps=1, searched_start=True, spread=0.02).model
    diagonals = start.diagram(0).diagonals.mean(axis=0)
    assert 1.5 < diagonals[1] / diagonals[0] < 5
    plain = trained(sections, steps=1, spread=0.02).model
    assert start.origin.fidelity["angle"] < 0.6 * plain.origin.fidelity["angle"]


def test_the_papers_schedule_is_there():
    paper = GrainConfig.from_preset("paper")
    assert (paper.steps, paper.batch, paper.generated) == (20_000, 128, 64)
    assert paper.rate == paper.final_rate == 1e-4
    assert paper.intensity_every == 100
    assert paper.skip_below == 0.32
    assert paper.anchor == paper.flatness == 0
    assert paper.fitted


# ---------------------------------------------------------------------- the model


def test_same_seed_same_grains_in_file_and_in_memory(model, tmp_path):
    again = load_model(model.save(tmp_path / "grains.safetensors"))
    np.testing.assert_array_equal(
        model.generate((20, 40, 40), 3).data, again.generate((20, 40, 40), 3).data
    )
    assert not np.array_equal(
        model.generate((9, 40, 40), 3).data, model.generate((9, 40, 40), 4).data
    )


def test_a_ball_of_grains_has_the_radius_of_the_sections(model):
    coarse = model.with_voxel_size(0.3)
    shape = coarse.fitting_shape()
    ball = coarse.generate(shape).data > 0
    radius = (3 * ball.sum() / (4 * np.pi)) ** (1 / 3) * 0.3
    area = np.count_nonzero(grain_section(1)) / 0.966 * 0.05**2  # 3.4 % are not indexed
    assert radius == pytest.approx(np.sqrt(area / np.pi), rel=0.03)
    assert not any(ball.take(face, axis).any() for axis in range(3) for face in (0, -1))


def test_parts_of_a_volume_are_what_the_whole_says(model):
    whole = model.generate((30, 80, 90), 1).data
    for shape, start in (((20, 30, 41), (5, 6, 40)), ((30, 80, 7), (0, 0, 37))):
        offset = tuple(
            a - n // 2 + m // 2 for a, n, m in zip(start, whole.shape, shape, strict=True)
        )
        there = tuple(slice(a, a + m) for a, m in zip(start, shape, strict=True))
        np.testing.assert_array_equal(model.generate(shape, 1, offset).data, whole[there])


def test_finer_voxels_show_the_same_grains(model):
    coarse = model.generate((11, 31, 31), 2).data
    fine = model.with_voxel_size(0.1 / 3).generate((33, 93, 93), 2).data
    np.testing.assert_array_equal(fine[1::3, 1::3, 1::3], coarse)


def test_the_table_gives_every_grain_its_seed_and_markers(model):
    sample = model.generate((21, 41, 41), 5)
    table = sample.table
    np.testing.assert_array_equal(table["index"], np.unique(sample.data[sample.data > 0]))
    volumes = np.bincount(sample.data.ravel())[table["index"]] * 0.1**3
    np.testing.assert_allclose(table["volume (um^3)"], volumes)


def test_grains_can_be_redone_from_the_parameters_alone(model):
    told = model.parameters(5)
    seeds = np.stack([told[f"seed {a} (um)"] for a in "zyx"], 1)
    matrix = np.zeros((len(seeds), 3, 3))
    for i, a in enumerate("zyx"):
        for j, b in enumerate("zyx"):
            matrix[:, i, j] = told[
                f"M {min((a, b), key='zyx'.index)}{max((a, b), key='zyx'.index)} (um^-2)"
            ]
    points = (np.stack(np.indices((5, 9, 9)), -1) - [2, 4, 4]).reshape(-1, 3) * 0.1
    off = points[:, None] - seeds
    potential = np.einsum("pni,nij,pnj->pn", off, matrix, off) - told["r"]
    np.testing.assert_array_equal(
        potential.argmin(1) + 1, model.generate((5, 9, 9), 5).data.ravel()
    )


def test_damaged_weights_are_refused(model):
    tensors = model.tensors()
    for name in tensors:
        broken = {k: v for k, v in tensors.items() if k != name}
        with pytest.raises(InputError, match="do not describe grains"):
            type(model).from_tensors(model.origin, broken)


# ---------------------------------------------------------------------- the command line


def test_from_sections_to_grains_on_the_command_line(sections, tmp_path, capsys):
    source, model = tmp_path / "ebsd.tif", tmp_path / "grains.safetensors"
    write_tiff(source, sections[0].data.astype(np.uint16), voxel_size=(0.1, 0.1), unit="um")
    settings = [f"--set={k}={v}" for k, v in SMALL.items() if k not in ("preview_seconds",)]
    assert main(["train", "grains", str(source), str(source), "--out", str(model), *settings]) == 2
    assert "2 sections and 1 centre;" in capsys.readouterr().err
    assert main(["train", "grains", str(source), "--out", str(model), *settings, "--json"]) == 0
    out, table = tmp_path / "grains.tif", tmp_path / "grains.csv"
    command = ["generate", str(model), "--shape", "9", "30", "30", "--out", str(out)]
    assert main([*command, "--voxel-size", "200", "--table", str(table)]) == 0
    stored = read_tiff(out)
    assert stored.data.shape == (9, 30, 30)
    assert stored.voxel_size == pytest.approx((0.2,) * 3)
    assert len(table.read_text().splitlines()) == len(np.unique(stored.data[stored.data > 0])) + 1
