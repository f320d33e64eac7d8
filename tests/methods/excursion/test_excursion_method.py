import dataclasses

import numpy as np
import pytest
import torch

from napari_microgen.cli import main
from napari_microgen.errors import InputError
from napari_microgen.io.tiff import read_tiff
from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.excursion.assessment import Misfit, draw_section
from napari_microgen.methods.excursion.calibration import (
    Candidate,
    Fit,
    calibrate,
    candidates,
    coverage_curves,
)
from napari_microgen.methods.excursion.covariances import bump_weights, shell_basis
from napari_microgen.methods.excursion.estimator import estimate_coverage
from napari_microgen.methods.excursion.ladder import next_job
from napari_microgen.methods.excursion.models import Scalars
from napari_microgen.methods.excursion.training import verdict
from napari_microgen.phases import PhaseImage

METHOD = get_method("excursion")


def config(**changes):
    few = {"threads": 1, "fit_steps": 40, "preview_seconds": 0}
    return METHOD.config_class.from_preset("quick", **{**few, **changes})


def truth(name="independent", roles=(1, 0, 2), lengths=(4.0, 7.0), levels=(0.5, 0.1)):
    weights = torch.stack([bump_weights(x, 60) for x in lengths])
    values = Scalars(
        torch.tensor(levels, dtype=torch.float64), torch.zeros((), dtype=torch.float64),
        torch.ones(2, dtype=torch.float64),
    )  # fmt: skip
    return Fit(Candidate(name, roles), weights, values, 0.0, 0.0)


@pytest.fixture(scope="module")
def image():
    labels = np.array([0, 3, 200], np.uint8)[draw_section(truth(), (512, 512), 5)]
    return PhaseImage.from_labels(labels, voxel_size=(25, 25), unit="nm", name="known")


@pytest.fixture(scope="module")
def two_phases():
    fit = truth("gaussian", (0, 1), (4.0,), (0.4,))
    return PhaseImage.from_labels(draw_section(fit, (200, 200), 1), name="two")


def fitted(target, candidate, steps, **keywords):
    run = calibrate(target, candidate, steps, **keywords)
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


def rmse_of(fit, target):
    """What the true model itself is from one image of it."""
    rho = fit.weights @ shell_basis(torch.as_tensor(target.nodes), 60).T
    model = fit.candidate.build()
    curves = coverage_curves(target, model, rho, fit.scalars, -1)
    return float((curves - target.rows(fit.candidate.roles)).square().mean().sqrt())


@pytest.fixture(scope="module")
def trained(image):
    settings = config(model="plurigaussian", fit_steps=120, preview_seconds=5)
    return list(METHOD.train([image], settings))


@pytest.fixture(scope="module")
def model(trained):
    return trained[-1].model


@pytest.fixture(scope="module")
def small(two_phases):
    return list(METHOD.train([two_phases], config()))[-1].model


# ---------------------------------------------------------------------- calibration


def test_a_known_model_is_recovered_from_one_image(image, model):
    known = truth()
    best = min((m for m in model.misfits if m.model == "independent"), key=lambda m: m.s2_rmse)
    assert best.roles[0] == known.candidate.roles[0]
    assert model.fit.candidate.roles[0] == known.candidate.roles[0]
    target = estimate_coverage(image)
    assert model.fit.rmse < rmse_of(known, target)
    h = np.arange(1.0, 7.0)
    wanted = known.weights @ shell_basis(torch.as_tensor(h), 60).T
    found = fitted(target, Candidate("independent", known.candidate.roles), 150)
    rho = found.weights @ shell_basis(torch.as_tensor(h), found.weights.shape[1]).T
    assert float((rho - wanted).abs().max()) < 0.1
    assert float((found.scalars.levels - known.scalars.levels).abs().max()) < 0.1


def test_no_fit_is_worse_than_its_start(two_phases):
    target = estimate_coverage(two_phases)
    for name in ("gaussian", "chi2"):
        for candidate in candidates(name, 2):
            for steps in (1, 3):
                fit = fitted(target, candidate, steps)
                assert fit.rmse <= fit.start_rmse


