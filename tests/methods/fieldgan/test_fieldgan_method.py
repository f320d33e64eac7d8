import re

import numpy as np
import pytest
from conftest import known_fit
from scipy.ndimage import zoom

from napari_microgen.cli import main
from napari_microgen.errors import InputError
from napari_microgen.io.tiff import read_tiff
from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.excursion.assessment import draw_section
from napari_microgen.phases import PhaseImage

METHOD = get_method("fieldgan")
WHOLE = (True, True, True)


@pytest.fixture(scope="module")
def run(three_phases, settings):
    return list(METHOD.train([three_phases], settings(preview_seconds=1000)))


@pytest.fixture(scope="module")
def model(run):
    return run[-1].model


@pytest.fixture(scope="module")
def small(two_phases, settings):
    return list(METHOD.train([two_phases], settings()))[-1]


@pytest.fixture(scope="module")
def learned(small):
    """A model whose filter changes a lot."""
    weights = small.model.tensors()
    mixture = np.random.default_rng(0).normal(size=weights["network.mixture"].shape)
    changed = {**weights, "network.mixture": mixture.astype(np.float32)}
    return type(small.model).from_tensors(small.model.origin, changed)


def test_training_shows_the_calibrated_set_first_and_ends_with_a_judged_model(run, model):
    assert run[-1].fraction == 1 and run[-1].step == 4
    assert set(model.origin.fidelity) >= {"s2", "ssa", "chord", "mean", "euler", "pattern"}
    shown = [i for i, item in enumerate(run) if item.preview is not None]
    first_step = next(i for i, item in enumerate(run) if item.step > 0)
    assert shown and shown[0] < first_step
    assert any("advised" in item.message or "no refinement" in item.message for item in run)
    assert [i.step for i in run] == sorted(i.step for i in run)
    assert "do not certify transport" in run[-1].message


def test_previews_fill_what_the_calibrated_set_fills(three_phases, model, settings):
    """Though a network is settled for them on a small volume only."""
    changes = settings(preview_seconds=1000, filter_steps=12)
    shown = [i.preview for i in METHOD.train([three_phases], changes) if i.preview is not None]
    own = model.calibrated.generate(shown[-1].data.shape, 0, periodic=WHOLE).data
    np.testing.assert_array_equal(shown[-2].data, own)  # before the first step
    assert 0 < np.mean(shown[-1].data != own) < 0.2
    for phase in three_phases.phases:
        filled = np.mean(shown[-1].data == phase.value)
        assert filled == pytest.approx(np.mean(own == phase.value), abs=0.01)


def test_the_model_at_the_start_is_the_calibrated_set_exactly(run):
    first = next(item.model for item in run if item.model is not None)
    assert first.origin.steps == 0
    for shape, offset, periodic in (
        ((48, 40, 44), (0, 0, 0), WHOLE),
        ((20, 17, 30), (90, 3, 12), (False, True, False)),
    ):
        ours = first.generate(shape, 3, offset, periodic, probabilities=True)
        theirs = first.calibrated.generate(shape, 3, offset, periodic, probabilities=True)
        np.testing.assert_array_equal(ours.data, theirs.data)
        # Fields of blocks are transformed with a halo, and so in another size.
        rounding = 0.0 if periodic == WHOLE else 1e-4
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=rounding)


def test_blocks_equal_the_whole(learned):
    whole = learned.generate((20, 15, 50), seed=2, offset=(0, 20, 100), probabilities=True)
    part = learned.generate((7, 6, 20), seed=2, offset=(10, 23, 120), probabilities=True)
    where = (slice(10, 17), slice(3, 9), slice(20, 40))
    np.testing.assert_array_equal(part.data, whole.data[where])
    np.testing.assert_array_equal(part.probabilities, whole.probabilities[:, *where])


@pytest.mark.parametrize("axes", [(True, True, True), (True, False, False)])
def test_wraps_around_in_periodic_axes(learned, axes):
    shape = (45, 40, 37)
    first = learned.generate(shape, 1, periodic=axes).data
    shift = tuple(7 if wraps else 0 for wraps in axes)
    moved = learned.generate(shape, 1, offset=shift, periodic=axes).data
    rolled = np.roll(first, [-s for s in shift], (0, 1, 2))
    assert np.mean(moved != rolled) < 1e-3
    seam, inside = np.mean(first[0] != first[-1]), np.mean(first[1:] != first[:-1])
    assert seam < 1.6 * inside


def test_counts_as_many_blocks_as_it_yields(learned):
    for shape, offset, periodic in (
        ((20, 20, 40), (3, 30, 100), (False,) * 3),
        ((40, 40, 40), (0, 40, 0), WHOLE),
    ):
        blocks = list(learned.blocks(shape, 0, offset, periodic))
        assert len(blocks) == learned.count_blocks(shape, offset, periodic)


def test_every_phase_fills_what_it_fills_in_the_image(three_phases, model):
    """The bias makes up for what the filter changes, in volumes that it was not set on."""
    volumes = [m.generate((96,) * 3, 7, periodic=WHOLE).data for m in (model, model.calibrated)]
    for phase in three_phases.phases:
        refined, calibrated = (np.mean(v == phase.value) for v in volumes)
        assert refined == pytest.approx(calibrated, abs=0.01)


