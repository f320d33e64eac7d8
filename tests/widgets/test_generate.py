import itertools

import numpy as np
import pytest

from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.methods import get_method
from napari_microgen.phases import PhaseImage
from napari_microgen.widgets.generate import describe
from napari_microgen.widgets.generation import next_period
from napari_microgen.widgets.jobs import jobs_of
from napari_microgen.widgets.status import ERROR

WAIT = 20_000


@pytest.fixture
def model(field_method, viewer):
    """What a few steps on the micrograph give."""
    image = PhaseImage.from_layer(viewer.layers["micrograph"])
    method = get_method("field")
    *_, last = method.train([image], field_method(steps=5, pause=0.0))
    return last.model


@pytest.fixture
def generate(model, viewer, open_dock):
    widget = open_dock("Generate")
    widget.jobs.add_model("Random field of micrograph", model)
    for side, length in zip(widget.shape, (12, 20, 24), strict=True):
        side.value = length
    return widget


@pytest.fixture
def press(generate, qtbot):
    """Generate, wait for the end, and return the volume's layer."""

    def run():
        with qtbot.waitSignal(generate.jobs.generated, timeout=WAIT) as caught:
            generate.generate_button.click()
        return caught.args[0]

    return run


# ---------------------------------------------------------------------- before the start


def test_without_a_model_it_says_what_to_do(open_dock):
    widget = open_dock("Generate")
    assert widget.check_line.text() == "Train a model first, or open one from a file."
    assert not widget.generate_button.isEnabled()


def test_the_youngest_model_is_chosen_and_described(generate, model):
    assert generate.chosen_model is model
    assert generate.about.text() == "pore, grain, binder · voxel 0.5 × 0.5 × 0.5 um · 5 steps"
    assert describe(None) == ""


def test_memory_is_named_and_refused_if_it_does_not_fit(generate):
    assert generate.check_line.text().startswith("Takes about")
    for side in generate.shape:
        side.value = 100_000
    assert "This volume needs about" in generate.check_line.text()
    assert "choose a smaller shape" in generate.check_line.text()
    assert ERROR in generate.check_line.styleSheet()
    assert not generate.generate_button.isEnabled()


def test_a_periodic_side_snaps_to_the_period_and_steps_by_it(generate, model):
    z = generate.shape[0]
    generate.periodic[0].value = True
    assert (z.value, z.step) == (16, 8)
    z.value = 17
    assert "multiple of 8" in generate.check_line.text()
    assert not generate.generate_button.isEnabled()
    z.native.editingFinished.emit()
    assert z.value == 24
    assert generate.generate_button.isEnabled()
    generate.periodic[0].value = False
    assert z.step == 1
    assert [next_period(model, 1, n) for n in (1, 8, 9)] == [8, 8, 16]


def test_model_files_are_opened_under_their_name_or_refused(generate, model, tmp_path):
    model.save(tmp_path / "mine.safetensors")
    for name in ("mine.safetensors", "mine.safetensors (2)"):
        generate.open_model(str(tmp_path / "mine.safetensors"))
        assert generate.jobs.models[-1].name == name
    assert generate.chosen_model is generate.jobs.models[-1].model
    (tmp_path / "foreign.safetensors").write_bytes(b"nothing")
    generate.open_model(str(tmp_path / "foreign.safetensors"))
    assert ERROR in generate.check_line.styleSheet()
    assert len(generate.jobs.models) == 3


# ---------------------------------------------------------------------- the volume


def test_values_names_colours_and_units_are_those_of_the_training_layer(
    generate, press, viewer, labels
):
    generate.seed.value = 6
    volume = press()
    real = viewer.layers["micrograph"]
    assert volume.data.shape == (12, 20, 24)
    assert set(np.unique(volume.data)) <= set(np.unique(labels))
    np.testing.assert_allclose(volume.scale, 0.5)
    assert [str(u) for u in volume.units] == ["micrometer"] * 3
    assert volume.axis_labels == ("z", "y", "x")
    assert list(volume.features["name"]) == ["pore", "grain", "binder"]
    for value in (3, 200):
        np.testing.assert_allclose(volume.get_color(value), real.get_color(value), atol=1 / 255)
    table = volume.features.set_index("index")
    for value in (0, 3, 200):
        assert table.loc[value, "volume fraction"] == pytest.approx((volume.data == value).mean())
    assert (table["specific surface area (1/um)"] > 0).all()
    assert (table["mean chord along x (um)"] > 0).all()
    origin = volume.metadata[METADATA_KEY]
    assert (origin["seed"], origin["model"]["method"]) == (6, "field")


def test_confidence_and_probabilities_are_layers_of_their_own(generate, press, viewer):
    generate.probabilities.value = True
    press()
    confidence = viewer.layers["generated, seed 0 confidence"]
    assert (confidence.data.shape, confidence.data.max()) == ((12, 20, 24), 1)
    assert "generated, seed 0 probability of grain" in viewer.layers
    before = len(viewer.layers)
    generate.confidence.value = generate.probabilities.value = False
    press()
    assert len(viewer.layers) == before + 1


def test_cancel_adds_nothing(generate, viewer, qtbot):
    for side in generate.shape:
        side.value = 128
    before = list(viewer.layers)
    generate.generate_button.click()
    assert not generate.generate_button.isEnabled()
    generate.cancel_button.click()
    qtbot.waitUntil(lambda: not generate.jobs.generation.running, timeout=WAIT)
    assert generate.state_line.text() == "Cancelled; nothing was added."
    assert list(viewer.layers) == before
    assert generate.generate_button.isEnabled()


