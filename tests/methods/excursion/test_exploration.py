import json

import numpy as np
import pytest
import torch

from napari_microgen.errors import InputError
from napari_microgen.methods import load_model
from napari_microgen.methods.base import Origin
from napari_microgen.methods.excursion.assessment import draw_section
from napari_microgen.methods.excursion.calibration import Candidate, Fit
from napari_microgen.methods.excursion.covariances import (
    bump_weights,
    curvature,
    low_parametric,
    shell_basis,
)
from napari_microgen.methods.excursion.coverage import gaussian_surface
from napari_microgen.methods.excursion.estimator import estimate_coverage
from napari_microgen.methods.excursion.exploration import (
    Exploration,
    curve_error,
    fresh_model,
)
from napari_microgen.methods.excursion.live_section import LiveSection
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.models import MODELS, Scalars
from napari_microgen.methods.excursion.rescaling import (
    MOST_SHELLS,
    lost_variance,
    rescaled,
    rescaled_fields,
)
from napari_microgen.metrics.chords import mean_chords
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.phases import Phase, PhaseImage, to_indices

LEVELS = {"gaussian": (0.3,), "chi2": (1.5,), "independent": (0.3, -0.1),
          "correlated": (0.3, -0.1), "gaussian+chi2": (2.5, 2.0)}  # fmt: skip
NAMES = ("pore", "nickel", "ceramic")


def known(name, roles=None, voxel=0.5, lengths=(3.0, 4.0, 3.5, 3.0, 4.0)):
    """A model of known parameters whose phases 2, 1, 3 are the image's 1, 2, 3."""
    formula = MODELS[name]
    n = formula.n_phases
    roles = roles or ((1, 0, 2) if n == 3 else (0, 1))
    weights = torch.stack([bump_weights(x, 60) for x in lengths[: formula.n_fields]])
    scalars = Scalars(
        torch.tensor(LEVELS[name], dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64),
        torch.tensor([1.0, 1.5], dtype=torch.float64),
    )  # fmt: skip
    phases = tuple(Phase(v, NAMES[k], "#102030") for k, v in enumerate((0, 3, 200)[:n]))
    origin = Origin("excursion", {}, "labels", phases, (voxel,) * 3, "um", fidelity={"mean": 1.0})
    return Exploration(
        ExcursionModel(origin, Fit(Candidate(name, roles), weights, scalars, 0.1, 0.2)), "mine"
    )


def volume(exploration, values, side=128, seed=0):
    model = exploration.model(values)
    sample = model.generate((side,) * 3, seed, periodic=(True,) * 3)
    return to_indices(sample.data, sample.phases)


# ---------------------------------------------------------------------- lengths


def spectra():
    rough = low_parametric(
        torch.arange(1, 80).double(), torch.tensor([0.7, 5.0, 1.0, 9.0, 1.5, 0.2]).double()
    )
    basis = shell_basis(torch.arange(1, 80).double(), 100)
    fitted = torch.linalg.lstsq(basis, rough).solution.clamp_min(0)
    return [bump_weights(5.0, 100), fitted / fitted.sum()]


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.3, 2.0, 3.7])
def test_a_rescaled_field_has_the_correlation_at_the_rescaled_distance(factor):
    lags = torch.arange(0, 120).double()
    for weights in spectra():
        (moved,) = rescaled_fields(weights[None], [factor])
        found = shell_basis(lags, len(moved)) @ moved
        wanted = shell_basis(lags / factor, len(weights)) @ weights
        near = lags < 1.2 * len(moved)
        # The waves that are lost are missed everywhere.
        allowed = 0.003 + lost_variance(weights, factor)
        assert float((found - wanted).abs()[near].max()) < allowed
        assert float(moved.sum()) == pytest.approx(1, abs=1e-12)
        assert float(moved.min()) >= 0


def test_rescaling_by_whole_factors_is_exact():
    weights = spectra()[1]
    lags = torch.arange(0, 200).double()
    found = shell_basis(lags, 300) @ rescaled(weights, 3.0, 300)
    torch.testing.assert_close(found, shell_basis(lags / 3, 100) @ weights, atol=1e-10, rtol=0)


