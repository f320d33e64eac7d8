"""SuperRes in the viewer: two layers to learn from, a phase map to edit, results in their place."""

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication
from scipy.ndimage import gaussian_filter

from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.methods import get_method
from napari_microgen.methods.superres.degradation import coarsened
from napari_microgen.widgets.state import Status

TINY = {
    "widths": "4 4 6 6", "critic_widths": "8 8", "noise_channels": 2, "planes": 2,
    "real_patches": 4, "preview_seconds": 0.0, "minutes": 5.0, "device": "cpu", "threads": 1,
    "measured_side": 64, "steps": 2, "warm_up": 1,
}  # fmt: skip


def blobs(shape, seed):
    random = np.random.default_rng(seed)
    first, second = (gaussian_filter(random.normal(size=shape), s, mode="wrap") for s in (5, 2.5))
    solid = first > np.quantile(first, 0.55)
    binder = ~solid & (second > np.quantile(second[~solid], 0.4 / 0.55))
    return np.where(solid, 1, np.where(binder, 2, 0)).astype(np.uint8)


def names(*phases):
    return {"index": list(range(len(phases))), "name": list(phases)}


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer with a section and a coarse volume, which do not lie at the origin."""
    viewer = make_napari_viewer()
    coarse = coarsened(blobs((80, 80, 96), 1) == 1, 4).astype(np.uint8)
    viewer.add_labels(
        coarse, name="volume", scale=(200, 200, 200), units=("nm",) * 3, translate=(0, 500, 700),
        axis_labels=("z", "y", "x"), features=names("pore", "particle"),
    )  # fmt: skip
    viewer.add_labels(
        blobs((128, 128), 0), name="section", scale=(50, 50), units=("nm",) * 2,
        axis_labels=("y", "x"), features=names("pore", "particle", "binder"),
    )  # fmt: skip
    return viewer


@pytest.fixture
def until(qtbot):
    def wait(condition, seconds=60):
        qtbot.waitUntil(lambda: bool(condition()), timeout=1000 * seconds)

    return wait


@pytest.fixture
def train(open_dock, until):
    widget = open_dock("Train")
    widget.method.value = "superres"
    for name, value in TINY.items():
        widget.form.editors[name].value = value
    until(lambda: widget.plan)
    return widget


@pytest.fixture
def trained(viewer):
    """An untrained generator that draws the interpolated volume."""
    from napari_microgen.methods.superres.pair import Pair
    from napari_microgen.methods.superres.training import SuperResTraining
    from napari_microgen.phases import PhaseImage

    images = [PhaseImage.from_layer(viewer.layers[n]) for n in ("section", "volume")]
    config = get_method("superres").config_class.from_preset("quick", **TINY)
    training = SuperResTraining(images, Pair.of(images, config), config)
    list(training.prepare())
    return training.snapshot(0, 0.0, {})


def test_the_form_asks_for_image_and_volume_and_shows_what_it_made_of_them(train, viewer):
    assert [x and x.name for x in train.inputs.layers] == ["section", None, None, "volume"]
    assert train.note_line.text().startswith("Scale factor 4 (from the voxel sizes)")
    assert [box.value for box in train.phase_map.partners] == [0, 1, 0]


def test_the_scale_factor_follows_the_layers(train, viewer, until):
    viewer.layers["volume"].scale = (250, 250, 250)
    until(lambda: "Scale factor 4.923" in train.note_line.text())
    viewer.layers["volume"].scale = (20, 20, 20)
    until(lambda: "would be 0.4" in train.check_line.text())
    assert not train.start_button.isEnabled() and train.note_line.text() == ""


def test_the_phase_map_is_edited_in_a_table(train, until):
    train.phase_map.partners[2].value = 1
    until(lambda: train.plan is not None)
    assert train.form.editors["phase_map"].value == "0:0,1:1,2:1"
    assert train.plan.config.phase_map == "0:0,1:1,2:1"
    for box in train.phase_map.partners:
        box.value = 0
    until(lambda: "without a partner" in train.check_line.text())
    train.phase_map.partners[2].value = 1  # what was chosen before is not taken back
    until(lambda: train.plan is not None)
    assert train.plan.config.phase_map == "0:0,1:0,2:1"
    train.phase_map.guess()
    until(lambda: train.plan is not None)
    assert train.form.editors["phase_map"].value == ""
    assert [box.value for box in train.phase_map.partners] == [0, 1, 0]


def test_a_map_that_names_mislead_is_set_in_the_table(train, viewer, until):
    viewer.layers["section"].features = names("void", "void", "void")
    viewer.layers["volume"].features = names("void", "solid")
    until(lambda: "without a partner" in train.check_line.text())
    assert [box.value for box in train.phase_map.partners] == [0, 0, 0]
    train.phase_map.partners[1].value = 1
    until(lambda: train.plan is not None)
    assert train.plan.config.phase_map == "0:0,1:1,2:0"


def test_the_table_follows_labels_that_the_map_does_not_know(train, viewer, until):
    train.phase_map.partners[2].value = 1
    until(lambda: train.plan is not None)
    section = viewer.layers["section"]
    section.data = np.array([0, 3, 200], np.uint8)[section.data]
    until(lambda: "which the image does not have" in train.check_line.text())
    train.phase_map.partners[1].value = 1
    until(lambda: train.plan is not None)
    assert train.plan.config.phase_map == "0:0,3:1,200:0"


def test_other_methods_have_no_phase_map(train):
    train.method.value = "slicegan"
    assert train.phase_map is None


def test_trains_and_repeats_as_a_command(train, until):
    train.copy_command()
    command = QApplication.clipboard().text()
    assert "train superres section.tif volume.tif" in command
    train.start()
    until(lambda: train.jobs.training.status is Status.DONE)
    model = train.jobs.models[-1].model
    assert model.config.phase_map == "0:0,1:1,2:0"


# ---------------------------------------------------------------------- generating


@pytest.fixture
def generate(open_dock, trained):
    widget = open_dock("Generate")
    widget.jobs.add_model("trained", trained)
    return widget


def generated(widget, until):
    widget.generate()
    until(lambda: not widget.jobs.generation.running)
    assert not widget.jobs.generation.failed, widget.jobs.generation.message
    return widget._viewer.layers["generated, seed 0"]


def test_the_whole_volume_is_suggested(generate):
    assert [side.value for side in generate.shape] == [72, 72, 88]
    assert not any(box.native.isVisibleTo(generate) for box in generate.periodic)
    assert generate.real.value.name == "section"
    assert generate.made_from.name == "volume"


def test_the_result_lies_on_the_volume(generate, viewer, until):
    generate.side_by_side.value = False
    for side in generate.shape:
        side.value = 64
    result = generated(generate, until)
    volume = viewer.layers["volume"]
    # One coarse voxel is cropped, and both count from the middle of their first voxel.
    corner = result.translate - result.scale / 2
    np.testing.assert_allclose(corner, volume.translate - volume.scale / 2 + 200)
    np.testing.assert_allclose(result.scale, 50)
    there = [x for x in viewer.layers if METADATA_KEY in x.metadata]
    assert [x.name.removeprefix("generated, seed 0") for x in there] == [
        " confidence", "", " disagreement"
    ]  # fmt: skip
    agreement = viewer.layers["generated, seed 0 disagreement"]
    np.testing.assert_allclose(agreement.scale, 200)
    np.testing.assert_allclose(agreement.translate, volume.translate + 200)
    assert f"{100 * agreement.data.mean():.1f} % of the low" in generate.state_line.text()


def test_image_volume_and_result_are_shown_side_by_side(generate, viewer, until):
    for side in generate.shape:
        side.value = 40
    result = generated(generate, until)
    visible = [x for x in viewer.layers if x.visible]
    assert [x.name for x in visible] == ["section", "volume", "generated, seed 0"]
    assert viewer.canvas.grid.shape == (1, 3)
    np.testing.assert_allclose(viewer.layers["section"].translate, (500, 700))
    place = result.translate.copy()
    generate.side_by_side.value = False
    np.testing.assert_allclose(viewer.layers["section"].translate, (0, 0))
    np.testing.assert_allclose(result.translate, place)


def test_an_ensemble_shows_where_seeds_differ(generate, viewer, until):
    for side in generate.shape:
        side.value = 40
    generate.ensemble.value = 3
    generate.probabilities.value = True
    generated(generate, until)
    entropy = viewer.layers["generated, seed 0 entropy"]
    assert 0 < entropy.data.mean() < 1
    np.testing.assert_allclose(entropy.translate, viewer.layers["generated, seed 0"].translate)
    shares = viewer.layers["generated, seed 0 probability of binder"].data
    assert set(np.unique(np.round(3 * shares))) <= {0, 1, 2, 3}
    assert "Mean entropy" in generate.state_line.text()


def test_a_result_too_small_to_be_compared_is_shown_without_disagreement(generate, viewer, until):
    for side in generate.shape:
        side.value = 2
    generated(generate, until)
    assert "generated, seed 0 disagreement" not in viewer.layers
    assert "too small to be compared" in generate.state_line.text()


def test_one_seed_is_no_ensemble(generate):
    generate.ensemble.value = 1
    assert "differs nowhere" in generate.check_line.text()
    assert not generate.generate_button.isEnabled()


def test_another_volume_of_the_material_can_be_chosen(generate, viewer, until):
    volume = viewer.layers["volume"]
    other = viewer.add_labels(
        volume.data[:18, ::-1], name="other", scale=volume.scale, units=volume.units,
        translate=(0, 0, 9000), axis_labels=("z", "y", "x"),
    )  # fmt: skip
    generate.inputs.pickers[0].value = other
    assert [side.value for side in generate.shape] == [64, 72, 88]
    for side in generate.shape:
        side.value = 30
    generate.side_by_side.value = False
    result = generated(generate, until)
    assert result.translate[2] == pytest.approx(9000 - 100 + 200 + 25)
    assert result.metadata[METADATA_KEY]["low"]["name"] == "other"


def test_a_volume_of_other_voxels_is_refused(generate, viewer):
    other = viewer.add_labels(
        np.ones((20, 20, 20), int) * (np.arange(20) > 9), name="other", scale=(1, 1, 1),
        units=("um",) * 3, axis_labels=("z", "y", "x"),
    )  # fmt: skip
    generate.inputs.pickers[0].value = other
    assert "trained for 200 x 200 x 200 nm" in generate.check_line.text()
    assert not generate.generate_button.isEnabled()
