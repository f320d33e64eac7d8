import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_microgen import sample_data
from napari_microgen.errors import InputError
from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.phases import PhaseImage
from napari_microgen.sample_data import SAMPLES, sample_image


@pytest.fixture(scope="module", params=SAMPLES)
def opened(request):
    """A sample's name and a viewer in which it was opened as the menu does."""
    viewer = ViewerModel()
    for layer in getattr(sample_data, f"open_{request.param}")():
        viewer.add_layer(Layer.create(*layer))
    return request.param, viewer


def shown_part(layer):
    origin = layer.metadata[METADATA_KEY]
    return next(p for p in SAMPLES[origin["sample"]].parts if p.name == origin["part"])


def test_layers_keep_voxel_size_units_and_axis_names(opened):
    name, viewer = opened
    material = SAMPLES[name]
    assert len(viewer.layers) == len(material.parts)
    for layer in viewer.layers:
        part = shown_part(layer)
        voxel = part.coarseness * material.voxel_size
        assert layer.scale == pytest.approx([voxel] * layer.ndim)
        # Coarse and fine parts begin at the same corner.
        assert layer.translate - layer.scale / 2 == pytest.approx(-material.voxel_size / 2)
        assert {f"{unit:~}" for unit in layer.units} == {material.unit.replace("um", "µm")}
        assert set(layer.axis_labels) <= set("zyx")
    assert viewer.layers[-1].visible
    assert not any(layer.visible for layer in viewer.layers[:-1])


def test_label_layers_carry_colours_names_and_fractions(opened):
    name, viewer = opened
    for layer in viewer.layers:
        part = shown_part(layer)
        phases = tuple(p for p in SAMPLES[name].phases if p.value not in part.invisible)
        if not isinstance(layer, Labels):
            assert isinstance(layer, Image)
            continue
        assert list(np.unique(layer.data)) == [p.value for p in phases]
        image = PhaseImage.from_layer(layer)
        assert image.phases == phases
        assert image.fractions == pytest.approx(layer.features["volume fraction"])
        if not part.invisible:
            assert image.fractions == pytest.approx(SAMPLES[name].fractions, abs=0.1)


def test_provenance_is_enough_to_make_a_layer_again(opened):
    _, viewer = opened
    for layer in viewer.layers:
        origin = layer.metadata[METADATA_KEY]
        again = sample_image(origin["sample"], origin["part"], origin["seed"])
        same_kind = PhaseImage.from_layer(layer)
        assert again.digest == same_kind.digest
        assert again.voxel_size == same_kind.voxel_size


def test_first_part_is_the_one_to_train_on(opened):
    name, viewer = opened
    assert sample_image(name).digest == PhaseImage.from_layer(viewer.layers[-1]).digest


def test_volume_is_another_piece_of_the_same_material():
    section, volume = sample_image("electrode"), sample_image("electrode", "volume")

    assert section.ndim == 2
    assert volume.ndim == 3
    assert section.fractions == pytest.approx(volume.fractions, abs=0.005)


def test_grey_sample_comes_with_its_true_phases():
    grey = sample_image("electrode_sem")
    truth = sample_image("electrode_sem", "true phases of the section")

    assert grey.kind == "grey"
    assert grey.shape == truth.shape
    assert grey.data[truth.data == 1].mean() > grey.data[truth.data == 0].mean() + 0.3


def test_coarse_volume_shows_the_particles_of_the_fine_one():
    coarse, fine = (sample_image("cathode", p) for p in ("coarse volume", "true fine volume"))
    section = sample_image("cathode")

    assert coarse.voxel_size == (200.0,) * 3 and fine.voxel_size == (50.0,) * 3
    assert [p.name for p in coarse.phases] == ["pore", "particle"]
    particles = (fine.data == 1).reshape(48, 4, 48, 4, 48, 4).mean((1, 3, 5))
    assert (coarse.data == 1)[particles > 0.7].mean() > 0.995
    assert (coarse.data == 0)[particles < 0.3].mean() > 0.995
    assert section.fractions == pytest.approx(fine.fractions, abs=0.001)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(InputError, match="electrode, fibres"):
        sample_image("cheese")
    with pytest.raises(InputError, match="section, volume"):
        sample_image("electrode", "hole")