def test_volume_fractions_of_a_fit_are_the_images(image):
    target = estimate_coverage(image)
    fit = fitted(target, Candidate("gaussian+chi2", (1, 2, 0)), 2)
    fractions = fit.candidate.build().fractions(fit.scalars, -1)
    np.testing.assert_allclose(fractions, target.fractions[[1, 2, 0]], atol=1e-8)


def test_distinct_orders_are_tried_once():
    counts = [len(candidates(n, 3)) for n in ("independent", "correlated", "gaussian+chi2")]
    assert counts == [3, 6, 6]
    assert [len(candidates(n, 2)) for n in ("gaussian", "chi2", "correlated")] == [1, 2, 0]


def test_richer_models_are_tried_where_simpler_ones_are_not_good():
    def tried(surface, **changes):
        settings, misfits = config(**changes), []
        while (job := next_job(settings, 3, misfits)) is not None:
            c = job.candidate
            known = (c.model, c.roles, c.sign, 0.002, 0.01, surface, 0.1, 0.5)
            misfits.append(Misfit(*known, job.spectrum, job.algorithm))
        return [(m.model, m.spectrum, m.algorithm) for m in misfits]

    simple = ["independent"] * 3 + ["correlated"] * 2
    assert [m for m, _, _ in tried(0.02)] == simple
    assert [m for m, _, _ in tried(0.2)] == [*simple, *["gaussian+chi2"] * 2]
    assert len(tried(0.02, orders="all")) == 3 + 6 + 6
    asked = tried(0.02, model="lowparam", algorithm="3")[5:]
    assert [w for _, *w in asked] == [["lowparam", "exact"], ["lowparam", "3"]]
    kernels = tried(0.02, spectrum="kernels", algorithm="1")
    assert {s for _, s, _ in kernels} == {"kernels"} and kernels[-1][2] == "1"


def test_progress_ends_with_a_judged_model_and_a_full_bar(trained):
    final = trained[-1]
    assert final.fraction == 1 and final.preview is not None
    assert set(final.fidelity) >= {"s2", "ssa", "mean"}
    assert final.model.origin.fidelity == final.fidelity
    assert "best model" in final.message
    table = final.model.table()
    assert len(table) == 3 + 2 and table[0]["model"] == final.model.fit.candidate.model
    assert [i.step for i in trained] == sorted(i.step for i in trained)


def test_same_seed_same_model(two_phases, small):
    again = list(METHOD.train([two_phases], config()))[-1].model
    for name, value in small.tensors().items():
        np.testing.assert_array_equal(value, again.tensors()[name])


def test_resuming_ends_where_an_unbroken_run_does(two_phases, small, tmp_path):
    path = tmp_path / "run"
    run = METHOD.train([two_phases], config(), checkpoint=path)
    for progress in run:
        if progress.model is not None:
            break
    run.close()
    assert path.is_file()
    resumed = list(METHOD.train([two_phases], config(), checkpoint=path, resume=True))[-1]
    assert resumed.model.fit.rmse == small.fit.rmse
    assert resumed.step == small.origin.steps
    other = METHOD.train([two_phases], config(freedom=3), checkpoint=path, resume=True)
    with pytest.raises(InputError, match="other images or settings"):
        next(other)


def test_a_spent_budget_keeps_what_there_is(two_phases):
    final = list(METHOD.train([two_phases], config(steps=1)))[-1]
    assert len(final.model.misfits) == 1 and final.fraction == 1


# ---------------------------------------------------------------------- volumes


def test_blocks_equal_the_whole(small):
    whole = small.generate((20, 15, 50), seed=2, offset=(0, -20, 100), probabilities=True)
    part = small.generate((7, 6, 20), seed=2, offset=(10, -17, 120), probabilities=True)
    where = (slice(10, 17), slice(3, 9), slice(20, 40))
    np.testing.assert_array_equal(part.data, whole.data[where])
    np.testing.assert_array_equal(part.probabilities, whole.probabilities[:, *where])


