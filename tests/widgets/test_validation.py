import shlex

import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.methods import get_method
from napari_microgen.widgets.script import train_command
from napari_microgen.widgets.validation import plan_training, read_layers

THREE = get_method("slicegan").inputs
"""One image and two optional ones."""


@pytest.fixture
def field(field_method):
    return get_method("field")


@pytest.fixture
def layer(viewer_model):
    return viewer_model.layers["micrograph"]


def test_a_layer_is_copied_with_units_names_and_colours(layer, labels):
    before = labels.copy()
    (image,) = read_layers([layer, None], "phase", THREE[:2])
    layer.data[:] = 0
    assert (image.to_values(image.data) == before).all()
    assert (image.voxel_size, image.unit) == ((0.5, 0.5), "um")
    assert [p.name for p in image.phases] == ["pore", "grain", "binder"]
    assert [p.color for p in image.phases] == ["#112233", "#e69f00", "#56b4e9"]


def test_no_layer_and_a_gap_between_layers_are_told(layer):
    with pytest.raises(InputError, match="Open an image"):
        read_layers([None, None], "phase", THREE[:2])
    with pytest.raises(InputError, match="in order"):
        read_layers([layer, None, layer], "phase", THREE)


def test_a_needed_layer_may_follow_optional_ones(layer, viewer_model):
    inputs = get_method("superres").inputs
    low = viewer_model.add_labels(layer.data[:20, :20].repeat(20).reshape(20, 20, 20))
    images = read_layers([layer, None, None, low], "phase", inputs)
    assert [image.ndim for image in images] == [2, 3]
    with pytest.raises(InputError, match="'Low-resolution volume': a Labels layer, 3D"):
        read_layers([layer, None, None, None], "phase", inputs)
    with pytest.raises(InputError, match="in order"):
        read_layers([layer, None, layer, low], "phase", inputs)


def test_a_plan_knows_memory_warnings_and_its_checkpoint(field, layer, data_folder):
    layer.data = (layer.data == 3).astype("uint8")
    layer.data[:50] = 0
    layer.data[0, 0] = 7
    images = read_layers([layer], "phase", THREE[:1])
    plan = plan_training(field, images, "phase", field.config_class())
    assert plan.memory_bytes == 10**6 < plan.available_bytes
    assert plan.warnings == ("'phase 7' is rare.",)
    assert data_folder in plan.checkpoint.parents
    assert plan.title == "Random field of micrograph"


def test_too_little_memory_is_a_warning(field, layer, monkeypatch):
    monkeypatch.setattr(type(field), "memory_needed", lambda *_: 10**15)
    images = read_layers([layer], "phase", THREE[:1])
    plan = plan_training(field, images, "phase", field.config_class())
    assert "takes about 1 PB of memory" in plan.warnings[-1]


def test_what_the_method_refuses_is_refused(field, layer):
    config = field.config_class(patch=64)
    layer.data = layer.data[:40]
    with pytest.raises(InputError, match="smaller than a patch"):
        plan_training(field, read_layers([layer], "phase", THREE[:1]), "phase", config)


def test_the_command_repeats_the_training(layer):
    from napari_microgen.cli import _parser

    method = get_method("slicegan")
    config = method.config_class.from_preset("quick", minutes=2.5, seed=4, planes=4)
    layer.data = np.where(layer.data == 0, 5, layer.data)
    images = read_layers([layer], "unlabelled", THREE[:1])
    plan = plan_training(method, images, "unlabelled", config)
    words = train_command(plan, ["my image.tif"])
    assert words.startswith("napari-microgen train slicegan 'my image.tif' ")
    options = _parser().parse_args(shlex.split(words)[1:])
    assert (options.method, options.preset, options.zero) == ("slicegan", "quick", "unlabelled")
    assert (options.minutes, options.seed, dict(options.set)) == (2.5, 4, {"planes": "4"})
