import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QApplication

from napari_microgen.methods import METHODS, load_model
from napari_microgen.widgets.jobs import jobs_of
from napari_microgen.widgets.plots import CurvePlot
from napari_microgen.widgets.preview import is_preview
from napari_microgen.widgets.state import Status
from napari_microgen.widgets.status import ERROR, WARNING
from napari_microgen.widgets.train import layer_file

WAIT = 10_000


@pytest.fixture
def train(field_method, open_dock):
    return open_dock("Train")


@pytest.fixture
def until(qtbot):
    def wait(condition):
        qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT)

    return wait


def cancel(widget, until):
    widget.cancel_button.click()
    until(lambda: widget.start_button.isEnabled())


@pytest.fixture
def started(train, until):
    """A training that would run for five minutes."""
    until(lambda: train.plan)
    train.start_button.click()
    until(lambda: step(train) > 3)
    return train


def step(widget):
    progress = widget.jobs.training.progress
    return 0 if progress is None else progress.step


def errors(caplog):
    return [r for r in caplog.records if r.levelname == "ERROR"]


# ---------------------------------------------------------------------- before the start


def test_start_waits_for_the_check(train, until):
    until(lambda: train.plan)
    assert train.start_button.isEnabled()
    assert "Takes about 1 MB of memory" in train.check_line.text()
    assert not train.resume_button.isEnabled()
    train.form.editors["width"].value = 3.0
    assert not train.start_button.isEnabled()
    until(lambda: train.plan)
    assert train.plan.config.width == 3.0
    train.script_button.click()
    command = QApplication.clipboard().text()
    assert command.startswith("napari-microgen train field micrograph.tif")
    assert layer_file(Labels(np.zeros((2, 2), int), name="a: b/c")) == "a_b_c.tif"


def test_bad_input_is_one_red_sentence_and_changes_nothing(train, viewer, until):
    layer = viewer.layers["micrograph"]
    before = list(viewer.layers)
    for data, sentence in (
        (np.ones((40, 40), int), "single phase"),
        (np.arange(1600).reshape(40, 40), "looks like grey values"),
        (np.eye(8, dtype=int), "smaller than a patch"),
    ):
        layer.data = data
        until(lambda sentence=sentence: sentence in train.check_line.text())
        assert "\n" not in train.check_line.text()
        assert ERROR in train.check_line.styleSheet()
        assert not train.start_button.isEnabled()
        assert list(viewer.layers) == before
        np.testing.assert_array_equal(layer.data, data)
    viewer.layers.clear()
    until(lambda: "Open an image" in train.check_line.text())


def test_a_warning_is_amber_and_lets_one_start(train, viewer, until):
    data = viewer.layers["micrograph"].data.copy()
    data[0, 0] = 9
    viewer.layers["micrograph"].data = data
    until(lambda: "is rare" in train.check_line.text())
    assert WARNING in train.check_line.styleSheet()
    assert train.start_button.isEnabled()


def test_settings_that_are_refused_are_told_at_once(open_dock, until):
    train = open_dock("Train")
    train.method.value = "slicegan"
    train.form.editors["widths"].value = "none"
    until(lambda: "widths" in train.check_line.text())
    assert not train.start_button.isEnabled()


def test_the_form_is_made_anew_for_another_method(train, monkeypatch, until):
    monkeypatch.setitem(METHODS, "field", METHODS["slicegan"])
    train.method.changed.emit("field")
    assert len(train.inputs.pickers) == 3
    assert "widths" in train.form.editors


# ---------------------------------------------------------------------- running


def test_figures_curves_and_table_follow_the_training_and_settings_are_locked(started, until):
    shown = started.progress
    until(lambda: shown.table.rowCount() == 1)
    assert "steps/s" in shown.figures.text()
    assert "left" in shown.figures.text()
    assert "CPU, as chosen" in shown.figures.text()
    assert "100 MB" in shown.figures.text()
    assert shown.table.item(0, 0).text() == "volume fraction"
    losses, ratios = shown.findChildren(CurvePlot)
    assert list(losses._lines) == ["fraction"]
    assert list(ratios._lines) == ["volume_fraction"]
    assert not started.form.editors["width"].native.isEnabled()
    assert not started.inputs.pickers[0].native.isEnabled()


