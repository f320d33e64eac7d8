import subprocess
import sys

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from safetensors.numpy import save_file

from napari_microgen.errors import InputError
from napari_microgen.io import readers
from napari_microgen.io.layers import (
    layer_phases,
    layer_voxel_size,
    phase_colormap,
    sample_layers,
)
from napari_microgen.io.readers import get_reader
from napari_microgen.io.tiff import read_tiff
from napari_microgen.io.writers import write_image, write_labels
from napari_microgen.methods.base import Sample
from napari_microgen.phases import Phase, PhaseImage

PHASES = (Phase(0, "pore", "#102030"), Phase(-3, "nickel", "#ff0000"), Phase(9, "YSZ", "#00ff00"))


def label_sample(phases=PHASES, shape=(4, 5, 6)):
    random = np.random.default_rng(0)
    data = random.choice([p.value for p in phases], shape).astype(np.int16)
    chances = random.random((len(phases), *shape), np.float32)
    return Sample(
        "labels", data, phases, (3.0, 2.0, 1.0), "um", chances.max(axis=0), chances, {"seed": 4}
    )


def open_in_viewer(layer_data):
    viewer = ViewerModel()
    return [viewer.add_layer(Layer.create(*each)) for each in layer_data]


# ---------------------------------------------------------------------- samples to layers


def test_labels_carry_scale_units_axes_colours_names_and_provenance():
    *_, layer = open_in_viewer(sample_layers(label_sample(), "anode"))
    assert isinstance(layer, Labels)
    assert layer.name == "anode"
    assert layer.scale.tolist() == [3, 2, 1]
    assert [str(u) for u in layer.units] == ["micrometer"] * 3
    assert tuple(layer.axis_labels) == ("z", "y", "x")
    assert layer.metadata == {"microgen": {"seed": 4}}
    assert layer.features["index"].tolist() == [0, -3, 9]
    assert layer.features["name"].tolist() == ["pore", "nickel", "YSZ"]
    fractions = [np.mean(layer.data == v) for v in (0, -3, 9)]
    assert np.allclose(layer.features["volume fraction"], fractions)


def test_every_phase_is_drawn_in_its_colour_the_phase_zero_too():
    *_, layer = open_in_viewer(sample_layers(label_sample()))
    drawn = layer.colormap.map(layer.data[0])
    for phase in PHASES:
        rgb = np.array(list(bytes.fromhex(phase.color[1:]))) / 255
        here = drawn[layer.data[0] == phase.value]
        assert np.allclose(here, [*rgb, 1])


def test_zero_that_is_no_phase_is_transparent():
    colormap = phase_colormap(PHASES[1:])
    assert colormap.map(0)[3] == 0
    assert colormap.map(77)[3] == 0


def test_phases_voxel_size_and_unit_survive_the_way_through_a_layer():
    sample = label_sample()
    *_, layer = open_in_viewer(sample_layers(sample))
    image = PhaseImage.from_layer(layer)
    assert set(image.phases) == set(PHASES)
    assert (image.voxel_size, image.unit) == ((3, 2, 1), "um")
    assert np.array_equal(image.to_values(image.data), sample.data)


def test_a_voxel_size_in_the_affine_transform_counts():
    turned = Labels(np.eye(4, dtype=np.uint8), scale=(0.5, 0.5), rotate=30)
    assert layer_voxel_size(turned)[0] == (0.5, 0.5)
    turned.affine = np.diag([20.0, 20.0, 1])
    assert layer_voxel_size(turned)[0] == (10, 10)
    plain = Labels(np.eye(4, dtype=np.uint8), affine=np.diag([20.0, 40.0, 1]))
    assert layer_voxel_size(plain)[0] == (20, 40)


def test_names_of_what_is_no_label_are_passed_over():
    layer = Labels(np.eye(4, dtype=np.uint8))
    for index in ([0, 1], ["pore", "grain"], [np.nan, 1]):
        layer.features = {"index": index, "name": [None, "grain"]}
        assert layer_phases(layer)[0].name == "phase 0"


def test_more_columns_join_the_table_of_phases():
    *_, layer = open_in_viewer(sample_layers(label_sample(), columns={"ssa": [0.1, 0.2, 0.3]}))
    assert layer.features["ssa"].tolist() == [0.1, 0.2, 0.3]


def test_confidence_and_probabilities_are_hidden_images_from_zero_to_one():
    sample = label_sample()
    confidence, *chances, labels = open_in_viewer(sample_layers(sample, "anode"))
    assert confidence.name == "anode confidence"
    assert [c.name for c in chances] == [f"anode probability of {p.name}" for p in PHASES]
    assert np.array_equal(confidence.data, sample.confidence)
    for layer, values in zip(chances, sample.probabilities, strict=True):
        assert np.array_equal(layer.data, values)
    for layer in (confidence, *chances):
        assert layer.contrast_limits == [0, 1]
        assert not layer.visible
        assert np.array_equal(layer.scale, labels.scale)
        assert layer.units == labels.units
    assert labels.visible


