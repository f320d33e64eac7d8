import numpy as np
import pytest
import torch

from napari_microgen.cli import main
from napari_microgen.errors import InputError
from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.excursion.anisotropy import estimate_stretch
from napari_microgen.methods.excursion.assessment import cut_phases
from napari_microgen.methods.excursion.calibration import Candidate
from napari_microgen.methods.excursion.covariances import bump_weights
from napari_microgen.methods.excursion.fields import periodic_fields
from napari_microgen.methods.excursion.models import Independent, Scalars
from napari_microgen.methods.excursion.preparation import prepare
from napari_microgen.metrics.chords import mean_chords
from napari_microgen.phases import PhaseImage

METHOD = get_method("excursion")


def volume(stretch, side=160, seed=0, length=5.0):
    weights = torch.stack([bump_weights(x, 60) for x in (length, 1.4 * length)])
    levels = torch.tensor([0.3, -0.1], dtype=torch.float64)
    scalars = Scalars(levels, torch.zeros((), dtype=torch.float64), torch.ones(2).double())
    fields = periodic_fields(weights, (0, 1), (side,) * 3, seed, stretch=stretch)
    functions = Independent().functions(scalars, fields)
    return cut_phases(functions.numpy(), Candidate("independent", (0, 1, 2)))


def labels(data, **keywords):
    return PhaseImage.from_labels(data, **keywords)


def config(**changes):
    return METHOD.config_class(
        model="plurigaussian", fit_steps=40, steps=1, threads=1, preview_seconds=0, **changes
    )


@pytest.fixture(scope="module")
def flat():
    return volume(0.7)


@pytest.mark.parametrize("stretch", [0.7, 1.0, 1.4])
def test_the_stretch_of_a_volume_is_recovered(stretch):
    assert estimate_stretch(labels(volume(stretch))) == pytest.approx(stretch, abs=0.05)


@pytest.mark.parametrize("stretch", [0.7, 1.4])
def test_the_stretch_is_recovered_from_two_sections(stretch):
    data = volume(stretch, seed=1)
    image, section = labels(data[80]), labels(data[:, 80])
    assert estimate_stretch(image, [section]) == pytest.approx(stretch, abs=0.08)
    both = estimate_stretch(image, [section, labels(data[:, :, 80])])
    assert both == pytest.approx(stretch, abs=0.08)


def test_stretch_is_one_where_nothing_shows_it(flat):
    assert estimate_stretch(labels(flat[80])) == 1


def test_stretch_is_one_of_lengths_and_not_of_voxels(flat):
    whole = estimate_stretch(labels(flat))
    thick = labels(flat, voxel_size=(3.0, 1.5, 1.5), unit="um")
    assert estimate_stretch(thick) == pytest.approx(2 * whole, abs=0.01)


def test_two_sections_give_a_stretched_model(flat):
    images = [labels(flat[80], name="top"), labels(flat[:, 80], name="side")]
    assert any("0.7" in note for note in METHOD.notes(images, config()))
    *_, last = METHOD.train(images, config())
    assert last.model.stretch == pytest.approx(0.7, abs=0.08)
    assert [d["name"] for d in last.model.origin.data] == ["top", "side"]
    made = last.model.generate((96,) * 3, 0, periodic=(True,) * 3).data
    chords = mean_chords(np.searchsorted([0, 1, 2], made).astype(np.uint8), 3)
    ratio = np.mean(chords[:, 0] / chords[:, 1:].mean(axis=1))
    assert ratio == pytest.approx(0.7, abs=0.12)


def test_a_volume_gives_its_stretch_to_the_model(flat):
    image = labels(flat[:96, :96, :96])
    *_, last = METHOD.train([image], config())
    assert last.model.stretch == pytest.approx(0.7, abs=0.08)
    # The curves are those within sections normal to z, which have not been compressed.
    assert last.model.fit.rmse < 0.01


def test_an_isotropic_volume_is_not_stretched():
    prepared = prepare([labels(volume(1.0, side=112))])
    assert prepared.stretch == 1
    assert "not stretched" in METHOD.notes([prepared.source], config())[0]


def test_the_user_is_told_what_the_model_cannot_show(flat):
    side = [labels(flat[:, 80], name="side")]
    warning = next(w for w in METHOD.check(side, config()) if "along its axes" in w)
    assert "normal to the direction" in warning
    images = [labels(flat[80]), labels(flat[:, 80])]
    assert METHOD.check(images, config()) == []
    ignored = METHOD.check(images, config(stretch=1.0))
    assert any("set stretch to 0" in w for w in ignored)


def test_a_stretch_beyond_what_is_looked_for_is_told():
    layers = np.repeat(np.arange(64) // 4 % 2, 64 * 64).reshape(64, 64, 64)
    (said,) = [w for w in METHOD.check([labels(layers)], config()) if "Chords along z" in w]
    assert "bring larger ones, or set stretch" in said


def test_sections_that_do_not_fit_are_refused(flat):
    image = labels(flat[80])
    two = np.minimum(flat[:, 80], 1)
    for section, match in (
        (labels(two), "same phases"),
        (labels(flat[:8, 80]), "at least 16 pixels"),
        (labels(flat[:, 80], voxel_size=(1, 1), unit="nm"), "one unit"),
    ):
        with pytest.raises(InputError, match=match):
            METHOD.check([image, section], config())
    with pytest.raises(InputError, match="'stretch' must be 0, or"):
        config(stretch=0.1)


def test_thin_stacks_are_sections_and_no_volume(flat):
    stack = labels(flat[:8], name="stack")
    assert METHOD.check([stack], config()) == []
    assert METHOD.notes([stack], config()) == []
    *_, last = METHOD.train([stack], config(stretch=1.4))
    assert last.model.stretch == 1.4


def test_the_command_line_takes_sections(flat, tmp_path):
    import tifffile

    paths = [str(tmp_path / name) for name in ("top.tif", "side.tif", "model.safetensors")]
    tifffile.imwrite(paths[0], flat[80])
    tifffile.imwrite(paths[1], flat[:, 80])
    assert main(["train", "excursion", *paths[:2], "--out", paths[2], "--steps", "1",
                 "--set", "fit_steps=5", "--set", "threads=1"]) == 0  # fmt: skip
    assert load_model(paths[2]).stretch == pytest.approx(0.7, abs=0.08)