def test_pause_waits_and_continue_goes_on(started, qtbot, until):
    started.pause_button.click()
    assert started.pause_button.text() == "Continue"
    assert started.jobs.training.status is Status.PAUSED
    qtbot.wait(100)
    before = step(started)
    qtbot.wait(150)
    assert step(started) == before
    started.pause_button.click()
    until(lambda: step(started) > before)
    assert started.pause_button.text() == "Pause"


@pytest.mark.parametrize("paused", [False, True])
def test_cancel_keeps_the_model_and_offers_to_resume(started, until, paused):
    if paused:
        started.pause_button.click()
    started.cancel_button.click()
    until(lambda: started.jobs.training.status is Status.STOPPED)
    until(lambda: started.plan)
    assert started.resume_button.isEnabled()
    assert [m.name for m in started.jobs.models] == ["Random field of micrograph"]
    assert started.save_button.isEnabled()
    assert "Resume goes on" in started.progress.state_line.text()


def test_a_training_stopped_before_its_first_model_says_so(train):
    training = train.jobs.training
    training.begin("nothing yet")
    training.stop()
    training.end()
    assert train.progress.state_line.text() == "nothing yet was stopped before there was a model."
    assert not train.save_button.isEnabled()


def test_resume_goes_on_where_it_stopped_and_replaces_the_model(started, until):
    cancel(started, until)
    before = step(started)
    started.resume_button.click()
    until(lambda: step(started) > before)
    steps = started.jobs.training.losses.points["fraction"][0]
    assert steps == list(range(1, len(steps) + 1))
    started.cancel_button.click()
    until(lambda: not started.jobs.training.status.running)
    assert len(started.jobs.models) == 1


def test_other_settings_have_nothing_to_resume(started, until):
    cancel(started, until)
    started.form.editors["width"].value = 4.0
    until(lambda: started.plan)
    assert not started.resume_button.isEnabled()
    started.form.editors["width"].value = 2.0
    started.form.editors["minutes"].value = 9.0
    until(lambda: started.plan)
    assert started.resume_button.isEnabled()


def test_a_finished_training_says_so_with_its_last_message(train, until):
    train.form.editors["steps"].value = 20
    until(lambda: train.plan)
    train.start_button.click()
    until(lambda: train.jobs.training.status is Status.DONE)
    assert train.progress.state_line.text() == (
        "Random field of micrograph is finished; the model is ready in Generate. Half way."
    )
    assert train.progress.bar.value() == 1000


def test_a_runtime_error_in_the_training_is_told_and_nothing_is_lost(train, until, caplog):
    train.form.editors["fail_at"].value = 15
    until(lambda: train.plan)
    train.start_button.click()
    until(lambda: train.jobs.training.status is Status.CRASHED)
    said = train.progress.state_line.text()
    assert said == (
        "The training failed unexpectedly (RuntimeError: CUDA error: device-side assert "
        "triggered); the log has the details."
    )
    assert ERROR in train.progress.state_line.styleSheet()
    assert len(train.jobs.models) == 1
    assert any(r.exc_info for r in errors(caplog))
    until(lambda: train.start_button.isEnabled())
    assert train.resume_button.isEnabled()


# ---------------------------------------------------------------------- preview


def test_the_preview_is_renewed_beside_the_image_in_its_colours_and_units(started, viewer, until):
    until(lambda: "preview" in viewer.layers)
    real, preview = viewer.layers["micrograph"], viewer.layers["preview"]
    assert preview.extent.world[0, 2] > real.extent.world[1, 1]
    assert preview.extent.world[0, 1] == real.extent.world[0, 0]
    np.testing.assert_allclose(preview.scale, 0.5)
    assert [str(u) for u in preview.units] == ["micrometer"] * 3
    for value in (3, 200):
        np.testing.assert_allclose(preview.get_color(value), real.get_color(value), atol=1 / 255)
    assert set(np.unique(preview.data)) <= {0, 3, 200}
    assert viewer.layers.selection.active is real
    before = preview.data
    until(lambda: preview.data is not before)
    assert [layer.name for layer in viewer.layers] == [
        "micrograph", "preview confidence", "preview",
    ]  # fmt: skip