@pytest.mark.parametrize("axes", [(True, True, True), (True, False, False)])
def test_wraps_around_in_periodic_axes(small, axes):
    shape = (45, 40, 37)
    first = small.generate(shape, 1, periodic=axes).data
    shift = tuple(7 if wraps else 0 for wraps in axes)
    moved = small.generate(shape, 1, offset=shift, periodic=axes).data
    rolled = np.roll(first, [-s for s in shift], (0, 1, 2))
    assert np.mean(moved != rolled) < 1e-4
    seam = np.mean(first[0] != first[-1])
    inside = np.mean(first[1:] != first[:-1])
    assert seam < 1.6 * inside


def test_seeds_give_other_volumes_and_the_same_one_again(small):
    volumes = [small.generate((48, 48, 48), s, periodic=(True,) * 3).data for s in (0, 0, 1)]
    np.testing.assert_array_equal(volumes[0], volumes[1])
    assert np.mean(volumes[0] != volumes[2]) > 0.2


def test_volumes_hold_the_users_labels_in_the_images_fractions(image, model):
    volume = model.generate((128, 128, 128), 0, periodic=(True,) * 3)
    found = [np.mean(volume.data == p.value) for p in image.phases]
    np.testing.assert_allclose(found, image.fractions, atol=0.04)
    assert volume.voxel_size == (25, 25, 25) and volume.unit == "nm"


def test_confidence_is_low_at_interfaces_and_high_inside(small):
    sample = small.generate((48, 48, 48), 0, periodic=(True,) * 3)
    edge = sample.data != np.roll(sample.data, 1, 2)
    assert sample.confidence.min() >= 0.5
    assert sample.confidence[edge].mean() < 0.85 < np.median(sample.confidence)


def test_counts_as_many_blocks_as_it_yields(small):
    for shape, offset, periodic in (
        ((20, 20, 40), (3, -30, 100), (False,) * 3),
        ((40, 40, 40), (0, 40, 0), (True,) * 3),
    ):
        blocks = list(small.blocks(shape, 0, offset, periodic))
        assert len(blocks) == small.count_blocks(shape, offset, periodic)


def test_saved_and_loaded_models_are_the_same(model, tmp_path):
    loaded = load_model(model.save(tmp_path / "model.safetensors"))
    assert loaded.origin == model.origin and loaded.table() == model.table()
    shape = (32, 32, 32)
    np.testing.assert_array_equal(
        loaded.generate(shape, 3, periodic=(True,) * 3).data,
        model.generate(shape, 3, periodic=(True,) * 3).data,
    )
    damaged = {**model.tensors(), "levels": np.zeros(5)}
    with pytest.raises(InputError, match="damaged"):
        type(model).from_tensors(model.origin, damaged)


def test_the_command_line_calibrates_and_generates(two_phases, tmp_path):
    import tifffile

    source, out, volume = (str(tmp_path / n) for n in ("a.tif", "m.safetensors", "v.tif"))
    tifffile.imwrite(source, two_phases.data)
    assert main(["train", "excursion", source, "--out", out, "--set", "model=plurigaussian",
                 "--set", "fit_steps=20", "--set", "threads=1"]) == 0  # fmt: skip
    assert main(["generate", out, "--shape", "32", "32", "32", "--periodic", "zyx",
                 "--out", volume]) == 0  # fmt: skip
    assert read_tiff(volume).data.shape == (32, 32, 32)


# ---------------------------------------------------------------------- refusals and warnings


def refused(labels, match):
    with pytest.raises(InputError, match=match) as caught:
        METHOD.check([PhaseImage.from_labels(labels)], config())
    assert "\n" not in str(caught.value)