@pytest.mark.parametrize("rgb", [False, True])
def test_grey_and_colour_volumes_are_images(rgb):
    shape = (4, 5, 6, 3) if rgb else (4, 5, 6)
    data = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8 if rgb else np.float32)
    sample = Sample("colour" if rgb else "grey", data, (), (3.0, 2.0, 1.0), "nm")
    (layer,) = open_in_viewer(sample_layers(sample))
    assert layer.rgb == rgb
    assert layer.scale.tolist() == [3, 2, 1]
    image = PhaseImage.from_layer(layer)
    assert (image.kind, image.unit, image.shape) == (sample.kind, "nm", (4, 5, 6))


def test_layer_tuples_are_made_without_qt():
    code = (
        "import sys, numpy as np\n"
        "from napari_microgen.io.layers import sample_layers\n"
        "from napari_microgen.methods.base import Sample\n"
        "from napari_microgen.phases import Phase\n"
        "phases = (Phase(0, 'a', '#000000'), Phase(1, 'b', '#ffffff'))\n"
        "sample_layers(Sample('labels', np.eye(3, dtype=int)[None], phases, (1, 1, 1), 'nm'))\n"
        "assert not any(m.startswith(('PyQt', 'PySide', 'qtpy')) for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---------------------------------------------------------------------- reader


@pytest.fixture
def small_volumes(monkeypatch):
    monkeypatch.setattr(readers, "SHAPE", (8, 8, 8))


def test_a_dropped_model_opens_as_a_generated_volume(
    train_tiny, three_phases, tmp_path, small_volumes
):
    path = train_tiny(three_phases).save(tmp_path / "anode")
    layers = open_in_viewer(get_reader(str(path))(str(path)))
    assert [layer.name for layer in layers] == ["anode confidence", "anode"]
    assert layers[1].data.shape == (8, 8, 8)
    assert PhaseImage.from_layer(layers[1]).phases == three_phases.phases
    assert layers[1].metadata["microgen"]["model"]["method"] == "tiny"


def test_several_models_open_together(train_tiny, three_phases, tmp_path, small_volumes):
    paths = [str(train_tiny(three_phases).save(tmp_path / name)) for name in "ab"]
    assert [layer[1]["name"] for layer in get_reader(paths)(paths)][1::2] == ["a", "b"]


def test_files_of_other_programs_are_left_to_them(tmp_path):
    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    assert get_reader(str(tmp_path / "other.safetensors")) is None
    assert get_reader(str(tmp_path / "image.tif")) is None


def test_a_damaged_model_is_said_to_be_damaged(train_tiny, three_phases, tmp_path):
    path = train_tiny(three_phases).save(tmp_path / "m")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="damaged"):
        get_reader(str(path))(str(path))


# ---------------------------------------------------------------------- writer


def test_a_generated_labels_layer_is_saved_with_all_it_knows(tmp_path):
    sample = label_sample()
    *_, layer = open_in_viewer(sample_layers(sample))
    path = str(tmp_path / "v.tif")
    data, attributes, _ = layer.as_layer_data_tuple()
    assert write_labels(path, data, attributes) == [path]
    stored = read_tiff(path)
    assert np.array_equal(stored.data, sample.data)
    assert (stored.voxel_size, stored.unit) == ((3, 2, 1), "um")
    assert stored.names == {p.value: p.name for p in PHASES}
    assert stored.colors == {p.value: p.color for p in PHASES}
    assert stored.metadata == {"seed": 4}


def test_confidence_and_colour_layers_are_saved_with_their_voxel_size(tmp_path):
    confidence, *_ = open_in_viewer(sample_layers(label_sample()))
    colour = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3)).astype(np.uint8)
    (rgb,) = open_in_viewer(sample_layers(Sample("colour", colour, (), (3.0, 2.0, 1.0), "um")))
    for layer in (confidence, rgb):
        data, attributes, _ = layer.as_layer_data_tuple()
        (path,) = write_image(str(tmp_path / "v.tif"), data, attributes)
        stored = read_tiff(path)
        assert np.array_equal(stored.data, layer.data)
        assert (stored.voxel_size, stored.unit) == ((3, 2, 1), "um")
        assert stored.colour == layer.rgb


def test_any_other_labels_layer_can_be_saved_too(tmp_path):
    layer = Labels(np.arange(300).reshape(10, 30), scale=(0.5, 0.5))
    data, attributes, _ = layer.as_layer_data_tuple()
    (path,) = write_labels(str(tmp_path / "v.tif"), data, attributes)
    stored = read_tiff(path)
    assert np.array_equal(stored.data, data)
    assert stored.data.dtype == np.uint16  # which Fiji reads
    assert stored.voxel_size is None


def test_a_series_of_volumes_is_saved_as_frames(tmp_path):
    from tifffile import TiffFile

    data = np.random.default_rng(0).integers(0, 3, (4, 5, 6, 7))
    layer = Labels(data, scale=(1, 30, 20, 20), units=("pixel", "nm", "nm", "nm"))
    data, attributes, _ = layer.as_layer_data_tuple()
    (path,) = write_labels(str(tmp_path / "v.tif"), data, attributes)
    with TiffFile(path) as file:
        assert file.series[0].axes == "TZYX"
        assert np.array_equal(file.series[0].asarray(), data)
        assert file.imagej_metadata["spacing"] == 30
        assert file.imagej_metadata["unit"] == "nm"
