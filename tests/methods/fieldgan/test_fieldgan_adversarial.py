"""The network that learns from critics, as the method trains and generates with it."""

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import zoom

from napari_microgen.cli import main
from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.fieldgan import adversarial, model
from napari_microgen.methods.fieldgan.training import FieldGANTraining
from napari_microgen.phases import PhaseImage
from napari_microgen.training.loop import Schedule

METHOD = get_method("fieldgan")


@pytest.fixture(autouse=True, scope="module")
def short():
    """Let critics and network learn for three steps each."""
    before = adversarial.WARM_UP, adversarial.RISE
    adversarial.WARM_UP, adversarial.RISE = 3, 1
    yield
    adversarial.WARM_UP, adversarial.RISE = before


@pytest.fixture(scope="module")
def changes():
    return {"refine": "adversarial", "network_steps": 3, "fit_steps": 15}


@pytest.fixture(scope="module")
def run(three_phases, settings, changes):
    return list(METHOD.train([three_phases], settings(**changes)))


@pytest.fixture(scope="module")
def learned(run):
    """A model whose network changes a lot."""
    trained = run[-1].model
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(scale=0.2, size=value.shape).astype(value.dtype)
        if name.startswith("network.") and name != "network.bias" else value
        for name, value in trained.tensors().items()
    }  # fmt: skip
    return type(trained).from_tensors(trained.origin, weights)


def test_critics_learn_first_and_then_the_network(run):
    losses = {item.step: item.losses for item in run if item.losses}
    assert run[-1].step == 6
    assert all(set(found) == {"critic"} for step, found in losses.items() if step <= 3)
    matched = {"chords", "erosions", "patterns", "paths", "covariances"}
    assert set(losses[6]) == {"critic", "network"} | matched


def test_the_network_leaves_the_calibrated_set_only_after_the_critics_have_learned(
    three_phases, settings, changes
):
    short = settings(**changes, steps=3)
    start = list(METHOD.train([three_phases], short))[-1].model
    assert start.network is not None and start.halo == 7
    volume = start.generate((40, 33, 20), 2, periodic=(True,) * 3)
    calibrated = start.calibrated.generate((40, 33, 20), 2, periodic=(True,) * 3)
    np.testing.assert_array_equal(volume.data, calibrated.data)


def test_previews_of_a_network_that_changes_much_fill_what_the_calibrated_set_fills(
    three_phases, settings, changes
):
    training = FieldGANTraining([three_phases], settings(**changes), Schedule(1, 0, 10, 0, 0))
    for _ in training.prepare():
        pass
    torch.manual_seed(0)
    for weight in training.refiner.average.module.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    shown = training.preview().data
    own = training.calibrated.generate(shown.shape, 0, periodic=(True,) * 3).data
    assert np.mean(shown != own) > 0.1
    for phase in three_phases.phases:
        assert np.mean(shown == phase.value) == pytest.approx(np.mean(own == phase.value), abs=0.03)


def test_resuming_ends_where_an_unbroken_run_does(run, three_phases, settings, changes, tmp_path):
    path = tmp_path / "run"
    training = METHOD.train([three_phases], settings(**changes), checkpoint=path)
    while next(training).step < 4:
        pass
    training.close()
    resumed = list(METHOD.train([three_phases], settings(**changes), checkpoint=path, resume=True))[
        -1
    ]
    assert resumed.step == 6 and resumed.losses == run[-1].losses
    for name, value in run[-1].model.tensors().items():
        np.testing.assert_array_equal(value, resumed.model.tensors()[name])


def test_blocks_of_a_network_with_further_fields_equal_the_whole(learned, monkeypatch):
    monkeypatch.setattr(model, "TILE", 40)
    whole = learned.generate((14, 12, 40), seed=2, offset=(0, 20, 30), probabilities=True)
    part = learned.generate((7, 6, 10), seed=2, offset=(5, 23, 35), probabilities=True)
    where = (slice(5, 12), slice(3, 9), slice(5, 15))
    np.testing.assert_array_equal(part.data, whole.data[where])
    np.testing.assert_array_equal(part.probabilities, whole.probabilities[:, *where])
    assert len(np.unique(whole.data)) > 1


def test_logits_fields_and_balls_of_overlapping_blocks_are_the_same_and_repeat(learned):
    periods = (0, 35, 0)
    assert any(learned.source.radii)
    first = learned.source.block((0, 0, 0), (20, 24, 30), 3, periods)
    second = learned.source.block((-6, 30, 4), (20, 24, 20), 3, periods)
    # Rows 35 to 53 of the second are rows 0 to 18 again.
    np.testing.assert_allclose(first[:, :14, :19, 4:24], second[:, 6:, 5:, :], atol=1e-3)


def test_a_network_wraps_around_with_the_fields(learned):
    shape, whole = (45, 40, 37), (True,) * 3
    first = learned.generate(shape, 1, periodic=whole).data
    moved = learned.generate(shape, 1, offset=(7, 9, 30), periodic=whole).data
    assert np.mean(moved != np.roll(first, (-7, -9, -30), (0, 1, 2))) < 1e-3


def test_a_stretched_material_has_a_critic_per_orientation_from_the_command_line(
    two_phases, tmp_path
):
    top, side, out, volume = (
        str(tmp_path / n) for n in ("t.tif", "s.tif", "m.safetensors", "v.tif")
    )
    tifffile.imwrite(top, two_phases.data)
    tifffile.imwrite(side, zoom(two_phases.data, (1.5, 1), order=0)[:160])
    short = ("fit_steps=15", "network_steps=2", "side=64", "threads=1", "refine=adversarial")
    options = [f"--set={item}" for item in short]
    assert main(["train", "fieldgan", top, side, "--out", out, *options]) == 0
    trained = load_model(out)
    assert trained.network.groups == ((0,), (1, 2))
    assert trained.calibrated.stretch == pytest.approx(1.5, abs=0.25)
    assert main(["generate", out, "--shape", "32", "40", "36", "--out", volume]) == 0
    assert tifffile.imread(volume).shape == (32, 40, 36)


def test_one_critic_looks_at_all_axes_of_an_isotropic_material_and_two_at_a_stretched_one(
    two_phases, settings
):
    from napari_microgen.methods.excursion.preparation import prepare
    from napari_microgen.methods.fieldgan.symmetry import find_symmetry

    side = PhaseImage.from_labels(zoom(two_phases.data, (1.5, 1), order=0)[:160], name="side")
    alone = find_symmetry(prepare([two_phases]), 0.0).orientations
    both = find_symmetry(prepare([two_phases, side]), 0.0).orientations
    assert [o.axes for o in alone] == [(0, 1, 2)]
    assert [o.axes for o in both] == [(0,), (1, 2)]
