import csv
import json
from itertools import pairwise

import numpy as np
import pytest
from conftest import cut_in_three, periodic_field

from napari_microgen.errors import InputError, RunError
from napari_microgen.metrics.figure import report_page
from napari_microgen.metrics.report import Row, compare, compare_steps
from napari_microgen.metrics.scalars import CHEAP, Key
from napari_microgen.phases import PhaseImage


@pytest.fixture(scope="module")
def generated() -> PhaseImage:
    return PhaseImage.from_labels(cut_in_three(periodic_field((48, 56, 64), 3.0, 9)), name="gen")


@pytest.fixture(scope="module")
def from_section(section, generated):
    return compare(section, generated)


@pytest.fixture(scope="module")
def from_volume(volume, generated):
    return compare(volume, generated)


def rows(report, metric, phase=None):
    return [r for r in report.rows if r.key.metric == metric and phase in (None, *r.key.phases)]


def test_a_section_is_compared_along_every_axis(from_section):
    fractions = rows(from_section, "volume_fraction", 1)
    assert [r.key.axis for r in fractions] == [0, 1, 2]
    # The one real section stands for all of them.
    assert fractions[0].real == fractions[1].real == fractions[2].real
    assert fractions[0].generated != fractions[1].generated
    assert len({r.key.axis for r in rows(from_section, "mean_chord", 0)}) == 3
    assert from_section.part_shape == (48, 56)


def test_the_same_material_agrees_within_its_spread(from_section, from_volume):
    for report in (from_section, from_volume):
        for metric in ("volume_fraction", "ssa", "mean_chord", "interphase_area"):
            for row in rows(report, metric):
                assert row.deviation < 2
                assert abs(row.relative_error) < 0.3
        assert report.fidelity.mean < 3


def test_transport_has_no_truth_beside_a_section(from_section, from_volume):
    row = rows(from_section, "d_rel", 0)[0]
    assert row.real == ()
    assert row.to_dict()["real_mean"] is None
    assert np.isnan(row.relative_error)
    assert any("no real volume" in w for w in from_section.warnings)
    assert not any("no real volume" in w for w in from_volume.warnings)
    assert len(rows(from_volume, "d_rel", 0)[0].real) == len(
        rows(from_volume, "volume_fraction", 0)[0].real
    )


def test_volumes_are_measured_in_every_way(from_volume):
    sides = from_volume.to_dict()
    for side in (sides["real"], sides["generated"]):
        for phase in side["phases"].values():
            for name in ("mean_chord", "d_rel", "geodesic_tortuosity", "constrictivity"):
                assert None not in phase[name]
    for metric in ("geodesic_tortuosity", "constrictivity"):
        found = rows(from_volume, metric)
        assert len(found) == 9
        for row in found:
            # Of the wholes, since sub-volumes would cut what they measure.
            assert row.real == (from_volume.real.scalars[row.key],)
            assert row.generated == (from_volume.generated.scalars[row.key],)
            assert row.to_dict()["relative_error"] == row.relative_error
            assert row.to_dict()["deviation"] is None


def test_a_blocked_part_does_not_make_the_mean_infinite():
    key = Key("tortuosity_factor", (0,), 0)
    found = Row(key, (1.5, np.inf, 2.5, 2.0), (np.inf, np.inf)).to_dict()
    assert (found["real_mean"], found["real_finite"]) == (2.0, 0.75)
    assert found["real_std"] == pytest.approx(np.std([1.5, 2.5, 2.0]))
    assert (found["generated_mean"], found["generated_finite"]) == ("inf", 0)
    assert found["relative_error"] is None
    nothing = Row(key, (), (1.0,)).to_dict()
    assert (nothing["real_mean"], nothing["real_finite"]) == (None, None)


def test_sub_volumes_are_of_one_shape(from_volume):
    assert from_volume.part_shape == (24, 28, 32)
    assert len(rows(from_volume, "ssa", 0)[0].real) >= 8


def test_a_coarser_material_is_seen_in_numbers_and_curves(section):
    coarse = PhaseImage.from_labels(cut_in_three(periodic_field((64, 64, 64), 5.0, 9)))
    report = compare(section, coarse, CHEAP)
    for row in rows(report, "ssa"):
        assert row.relative_error == pytest.approx(3 / 5 - 1, abs=0.1)
        assert row.deviation > 3
    same = compare(section, section, CHEAP)
    differences = {(c.metric, c.phase, c.axis): c.difference for c in same.curves}
    for curve in report.curves:
        if curve.metric == "chord":
            assert curve.difference > 0.05
    assert max(differences.values()) < 1e-9