def test_the_confidence_is_renewed_with_the_preview_and_hidden_at_first(started, viewer, until):
    until(lambda: "preview" in viewer.layers)
    volume, confidence = viewer.layers["preview"], viewer.layers["preview confidence"]
    assert not confidence.visible
    assert is_preview(confidence)
    assert tuple(confidence.contrast_limits) == (0, 1)
    np.testing.assert_allclose(confidence.extent.world, volume.extent.world)
    before = confidence.data
    until(lambda: confidence.data is not before)
    assert confidence.data.shape == volume.data.shape
    viewer.layers.remove(volume)
    before = confidence.data
    until(lambda: confidence.data is not before)
    started.preview_box.setChecked(False)
    assert list(viewer.layers) == [viewer.layers["micrograph"]]


def test_the_preview_covers_nothing_that_is_shown(train, viewer, until):
    wide = viewer.add_labels(np.zeros((96, 300), int), scale=(0.5, 0.5), units=("um", "um"))
    viewer.layers["micrograph"].visible = False
    until(lambda: train.plan)
    train.start_button.click()
    until(lambda: "preview" in viewer.layers)
    assert viewer.layers["preview"].extent.world[0, 2] > wide.extent.world[1, 1]


def test_the_preview_can_be_switched_off_and_on(started, viewer, until):
    until(lambda: "preview" in viewer.layers)
    started.preview_box.setChecked(False)
    assert "preview" not in viewer.layers
    started.preview_box.setChecked(True)
    assert "preview" in viewer.layers


def test_a_preview_that_was_deleted_stays_away(started, viewer, until):
    until(lambda: "preview" in viewer.layers)
    viewer.layers.remove("preview")
    before = step(started)
    until(lambda: step(started) > before + 25)
    assert "preview" not in viewer.layers


# ---------------------------------------------------------------------- docks and windows


def test_a_closed_dock_leaves_the_training_running_and_a_new_one_finds_it(
    started, viewer, open_dock, until
):
    viewer.window.remove_dock_widget(started)
    before = jobs_of(viewer).training.progress.step
    until(lambda: jobs_of(viewer).training.progress.step > before)
    again = open_dock("Train")
    assert again is not started
    assert again.pause_button.isEnabled()
    assert not again.start_button.isEnabled()
    until(lambda: "steps/s" in again.progress.figures.text())
    again.cancel_button.click()
    until(lambda: again.jobs.training.status is Status.STOPPED)


def test_closing_the_viewer_stops_the_training_and_keeps_its_checkpoint(started, viewer):
    task = started.jobs._training_task
    checkpoint = started.plan.checkpoint
    viewer.close()
    assert task.wait(0)
    assert checkpoint.is_file()


def test_closing_the_viewer_stops_a_paused_training(started, viewer):
    task = started.jobs._training_task
    started.pause_button.click()
    viewer.close()
    assert task.wait(0)


def test_two_viewers_train_apart(started, make_napari_viewer, labels, open_dock, until):
    other = make_napari_viewer()
    other.add_labels(labels, name="other")
    widget = open_dock("Train", into=other)
    assert widget.jobs is not started.jobs
    until(lambda: widget.plan)
    assert widget.start_button.isEnabled()
    assert jobs_of(other) is widget.jobs


# ---------------------------------------------------------------------- taking it along


def test_the_model_is_saved_and_opens_again(started, until, tmp_path):
    cancel(started, until)
    started.save_model(str(tmp_path / "model.safetensors"))
    model = load_model(tmp_path / "model.safetensors")
    assert model.origin.phases == started.plan.images[0].phases
    started.save_model(str(tmp_path / "nowhere" / "model.safetensors"))
    assert ERROR in started.progress.state_line.styleSheet()
