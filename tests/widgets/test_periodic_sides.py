import csv
import dataclasses

import numpy as np
import pytest

from napari_microgen.io.layers import METADATA_KEY, sample_layers
from napari_microgen.methods import get_method
from napari_microgen.metrics.periodicity import Convergence, Size
from napari_microgen.metrics.transport import transport
from napari_microgen.phases import PhaseImage
from napari_microgen.widgets.periodic_flux import saving_sentence
from napari_microgen.widgets.status import ERROR

WAIT = 20_000


@pytest.fixture
def add_volume(viewer, latent_model):
    """Add a volume of the model."""

    def add(periodic=(True, True, True), side=32, name="volume"):
        sample = latent_model.generate((side,) * 3, seed=1, periodic=periodic)
        data, how, _ = sample_layers(sample, name)[-1]
        return viewer.add_labels(data, **how)

    return add


@pytest.fixture
def sides(open_dock, latent_model):
    widget = open_dock("Periodic sides")
    widget.model._jobs.add_model("DC-GAN of micrograph", latent_model)
    widget.side.value = widget.smallest.value = 32
    widget.largest.value, widget.volumes.value = 64, 2
    return widget


@pytest.fixture
def run(qtbot):
    """Press a button and wait for the end."""

    def press(widget, button):
        button.click()
        qtbot.waitUntil(lambda: not widget.bench.work.running, timeout=WAIT)

    return press


def solved(volume, axis, periodic):
    indices = np.searchsorted([0, 3, 200], volume).astype(np.uint8)
    return transport(indices, 2, axis, periodic=periodic, tolerance=1e-4).d_rel


# ---------------------------------------------------------------------- flux


def test_flux_with_both_kinds_of_sides_stands_side_by_side(sides, add_volume, viewer, run):
    layer = add_volume()
    sides.inputs.pickers[0].value = layer
    sides.phase.value, sides.axis.value = 200, 1
    run(sides, sides.flux_button)
    mirror, periodic = viewer.layers[-2:]
    assert [x.name for x in (mirror, periodic)] == [
        "mirror sides: flux, binder along y", "periodic sides: flux, binder along y",
    ]  # fmt: skip
    grid = viewer.canvas.grid
    assert grid.enabled and not layer.visible
    places = [grid.position(viewer.layers.index(x), viewer.layers) for x in (mirror, periodic)]
    assert places == [(0, 0), (0, 1)]
    assert tuple(mirror.contrast_limits) == tuple(periodic.contrast_limits)
    for each in (mirror, periodic):
        np.testing.assert_allclose(each.extent.world, layer.extent.world)
        assert not each.data[layer.data != 200].any()
    shown = [float(sides.numbers.item(0, i).text()) for i in (1, 2)]
    wanted = [solved(layer.data, 1, p) for p in (False, True)]
    assert shown == pytest.approx(wanted, rel=5e-3)
    assert shown[1] > shown[0]
    assert "raise D_rel of binder along y by" in sides.state_line.text()
    sides.side_button.click()
    assert not grid.enabled and layer.visible
    sides.side_button.click()
    assert grid.enabled


def test_a_new_volume_of_the_model_is_added_with_its_flux(sides, viewer, run):
    assert sides.inputs.layers == [None]
    sides.phase.value, sides.seed.value = 200, 7
    run(sides, sides.flux_button)
    volume, mirror, periodic = viewer.layers[-3:]
    assert volume.name == "periodic, seed 7"
    assert volume.metadata[METADATA_KEY]["periodic"] == [True, True, True]
    assert volume.extent.world[0, 2] > viewer.layers["micrograph"].extent.world[1, 1]
    for each in (mirror, periodic):
        np.testing.assert_allclose(each.extent.world[0], volume.extent.world[0])
    shown = [float(sides.numbers.item(0, i).text()) for i in (1, 2)]
    wanted = [solved(volume.data, 0, p) for p in (False, True)]
    assert shown == pytest.approx(wanted, rel=5e-3)


def test_a_volume_that_is_not_periodic_is_refused(sides, add_volume, run):
    for axis, periodic, words in (
        (0, (False, False, False), "is not periodic along y and x"),
        (2, (False, False, True), "is not periodic along z and y"),
    ):
        sides.inputs.pickers[0].value = add_volume(periodic)
        sides.axis.value = axis
        run(sides, sides.flux_button)
        assert words in sides.state_line.text()
        assert ERROR in sides.state_line.styleSheet()


def test_a_side_that_is_not_periodic_stays_a_mirror(sides, add_volume, run):
    layer = add_volume((False, True, False))
    sides.inputs.pickers[0].value = layer
    sides.phase.value = 200
    run(sides, sides.flux_button)
    assert "Along x it is not periodic" in sides.warnings.text()
    wanted = solved(layer.data, 0, (False, True, False))
    assert float(sides.numbers.item(0, 2).text()) == pytest.approx(wanted, rel=5e-3)


def test_a_part_of_a_periodic_volume_is_refused(sides, add_volume, viewer, run):
    layer = add_volume()
    part = viewer.add_labels(layer.data[:, :20], metadata=layer.metadata, scale=layer.scale,
                             units=layer.units)  # fmt: skip
    sides.inputs.pickers[0].value = part
    run(sides, sides.flux_button)
    assert "was cut since it was generated" in sides.state_line.text()


def test_a_volume_that_says_nothing_is_solved_with_a_warning(sides, add_volume, viewer, run):
    layer = add_volume()
    silent = viewer.add_labels(layer.data, name="silent")
    sides.inputs.pickers[0].value = silent
    sides.phase.value = 200
    run(sides, sides.flux_button)
    assert "does not say whether it is periodic" in sides.warnings.text()
    assert len(sides.bench.maps) == 2