def test_bad_images_are_refused_in_one_sentence(image):
    refused(np.random.default_rng(0).integers(0, 4, (64, 64)), "merge phases")
    refused(np.random.default_rng(0).integers(0, 2, (64, 20)), "at least 32 voxels")
    with pytest.raises(InputError, match=r"single phase|one phase|constant"):
        METHOD.check([PhaseImage.from_labels(np.zeros((64, 64), int))], config())
    with pytest.raises(InputError, match="takes 1 to 3 images"):
        METHOD.check([image] * 4, config())
    with pytest.raises(InputError, match="own settings"):
        METHOD.check([image], get_method("slicegan").config_class())


def test_doubtful_images_are_warned_about_with_numbers(two_phases):
    assert METHOD.check([two_phases], config()) == []
    lonely = np.zeros((200, 200), int)
    lonely[:4, :4] = 1
    rare = PhaseImage.from_labels(lonely)
    assert any("0.04 %" in w for w in METHOD.check([rare], config()))
    *_, last = METHOD.train([rare], config(fit_steps=5))
    assert np.isfinite(last.model.fit.rmse)
    coarse = draw_section(truth("gaussian", (0, 1), (30.0,), (0.0,)), (512, 512), 1)
    small = PhaseImage.from_labels(coarse[:100, :100])
    length = estimate_coverage(small).correlation_length
    assert any(f"length of {length} voxels" in w for w in METHOD.check([small], config()))
    stretched = np.repeat(two_phases.data[:100], 2, axis=0)
    image = PhaseImage.from_labels(stretched)
    assert any("isotropic" in w for w in METHOD.check([image], config()))


def test_the_user_is_told_in_plain_words_how_well_a_model_suits():
    good = Misfit("gaussian", (0, 1), 1, 0.001, 0.02, 0.03, 0.06, 0.4)
    assert verdict([good]) == (
        "The best model is 'gaussian': S2 within 0.0010 and surface areas within 3 % of the image."
    )
    shapes = verdict([dataclasses.replace(good, chord=0.5)])
    assert "suit this material in part" in shapes and "not its shapes" in shapes
    for change in ({"s2_rmse": 0.02}, {"surface": 0.2}):
        assert "do not suit this material" in verdict([dataclasses.replace(good, **change)])
    same = dataclasses.replace(good, algorithm="3", start_rmse=0.001)
    assert verdict([good, same]).endswith("Algorithm 3 found nothing better than its start.")
    worse = dataclasses.replace(good, algorithm="1", s2_rmse=0.015)
    told = verdict([good, worse])
    assert "not suit" not in told and "Algorithm 1, whose model this is, reaches S2 within" in told


def test_long_correlations_are_calibrated_on_a_coarser_image():
    fit = truth("gaussian", (0, 1), (11.0,), (0.0,))
    section = np.kron(draw_section(fit, (200, 200), 1), np.ones((4, 4), np.uint8))
    image = PhaseImage.from_labels(section, voxel_size=(2, 2), unit="um")
    warnings = METHOD.check([image], config())
    assert any("2th voxel" in w or "3th voxel" in w for w in warnings)
    final = list(METHOD.train([image], config(model="plurigaussian")))[-1]
    assert final.model.origin.voxel_size[0] in (4, 6)


def test_volumes_are_calibrated_too(two_phases):
    labels = np.random.default_rng(0).normal(size=(48, 48, 48))
    from scipy.ndimage import gaussian_filter

    image = PhaseImage.from_labels((gaussian_filter(labels, 1.5, mode="wrap") > 0).astype(int))
    final = list(METHOD.train([image], config(model="plurigaussian")))[-1]
    assert final.model.fit.rmse < 0.01


def test_settings_are_checked():
    with pytest.raises(InputError, match="freedom"):
        config(freedom=5)
    assert dataclasses.replace(config(), model="chi2").model == "chi2"


def test_memory_estimate_grows_with_the_image(image, two_phases):
    small, large = (METHOD.memory_needed([i], config()) for i in (two_phases, image))
    assert 1e8 < small < large < 4e9
