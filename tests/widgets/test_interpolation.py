import csv

import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.metrics._steps import finish
from napari_microgen.metrics.scalars import Key
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.widgets.interpolation import (
    InterpolationPlan,
    interpolation_steps,
    measured,
    save_numbers,
    series,
)

SHAPE = (24, 32, 32)


@pytest.fixture
def plan(latent_model):
    return InterpolationPlan(latent_model, (3, 4), 4, SHAPE, (False, True, True), diffusion=True)


@pytest.fixture
def made(plan):
    return finish(interpolation_steps(plan))


def test_the_way_begins_and_ends_with_the_volumes_of_its_seeds(made, latent_model):
    assert made.volumes.shape == (4, *SHAPE)
    for i, seed in ((0, 3), (-1, 4)):
        whole = latent_model.generate(SHAPE, seed=seed, periodic=(False, True, True))
        np.testing.assert_array_equal(made.volumes[i], whole.data)
    changed = [(a != made.volumes[0]).mean() for a in made.volumes]
    assert changed == sorted(changed) and changed[1] > 0


def test_every_volume_is_measured_with_its_periodic_sides(made):
    for volume, numbers in zip(made.volumes, made.numbers, strict=True):
        indices = np.searchsorted([0, 3, 200], volume).astype(np.uint8)
        assert numbers[Key("volume_fraction", (2,))] == pytest.approx((volume == 200).mean())
        found = ssa(indices, 3, voxel_size=(0.5,) * 3, periodic=(False, True, True))
        assert numbers[Key("ssa", (1,))] == pytest.approx(found[1])
    assert measured(made.numbers) == ["volume_fraction", "ssa", "tpb_density", "d_rel"]
    conducts = series(made.numbers, made.first.phases, "d_rel")
    assert list(conducts) == ["pore", "grain", "binder"]
    mean = np.mean([made.numbers[1][Key("d_rel", (2,), axis)] for axis in range(3)])
    assert conducts["binder"][1] == pytest.approx(mean)
    assert len(series(made.numbers, made.first.phases, "tpb_density")["all"]) == 4


def test_numbers_come_with_every_volume(plan):
    counts = [len(numbers) for _, _, numbers in interpolation_steps(plan)]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3, 4}


def test_all_volumes_are_one_layer_in_steps_and_lengths(made):
    volumes, how, kind = made.layer()
    assert kind == "labels" and volumes is made.volumes
    assert how["scale"] == (1, 0.5, 0.5, 0.5)
    assert how["units"] == ("pixel", "um", "um", "um")
    assert how["axis_labels"] == ("step", "z", "y", "x")
    assert how["features"] == {"index": [0, 3, 200], "name": ["pore", "grain", "binder"]}
    told = how["metadata"]["microgen"]
    assert told["interpolation"] == {"seeds": [3, 4], "shares": [0, 1 / 3, 2 / 3, 1]}
    assert told["model"]["method"] == "dcgan" and "towards" not in told


def test_the_table_has_a_line_per_volume(made, tmp_path):
    save_numbers(made.plan, made.numbers, str(tmp_path / "way.csv"))
    with open(tmp_path / "way.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["share"]) for row in rows] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert float(rows[2]["volume_fraction of grain"]) == pytest.approx(
        (made.volumes[2] == 3).mean()
    )
    assert "ssa of pore (1/um)" in rows[0] and "tpb_density of all (1/um^2)" in rows[0]


def test_what_cannot_be_made_is_said_before(latent_model):
    for changes, words in (
        ({"seeds": (5, 5)}, "choose two seeds"),
        ({"shape": (33, 32, 32), "periodic": (True, True, True)}, "choose 32 or 64"),
        ({"shape": (50_000,) * 3}, "choose fewer steps or smaller ones"),
    ):
        plan = InterpolationPlan(**{"model": latent_model, "seeds": (0, 1), "steps": 3,
                                    "shape": (32, 32, 32), **changes})  # fmt: skip
        with pytest.raises(InputError, match=words):
            plan.check()
