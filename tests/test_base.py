import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_method import TinyConfig

from napari_microgen.errors import InputError
from napari_microgen.methods import METHODS, get_method, load_model
from napari_microgen.methods.base import Config, Origin, Progress
from napari_microgen.phases import PhaseImage

# ---------------------------------------------------------------------- Config


def test_preset_gives_its_values_and_changes_win():
    config = TinyConfig.from_preset("standard", rate=0.75)
    assert (config.preset, config.steps, config.rate, config.minutes) == ("standard", 20, 0.75, 5)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "12", 12),
        ("steps", "1e3", 1000),
        ("steps", 7.0, 7),
        ("minutes", "2.5", 2.5),
        ("minutes", 3, 3.0),
        ("loud", "yes", True),
        ("loud", "False", False),
        ("loud", 1, True),
        ("device", "cpu", "cpu"),
    ],
)
def test_strings_are_parsed_as_the_type_of_the_setting(name, text, value):
    parsed = getattr(TinyConfig.from_dict({name: text}), name)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", "1.5", "whole number"),
        ("steps", "many", "whole number"),
        ("steps", None, "whole number"),
        ("steps", "inf", "whole number"),
        ("steps", "nan", "whole number"),
        ("steps", -1, "at least 0"),
        ("minutes", "nan", "finite"),
        ("minutes", "inf", "finite"),
        ("minutes", "soon", "a number"),
        ("minutes", 0, "at least 0.05"),
        ("rate", 2, "at least 0 and at most 1"),
        ("fail_at", -1, "at least 0"),
        ("loud", "perhaps", "true or false"),
        ("device", "toaster", "one of auto, cpu"),
        ("preset", "best", "no preset"),
        ("speed", 3, "no setting 'speed'"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(name, value, words):
    with pytest.raises(InputError, match=words) as caught:
        TinyConfig.from_dict({name: value})
    assert "\n" not in str(caught.value)


@given(st.text(max_size=20))
def test_no_text_makes_parsing_fail_in_another_way(text):
    for name in ("steps", "minutes", "loud", "device", "preset"):
        try:
            TinyConfig.from_dict({name: text})
        except InputError:
            continue


@pytest.mark.parametrize("name", ["cls", "self", "preset_", "changes"])
def test_a_setting_named_like_a_parameter_is_only_unknown(name):
    with pytest.raises(InputError, match="no setting"):
        TinyConfig.from_preset("quick", **{name: "1"})


def test_settings_survive_json():
    config = TinyConfig.from_preset("standard", rate="0.1", seed=3)
    assert TinyConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", METHODS)
def test_every_preset_of_every_method_is_valid(name):
    config_class = get_method(name).config_class
    assert issubclass(config_class, Config)
    assert "quick" in config_class.presets
    for preset in config_class.presets:
        config = config_class.from_preset(preset)
        assert config_class.from_dict(config.to_dict()) == config


def test_unknown_method_names_the_known_ones():
    with pytest.raises(InputError, match="slicegan"):
        get_method("slicegun")


def test_time_left_follows_from_the_share_that_is_done():
    assert Progress(step=1, fraction=0.25, seconds=30).seconds_left == 90
    assert Progress(step=0, fraction=0, seconds=3).seconds_left == float("inf")


# ---------------------------------------------------------------------- Method


def test_inputs_are_checked_for_number_kind_and_dimensions(tiny_method, three_phases):
    grey = PhaseImage.from_grey(np.random.default_rng(0).random((9, 9)))
    tiny_method.check_inputs([grey, three_phases])
    with pytest.raises(InputError, match="1 to 2 images, not 0"):
        tiny_method.check_inputs([])
    with pytest.raises(InputError, match="1 to 2 images, not 3"):
        tiny_method.check_inputs([grey] * 3)
    with pytest.raises(InputError, match="holds grey values"):
        tiny_method.check_inputs([grey, grey])


# ---------------------------------------------------------------------- Model


def test_generated_labels_have_the_users_values_and_sound_probabilities(train_tiny, three_phases):
    sample = train_tiny(three_phases).generate((5, 6, 7), seed=3, probabilities=True)
    assert sample.data.shape == (5, 6, 7)
    assert set(np.unique(sample.data)) <= {0, 3, 200}
    assert sample.probabilities.shape == (3, 5, 6, 7)
    assert np.allclose(sample.probabilities.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(sample.probabilities.max(axis=0), sample.confidence)
    values = np.array([p.value for p in sample.phases])
    assert np.array_equal(values[sample.probabilities.argmax(axis=0)], sample.data)
    assert (sample.voxel_size, sample.unit) == ((25, 25, 25), "nm")
    assert sample.provenance["seed"] == 3
    json.dumps(sample.provenance)


def test_grey_values_come_back_in_the_range_of_the_image(train_tiny):
    image = PhaseImage.from_grey(np.linspace(100, 900, 400).reshape(20, 20))
    sample = train_tiny(image).generate((4, 20, 20))
    assert sample.data.dtype == np.float32
    assert sample.confidence is None
    assert 100 <= sample.data.min() < 150
    assert 850 < sample.data.max() <= 900


def test_colours_come_back_as_bytes(train_tiny):
    image = PhaseImage.from_colour(np.random.default_rng(0).random((20, 20, 3)))
    sample = train_tiny(image).generate((4, 5, 6))
    assert (sample.data.dtype, sample.data.shape) == (np.uint8, (4, 5, 6, 3))


@pytest.mark.parametrize("shape", [(0, 5, 5), (5, 5), (5, 5, -1)])
def test_impossible_shapes_are_refused(train_tiny, three_phases, shape):
    with pytest.raises(InputError, match="three positive numbers"):
        train_tiny(three_phases).generate(shape)


def test_memory_estimate_counts_every_array_that_is_kept(train_tiny, three_phases):
    model = train_tiny(three_phases)
    sample = model.generate((6, 7, 8), probabilities=True)
    kept = sample.data.nbytes + sample.confidence.nbytes + sample.probabilities.nbytes
    assert model.bytes_needed((6, 7, 8), probabilities=True) == kept
    assert model.bytes_needed((10**6, 10**6, 10**6)) == 5 * 10**18


def test_a_saved_model_generates_the_same_volume(train_tiny, three_phases, tmp_path):
    model = train_tiny(three_phases)
    loaded = load_model(model.save(tmp_path / "m"))
    assert loaded.origin.to_dict() == model.origin.to_dict() or np.isnan(
        loaded.origin.fidelity["s2"]
    )
    before, after = (m.generate((4, 5, 6), seed=9) for m in (model, loaded))
    assert np.array_equal(before.data, after.data)
    assert before.phases == after.phases


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("phases", 3), ("phases", [{"value": "x"}]),
        ("phases", [{"value": 10**30, "name": "a", "color": "#000000"}]),
        ("phases", [{"value": 1, "name": "a", "color": "red"}]), ("phases", []),
        ("voxel_size", [1, 2]), ("voxel_size", None), ("voxel_size", ["a", "b", "c"]),
        ("value_range", [1]), ("kind", "sound"), ("method", ["slicegan"]), ("method", None),
        ("config", 5), ("data", 7), ("steps", "many"), ("fidelity", 3), ("versions", "x"),
    ],
)  # fmt: skip
def test_garbled_descriptions_of_a_model_are_refused(
    train_tiny, three_phases, tmp_path, key, value
):
    from napari_microgen.io.model_file import write_model

    model = train_tiny(three_phases)
    path = write_model(tmp_path / "m", model.origin.to_dict() | {key: value}, model.tensors())
    with pytest.raises(InputError):
        load_model(path)


@pytest.mark.parametrize("key", ["method", "config", "kind", "phases", "voxel_size", "unit"])
def test_descriptions_that_lack_something_are_refused(train_tiny, three_phases, key):
    values = train_tiny(three_phases).origin.to_dict()
    del values[key]
    with pytest.raises((KeyError, TypeError, ValueError)):
        Origin.from_dict(values)