def test_the_number_of_shells_stays_bounded_and_no_change_changes_nothing():
    weights = torch.stack(spectra())
    assert rescaled_fields(weights, [1.0, 1.0]) is weights
    assert rescaled_fields(weights, [1.0, 16.0]).shape == (2, MOST_SHELLS)
    assert rescaled_fields(weights, [0.5, 0.5]).shape == (2, 100)


def test_twice_the_length_doubles_the_chords_and_halves_the_surface():
    exploration = known("independent", lengths=(6.0, 8.0))
    before, after = exploration.predict({}), exploration.predict({"length": 2.0})
    np.testing.assert_allclose(after.chords / before.chords, 2, rtol=0.03)
    np.testing.assert_allclose(after.surfaces / before.surfaces, 0.5, rtol=0.03)
    np.testing.assert_allclose(after.fractions, before.fractions, atol=1e-12)
    fine, coarse = (
        mean_chords(volume(exploration, {"length": f}, side), 3, periodic=True)
        for f, side in ((1.0, 96), (2.0, 192))
    )
    np.testing.assert_allclose(coarse / fine, 2, rtol=0.05)


def test_a_length_so_short_that_voxels_miss_it_is_told():
    exploration = known("gaussian")
    assert exploration.warnings({}) == []
    (sentence,) = exploration.warnings({"length": 0.25})
    assert "finer than a voxel" in sentence


# ---------------------------------------------------------------------- predictions


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_what_volumes_measure(name):
    exploration = known(name)
    values = {"length": 1.2, "stretch": 1.5}
    n = len(exploration.phases)
    predicted = exploration.predict(values)
    drawn = [volume(exploration, values, seed=s) for s in range(2)]
    fractions = np.mean([[np.mean(d == k) for k in range(n)] for d in drawn], axis=0)
    np.testing.assert_allclose(predicted.fractions, fractions, atol=0.015)
    surfaces = np.mean([ssa(d, n, periodic=True, voxel_size=0.5) for d in drawn], axis=0)
    np.testing.assert_allclose(predicted.surfaces, surfaces, rtol=0.05)
    chords = np.mean([mean_chords(d, n, periodic=True, voxel_size=0.5) for d in drawn], axis=0)
    np.testing.assert_allclose(predicted.chords, chords, rtol=0.06)


def test_the_surface_of_a_smooth_field_is_that_of_rices_formula():
    exploration = known("gaussian", voxel=1.0, lengths=(12.0,))
    (level,) = exploration.base.fit.scalars.levels
    exact = gaussian_surface(level, curvature(exploration.base.fit.weights[0]))
    assert exploration.predict({}).surfaces == pytest.approx(float(exact), rel=5e-3)


def test_curves_start_at_the_fractions_end_at_their_products_and_sum_to_one():
    for name in ("gaussian", "chi2", "correlated"):
        predicted = known(name).predict({})
        curves, v = predicted.curves, predicted.fractions
        np.testing.assert_allclose(curves[..., 0], np.diag(v), atol=1e-6)
        np.testing.assert_allclose(curves[..., -1], np.outer(v, v), atol=2e-3)
        np.testing.assert_allclose(curves.sum((0, 1)), 1, atol=1e-6)


def test_curves_of_few_points_are_near_those_of_many():
    exploration = known("gaussian+chi2")
    quick, fine = (exploration.predict({}, fine=f).curves for f in (False, True))
    assert 0 < np.abs(quick - fine).max() < 0.01


def test_the_image_that_a_model_made_is_nearer_to_it_than_to_a_moved_one():
    exploration = known("independent")
    section = draw_section(exploration.base.fit, (512, 512), 1)
    target = estimate_coverage(PhaseImage.from_labels(section))
    errors = [
        curve_error(target, exploration.predict(v, target))
        for v in ({}, {"length": 1.5}, {"threshold_1": 0.6})
    ]
    assert errors[0] < 0.006
    assert min(errors[1:]) > 3 * errors[0]


