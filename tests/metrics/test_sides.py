import csv
import json
import re
from itertools import pairwise

import numpy as np
import pytest
from conftest import cut_in_three, periodic_field

from napari_microgen.errors import InputError, RunError
from napari_microgen.metrics.scalars import CHEAP, DEFINITIONS, Key
from napari_microgen.metrics.sides import measure, measure_steps
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.metrics.transport import transport
from napari_microgen.phases import PhaseImage


@pytest.fixture(scope="module")
def small() -> PhaseImage:
    """A volume of 24^3 voxels of 20 nm, labelled 3, 5 and 9."""
    labels = np.array([3, 5, 9])[cut_in_three(periodic_field((24, 24, 24), 2.0, 5))]
    return PhaseImage.from_labels(labels, voxel_size=(20, 20, 20), unit="nm", name="small")


@pytest.fixture(scope="module")
def report(small):
    return measure(small)


def test_the_keys_that_scripts_rely_on(report):
    found = report.to_dict()
    assert list(found) == [
        "voxel_size", "unit", "phases", "interphase_area", "tpb_density", "tpb_fraction", "s2",
        "warnings",
    ]  # fmt: skip
    assert list(found["phases"]) == ["3", "5", "9"]
    for phase in found["phases"].values():
        assert list(phase) == [
            "volume_fraction", "ssa", "ssa_faces", "mean_chord", "d_rel", "tortuosity_factor",
            "geodesic_tortuosity", "constrictivity",
        ]  # fmt: skip
        assert all(len(phase[name]) == 3 for name in list(phase)[3:])
    assert list(found["interphase_area"]) == ["3-5", "3-9", "5-9"]
    assert list(found["s2"]) == ["r", "3", "5", "9"]
    assert len(found["s2"]["r"]) == len(found["s2"]["9"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_numbers_are_in_the_unit_of_the_voxel_size(report, small):
    found = report.to_dict()
    assert (found["voxel_size"], found["unit"]) == ([20, 20, 20], "nm")
    phase = found["phases"]["5"]
    assert phase["ssa"] == pytest.approx(ssa(small.data, 3)[1] / 20)
    assert phase["d_rel"][1] == pytest.approx(transport(small.data, 1, 1).d_rel, rel=2e-3)
    assert 20 < phase["mean_chord"][0] < 300
    assert found["s2"]["r"][1] > 20


def test_progress_rises_to_one(small):
    steps = [fraction for fraction, _ in measure_steps(small, CHEAP)]
    assert all(a <= b for a, b in pairwise(steps))
    assert steps[-1] == 1


def test_measuring_can_be_given_up(small):
    steps = measure_steps(small)
    next(steps)
    steps.close()


def test_a_phase_that_is_not_there_is_absent_and_no_zero():
    image = PhaseImage.from_labels(np.random.default_rng(0).integers(0, 3, (16, 16, 16)))
    part = PhaseImage("labels", np.minimum(image.data, 1), image.phases, image.voxel_size)
    found = measure(part).to_dict()
    assert found["phases"]["2"] == {
        "volume_fraction": None, "ssa": None, "ssa_faces": None, "mean_chord": [None] * 3,
        "d_rel": [None] * 3, "tortuosity_factor": [None] * 3, "geodesic_tortuosity": [None] * 3,
        "constrictivity": [None] * 3,
    }  # fmt: skip
    assert found["interphase_area"]["0-2"] is None
    assert "'phase 2' is absent." in found["warnings"]


def test_a_blocked_phase_is_reported_as_such():
    labels = np.zeros((16, 16, 16), int)
    labels[4:12] = 1
    found = measure(PhaseImage.from_labels(labels)).to_dict()
    phase = found["phases"]["1"]
    assert phase["d_rel"] == [0, pytest.approx(0.5), pytest.approx(0.5)]
    assert phase["tortuosity_factor"][0] == "inf"
    assert phase["geodesic_tortuosity"][0] == "inf"
    assert phase["mean_chord"][1:] == ["inf", "inf"]
    assert any("'phase 1' does not percolate along z" in w for w in found["warnings"])


def test_thin_features_and_small_images_are_warned_of(noise):
    found = measure(PhaseImage.from_labels(noise), CHEAP)
    assert any("only 1.5 voxels wide" in w for w in found.warnings)
    labels = np.zeros((16, 16), int)
    labels[:, 8:] = 1
    assert any("too few features" in w for w in measure(PhaseImage.from_labels(labels)).warnings)


def test_sections_say_nothing_of_transport(section):
    found = measure(section)
    assert found.ndim == 2
    assert found.to_dict()["phases"]["0"]["d_rel"] == [None, None]
    assert any("a section does not show" in w for w in found.warnings)


def test_lengths_in_warnings_are_in_the_unit_that_suits_them():
    field = periodic_field((256, 256), 10.0, 2)
    image = PhaseImage.from_labels(cut_in_three(field), voxel_size=(20, 20), unit="nm")
    warnings = measure(image, CHEAP).warnings
    assert any(re.search(r"a side of \d{2,3}(\.\d)? um would bring it to 1%", w) for w in warnings)


def test_stacks_are_measured_section_by_section(volume):
    found = measure(volume, CHEAP, stacked=True)
    assert found.ndim == 2
    sections = [ssa(s, 3)[1] for s in volume.data]
    assert found.scalars[Key("ssa", (1,))] == pytest.approx(np.mean(sections), rel=0.03)


def test_periodic_axes_are_heeded():
    labels = np.zeros((16, 16, 16), int)
    labels[:8] = 1
    image = PhaseImage.from_labels(labels)
    whole = measure(image, ("surfaces",), periodic=True).to_dict()
    assert whole["phases"]["1"]["ssa_faces"] == 2 / 16
    assert measure(image, ("surfaces",)).to_dict()["phases"]["1"]["ssa_faces"] == 1 / 16


def test_grey_images_are_measured_in_three_classes():
    image = PhaseImage.from_grey(periodic_field((32, 32, 32), 2.0, 1))
    found = measure(image, ("surfaces",)).to_dict()
    fractions = [p["volume_fraction"] for p in found["phases"].values()]
    assert fractions == pytest.approx([1 / 3] * 3, abs=1e-3)


def test_the_table_names_units_and_conventions(report, tmp_path):
    report.to_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = next(r for r in rows if r["metric"] == "ssa" and r["phase"] == "5")
    assert first["unit"] == "1/nm"
    assert "Crofton" in first["convention"]
    assert float(first["value"]) == report.scalars[Key("ssa", (1,))]
    directions = {r["direction"] for r in rows if r["metric"] == "d_rel"}
    assert directions == {"along z", "along y", "along x"}
    assert {r["metric"] for r in rows} == set(DEFINITIONS)


def test_a_table_that_cannot_be_written_says_so(report, tmp_path):
    with pytest.raises(RunError, match="cannot be written"):
        report.to_csv(tmp_path / "missing" / "table.csv")


def test_an_unknown_metric_is_refused(small):
    with pytest.raises(InputError, match="no metric 'colour'"):
        measure(small, ("surfaces", "colour"))
