import numpy as np
import pytest
from qtpy.QtWidgets import QWidget

from napari_microgen.methods.base import Input
from napari_microgen.widgets.form import two_columns
from napari_microgen.widgets.inputs import LayerInputs, fits
from napari_microgen.widgets.preview import MARK

FLAT = Input("image", "Image", "The image.")
ANY = Input("image", "Image", "The image.", ("labels", "grey", "colour"))
DEEP = Input("volume", "Volume", "The volume.", ndims=(3,))


@pytest.fixture
def make_inputs(qtbot, viewer_model):
    pages = []

    def make(*wanted):
        page = QWidget()
        qtbot.addWidget(page)
        pages.append(page)
        page.setLayout(two_columns())
        return LayerInputs(page.layout(), viewer_model, wanted)

    return make


def test_only_layers_of_the_right_kind_and_dimension_are_offered(viewer_model):
    labels = viewer_model.layers["micrograph"]
    grey = viewer_model.add_image(np.random.default_rng(0).random((20, 20)))
    colour = viewer_model.add_image(np.zeros((20, 20, 3)), rgb=True)
    volume = viewer_model.add_labels(np.zeros((9, 9, 9), int))
    single = viewer_model.add_labels(np.zeros((1, 9, 9), int))
    series = viewer_model.add_labels(np.zeros((2, 9, 9, 9), int))
    points = viewer_model.add_points(np.zeros((2, 2)))
    layers = [labels, grey, colour, volume, single, series, points]
    assert [x for x in layers if fits(x, FLAT)] == [labels, volume, single]
    assert [x for x in layers if fits(x, ANY)] == [labels, grey, colour, volume, single]
    assert [x for x in layers if fits(x, DEEP)] == [volume]


def test_the_preview_is_never_offered(viewer_model):
    preview = viewer_model.add_labels(np.zeros((9, 9, 9), int), metadata={MARK: True})
    assert not fits(preview, FLAT)


def test_the_selected_layer_is_chosen_first_and_optional_ones_are_not(
    make_inputs, viewer_model, labels
):
    viewer_model.add_labels(labels, name="another")
    viewer_model.layers.selection.active = viewer_model.layers["micrograph"]
    inputs = make_inputs(FLAT, Input("other", "Other", "Another.", optional=True))
    assert inputs.layers == [viewer_model.layers["micrograph"], None]


def test_a_choice_survives_new_layers_and_ends_with_its_layer(make_inputs, viewer_model, labels):
    inputs = make_inputs(FLAT)
    viewer_model.add_labels(labels, name="another")
    inputs.reset_choices()
    assert inputs.layers == [viewer_model.layers["micrograph"]]
    viewer_model.layers.remove("micrograph")
    inputs.reset_choices()
    assert inputs.layers == [viewer_model.layers["another"]]
    viewer_model.layers.clear()
    inputs.reset_choices()
    assert inputs.layers == [None]


def test_a_choice_survives_another_name(make_inputs, viewer_model, labels):
    layer = viewer_model.layers["micrograph"]
    inputs = make_inputs(FLAT, Input("other", "Other", "Another.", optional=True))
    viewer_model.add_labels(labels, name="another")
    inputs.pickers[1].value = layer
    layer.name = "renamed"
    inputs.reset_choices()
    assert inputs.layers == [layer, layer]


def test_painting_and_new_data_ask_for_another_look(make_inputs, viewer_model):
    inputs = make_inputs(FLAT)
    told = []
    inputs.changed.connect(lambda: told.append(1))
    layer = viewer_model.layers["micrograph"]
    layer.paint((5, 5), 3)
    assert told
    told.clear()
    layer.data = layer.data.copy()
    assert told


def test_what_zero_means_is_asked_for_labels_only(make_inputs, viewer_model):
    viewer_model.add_image(np.random.default_rng(0).random((20, 20)), name="grey")
    inputs = make_inputs(ANY)
    inputs.pickers[0].value = viewer_model.layers["micrograph"]
    assert inputs._rows.isRowVisible(inputs.zero.native)
    inputs.pickers[0].value = viewer_model.layers["grey"]
    assert not inputs._rows.isRowVisible(inputs.zero.native)
    inputs.zero.value = "unlabelled, never learned"
    assert inputs.zero_meaning == "unlabelled"
