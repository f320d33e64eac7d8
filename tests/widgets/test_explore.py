import csv
import json
import time

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.methods import load_model
from napari_microgen.methods.base import Origin
from napari_microgen.methods.excursion.assessment import Misfit, draw_section
from napari_microgen.methods.excursion.calibration import Candidate, Fit
from napari_microgen.methods.excursion.covariances import bump_weights
from napari_microgen.methods.excursion.exploration import Exploration, fresh_model
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.models import Scalars
from napari_microgen.phases import PhaseImage
from napari_microgen.widgets.explore_models import FRESH
from napari_microgen.widgets.jobs import jobs_of
from napari_microgen.widgets.latest import Latest
from napari_microgen.widgets.status import ERROR
from napari_microgen.widgets.sweep_pane import AS_FILES, AS_LAYERS

WAIT = 20_000
SECTION, VOLUME = "Explore: section", "Explore: volume"


@pytest.fixture
def model(viewer):
    """An excursion set that says it was fitted to the micrograph."""
    image = PhaseImage.from_layer(viewer.layers["micrograph"])
    weights = torch.stack([bump_weights(length, 60) for length in (6.0, 8.0)])
    scalars = Scalars(
        torch.tensor([0.2, -0.3], dtype=torch.float64),
        torch.zeros((), dtype=torch.float64),
        torch.ones(2, dtype=torch.float64),
    )
    data = ({"name": "micrograph", "shape": [96, 96], "sha256": image.digest},)
    origin = Origin("excursion", {}, "labels", image.phases, (0.5,) * 3, "um", data=data, steps=7)
    tried = [
        Misfit("independent", (1, 0, 2), 1, 0.002, 0.05, 0.03, 0.1, 0.4),
        Misfit("correlated", (2, 0, 1), -1, 0.004, 0.05, 0.12, 0.2, 0.8),
    ]
    fit = Fit(Candidate("independent", (1, 0, 2)), weights, scalars, 0.002, 0.05)
    return ExcursionModel(origin, fit, tried)


@pytest.fixture
def explore(model, viewer, open_dock):
    jobs_of(viewer).add_model("fitted", model)
    return open_dock("Explore")


@pytest.fixture
def until(qtbot):
    def wait(condition):
        qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT)

    return wait


@pytest.fixture
def settled(explore, until):
    """Wait until section and volume show the values of the sliders."""

    def wait():
        until(lambda: shown(explore, SECTION) == explore.values)
        until(lambda: shown(explore, VOLUME) == explore.values)

    return wait


def shown(explore, name):
    """The parameters of which a layer says that it shows them."""
    if name not in explore._viewer.layers:
        return None
    told = explore._viewer.layers[name].metadata[METADATA_KEY]
    changed = told["model"]["changes"].get("set", {})
    return {**explore.exploration.start, **changed, "seed": told["seed"]}


def move(explore, name, value):
    """Type a value, as a user does."""
    explore.sliders.editors[name].box.setValue(value)


# ---------------------------------------------------------------------- which model


def test_without_a_model_it_says_what_to_do_and_adds_nothing(open_dock, viewer):
    widget = open_dock("Explore")
    assert widget.about.text().startswith("Choose a model: fit 'excursion' in Train")
    assert [layer.name for layer in viewer.layers] == ["micrograph"]
    for each in (widget.use_button, widget.save_button, widget.solve_button, widget.undo_button):
        assert not each.isEnabled()
    assert not widget.tabs.isEnabled()
    for action in (widget.reset, widget.solve, widget.use, widget.undo, widget.sweep.start):
        action()
    assert len(viewer.layers) == 1


def test_a_fitted_model_is_taken_up_with_the_layer_it_was_fitted_to(
    explore, settled, until, viewer
):
    assert explore.source.value.name == "fitted"
    assert explore.curves.image.name == "micrograph"
    until(lambda: explore.curves.target is not None)
    assert explore.curves.line.text().startswith("S2 differs from the image's by 0.")
    drawn, points = explore.curves.plot._lines[0, 0], explore.curves.plot._points[0, 0]
    assert len(drawn.getData()[0]) == len(points.getData()[0]) > 10
    assert points.getData()[0][1] == pytest.approx(0.5)  # a voxel, in micrometres
    tried = [[explore.tried.item(i, j).text() for j in range(5)] for i in range(2)]
    assert tried[0] == ["independent, grain first", "0.0020", "3 %", "0.10", "0.40"]
    assert tried[1][0] == "correlated, binder first"
    for theme in ("light", "dark"):
        viewer.theme = theme
        colors = {line.opts["pen"].color().name() for line in explore.curves.plot._lines.values()}
        assert len(colors) == 6  # told apart on either ground
    settled()