# ---------------------------------------------------------------------- amounts


@pytest.mark.parametrize("name", MODELS)
def test_the_solved_threshold_gives_the_fraction_in_closed_form_and_in_a_volume(name):
    exploration = known(name)
    for phase in range(len(exploration.phases)):
        values = exploration.solved({"length": 0.8}, phase, 0.2)
        assert exploration.fractions(values)[phase] == pytest.approx(0.2, abs=1e-6)
        changed = {k for k, v in values.items() if v != exploration.start[k]} - {"length"}
        assert len(changed) == 1
    drawn = volume(exploration, values)
    assert np.mean(drawn == phase) == pytest.approx(0.2, abs=0.01)


def test_a_fraction_of_the_second_phase_leaves_the_first_alone():
    exploration = known("correlated")
    first = exploration.base.fit.candidate.roles[0]
    before = exploration.fractions({})[first]
    after = exploration.fractions(exploration.solved({}, 2, 0.1))
    assert after[first] == pytest.approx(before, abs=1e-12)


def test_two_fractions_of_three_are_reached_at_once():
    exploration = known("gaussian+chi2")
    values = exploration.moved({}, {"fraction_1": 0.2, "fraction_3": 0.5, "stretch": 2.0})
    np.testing.assert_allclose(exploration.fractions(values), [0.2, 0.3, 0.5], atol=1e-6)
    assert values["stretch"] == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fraction_1": 0.0}, "between 0 and 1, not 0"),
        ({"fraction_2": 1.2}, "between 0 and 1, not 1.2"),
        ({"fraction_1": 0.7}, "'pore' can fill less than 0.618 .* 'nickel' fills 0.382"),
        ({"fraction_1": 0.7, "fraction_2": 0.3}, "cannot fill 1.000 of the volume together"),
    ],
)
def test_impossible_fractions_are_refused_in_one_sentence(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        known("independent").moved({}, changes)
    assert str(caught.value).count(".") - str(caught.value).count("0.") <= 2


# ---------------------------------------------------------------------- the moved model


@pytest.mark.parametrize("name", MODELS)
def test_every_model_lies_open_and_nothing_moved_is_the_model_itself(name):
    exploration = known(name)
    assert exploration.model({}) is exploration.base
    assert exploration.model(exploration.start) is exploration.base
    names = [p.name for p in exploration.parameters]
    fields = MODELS[name].n_fields
    assert sum(n.startswith("length_") for n in names) == (fields if fields > 1 else 0)
    assert ("share" in names) == MODELS[name].has_share
    assert ("weight_1" in names) == MODELS[name].has_scales
    for p in exploration.parameters:
        assert p.low <= p.start <= p.high
        assert p.help.endswith(".")
    assert any("pore" in p.title for p in exploration.parameters)


def test_a_moved_model_says_what_was_changed_and_survives_its_file(tmp_path):
    exploration = known("gaussian+chi2")
    values = {"threshold_1": 3.0, "weight_2": 0.5, "stretch": 1.4, "seed": 5}
    moved = exploration.model(values)
    changes = moved.origin.changes
    assert changes["model"] == "mine"
    assert changes["set"] == {"threshold_1": 3.0, "weight_2": 0.5, "stretch": 1.4}
    assert changes["was"]["threshold_1"] == 2.5
    assert moved.origin.fidelity == {}
    again = load_model(moved.save(tmp_path / "moved"))
    assert again.origin == moved.origin
    assert again.stretch == 1.4
    first, second = (m.generate((24,) * 3, periodic=(True,) * 3) for m in (moved, again))
    np.testing.assert_array_equal(first.data, second.data)
    twice = Exploration(again, "again").model({"length": 2.0})
    assert twice.origin.changes["earlier"] == changes


def test_a_volume_carries_all_that_its_model_needs():
    moved = known("correlated").model({"share": 0.6, "length_3": 2.0})
    sample = moved.generate((16,) * 3, seed=3, periodic=(True,) * 3)
    carried = json.loads(json.dumps(sample.provenance))
    again = ExcursionModel.from_provenance(carried)
    made = again.generate((16,) * 3, seed=3, periodic=(True,) * 3)
    np.testing.assert_array_equal(made.data, sample.data)
    assert again.origin.changes["set"] == {"share": 0.6, "length_3": 2.0}
    for broken in ({}, {"model": carried["model"]}, {**carried, "parameters": {"model": [0]}}):
        with pytest.raises(InputError):
            ExcursionModel.from_provenance(broken)


def test_parameters_are_written_as_plain_json():
    exploration = known("independent")
    values = exploration.solved({"length_2": 0.5}, 0, 0.25)
    document = json.loads(json.dumps(exploration.to_dict(values), allow_nan=False))
    assert document["parameters"]["length_2"]["value"] == 0.5
    assert document["parameters"]["length_2"]["was"] == 1
    pore, nickel, _ = document["phases"]
    assert (pore["name"], pore["role"], nickel["role"]) == ("pore", 2, 1)
    assert pore["volume fraction"] == pytest.approx(0.25, abs=1e-6)
    assert len(document["correlation functions"]["fields"]) == 2


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].has_share])
@pytest.mark.parametrize("end", [0, 1])
def test_predictions_hold_over_all_of_the_correlations_slider(name, end):
    exploration = known(name)
    (slider,) = [p for p in exploration.parameters if p.name == "share"]
    values = {"share": (slider.low, slider.high)[end]}
    predicted, drawn = exploration.predict(values), volume(exploration, values)
    fractions = [np.mean(drawn == k) for k in range(3)]
    np.testing.assert_allclose(predicted.fractions, fractions, atol=0.015)
    surfaces = ssa(drawn, 3, periodic=True, voxel_size=0.5)
    np.testing.assert_allclose(predicted.surfaces, surfaces, rtol=0.05)