def test_stripes_are_a_peak_in_the_fourier_profile(section):
    """Stripes of period 8 voxels of 10 nm: all power at one cycle per 80 nm and its harmonics."""
    stripes = np.arange(256) % 8 < 4
    image = PhaseImage.from_labels(np.tile(stripes, (256, 1)), voxel_size=(10, 10), unit="nm")
    (curve,) = [
        c for c in compare(image, image, ("s2",)).curves if (c.metric, c.phase) == ("spectrum", 0)
    ]
    assert curve.x[np.argmax(curve.real)] == pytest.approx(1 / 80, rel=0.02)
    np.testing.assert_allclose(curve.generated, curve.real)


def test_unlabelled_pixels_have_no_fourier_profile(section):
    data = np.where(np.arange(section.shape[0])[:, None] % 8 == 0, 0, section.data + 1)
    holed = PhaseImage.from_labels(data, zero="unlabelled")
    assert {c.metric for c in compare(holed, holed, ("s2",)).curves} == {"s2"}


def test_the_plain_report_is_json(from_section, from_volume):
    for report in (from_section, from_volume):
        found = report.to_dict()
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert list(found)[:3] == ["real", "generated", "fidelity"]
        assert list(found["fidelity"]) == [
            "volume_fraction", "s2", "ssa", "chord", "ripple", "isotropy", "mean",
        ]  # fmt: skip
        assert {c["metric"] for c in found["curves"]} == {"s2", "chord", "spectrum"}


def test_the_table_has_both_sides(from_volume, tmp_path):
    from_volume.to_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(from_volume.rows)
    line = next(x for x in lines if x["metric"] == "volume_fraction")
    assert float(line["std_ratio"]) == pytest.approx(
        float(line["generated_std"]) / float(line["real_std"])
    )
    assert "labelled voxels" in line["convention"]


def test_the_table_tells_sections_from_directions(from_section, tmp_path):
    from_section.to_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    for metric, relation in {
        "ssa": "normal to", "tpb_density": "normal to", "mean_chord": "along", "d_rel": "along",
    }.items():  # fmt: skip
        found = {x["direction"] for x in lines if x["metric"] == metric}
        assert found == {f"{relation} {axis}" for axis in "zyx"}