def test_a_failure_is_one_sentence(generate, model, qtbot, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(model, "blocks", fail)
    generate.generate_button.click()
    qtbot.waitUntil(lambda: generate.jobs.generation.failed, timeout=WAIT)
    assert generate.state_line.text() == (
        "Generating ran out of memory; ask for less, or close other programs."
    )
    assert generate.generate_button.isEnabled()


def test_a_closed_dock_still_gets_its_volume(generate, viewer, qtbot):
    for side in generate.shape:
        side.value = 64
    generate.generate_button.click()
    viewer.window.remove_dock_widget(generate)
    qtbot.waitUntil(lambda: "generated, seed 0" in viewer.layers, timeout=WAIT)


def test_closing_the_viewer_while_generating_ends_cleanly(generate, viewer):
    for side in generate.shape:
        side.value = 96
    generate.generate_button.click()
    task = generate.jobs._generation_task
    viewer.close()
    assert task.wait(0)


# ---------------------------------------------------------------------- comparing


def test_real_and_generated_share_the_canvas_and_everything_is_put_back(generate, press, viewer):
    other = viewer.add_labels(np.zeros((9, 9), int), name="other")
    hidden = viewer.add_labels(np.zeros((9, 9), int), name="hidden", visible=False)
    volume = press()
    grid, real = viewer.canvas.grid, viewer.layers["micrograph"]
    assert generate.real.value is real
    assert grid.enabled
    assert not other.visible
    assert grid.position(viewer.layers.index(real), viewer.layers) == (0, 0)
    assert grid.position(viewer.layers.index(volume), viewer.layers) == (0, 1)
    generate.side_by_side.value = False
    assert not grid.enabled
    assert [x.visible for x in (real, other, hidden)] == [True, True, False]
    assert not real.name_overlay.visible
    generate.side_by_side.value = True
    viewer.layers.remove(volume)
    assert not grid.enabled
    assert other.visible


def test_without_the_halves_volumes_stand_in_a_row_right_of_the_image(generate, press, viewer):
    real = viewer.layers["micrograph"]
    real.translate = (100, 200)
    generate.side_by_side.value = False
    first, second = press(), press()
    corners = [x.extent.world[:, -2:] for x in (real, first, second)]
    for left, right in itertools.pairwise(corners):
        assert right[0, 1] > left[1, 1]
        assert right[0, 0] == left[0, 0]
    assert viewer.layers["generated, seed 0 confidence"].translate == pytest.approx(first.translate)


def test_halves_show_the_same_place_wherever_the_image_stands(generate, press, viewer):
    real = viewer.layers["micrograph"]
    real.translate = (100, 200)
    volume = press()
    confidence = viewer.layers["generated, seed 0 confidence"]
    np.testing.assert_allclose(volume.extent.world[0, 1:], real.extent.world[0])
    np.testing.assert_allclose(confidence.translate, volume.translate)
    generate.side_by_side.value = False
    assert volume.extent.world[0, 2] > real.extent.world[1, 1]
    np.testing.assert_allclose(confidence.translate, volume.translate)


def test_nothing_takes_the_place_of_a_real_image_that_was_deleted(generate, press, viewer):
    press()
    viewer.layers.remove("micrograph")
    assert generate.real.value is None
    press()
    assert not viewer.canvas.grid.enabled


def test_a_volume_looks_like_its_own_training_layer_whatever_was_chosen_meanwhile(
    generate, model, press, viewer, labels, field_method
):
    other = viewer.add_labels(labels > 0, name="other", colormap={None: "black", 1: "#ff0000"})
    *_, last = get_method("field").train(
        [PhaseImage.from_layer(other)], field_method(steps=5, pause=0.0)
    )
    generate.jobs.add_model("other", last.model)
    first, second = generate.jobs.models
    assert generate.model.value is second
    other.opacity = 0.3
    generate.jobs.generation_changed.connect(lambda: setattr(generate.model, "value", first))
    assert press().opacity == 0.3


def test_the_label_selected_for_painting_is_not_the_only_one_shown(generate, press, viewer):
    viewer.layers["micrograph"].show_selected_label = True
    volume = press()
    assert not volume.show_selected_label
    assert not volume.colormap.use_selection


def test_huge_labels_come_back_as_they_are(open_dock, field_method, viewer, labels, qtbot):
    huge = np.array([0, 3, 4_000_000_000], np.uint32)[np.searchsorted([0, 3, 200], labels)]
    layer = viewer.add_labels(huge, name="huge")
    *_, last = get_method("field").train(
        [PhaseImage.from_layer(layer)], field_method(steps=5, pause=0.0)
    )
    widget = open_dock("Generate")
    widget.jobs.add_model("huge", last.model)
    for side in widget.shape:
        side.value = 16
    with qtbot.waitSignal(widget.jobs.generated, timeout=WAIT) as caught:
        widget.generate_button.click()
    assert set(np.unique(caught.args[0].data)) <= set(np.unique(huge))
    assert not widget.jobs.generation.running


def test_models_of_one_dock_are_offered_in_a_new_one(generate, viewer, open_dock):
    viewer.window.remove_dock_widget(generate)
    again = open_dock("Generate")
    assert again.chosen_model is jobs_of(viewer).models[-1].model