def test_a_phase_that_fills_everything_is_written_as_plain_json_too():
    exploration = Exploration(fresh_model(2))
    for threshold, chords in ((200.0, [None, "inf"]), (-200.0, ["inf", None])):
        written = exploration.to_dict({"threshold_1": threshold})
        json.dumps(written, allow_nan=False)
        found = [p["mean chords along z, y, x (pixel)"][0] for p in written["phases"]]
        assert found == chords


@pytest.mark.parametrize("n_phases", [2, 3])
def test_a_fresh_model_has_its_phases_in_equal_amounts(n_phases):
    model = fresh_model(n_phases)
    exploration = Exploration(model)
    np.testing.assert_allclose(exploration.fractions({}), 1 / n_phases, atol=1e-9)
    sample = exploration.model({"length": 0.5}).generate((64,) * 3, periodic=(True,) * 3)
    amounts = np.bincount(sample.data.ravel()) / sample.data.size
    np.testing.assert_allclose(amounts, 1 / n_phases, atol=0.04)


# ---------------------------------------------------------------------- the live section


@pytest.mark.parametrize("name", MODELS)
def test_the_live_section_is_the_drawn_one_whatever_moved_before(name):
    exploration, live = known(name), LiveSection()
    moves = ({}, {"threshold_1": 1.0}, {"length": 1.7}, {"length": 1.7, "threshold_1": 0.4}, {})
    for values in moves:
        fit = exploration.fit(values)
        np.testing.assert_array_equal(live.draw(fit, (64, 96), 4), draw_section(fit, (64, 96), 4))
    other = live.draw(exploration.fit({}), (64, 96), 5)
    np.testing.assert_array_equal(other, draw_section(exploration.fit({}), (64, 96), 5))


def test_a_section_across_the_stretch_has_chords_of_the_volume():
    exploration, live = known("independent"), LiveSection()
    values = {"stretch": 2.0}
    drawn = live.draw(exploration.fit(values), (768, 768), 0, exploration.stretch(values))
    found = mean_chords(drawn, 3, periodic=True, voxel_size=0.5)
    np.testing.assert_allclose(found, exploration.predict(values).chords[:, [0, 2]], rtol=0.05)