def test_resuming_ends_where_an_unbroken_run_does(small, two_phases, settings, tmp_path):
    """And the same seed gives the same model: the first steps are done twice."""
    path = tmp_path / "run"
    run = METHOD.train([two_phases], settings(), checkpoint=path)
    assert next(item for item in run if item.step > 0).step < 4
    run.close()
    resumed = list(METHOD.train([two_phases], settings(), checkpoint=path, resume=True))[-1]
    assert resumed.step == 4 and resumed.losses == small.losses
    for name, value in small.model.tensors().items():
        np.testing.assert_array_equal(value, resumed.model.tensors()[name])


def test_saved_and_loaded_models_are_the_same(learned, tmp_path):
    loaded = load_model(learned.save(tmp_path / "model.safetensors"))
    assert loaded.origin == learned.origin
    volumes = [m.generate((24, 32, 20), 3, probabilities=True) for m in (loaded, learned)]
    np.testing.assert_array_equal(volumes[0].probabilities, volumes[1].probabilities)
    damaged = {**learned.tensors(), "network.mixture": np.zeros((3, 5), np.float32)}
    with pytest.raises(InputError, match="damaged"):
        type(learned).from_tensors(learned.origin, damaged)


def test_a_stretched_material_is_stretched_and_only_its_own_axes_are_learned(two_phases, settings):
    final = list(METHOD.train([two_phases], settings(stretch=1.6, filter_steps=1)))[-1].model
    assert final.network.groups == ((0,), (1, 2))
    volume = final.generate((96,) * 3, 0, periodic=WHOLE).data
    z, y, x = (np.mean(np.diff(volume, axis=axis) != 0) for axis in range(3))
    assert y == pytest.approx(x, rel=0.06)
    assert z == pytest.approx(y / 1.6, rel=0.12)


def test_a_second_section_tells_the_stretch(two_phases, settings):
    longer = PhaseImage.from_labels(
        zoom(two_phases.data, (1.5, 1), order=0)[:160], names={0: "0", 1: "1"}, name="side"
    )
    final = list(METHOD.train([two_phases, longer], settings(filter_steps=1)))[-1].model
    assert final.calibrated.stretch == pytest.approx(1.5, abs=0.25)
    assert final.network.groups == ((0,), (1, 2))


def test_transport_is_checked_against_a_true_volume(model, settings):
    labels = model.generate((64, 64, 64), 5, periodic=WHOLE).data
    image = PhaseImage.from_labels(labels)
    message = list(METHOD.train([image], settings(refine="none")))[-1].message
    found = [float(v) for v in re.findall(r"(\d\.\d+)", message)]
    assert len(found) == 6
    for ours, true in zip(found[::2], found[1::2], strict=True):
        assert ours == pytest.approx(true, abs=0.08)


def test_the_command_line_trains_and_generates(two_phases, tmp_path):
    import tifffile

    source, out, volume = (str(tmp_path / n) for n in ("a.tif", "m.safetensors", "v.tif"))
    tifffile.imwrite(source, two_phases.data)
    short = [f"--set={s}" for s in ("fit_steps=20", "filter_steps=2", "side=64", "threads=1")]
    assert main(["train", "fieldgan", source, "--out", out, "--set", "refine=auto", *short]) == 0
    assert main(["generate", out, "--shape", "32", "32", "32", "--periodic", "zyx",
                 "--out", volume]) == 0  # fmt: skip
    assert read_tiff(volume).data.shape == (32, 32, 32)


# ---------------------------------------------------------------------- refusals and warnings


def refused(labels, match, settings):
    with pytest.raises(InputError, match=match) as caught:
        METHOD.check([PhaseImage.from_labels(labels)], settings())
    assert "\n" not in str(caught.value)


def test_bad_images_are_refused_in_one_sentence(two_phases, settings):
    random = np.random.default_rng(0)
    refused(random.integers(0, 4, (96, 96)), "merge phases", settings)
    refused(random.integers(0, 2, (96, 40)), "64 x 64", settings)
    refused(np.zeros((96, 96), int), r"single phase|one phase|constant", settings)
    gaps = np.where(np.indices((96, 96)).sum(0) % 9 == 0, 0, random.integers(1, 3, (96, 96)))
    unlabelled = PhaseImage.from_labels(gaps, zero="unlabelled")
    with pytest.raises(InputError, match="without unlabelled"):
        METHOD.check([unlabelled], settings())
    with pytest.raises(InputError, match="images, not 4"):
        METHOD.check([two_phases] * 4, settings())
    with pytest.raises(InputError, match="own settings"):
        METHOD.check([two_phases], get_method("slicegan").config_class())


def test_features_too_large_for_the_image_are_warned_about_with_the_number(two_phases, settings):
    coarse = draw_section(known_fit("gaussian", (0, 1), (30.0,), (0.0,)), (512, 512), 1)
    warnings = METHOD.check([PhaseImage.from_labels(coarse[:100, :100])], settings())
    assert any("less than four times its correlation length of" in w for w in warnings)
    assert METHOD.check([two_phases], settings()) == []