def test_it_stands_beside_series_and_volumes_of_other_sizes(explore, settled, viewer, labels):
    for extra in (np.zeros((3, 4, 96, 96), int), np.zeros((700, 700, 700), np.uint8)[:2]):
        viewer.add_labels(extra, scale=(0.5,) * extra.ndim, units=("um",) * extra.ndim)
        explore.side.value = 128 if explore.side.value != 128 else 256
        settled()
    assert (
        viewer.layers[SECTION].extent.world[0, 1] > viewer.layers["micrograph"].extent.world[1, 1]
    )


def test_a_fresh_model_can_be_played_with_without_any_training(open_dock, viewer, until):
    widget = open_dock("Explore")
    widget.source.value = next(s for s in widget.source.choices if s and s.title == FRESH[2])
    until(lambda: VOLUME in viewer.layers)
    assert viewer.layers[SECTION].data.shape == (256, 256)
    assert viewer.layers[VOLUME].data.shape == (96, 96, 96)
    assert set(np.unique(viewer.layers[VOLUME].data)) == {0, 1}
    move(widget, "threshold_1", 0.8)
    until(lambda: np.mean(viewer.layers[VOLUME].data == 0) < 0.3)


def test_a_model_that_is_trained_meanwhile_is_taken_unless_another_is_explored(
    open_dock, model, viewer
):
    widget = open_dock("Explore")
    widget.source.value = widget.source.choices[-1]
    widget.jobs.add_model("first", model)
    assert widget.exploration.base is model
    widget.jobs.add_model("second", fresh_model(2))
    assert widget.source.value.name == "first"
    assert "second" in [s.name for s in widget.source.choices if s]


def test_a_layer_that_carries_its_model_can_be_explored(explore, model, viewer, until):
    moved = Exploration(model, "m").model({"length": 1.5})
    sample = moved.generate((16,) * 3, periodic=(True,) * 3)
    viewer.add_labels(sample.data, name="made", metadata={METADATA_KEY: dict(sample.provenance)},
                      scale=(0.5,) * 3, units=("um",) * 3)  # fmt: skip
    explore.source.value = next(s for s in explore.source.choices if s and s.name == "made")
    assert explore.exploration.base.origin == moved.origin
    torch.testing.assert_close(explore.exploration.base.fit.weights, moved.fit.weights)
    assert SECTION not in [s.name for s in explore.source.choices if s]


def test_files_are_opened_and_others_refused_in_one_sentence(
    explore, model, tmp_path, train_tiny, three_phases, capsys
):
    model.save(tmp_path / "mine.safetensors")
    explore.open_model(str(tmp_path / "mine.safetensors"))
    assert explore.source.value.name == "mine.safetensors"
    train_tiny(three_phases).save(tmp_path / "other.safetensors")
    explore.open_model(str(tmp_path / "other.safetensors"))
    assert "'other.safetensors' is a model of Tiny" in explore.state_line.text()
    assert "has no parameters to move" in explore.state_line.text()
    explore.open_model(str(tmp_path / "absent.safetensors"))
    assert ERROR in explore.state_line.styleSheet()
    assert explore.source.value.name == "mine.safetensors"


# ---------------------------------------------------------------------- moving


def test_section_and_volume_follow_the_sliders(explore, settled, viewer):
    settled()
    before = viewer.layers[SECTION].data.copy()
    move(explore, "threshold_1", 0.9)
    move(explore, "length", 1.5)
    settled()
    model = explore.exploration.model(explore.values)
    section, volume = viewer.layers[SECTION], viewer.layers[VOLUME]
    values = np.array([0, 3, 200])
    np.testing.assert_array_equal(section.data, values[draw_section(model.fit, (256, 256), 0)])
    np.testing.assert_array_equal(
        volume.data, model.generate((96,) * 3, 0, periodic=(True,) * 3).data
    )
    assert (section.data != before).mean() > 0.1
    real = viewer.layers["micrograph"]
    for layer in (section, volume):
        np.testing.assert_allclose(layer.scale, 0.5)
        assert {str(u) for u in layer.units} == {"micrometer"}
        assert layer.axis_labels[-2:] == ("y", "x")
        np.testing.assert_allclose(layer.get_color(200), real.get_color(200), atol=1 / 255)
        told = layer.metadata[METADATA_KEY]
        assert told["model"]["changes"]["model"] == "fitted"
        assert told["model"]["changes"]["set"] == {"threshold_1": 0.9, "length": 1.5}
    assert list(volume.features["name"]) == ["pore", "grain", "binder"]


