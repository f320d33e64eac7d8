import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_microgen.methods import get_method
from napari_microgen.phases import PhaseImage
from napari_microgen.widgets.status import ERROR

WAIT = 20_000


@pytest.fixture
def interpolate(viewer, open_dock, latent_model):
    widget = open_dock("Interpolate")
    widget.model._jobs.add_model("DC-GAN of micrograph", latent_model)
    widget.side.value, widget.steps.value = 32, 4
    return widget


@pytest.fixture
def press(interpolate, viewer, qtbot):
    def run():
        interpolate.start_button.click()
        qtbot.waitUntil(lambda: not interpolate.bench.work.running, timeout=WAIT)
        return viewer.layers[-1]

    return run


def test_without_a_model_it_says_what_to_do(open_dock):
    widget = open_dock("Interpolate")
    assert widget.check_line.text() == "Train a model first, or open one from a file."
    assert not widget.start_button.isEnabled()


def test_only_models_with_latents_are_offered(interpolate, viewer, field_method, tmp_path):
    image = PhaseImage.from_layer(viewer.layers["micrograph"])
    *_, last = get_method("field").train([image], field_method(steps=1, pause=0.0))
    interpolate.model._jobs.add_model("Random field", last.model)
    assert [m.name for m in interpolate.model.picker.choices] == ["DC-GAN of micrograph"]
    interpolate.model.open_model(str(last.model.save(tmp_path / "field.safetensors")))
    assert "no latents to interpolate" in interpolate.check_line.text()
    assert ERROR in interpolate.check_line.styleSheet()


def test_a_periodic_side_snaps_to_the_period(interpolate):
    interpolate.side.value = 40
    interpolate.periodic.value = True
    assert (interpolate.side.value, interpolate.side.step) == (64, 32)
    interpolate.side.value = 70
    assert "choose 64 or 96" in interpolate.check_line.text()
    assert not interpolate.start_button.isEnabled()
    interpolate.side.native.editingFinished.emit()
    assert interpolate.side.value == 96
    assert interpolate.start_button.isEnabled()


def test_one_seed_twice_is_no_way(interpolate):
    interpolate.seeds[1].value = 0
    assert "choose two seeds" in interpolate.check_line.text()
    assert not interpolate.start_button.isEnabled()


def test_the_volumes_play_along_the_first_slider(interpolate, press, viewer):
    layer = press()
    assert layer.name == "seed 0 to 1"
    assert layer.data.shape == (4, 32, 32, 32)
    assert viewer.dims.ndim == 4 and viewer.dims.nsteps[0] == 4
    assert layer.axis_labels == ("step", "z", "y", "x")
    np.testing.assert_allclose(layer.scale, (1, 0.5, 0.5, 0.5))
    real = viewer.layers["micrograph"]
    assert layer.extent.world[0, 3] > real.extent.world[1, 1]  # right of what was there
    for value in (3, 200):
        assert layer.get_color(value) is not None
    assert interpolate.plot._mark.value() == 0
    viewer.dims.set_current_step(0, 2)
    assert interpolate.plot._mark.value() == 2
    viewer.layers.remove(layer)
    viewer.add_labels(layer.data)
    viewer.dims.set_current_step(0, 3)
    assert not interpolate.plot._mark.isVisible()


def test_the_table_shows_the_chosen_metric_sorts_and_copies(interpolate, press):
    interpolate.diffusion.value = True
    press()
    assert [text for text, _ in choices(interpolate)] == [
        "volume fraction", "surface area", "TPB density", "relative diffusivity",
    ]  # fmt: skip
    table = interpolate.table
    assert (table.rowCount(), table.columnCount()) == (4, 5)
    fractions = [float(table.item(i, 4).text()) for i in range(4)]
    table.sortItems(4)
    assert [float(table.item(i, 4).text()) for i in range(4)] == sorted(fractions)
    table.copy()
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0] == "Step\tShare\tpore\tgrain\tbinder" and len(lines) == 5
    interpolate.metric.value = "tpb_density"
    assert table.columnCount() == 3
    assert "TPB density (1/um²)" in interpolate.plot.legend.text()


def choices(widget):
    combo = widget.metric.native
    return [(combo.itemText(i), i) for i in range(combo.count())]


def test_numbers_arrive_while_it_is_running(interpolate, qtbot):
    interpolate.steps.value = 40
    interpolate.start_button.click()
    qtbot.waitUntil(lambda: interpolate.table.rowCount() > 2, timeout=WAIT)
    assert interpolate.bench.work.running
    assert not interpolate.start_button.isEnabled()
    interpolate.cancel_button.click()
    qtbot.waitUntil(lambda: not interpolate.bench.work.running, timeout=WAIT)


def test_cancel_adds_nothing(interpolate, viewer, qtbot):
    interpolate.steps.value = 100
    before = list(viewer.layers)
    interpolate.start_button.click()
    interpolate.cancel_button.click()
    qtbot.waitUntil(lambda: not interpolate.bench.work.running, timeout=WAIT)
    assert interpolate.state_line.text() == "Cancelled; nothing was changed."
    assert list(viewer.layers) == before
    assert interpolate.start_button.isEnabled()


def test_a_new_dock_finds_the_model_and_the_numbers(
    interpolate, latent_model, viewer, open_dock, press
):
    press()
    viewer.window.remove_dock_widget(interpolate)
    again = open_dock("Interpolate")
    assert again.table.rowCount() == 4
    assert again.bench is interpolate.bench
    assert again.model.model is latent_model


def test_numbers_are_saved(interpolate, press, tmp_path):
    press()
    interpolate.save(str(tmp_path / "way.csv"))
    assert len((tmp_path / "way.csv").read_text().splitlines()) == 5
    interpolate.save(str(tmp_path / "no folder" / "way.csv"))
    assert ERROR in interpolate.state_line.styleSheet()


def test_a_failure_is_one_sentence(interpolate, latent_model, qtbot, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(type(latent_model), "blocks", fail)
    interpolate.start_button.click()
    qtbot.waitUntil(lambda: interpolate.bench.work.failed, timeout=WAIT)
    assert interpolate.state_line.text() == (
        "Interpolating ran out of memory; ask for less, or close other programs."
    )


def test_closing_the_viewer_while_it_runs_ends_cleanly(interpolate, viewer):
    interpolate.steps.value = 100
    interpolate.start_button.click()
    task = interpolate.bench._task
    viewer.close()
    assert task.wait(0)
