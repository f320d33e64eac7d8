import numpy as np
import pytest
from test_exploration import known

from napari_microgen.errors import InputError
from napari_microgen.methods.excursion.exploration import Exploration, fresh_model
from napari_microgen.methods.excursion.sweeps import Axis, Sweep, predicted_numbers, sweep_steps
from napari_microgen.metrics.scalars import Key
from napari_microgen.phases import PhaseImage


def parameter(exploration, name):
    offered = [*exploration.parameters, *exploration.fraction_parameters()]
    return next(p for p in offered if p.name == name)


def sweep_of(exploration, *axes, **options):
    made = tuple(Axis(parameter(exploration, name), *rest) for name, *rest in axes)
    return Sweep(exploration, {}, made, **{"side": 64, **options})


def rows_of(sweep):
    return [row for _, _, row in sweep_steps(sweep) if row is not None]


@pytest.fixture(scope="module")
def exploration():
    return known("independent")


def test_a_grid_is_walked_and_what_is_predicted_is_measured(exploration):
    sweep = sweep_of(exploration, ("fraction_2", 0.2, 0.4, 2), ("length", 0.5, 2.0, 3), side=96)
    rows = rows_of(sweep)
    assert len(rows) == sweep.count == 6
    assert [row.changes["length"] for row in rows[:3]] == pytest.approx([0.5, 1.0, 2.0])
    for row in rows:
        share = Key("volume_fraction", (1,))
        assert row.predicted[share] == pytest.approx(row.changes["fraction_2"], abs=1e-6)
        assert row.measured[share] == pytest.approx(row.predicted[share], abs=0.03)
        surface = Key("ssa", (1,))
        assert row.measured[surface] == pytest.approx(row.predicted[surface], rel=0.1)
        assert set(row.predicted) <= set(row.measured)
    assert rows[0].measured[surface] > 3 * rows[2].measured[surface]


def test_a_row_can_be_made_again(exploration):
    (*_, row) = rows_of(sweep_of(exploration, ("seed", 0, 1, 2), keep=True, side=32))
    model = exploration.model(row.values)
    again = model.generate((32,) * 3, exploration.seed(row.values), periodic=(True,) * 3)
    np.testing.assert_array_equal(again.data, row.sample.data)
    assert row.values["seed"] == 1


def test_points_without_a_material_are_passed_over_with_the_reason(exploration):
    sweep = sweep_of(exploration, ("fraction_1", 0.3, 0.9, 2), ("fraction_3", 0.2, 0.4, 2),
                     side=16)  # fmt: skip
    rows = rows_of(sweep)
    assert [bool(row.measured) for row in rows] == [True, True, False, False]
    assert "cannot fill 1.100" in rows[2].note
    np.testing.assert_allclose(
        [rows[1].predicted[Key("volume_fraction", (k,))] for k in range(3)], [0.3, 0.3, 0.4],
        atol=1e-6,
    )  # fmt: skip


def test_volumes_are_saved_with_scale_phases_and_origin(exploration, tmp_path):
    rows = rows_of(sweep_of(exploration, ("stretch", 0.5, 2.0, 2), side=16, folder=tmp_path))
    assert [row.note for row in rows] == [str(p) for p in sorted(tmp_path.iterdir())]
    image = PhaseImage.from_tiff(rows[1].note)
    assert [p.name for p in image.phases] == ["pore", "nickel", "ceramic"]
    assert image.voxel_size == (0.5, 0.5, 0.5)
    assert rows[0].sample is None
    with pytest.raises(InputError, match="choose an empty folder"):  # and spare what is there
        sweep_of(exploration, ("stretch", 0.5, 1.0, 2), side=16, folder=tmp_path).check()


def test_stopping_ends_after_the_present_step(exploration):
    calls = iter(range(100))
    sweep = sweep_of(exploration, ("seed", 0, 9, 10), side=16)
    steps = list(sweep_steps(sweep, lambda: next(calls) > 8))
    rows = [row for _, _, row in steps if row is not None]
    assert 0 < len(rows) < 10
    assert all(0 <= share <= 1 for share, _, _ in steps)


def test_seeds_are_whole_and_lengths_go_by_factors(exploration):
    seeds = Axis(parameter(exploration, "seed"), 0, 3, 7)
    assert seeds.values == [0, 1, 2, 3]
    assert seeds.count == 4
    assert Axis(parameter(exploration, "length"), 0.5, 2, 3).values == pytest.approx([0.5, 1, 2])
    assert Axis(parameter(exploration, "threshold_1"), -1, 1, 3).values == [-1, 0, 1]


@pytest.mark.parametrize(
    ("axes", "options", "words"),
    [
        ([], {}, "one parameter"),
        ([("length", 0.5, 2, 3), ("length", 0.5, 2, 3)], {}, "two different ones"),
        ([("length", 0.5, 2, 1)], {}, "at least two steps"),
        ([("length", 2, 0.5, 3)], {}, "from a lower to a higher"),
        ([("length", 0, 2, 3)], {}, "from 0.25 to 4, not from 0 to 2"),
        ([("fraction_1", 0.2, 1.2, 3)], {}, "from 0 to 1"),
        ([("fraction_2", 0.2, 0.4, 3), ("threshold_1", 0, 1, 3)], {}, "very threshold"),
        ([("length", 0.5, 2, 101), ("stretch", 0.5, 2, 100)], {}, "more than 10,000"),
        ([("seed", 0, 1000, 1000)], {"side": 4096}, "of memory"),
        ([("seed", 0, 9000, 9000)], {"side": 256, "families": ("transport",)}, "hours"),
        ([("seed", 0, 1, 2)], {"side": 4}, "at least 16 voxels"),
        ([("seed", 0, 1, 2)], {"families": ("colour",)}, "no metric 'colour'"),
    ],
)  # fmt: skip
def test_impossible_sweeps_are_refused_in_one_sentence(exploration, axes, options, words):
    sweep = sweep_of(exploration, *axes, **options)
    with pytest.raises(InputError, match=words) as caught:
        next(sweep_steps(sweep))
    assert "\n" not in str(caught.value)


def test_both_fractions_of_two_phases_are_one_too_many():
    exploration = Exploration(fresh_model(2))
    with pytest.raises(InputError, match="sum to 1"):
        sweep_of(exploration, ("fraction_1", 0.1, 0.2, 2), ("fraction_2", 0.1, 0.2, 2)).check()


def test_predicted_numbers_have_the_units_of_the_measured_ones(exploration):
    numbers = predicted_numbers(exploration, {})
    coarse = predicted_numbers(known("independent", voxel=1.0), {})
    assert numbers[Key("ssa", (0,))] == pytest.approx(2 * coarse[Key("ssa", (0,))])
    chord = Key("mean_chord", (2,), 1)
    assert numbers[chord] == pytest.approx(coarse[chord] / 2)