def test_a_slider_drags_smoothly_and_its_box_is_exact(explore, settled):
    editor = explore.sliders.editors["length"]
    editor.slider.setValue(750)
    assert explore.values["length"] == pytest.approx(2)
    editor.box.setValue(1.234)
    assert explore.values["length"] == 1.234
    threshold = explore.sliders.editors["threshold_1"]
    threshold.slider.setValue(0)
    assert explore.values["threshold_1"] == -3
    settled()
    assert explore.numbers.item(1, 1).text() == "0.999"  # the grain is cut out first


def test_numbers_beside_the_sliders_are_the_prediction(explore, until):
    move(explore, "stretch", 2.0)
    until(lambda: ", z " in explore.numbers.item(0, 3).text())
    predicted = explore.exploration.predict(explore.values)
    for k, name in enumerate(("pore", "grain", "binder")):
        row = [explore.numbers.item(k, j).text() for j in range(4)]
        assert row[0] == name
        assert float(row[1]) == pytest.approx(predicted.fractions[k], abs=6e-4)
        assert float(row[2]) == pytest.approx(predicted.surfaces[k], rel=6e-3)
        assert float(row[3].split(",")[0]) == pytest.approx(predicted.chords[k, 2], rel=6e-3)
    assert explore.numbers.horizontalHeaderItem(2).text() == "Surface (1/um)"
    assert not explore.warning.text()
    for name in ("length", "length_1"):
        move(explore, name, 0.25)
    until(lambda: "finer than a voxel" in explore.warning.text())


def test_the_stretch_is_seen_across_z(explore, until, viewer):
    move(explore, "stretch", 3.0)
    explore.plane.value = "z, x"
    until(lambda: viewer.layers[SECTION].axis_labels == ("z", "x"))
    data = viewer.layers[SECTION].data
    changes = [np.mean(np.diff(data.astype(int), axis=axis) != 0) for axis in (0, 1)]
    assert changes[1] > 2 * changes[0]
    explore.side.value = 128
    until(lambda: SECTION in viewer.layers and VOLUME in viewer.layers)
    assert viewer.layers[SECTION].data.shape == (128, 128)


def test_moves_are_undone_one_by_one_and_reset_at_once(explore, settled):
    start = dict(explore.exploration.start)
    for value in (0.3, 0.4, 0.5):
        move(explore, "threshold_1", value)  # one drag
    move(explore, "length", 2.0)
    settled()
    explore.undo_button.click()
    assert explore.values == {**start, "threshold_1": 0.5}
    explore.undo_button.click()
    assert explore.values == start
    settled()
    assert not explore.undo_button.isEnabled()
    move(explore, "stretch", 2.0)
    settled()
    explore.reset_button.click()
    assert explore.values == start
    settled()
    assert not explore.reset_button.isEnabled()
    explore.undo_button.click()
    assert explore.values["stretch"] == 2.0


def test_a_wanted_fraction_moves_the_threshold(explore, settled, viewer):
    explore.phase.value = 2
    explore.fraction.value = 0.15
    explore.solve_button.click()
    settled()
    assert explore.numbers.item(2, 1).text() == "0.150"
    assert np.mean(viewer.layers[VOLUME].data == 200) == pytest.approx(0.15, abs=0.05)
    explore.undo_button.click()
    assert explore.values == explore.exploration.start


def test_an_impossible_fraction_is_told_in_one_sentence(explore, settled):
    settled()
    before = explore.values
    explore.phase.value = 2
    for wanted, words in ((0.9, "'binder' can fill less than"), (0.0, "between 0 and 1, not 0")):
        explore.fraction.value = wanted
        explore.solve_button.click()
        assert words in explore.state_line.text()
        assert ERROR in explore.state_line.styleSheet()
    assert explore.values == before


