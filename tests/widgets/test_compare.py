import csv
import json

import dask.array
import numpy as np
import pytest
import torch
from napari.settings import get_plugin_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from scipy.ndimage import gaussian_filter

from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.metrics.report import Report
from napari_microgen.metrics.sides import SideReport
from napari_microgen.metrics.transport import percolating_cluster, transport
from napari_microgen.phases import Phase
from napari_microgen.resources import size_text
from napari_microgen.training.device import measuring_device
from napari_microgen.widgets.comparisons import comparisons_of, write_features
from napari_microgen.widgets.result_rows import grade, number_text
from napari_microgen.widgets.results_table import GRADES
from napari_microgen.widgets.status import ERROR

torch.set_num_threads(1)  # many small transforms, which threads slow down

WAIT = 30_000
UNITS = {"scale": (0.5,) * 3, "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


def phases_of(shape, seed=1, sigma=3.0, quantiles=(0.4, 0.8)):
    """The micrograph's material: three phases by the quantiles of a smooth field."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma, mode="wrap")
    return np.array([0, 3, 200], np.uint8)[np.digitize(field, np.quantile(field, quantiles))]


@pytest.fixture
def compare(viewer, open_dock):
    """The widget beside the micrograph and a volume that came out of a model."""
    viewer.add_labels(
        phases_of((48, 48, 48)), name="generated", metadata={METADATA_KEY: {"model": {}}}, **UNITS
    )
    return open_dock("Compare")


@pytest.fixture
def press(compare, qtbot):
    """Press Compare, or another button, and wait for the end."""

    def run(button=None):
        (button or compare.start_button).click()
        qtbot.waitUntil(lambda: not compare.comparisons.work.running, timeout=WAIT)
        return compare.comparisons.result

    return run


def only(compare, *families):
    for name, box in compare.families.items():
        box.setChecked(name in families)


def cells(compare, metric):
    return [row for row in compare.table.texts if row[1].startswith(metric)]


# ---------------------------------------------------------------------- choosing


def test_it_is_found_among_the_layer_menus(plugin):
    entries = plugin.contributions.menus["napari-microgen.measure"]
    assert "napari-microgen.compare" in {entry.command for entry in entries}


def test_generated_and_real_layers_are_told_apart(compare, viewer):
    assert compare.real is viewer.layers["micrograph"]
    assert compare.generated is viewer.layers["generated"]
    assert compare.start_button.text() == "Compare"
    # Slower metrics are off and say how slow they are.
    on = [name for name, box in compare.families.items() if box.isChecked()]
    assert on == ["surfaces", "tpb", "chords", "s2"]
    for name in ("transport", "geodesic", "constrictivity"):
        assert " s per phase" in compare.families[name].text()
        assert "512³" in compare.families[name].toolTip()


def test_a_section_is_compared_with_the_sections_that_are_asked_for(compare, press):
    only(compare, "surfaces")
    compare.normal.value = "y"
    press()
    assert {row[2] for row in cells(compare, "surface area (")} == {"⊥y"}
    compare.normal.value = "any axis (isotropic)"
    press()
    assert {row[2] for row in cells(compare, "surface area (")} == {"⊥z", "⊥y", "⊥x"}


# ---------------------------------------------------------------------- the result


def test_one_sentence_and_a_row_per_number(compare, press, qtbot):
    result = press()
    assert isinstance(result, Report)
    assert compare.verdict.text().startswith("In sections, the generated volume cannot be told")
    assert "two-point correlation" in compare.fidelity.text()
    assert "is not checked" in compare.warnings.text()
    assert len(compare.table.texts) == len(result.rows)
    row = next(r for r in result.rows if r.key == ("volume_fraction", (1,), 0))
    shown = next(t for t in cells(compare, "volume fraction") if t[0] == "grain" and t[2] == "⊥z")
    assert float(shown[3]) == pytest.approx(np.mean(row.real), rel=1e-3)
    assert float(shown[4]) == pytest.approx(np.mean(row.generated), rel=1e-3)
    assert shown[5] == f"{100 * row.relative_error:+.1f} %"
    assert shown[6] == f"{row.deviation:.1f}"
    assert "between pieces (48 × 48) of the real image" in compare.legend.text()
    assert compare.legend.text().startswith("generated against micrograph.")


def test_grades_are_colours_that_the_legend_names(compare, press, viewer):
    viewer.layers["generated"].data = phases_of((48, 48, 48), sigma=1.2)
    only(compare, "surfaces", "chords", "s2")
    press()
    assert "clearly differs" in compare.verdict.text()
    row = compare.table.topLevelItem(1).child(0)
    assert float(row.text(4)) > 2
    assert row.background(4).color().name() == GRADES["poor"]
    assert row.toolTip(4).startswith("poor")
    for name, color in GRADES.items():
        assert name in compare.legend.text() and color in compare.legend.text()
    assert [grade(x) for x in (0.0, 1.0, 1.5, 2.0, 2.1)] == [
        "good", "good", "fair", "fair", "poor",
    ]  # fmt: skip


def test_the_table_sorts_by_numbers_within_metrics(compare, press):
    only(compare, "surfaces")
    press()
    compare.table.sortByColumn(4, Qt.SortOrder.DescendingOrder)
    groups = {}
    for row in compare.table.texts:
        noise = float(row[6]) if row[6] != "–" else -1.0  # what is missing comes last
        groups.setdefault(row[1], []).append(noise)
    assert len(groups) == 4
    for noise in groups.values():
        assert noise == sorted(noise, reverse=True)
    worst = [noise[0] for noise in groups.values()]
    assert worst == sorted(worst, reverse=True)


def test_the_selection_is_copied_for_a_spreadsheet(compare, press, qtbot):
    only(compare, "tpb")
    press()
    compare.copy_button.click()
    lines = [line.split("\t") for line in QApplication.clipboard().text().splitlines()]
    assert lines[0] == [
        "Phase", "Metric", "Axis", "Real", "Generated", "Error", "Noise", "Spread",
    ]  # fmt: skip
    assert lines[1:] == compare.table.texts
    compare.table.topLevelItem(0).child(2).setSelected(True)
    qtbot.keyClick(compare.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().text().splitlines()[1:] == ["\t".join(lines[3])]


def test_the_result_is_saved_in_the_format_that_the_name_asks_for(compare, press, qtbot, tmp_path):
    only(compare, "surfaces")
    result = press()
    for name, said in {
        "result.csv": "Saved as", "result.json": "Saved as", "result.png": "Saved as",
        "no/a.csv": "choose a place", "a.xyz": "should end in",
    }.items():  # fmt: skip
        compare.comparisons.save(str(tmp_path / name))
        qtbot.waitUntil(lambda: not compare.comparisons.work.running, timeout=WAIT)
        assert said in compare.state_line.text()
    with (tmp_path / "result.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(result.rows)
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["fidelity"]["mean"] == result.fidelity.mean
    assert (tmp_path / "result.png").read_bytes()[:4] == b"\x89PNG"


def test_curves_of_the_chosen_phase_are_drawn(compare, press):
    result = press()
    compare.plots.phase.setCurrentIndex(2)
    drawn = compare.plots.plots["s2"].listDataItems()
    (curve,) = [c for c in result.curves if c.metric == "s2" and c.phase == 2]
    np.testing.assert_allclose(drawn[0].getData()[1], curve.real[np.isfinite(curve.real)])
    np.testing.assert_allclose(drawn[1].getData()[1], curve.generated)
    assert len(compare.plots.plots["chord"].listDataItems()) == 6  # two sides, three axes


def test_volumes_show_how_much_their_pieces_vary(compare, press, viewer):
    viewer.add_labels(phases_of((48, 48, 48), seed=2), name="real volume", **UNITS)
    compare.inputs.pickers[0].value = viewer.layers["real volume"]
    only(compare, "transport")
    result = press()
    row = next(r for r in result.rows if r.key == ("volume_fraction", (0,), None))
    shown = cells(compare, "volume fraction")[0]
    assert float(shown[-1]) == pytest.approx(np.std(row.generated) / np.std(row.real), abs=0.02)
    compare.plots.phase.setCurrentIndex(0)
    real, generated = compare.plots.plots["d_rel"].listDataItems()
    np.testing.assert_allclose(real.getData()[0], row.real)
    along = [r.generated for r in result.rows if r.key[:2] == ("d_rel", (0,))]
    assert len(along) == 3
    np.testing.assert_allclose(generated.getData()[1], np.mean(along, axis=0))


def test_numbers_per_phase_go_into_the_features_of_both_layers(compare, press, viewer):
    result = press()
    for name in ("micrograph", "generated"):
        layer = viewer.layers[name]
        table = layer.features.set_index("index")
        assert table.loc[200, "volume fraction"] == pytest.approx((layer.data == 200).mean())
    table = viewer.layers["generated"].features.set_index("index")
    side = result.generated
    assert table.loc[3, "mean chord along x (um)"] == side.scalars["mean_chord", (1,), 2]
    assert list(viewer.layers["micrograph"].features["name"]) == ["pore", "grain", "binder"]


def test_other_features_are_kept(viewer):
    layer = viewer.layers["micrograph"]
    layer.features = {"index": [3, 7], "name": ["grain", "old"], "hardness": [9.0, 8.0]}
    write_features(layer, [Phase(0, "pore", "#000000"), Phase(3, "grain", "#000000")],
                   {"volume fraction": [0.4, 0.6]})  # fmt: skip
    table = layer.features.set_index("index")
    assert list(table.index) == [0, 3, 7]
    assert table.loc[3].to_list() == ["grain", 9.0, 0.6]
    assert table.loc[7, "name"] == "old"
    assert np.isnan(table.loc[7, "volume fraction"])


def test_features_that_name_a_label_twice_or_none_are_kept(viewer):
    layer = viewer.layers["micrograph"]
    phases = [Phase(0, "pore", "#000000"), Phase(3, "grain", "#000000")]
    for index in ([3, 3, 7], ["a", "b", "c"], [3, np.nan, 7]):
        layer.features = {"index": index, "name": ["grain", None, "old"]}
        write_features(layer, phases, {"volume fraction": [0.4, 0.6]})
        table = layer.features
        assert len(table) == len(set(index) | {0, 3}) + (index == [3, 3, 7])
        assert set(table.loc[table["index"] == 3, "volume fraction"]) == {0.6}
        assert set(table.loc[table["index"] == 0, "volume fraction"]) == {0.4}


def test_a_layer_with_odd_features_is_compared(compare, press, viewer):
    viewer.layers["generated"].features = {"index": [3, 3, 7], "name": ["grain", None, "old"]}
    viewer.layers["micrograph"].features = {"index": ["a", "b"], "name": ["a", "b"]}
    only(compare, "surfaces")
    assert isinstance(press(), Report)
    assert compare.state_line.text() == ""


def test_numbers_are_short():
    numbers = (0.4, 0.00222385, 6.2e-6, 576.12, 1234.5, 0.0)
    assert [number_text(x) for x in numbers] == [
        "0.4", "0.002224", "6.20e-6", "576.1", "1,234", "0",
    ]  # fmt: skip


# ---------------------------------------------------------------------- the real image alone


def test_the_real_image_alone_says_how_representative_it_is(compare, press):
    compare.inputs.pickers[1].value = None
    assert compare.start_button.text() == "Measure"
    result = press()
    assert isinstance(result, SideReport)
    noise = result.representativity
    row = [compare.size_table.item(1, i).text() for i in range(4)]
    assert row[:3] == ["grain", f"{noise.volume_fractions[1]:.4f}",
                       f"± {noise.standard_errors[1]:.4f}"]  # fmt: skip
    assert row[3].endswith(" pixels")
    assert float(row[3][:-7].replace(",", "")) == pytest.approx(noise.sides[1] / 0.5, abs=1)
    assert len(compare.table.texts) == len(result.scalars)
    assert not compare.fidelity.isVisibleTo(compare)


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("data", "keywords", "said"),
    [
        (phases_of((32, 32, 32)) + 1, UNITS, "give the same phases the same labels"),
        (phases_of((32, 32, 32)), {**UNITS, "scale": (0.7,) * 3}, "resample one of them"),
        (phases_of((7, 7, 7), sigma=1), UNITS, "too small to be compared"),
        (np.zeros((32, 32, 32), np.uint8), UNITS, "single phase"),
    ],
    ids=["phases", "voxel size", "small", "empty"],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(
    compare, press, viewer, data, keywords, said
):
    bad = viewer.add_labels(data, name="bad", **keywords)
    before = bad.features.copy(), bad.data.copy()
    compare.inputs.pickers[1].value = bad
    press()
    assert said in compare.state_line.text()
    assert ERROR in compare.state_line.styleSheet()
    assert compare.comparisons.result is None
    assert bad.features.equals(before[0])
    np.testing.assert_array_equal(bad.data, before[1])


def test_names_are_shown_as_they_are(compare, press, viewer):
    viewer.layers["generated"].data = np.zeros((32, 32, 32), np.uint8)
    viewer.layers["generated"].name = "<b>a</b>"
    press()
    assert compare.generated is viewer.layers["<b>a</b>"]
    assert "'<b>a</b>' holds a single phase" in compare.state_line.text()
    for label in (compare.state_line, compare.verdict):
        assert label.textFormat() == Qt.TextFormat.PlainText


def test_a_generated_section_is_refused_beside_a_real_volume(compare, press):
    compare.inputs.pickers[0].value, compare.inputs.pickers[1].value = (
        compare.generated, compare.real,
    )  # fmt: skip
    press()
    assert "compare volumes, or a real section" in compare.state_line.text()


def test_an_absent_phase_is_called_absent(compare, press, viewer):
    data = viewer.layers["generated"].data.copy()
    data[data == 200] = 3
    viewer.layers["generated"].data = data
    only(compare, "surfaces", "chords")
    press()
    for row in cells(compare, "surface area ("):
        assert (row[4] == "absent") == (row[0] == "binder")
    assert "'binder' is absent" in compare.warnings.text()
    table = viewer.layers["generated"].features.set_index("index")
    assert table.loc[200, "volume fraction"] == 0
    assert np.isnan(table.loc[200, "specific surface area (1/um)"])


def test_a_phase_that_does_not_percolate_says_why(compare, press, viewer):
    data = viewer.layers["generated"].data.copy()
    data[20][data[20] == 200] = 3
    viewer.layers["generated"].data = data
    only(compare, "transport")
    press()
    (row,) = [r for r in cells(compare, "tortuosity factor") if r[0] == "binder" and r[2] == "z"]
    assert row[3:5] == ["–", "∞"]
    (row,) = [r for r in cells(compare, "relative diff") if r[0] == "binder" and r[2] == "z"]
    assert row[4] == "0"
    assert "'binder' does not percolate along z" in compare.warnings.text()


# ---------------------------------------------------------------------- running


def test_cancel_changes_nothing(compare, viewer, qtbot):
    viewer.layers["generated"].data = phases_of((96, 96, 96))
    only(compare, *compare.families)
    before = viewer.layers["generated"].features.copy()
    compare.start_button.click()
    assert not compare.start_button.isEnabled()
    qtbot.waitUntil(lambda: compare.comparisons.work.fraction > 0, timeout=WAIT)
    assert compare.bar.isVisibleTo(compare)
    compare.cancel_button.click()
    qtbot.waitUntil(lambda: not compare.comparisons.work.running, timeout=WAIT)
    assert compare.state_line.text() == "Cancelled; nothing was changed."
    assert viewer.layers["generated"].features.equals(before)
    assert compare.start_button.isEnabled()


def test_closing_the_viewer_while_comparing_ends_cleanly(compare, viewer):
    only(compare, *compare.families)
    compare.start_button.click()
    task = compare.comparisons._task
    viewer.close()
    assert task.wait(0)


def test_a_reopened_dock_finds_the_last_result(compare, press, viewer, open_dock):
    only(compare, "surfaces")
    press()
    shown = compare.table.texts
    viewer.window.remove_dock_widget(compare)
    again = open_dock("Compare")
    assert again.table.texts == shown
    assert again.verdict.text() == compare.verdict.text()
    assert again.comparisons is comparisons_of(viewer)


def test_a_long_solve_is_left_between_two_of_its_steps(compare, viewer, qtbot):
    viewer.layers["generated"].data = phases_of((96, 96, 96))
    compare.inputs.pickers[0].value = viewer.layers["generated"]
    compare.inputs.pickers[1].value = None
    only(compare, "transport")
    seen = []
    compare.comparisons.work_changed.connect(lambda: seen.append(compare.comparisons.work))
    compare.start_button.click()
    qtbot.waitUntil(lambda: any("iterations" in work.message for work in seen), timeout=WAIT)
    compare.cancel_button.click()
    qtbot.waitUntil(lambda: not compare.comparisons.work.running, timeout=WAIT)
    assert compare.state_line.text() == "Cancelled; nothing was changed."
    assert compare.comparisons.result is None
    shares = [work.fraction for work in seen if work.running]
    assert shares == sorted(shares)
    assert shares[-1] < 0.5


# ---------------------------------------------------------------------- memory and device


def test_what_measuring_takes_is_said_before_it_starts(compare, viewer):
    only(compare)
    little = compare.plan.bytes_needed
    assert f"Takes up to {size_text(little)} of memory" in compare.check_line.text()
    compare.families["transport"].setChecked(True)
    assert compare.plan.bytes_needed > little
    assert size_text(compare.plan.bytes_needed) in compare.check_line.text()


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(compare, viewer):
    # A volume of a petabyte that is nowhere.
    huge = dask.array.zeros((100_000,) * 3, dtype=np.uint8, chunks=(1, 100_000, 100_000))
    layer = viewer.add_labels(huge, name="huge", visible=False, **UNITS)
    compare.families["transport"].setChecked(True)
    compare.inputs.pickers[1].value = layer
    text = compare.check_line.text()
    assert text.startswith("Comparing huge with micrograph needs about 54 PB")
    assert "are free; leave out diffusion or crop the images" in text
    assert not compare.start_button.isEnabled()
    compare.inputs.pickers[1].value = viewer.layers["generated"]
    assert compare.start_button.isEnabled()


def test_measuring_happens_where_training_does(compare, press, viewer):
    settings = get_plugin_settings("napari-microgen")
    assert compare.plan.device == settings.training.device == "auto"
    settings.training.device = "cuda"
    assert compare.plan.device == "cuda"
    if not torch.cuda.is_available():
        press()
        assert "'cuda' is not available" in compare.state_line.text()
    assert measuring_device("cpu", 1) == "cpu"
    assert measuring_device("auto", 10**15) == "cpu"  # more than any GPU has


# ---------------------------------------------------------------------- layers on request


@pytest.fixture
def add(compare, press):
    """Measure quickly, then ask for a layer."""
    only(compare)
    press()

    def run(what, phase=0, axis=0):
        compare.extra.what.value = what
        compare.extra.phase.value = phase
        compare.extra.axis.value = axis
        press(compare.extra.button)
        return compare._viewer.layers[-1]

    return run


def test_what_percolates_and_where_it_flows(compare, add, viewer):
    volume = viewer.layers["generated"]
    pore = (volume.data == 0).astype(np.uint8)
    compare.side_button.click()
    clusters = add("percolating clusters", axis=1)
    assert not viewer.canvas.grid.enabled  # a third layer would share one of the halves
    through = percolating_cluster(pore == 1, 1)
    np.testing.assert_array_equal(clusters.data, np.where(through, 1, 2 * pore))
    assert clusters.features["share of the phase"][0] == pytest.approx(through.sum() / pore.sum())
    flux = add("flux map", axis=1)
    assert flux.name == "generated: flux, pore along y"
    assert not flux.data[~through].any()
    # A flux is never shorter than its part along the axis, whose mean is D_rel.
    assert flux.data.mean() > transport(pore, 1, 1).d_rel > 0
    for layer in (clusters, flux):
        np.testing.assert_allclose(layer.scale, 0.5)
        assert layer.units == volume.units


def test_what_is_added_lies_on_a_turned_layer(compare, add, viewer):
    volume = viewer.layers["generated"]
    volume.rotate, volume.affine = 30, np.diag([1, 2, 3, 1])
    corners = np.array([[0, 0, 0], [9, 9, 9]])
    for what in ("percolating clusters", "triple-phase boundary"):
        layer = add(what)
        for corner in corners:
            np.testing.assert_allclose(layer.data_to_world(corner), volume.data_to_world(corner))


def test_the_triple_phase_boundary_lies_between_three_phases(add, viewer):
    layer = add("triple-phase boundary")
    volume = viewer.layers["generated"].data
    assert len(layer.data) > 10
    for point in layer.data[:: max(1, len(layer.data) // 50)]:
        corner = np.floor(point).astype(int)
        around = volume[tuple(slice(c, c + 2 if p % 1 else c + 1)
                              for c, p in zip(corner, point, strict=True))]  # fmt: skip
        assert len(np.unique(around)) == 3
    np.testing.assert_allclose(layer.scale, 0.5)


def test_what_cannot_be_shown_is_said(compare, add, viewer):
    volume = viewer.layers["generated"]
    data = volume.data.copy()
    data[20][data[20] == 200] = 3
    volume.data = data
    before = len(viewer.layers)
    add("flux map", phase=200)
    assert "it does not percolate" in compare.state_line.text()
    compare.extra.of.value = "real"
    add("flux map")
    assert "is a section" in compare.state_line.text()
    assert len(viewer.layers) == before


# ---------------------------------------------------------------------- looking at both


def test_both_share_the_canvas_in_the_same_colours(compare, viewer):
    compare.side_button.click()
    assert viewer.canvas.grid.enabled
    real, volume = viewer.layers["micrograph"], viewer.layers["generated"]
    for value in (3, 200):
        np.testing.assert_allclose(volume.get_color(value), real.get_color(value))
    compare.side_button.click()
    assert not viewer.canvas.grid.enabled


def test_layers_of_fewer_axes_than_the_viewer_are_shown_side_by_side(compare, viewer):
    compare.inputs.pickers[0].value = viewer.layers["generated"]
    compare.inputs.pickers[1].value = viewer.layers["micrograph"]
    compare.side_button.click()
    assert viewer.canvas.grid.enabled
    series = np.stack([viewer.layers["generated"].data] * 2)
    viewer.add_labels(series, scale=(1, *UNITS["scale"]), units=("s", *UNITS["units"]))
    for button in (compare.side_button, compare.side_button, compare.gallery_button):
        button.click()
    assert viewer.layers[-1].name.endswith("slices") or "no volume" in compare.state_line.text()


def test_nothing_stays_side_by_side_that_is_not_chosen(compare, viewer):
    compare.side_button.click()
    viewer.layers.remove("generated")
    assert not viewer.canvas.grid.enabled
    assert not compare.side_button.isChecked()
    assert not compare.side_button.isEnabled()