def test_a_phase_without_a_path_is_said(sides, viewer, run):
    plates = np.zeros((16, 16, 16), np.uint8)
    plates[:, :, ::4] = 3
    layer = viewer.add_labels(plates, name="plates", metadata={METADATA_KEY: {
        "periodic": [True] * 3, "shape": [16] * 3}})  # fmt: skip
    sides.inputs.pickers[0].value = layer
    sides.phase.value, sides.axis.value = 3, 2
    run(sides, sides.flux_button)
    assert "No path leads from face to face" in sides.state_line.text()
    assert not sides.side_button.isEnabled()


def test_a_periodic_layer_is_chosen_at_once(open_dock, add_volume):
    layer = add_volume()
    add_volume((False,) * 3, name="other")
    assert open_dock("Periodic sides").inputs.layers == [layer]


# ---------------------------------------------------------------------- convergence


def test_convergence_shows_a_line_and_a_row_per_size(sides, latent_model, run, tmp_path):
    sides.phase.value = 200
    run(sides, sides.convergence_button)
    table = sides.results.table
    assert [table.item(i, 0).text() for i in range(2)] == ["32", "64"]
    volumes = [latent_model.generate((32,) * 3, seed=s, periodic=(True,) * 3) for s in (0, 1)]
    mirror, periodic = (np.mean([solved(v.data, 0, p) for v in volumes]) for p in (False, True))
    assert float(table.item(0, 1).text()) == pytest.approx(mirror, rel=5e-3)
    assert float(table.item(0, 3).text()) == pytest.approx(periodic, rel=5e-3)
    assert "mirror&nbsp;sides" in sides.results.plot.legend.text()
    assert "At 64³ mirror sides give" in sides.results.verdict.text()
    sides.results.save(str(tmp_path / "c.csv"))
    with open(tmp_path / "c.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["side"], r["volume"]) for r in rows] == [
        ("32", "0"), ("32", "1"), ("64", "0"), ("64", "1"),
    ]  # fmt: skip
    assert float(rows[0]["d_rel_periodic"]) > float(rows[0]["d_rel_mirror"])


def test_one_size_is_no_convergence(sides):
    sides.largest.value = 40
    assert "at least one period apart" in sides.check_line.text()
    assert not sides.convergence_button.isEnabled()
    sides.largest.native.editingFinished.emit()
    assert sides.largest.value == 64
    assert sides.convergence_button.isEnabled()


def test_cancel_keeps_what_was_found(sides, run, qtbot):
    sides.phase.value, sides.largest.value, sides.volumes.value = 200, 128, 20
    sides.convergence_button.click()
    qtbot.waitUntil(lambda: sides.results.table.rowCount() == 1, timeout=WAIT)
    assert not sides.flux_button.isEnabled()
    run(sides, sides.cancel_button)
    assert sides.results.table.rowCount() == 1
    assert sides.flux_button.isEnabled()


def test_the_sentence_weighs_what_periodic_sides_save():
    means = ((32, 0.10, 0.15), (64, 0.15, 0.198), (128, 0.192, 0.2))
    found = Convergence(tuple(Size(n, (m, m), (p, p)) for n, m, p in means))
    said = saving_sentence(found)
    assert "At 128³ mirror sides give 4 % less" in said
    assert "periodic sides from 64³ on, and with mirror sides from 128³ on, 8.0 times" in said
    closed = Convergence((Size(8, (0.0,), (0.0,)), Size(16, (0.0,), (0.0,))))
    assert "No path" in saving_sentence(closed)
    assert saving_sentence(Convergence(found.sizes[:1])) == ""


# ---------------------------------------------------------------------- docks and models


def test_models_that_make_no_phases_are_not_offered(sides, latent_model):
    grey = type(latent_model)(
        dataclasses.replace(latent_model.origin, kind="grey"), latent_model.generator
    )
    sides.model._jobs.add_model("grey", grey)
    assert [m.name for m in sides.model.picker.choices] == ["DC-GAN of micrograph"]


def test_a_new_dock_finds_the_results(sides, viewer, open_dock, run, add_volume):
    sides.inputs.pickers[0].value = add_volume()
    sides.phase.value = 200
    run(sides, sides.flux_button)
    viewer.window.remove_dock_widget(sides)
    again = open_dock("Periodic sides")
    assert again.numbers.rowCount() == 3
    assert again.side_button.isChecked()
    assert again.model.model is sides.model.model is not None


def test_without_anything_it_says_what_to_do(open_dock):
    widget = open_dock("Periodic sides")
    assert widget.check_line.text() == "Generate a periodic volume first, or open a model."
    assert not widget.flux_button.isEnabled()
    assert not widget.convergence_button.isEnabled()


def test_other_methods_can_be_periodic_too(sides, viewer, field_method):
    image = PhaseImage.from_layer(viewer.layers["micrograph"])
    *_, last = get_method("field").train([image], field_method(steps=1, pause=0.0))
    sides.model._jobs.add_model("Random field", last.model)
    assert sides.model.model is last.model
    assert (sides.side.step, sides.convergence_plan.sides) == (8, (32, 40, 48, 56, 64))


def test_closing_the_viewer_while_it_runs_ends_cleanly(sides, viewer):
    sides.largest.value, sides.volumes.value = 128, 50
    sides.convergence_button.click()
    task = sides.bench._task
    viewer.close()
    assert task.wait(0)


def test_thousands_of_labels_are_refused_and_not_listed(sides, viewer, run):
    numbers = np.arange(32**3).reshape(32, 32, 32)
    sides.inputs.pickers[0].value = viewer.add_labels(numbers, name="grains")
    assert len(sides.phase.choices) <= 13
    run(sides, sides.flux_button)
    assert "different labels" in sides.state_line.text()