def test_deleted_layers_stay_away_and_the_volume_can_be_switched_off(
    explore, settled, viewer, until, qtbot
):
    settled()
    viewer.layers.remove(SECTION)
    explore.preview_box.setChecked(False)
    assert VOLUME not in viewer.layers
    move(explore, "length", 2.0)
    qtbot.wait(400)
    assert [layer.name for layer in viewer.layers] == ["micrograph"]
    explore.preview_box.setChecked(True)
    until(lambda: VOLUME in viewer.layers)


def test_a_section_is_drawn_within_a_tenth_of_a_second_of_one_core(explore, settled):
    settled()
    seconds = []
    for value in np.linspace(0.7, 1.6, 8):
        move(explore, "length", float(value))
        started = time.process_time()
        explore.refresh()
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.1


# ---------------------------------------------------------------------- the image


def test_another_image_is_held_against_the_model_or_refused(explore, viewer, labels, until):
    until(lambda: explore.curves.target is not None)
    wrong = viewer.add_labels(labels + 1, name="wrong", scale=(0.5, 0.5), units=("um",) * 2)
    (picker,) = explore.curves.inputs.pickers
    picker.value = wrong
    until(lambda: ERROR in explore.curves.line.styleSheet())
    assert "give the same phases the same labels" in explore.curves.line.text()
    coarse = viewer.add_labels(labels, name="coarse", scale=(0.8, 0.8), units=("um",) * 2)
    picker.value = coarse
    until(lambda: "'coarse' has voxels of 0.8 um" in explore.curves.line.text())
    fine = viewer.add_labels(np.kron(labels, np.ones((2, 2), labels.dtype)), name="fine",
                             scale=(0.25, 0.25), units=("um",) * 2)  # fmt: skip
    picker.value = fine
    until(lambda: explore.curves.target is not None)
    picker.value = None
    assert explore.curves.target is None
    assert not explore.curves.line.text()


def test_curves_of_squared_fields_are_refined_when_nothing_moves(open_dock, viewer, until):
    weights = torch.stack([bump_weights(6.0, 60)] * 5)
    scalars = Scalars(
        torch.tensor([2.5, 2.0], dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64),
        torch.ones(2, dtype=torch.float64),
    )  # fmt: skip
    fit = Fit(Candidate("gaussian+chi2", (0, 1, 2)), weights, scalars, 0, 0)
    phases = fresh_model(3).origin.phases
    origin = Origin("excursion", {}, "labels", phases, (1.0,) * 3, "pixel")
    widget = open_dock("Explore")
    widget.jobs.add_model("squares", ExcursionModel(origin, fit))
    move(widget, "weight_1", 1.5)
    fine = widget.exploration.predict(widget.values, fine=True).curves[0, 1]
    line = widget.curves.plot._lines[0, 1]
    until(lambda: np.allclose(line.getData()[1], fine, atol=1e-12))


# ---------------------------------------------------------------------- taking it along


def test_the_moved_model_is_handed_to_generate(explore, settled, viewer, qtbot):
    move(explore, "threshold_1", 1.0)
    settled()
    explore.use_button.click()
    named = explore.jobs.models[-1]
    assert named.name == "fitted, explored"
    _, generate = viewer.window.add_plugin_dock_widget("napari-microgen", "Generate")
    assert generate.chosen_model is named.model
    assert "changed by hand from 'fitted'" in generate.about.text()
    for side in generate.shape:
        side.value = 32
    for box in generate.periodic:
        box.value = True
    with qtbot.waitSignal(generate.jobs.generated, timeout=WAIT) as caught:
        generate.generate_button.click()
    told = caught.args[0].metadata[METADATA_KEY]["model"]["changes"]
    assert told == {"model": "fitted", "set": {"threshold_1": 1.0}, "was": {"threshold_1": 0.2}}
    assert explore.exploration.name == "fitted"  # it goes on with what it had


def test_model_and_parameters_are_saved(explore, settled, tmp_path):
    move(explore, "length_2", 1.5)
    settled()
    explore.save_model(str(tmp_path / "moved"))
    again = load_model(tmp_path / "moved.safetensors")
    assert again.origin.changes["set"] == {"length_2": 1.5}
    explore.export(str(tmp_path / "moved.json"))
    document = json.loads((tmp_path / "moved.json").read_text())
    assert document["parameters"]["length_2"]["value"] == 1.5
    explore.save_model(str(tmp_path / "absent" / "moved"))
    assert ERROR in explore.state_line.styleSheet()
    explore.export(str(tmp_path / "absent" / "moved.json"))
    assert "cannot be written" in explore.state_line.text()
    explore.undo()
    assert explore.state_line.text() == ""