def test_one_page_is_drawn(from_section, from_volume, tmp_path):
    for name, report in (("a.png", from_section), ("b.pdf", from_volume)):
        report.figure(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


def test_the_legend_covers_no_panel(from_section):
    page = report_page(from_section)
    page.draw_without_rendering()
    (legend,) = page.legends
    for axes in page.axes:
        assert axes.get_legend() is None
        assert not axes.get_tightbbox().overlaps(legend.get_window_extent())


@pytest.mark.parametrize(
    ("name", "said"), [("missing/page.png", "cannot be written"), ("page.unknown", "choose .png")]
)
def test_a_page_that_cannot_be_written_says_so(from_section, tmp_path, name, said):
    with pytest.raises(RunError, match=said):
        from_section.figure(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_progress_rises_to_one(section, generated):
    steps = [fraction for fraction, _ in compare_steps(section, generated, ("surfaces",))]
    assert all(a <= b for a, b in pairwise(steps))
    assert steps[-1] == 1


def test_phases_are_matched_by_label(section, generated):
    relabelled = PhaseImage.from_labels(np.array([7, 4, 200])[section.data])
    volume = PhaseImage.from_labels(np.array([7, 4, 200])[generated.data])
    report = compare(relabelled, volume, ("surfaces",))
    fractions = report.to_dict()["generated"]["phases"]
    assert fractions["7"]["volume_fraction"] == pytest.approx(generated.fractions[0])
    with pytest.raises(InputError, match="same labels"):
        compare(section, volume)


def test_a_phase_missing_in_the_generated_volume_is_absent(section, generated):
    poorer = PhaseImage.from_labels(np.minimum(generated.data, 1))
    report = compare(section, poorer, CHEAP)
    assert report.to_dict()["generated"]["phases"]["2"]["volume_fraction"] is None
    assert "Generated: 'phase 2' is absent." in report.warnings
    assert rows(report, "volume_fraction", 2)[0].relative_error == -1


def test_grey_images_are_cut_at_the_same_levels():
    real = PhaseImage.from_grey(periodic_field((64, 64), 2.0, 1) * 10 + 50)
    same = PhaseImage.from_grey(periodic_field((32, 32, 32), 2.0, 2) * 10 + 50)
    brighter = PhaseImage.from_grey(periodic_field((32, 32, 32), 2.0, 2) * 10 + 60)
    low, high = (compare(real, g, ("surfaces",)).generated for g in (same, brighter))
    fractions = [[p["volume_fraction"] for p in s.to_dict()["phases"].values()]
                 for s in (low, high)]  # fmt: skip
    assert fractions[0] == pytest.approx([1 / 3] * 3, abs=0.1)
    assert fractions[1][2] > 0.6
    with pytest.raises(InputError, match="same kind"):
        compare(real, PhaseImage.from_labels(np.tile([0, 1], (32, 32, 16))))


def sized(image: PhaseImage, size: float, unit: str) -> PhaseImage:
    return PhaseImage.from_labels(image.data, voxel_size=(size,) * image.ndim, unit=unit)


def test_voxel_sizes_must_agree(section, generated):
    with pytest.raises(InputError, match=r"voxels of 10 x 10 nm and .* of 20 x 20 x 20 nm"):
        compare(sized(section, 10, "nm"), sized(generated, 20, "nm"))
    with pytest.raises(InputError, match="correct its scale and units"):
        compare(sized(section, 10, "nm"), sized(generated, 10, "um"))
    assert compare(sized(section, 10, "nm"), sized(generated, 10, "nm"), ("surfaces",))


def test_pixels_that_are_no_squares_must_be_those_of_every_section(section, generated):
    oblong = PhaseImage.from_labels(section.data, voxel_size=(10, 20), unit="nm")
    bars = PhaseImage.from_labels(generated.data, voxel_size=(10, 10, 20), unit="nm")
    with pytest.raises(InputError, match=r"10 x 20 nm and .* 10 x 10 x 20 nm"):
        compare(oblong, bars)  # sections normal to x have squares
    report = compare(oblong, bars, ("chords",), sections=(0,))
    steps = {c.axis: c.x[1] for c in report.curves if c.metric == "chord"}
    assert steps == {1: 10, 2: 20}


def test_units_may_differ_where_the_size_is_the_same(section, generated):
    report = compare(sized(section, 10, "nm"), sized(generated, 0.01, "um"), ("surfaces",))
    assert (report.generated.voxel_size, report.generated.unit) == ((10, 10, 10), "nm")


def test_a_voxel_size_is_lent_and_said_so(section, generated):
    report = compare(sized(section, 10, "nm"), generated, ("surfaces",))
    assert report.generated.unit == "nm"
    assert report.generated.voxel_size == (10, 10, 10)
    assert any("'gen' has no voxel size" in w for w in report.warnings)


def test_a_volume_and_a_generated_section_do_not_compare(section, volume):
    with pytest.raises(InputError, match="is a volume and"):
        compare(volume, section)


def test_unlabelled_sections_leave_every_number_defined(section, generated, volume):
    for real, empty in ((section, generated), (volume, generated), (volume, volume)):
        data = empty.data + 1
        data[: len(data) // 2] = 0
        half = PhaseImage.from_labels(data, zero="unlabelled")
        whole = PhaseImage.from_labels(real.data + 1)
        for pair in ((whole, half), (half, half)):
            found = compare(*pair, ("surfaces",)).to_dict()
            assert all(np.isfinite(v) for v in found["fidelity"].values())
            json.dumps(found, allow_nan=False)


def test_small_images_are_refused_in_words(section, generated):
    tiny = PhaseImage.from_labels(generated.data[:10])
    with pytest.raises(InputError, match="too small"):
        compare(generated, tiny)
    with pytest.raises(InputError, match="too small"):
        compare(PhaseImage.from_labels(section.data[:12, :12]), generated)


def test_a_stack_of_sections_normal_to_one_axis(volume, generated):
    report = compare(volume, generated, ("surfaces", "chords", "s2"), sections=(1,))
    assert {r.key.axis for r in rows(report, "volume_fraction")} == {1}
    assert {r.key.axis for r in rows(report, "mean_chord")} == {0, 2}
    with pytest.raises(InputError, match="axes 0, 1 and 2"):
        compare(volume, generated, sections=(3,))