# ---------------------------------------------------------------------- sweeps


@pytest.fixture
def pane(explore, settled):
    settled()
    explore.preview_box.setChecked(False)
    pane = explore.sweep
    pane.side.value = 24
    return pane


def step_through(pane, *axes):
    for editor, (name, low, high, steps) in zip(pane.axes, axes, strict=False):
        editor.parameter.value = next(
            p for p in editor.parameter.choices if p is not None and p.name == name
        )
        editor.low.value, editor.high.value, editor.steps.value = low, high, steps


def test_a_sweep_fills_its_table_and_is_saved_as_csv(pane, until, tmp_path):
    step_through(pane, ("fraction_1", 0.2, 0.4, 3), ("length", 0.5, 1.0, 2))
    assert pane.check_line.text().startswith("6 volumes, about")
    pane.start_button.click()
    until(lambda: pane.bench.work.message == "Done: 6 rows.")
    assert pane.metric.value == "ssa"
    assert pane.table.rowCount() == 6
    header = [pane.table.horizontalHeaderItem(j).text() for j in range(5)]
    assert header == ["#", "Fraction of pore", "Length", "measured", "predicted"]
    assert "Length&nbsp;0.5" in pane.plot.legend.text()
    pane.table.sortItems(3, Qt.SortOrder.DescendingOrder)
    surfaces = [float(pane.table.item(i, 3).text()) for i in range(6)]
    assert surfaces == sorted(surfaces, reverse=True)
    pane.copy_button.click()
    assert QApplication.clipboard().text().splitlines()[0].split("\t") == header
    pane.save(str(tmp_path / "sweep.csv"))
    with (tmp_path / "sweep.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert len(written) == 6
    assert float(written[0]["Fraction of pore"]) == pytest.approx(0.2)
    assert float(written[0]["volume fraction: pore, predicted"]) == pytest.approx(0.2, abs=1e-6)
    assert float(written[0]["surface area (1/um): grain"]) > 0
    assert "parameter threshold_2" in written[0]
    pane.save(str(tmp_path / "absent" / "sweep.csv"))
    pane.metric.value = "mean_chord"
    pane.phase.value = 2
    header = [pane.table.horizontalHeaderItem(j).text() for j in range(3, 9)]
    assert header == ["z", "z predicted", "y", "y predicted", "x", "x predicted"]
    pane.axis.value = "z"
    assert [pane.table.horizontalHeaderItem(j).text() for j in range(3, 5)] == ["z", "z predicted"]
    assert "mean chord (um) of binder along z over fraction of pore" in pane.plot.legend.text()


def test_a_row_puts_the_sliders_where_it_was_made(pane, explore, until):
    step_through(pane, ("length", 0.5, 2.0, 3))
    pane.start_button.click()
    until(lambda: len(pane.bench.rows) == 3 and not pane.bench.work.running)
    assert not pane.show_button.isEnabled()
    pane.table.sortItems(1, Qt.SortOrder.DescendingOrder)
    pane.table.selectRow(0)
    pane.show_button.click()
    assert explore.values["length"] == pytest.approx(2.0)
    assert "measured" in pane.plot.legend.text()
    assert "predicted" in pane.plot.legend.text()


def test_cancelling_keeps_the_rows_and_pausing_waits(pane, until, qtbot):
    step_through(pane, ("seed", 0, 499, 500))
    pane.start_button.click()
    until(lambda: len(pane.bench.rows) >= 2)
    pane.pause_button.click()
    assert pane.pause_button.text() == "Continue"
    qtbot.wait(200)
    waiting = len(pane.bench.rows)
    qtbot.wait(200)
    assert len(pane.bench.rows) == waiting
    pane.pause_button.click()
    until(lambda: len(pane.bench.rows) > waiting)
    pane.pause_button.click()
    pane.cancel_button.click()
    until(lambda: not pane.bench.work.running)
    kept = len(pane.bench.rows)
    assert waiting < kept < 500
    assert pane.bench.work.message == f"Cancelled; {kept} rows are kept."
    assert pane.table.rowCount() == kept
    assert pane.pause_button.text() == "Pause"
    assert pane.start_button.isEnabled()


def test_volumes_of_a_sweep_become_layers_or_files(pane, until, viewer, tmp_path):
    step_through(pane, ("stretch", 0.5, 2.0, 2))
    pane.keep.value = AS_LAYERS
    pane.start_button.click()
    until(lambda: pane.bench.work.message == "Done: 2 rows.")
    layer = viewer.layers["Sweep: Stretch along z 0.5"]
    assert not layer.visible
    assert layer.data.shape == (24, 24, 24)
    assert layer.metadata[METADATA_KEY]["model"]["changes"]["set"]["stretch"] == 0.5
    pane.set_folder(str(tmp_path))
    assert pane.keep.value == AS_FILES
    pane.start_button.click()
    until(lambda: len(list(tmp_path.iterdir())) == 2 and not pane.bench.work.running)
    pane.set_folder("")
    assert pane.keep.value != AS_FILES


def test_impossible_and_too_large_sweeps_are_told_before_the_start(pane):
    step_through(pane, ("fraction_1", 0.2, 0.4, 3), ("fraction_1", 0.2, 0.4, 3))
    assert "two different ones" in pane.check_line.text()
    step_through(pane, ("length", 0.5, 2.0, 1000), ("stretch", 0.5, 2.0, 1000))
    assert "1,000,000 points are more than 10,000" in pane.check_line.text()
    step_through(pane, ("length", 0.5, 2.0, 90), ("stretch", 0.5, 2.0, 90))
    pane.side.value = 1024
    pane.keep.value = AS_LAYERS
    assert "memory" in pane.check_line.text()
    assert ERROR in pane.check_line.styleSheet()
    assert not pane.start_button.isEnabled()


def test_rows_without_a_material_say_why(pane, until):
    step_through(pane, ("fraction_1", 0.3, 0.8, 2), ("fraction_3", 0.3, 0.4, 2))
    pane.start_button.click()
    until(lambda: pane.bench.work.message == "Done: 4 rows.")
    pane.table.selectRow(3)
    assert pane.table.item(3, 3).text() == "–"
    assert "cannot fill" in pane.table.item(3, 3).toolTip()
    pane.show_button.click()


def test_a_sweep_without_any_material_replaces_the_one_before(pane, until):
    step_through(pane, ("length", 0.5, 1.0, 2))
    pane.start_button.click()
    until(lambda: pane.bench.work.message == "Done: 2 rows.")
    step_through(pane, ("fraction_1", 0.8, 0.9, 2), ("fraction_3", 0.3, 0.4, 2))
    pane.start_button.click()
    until(lambda: pane.bench.work.message == "Done: 4 rows.")
    header = [pane.table.horizontalHeaderItem(j).text() for j in range(pane.table.columnCount())]
    assert header == ["#", "Fraction of pore", "Fraction of binder"]
    assert "cannot fill" in pane.table.item(0, 0).toolTip()
    step_through(pane, ("length", 0.5, 1.0, 2))
    pane.axes[1].parameter.value = None
    pane.start_button.click()
    until(lambda: pane.bench.work.message == "Done: 2 rows.")
    assert pane.metric.value == "ssa"


def test_a_new_dock_finds_the_sweep_of_the_old_one(pane, explore, viewer, open_dock, until):
    step_through(pane, ("seed", 0, 3, 4))
    pane.start_button.click()
    until(lambda: len(pane.bench.rows) >= 2)
    viewer.window.remove_dock_widget(explore)
    again = open_dock("Explore")
    until(lambda: again.sweep.bench.work.message == "Done: 4 rows.")
    assert again.sweep.table.rowCount() == 4
    assert list(again.sweep.phase.choices) == [0, 1, 2]


def test_closing_the_viewer_while_it_works_ends_cleanly(pane, explore, viewer):
    explore.preview_box.setChecked(True)
    step_through(pane, ("seed", 0, 499, 500))
    pane.start_button.click()
    tasks = list(explore.jobs._tasks)
    assert len(tasks) == 2
    viewer.close()
    assert all(task.wait(0) for task in tasks)


# ---------------------------------------------------------------------- the newest request


def test_only_the_newest_request_is_answered(explore, qtbot):
    begun, answers = [], []

    def request(number):
        def make(stopping):
            begun.append(number)
            while number < 9 and not stopping():
                yield
            return number

        return make

    latest = Latest(explore.jobs, "test")
    latest.done.connect(lambda outcome: answers.append(outcome.value))
    for number in range(10):
        latest.ask(request(number))
    qtbot.waitUntil(lambda: bool(answers), timeout=WAIT)
    assert answers == [9]
    assert begun in ([0, 9], [9])
    assert not latest.busy
