import dataclasses

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points
from napari.utils.colormaps import DirectLabelColormap

from napari_microgen.errors import InputError
from napari_microgen.phases import (
    MAX_PHASES,
    PALETTE,
    UNLABELLED,
    Phase,
    PhaseImage,
    to_indices,
    to_values,
)

SECTION = np.array([[0, 1, 1], [2, 0, 1]])


def grey(shape=(20, 24), seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


# ---------------------------------------------------------------------- values kept and given back

label_values = st.lists(
    st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=MAX_PHASES, unique=True
)


@given(values=label_values, data=st.data())
@settings(deadline=None, max_examples=60)
def test_labels_come_back_as_they_were_given(values, data):
    size = data.draw(st.integers(len(values), 40))
    picks = data.draw(st.lists(st.sampled_from(values), min_size=size, max_size=size))
    labels = np.array([*values, *picks], np.int64).reshape(1, -1)
    image = PhaseImage.from_labels(labels)
    assert [p.value for p in image.phases] == sorted(values)
    assert np.array_equal(image.to_values(image.data), labels)


@given(st.sampled_from(["uint8", "int8", "uint16", "int16", "uint32", "uint64", "bool"]), st.data())
@settings(deadline=None, max_examples=60)
def test_labels_of_every_integer_type_come_back(dtype, data):
    values = hnp.from_dtype(np.dtype(dtype))
    few = st.lists(values, min_size=2, max_size=4, unique=True)
    labels = data.draw(hnp.arrays(dtype, (5, 6), elements=st.sampled_from(data.draw(few))))
    if np.unique(labels).size < 2:
        return
    image = PhaseImage.from_labels(labels)
    assert np.array_equal(image.to_values(image.data), labels)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((0, 255), np.uint8),
        ((-1, 100), np.int8),
        ((-1, 128), np.int16),
        ((1, 256), np.uint16),
        ((-3, 40_000), np.int32),
        ((5, 2**64 - 1), np.uint64),
        ((-(2**40), 1), np.int64),
    ],
)
def test_values_are_given_back_in_the_smallest_type(values, dtype):
    phases = [Phase(v, "", "#000000") for v in values]
    given_back = to_values(np.array([[0, 1]]), phases)
    assert given_back.dtype == dtype
    assert given_back.tolist() == [list(values)]


def test_large_values_are_told_apart():
    phases = [Phase(2**53 + i, "", "#000000") for i in range(3)]
    indices = np.arange(3, dtype=np.uint8)
    assert np.array_equal(to_indices(to_values(indices, phases), phases), indices)


def test_values_in_any_order_are_told_by_their_phases():
    phases = [Phase(v, "", "#000000") for v in (7, -2, 5)]
    indices = np.array([[0, 1, 2], [2, 2, UNLABELLED]], np.uint8)
    assert np.array_equal(to_indices(to_values(indices, phases), phases), indices)
    assert to_indices(np.array([9, 6, -3, 7]), phases).tolist() == [UNLABELLED] * 3 + [0]


def test_unlabelled_voxels_are_given_back_as_zero():
    image = PhaseImage.from_labels([[0, 5], [7, 5]], zero="unlabelled")
    assert [p.value for p in image.phases] == [5, 7]
    assert image.data[0, 0] == UNLABELLED
    assert not image.labelled[0, 0]
    assert image.to_values(image.data).tolist() == [[0, 5], [7, 5]]
    assert image.fractions.tolist() == [2 / 3, 1 / 3]


def test_whole_numbers_stored_as_floats_are_labels():
    image = PhaseImage.from_labels(SECTION.astype(np.float32))
    assert [p.value for p in image.phases] == [0, 1, 2]


def test_missing_names_and_colours_are_made_up():
    image = PhaseImage.from_labels(SECTION, names={1: "nickel"}, colors={2: "#ffffff"})
    assert [p.name for p in image.phases] == ["phase 0", "nickel", "phase 2"]
    assert [p.color for p in image.phases] == [PALETTE[0], PALETTE[1], "#ffffff"]


def test_leading_axes_of_length_one_are_dropped_with_their_voxel_size():
    image = PhaseImage.from_labels(SECTION[None, None], voxel_size=(9, 8, 2, 3), unit="um")
    assert image.shape == (2, 3)
    assert image.voxel_size == (2, 3)


def test_voxel_size_may_be_an_array():
    assert PhaseImage.from_labels(SECTION, voxel_size=np.array([2.0, 3.0])).voxel_size == (2, 3)


def test_digest_depends_on_values_and_shape_alone():
    one = PhaseImage.from_labels(SECTION, name="a")
    assert one.digest == PhaseImage.from_labels(SECTION + 5, name="b", voxel_size=(2, 2)).digest
    assert one.digest != PhaseImage.from_labels(SECTION.T).digest


def test_encoding_is_one_hot_and_zero_where_there_is_no_phase():
    image = PhaseImage.from_labels([[0, 5], [7, 5]], zero="unlabelled")
    assert image.encode().tolist() == [[[0, 0], [1, 0]], [[0, 1], [1, 0]]]


def test_grey_values_are_scaled_and_encoded_from_minus_one_to_one():
    image = PhaseImage.from_grey([[10, 20], [30, 50]])
    assert image.value_range == (10, 50)
    assert image.data.dtype == np.float32
    assert image.data.tolist() == [[0, 0.25], [0.5, 1]]
    assert image.encode()[..., 0].tolist() == [[-1, -0.5], [0, 1]]


def test_colour_drops_alpha():
    image = PhaseImage.from_colour(np.dstack([grey(), grey(seed=1), grey(seed=2), grey()]))
    assert (image.kind, image.shape, image.channels) == ("colour", (20, 24), 3)
    assert image.encode().shape == (20, 24, 3)


def test_grey_cut_at_its_terciles_has_equal_areas():
    image = PhaseImage.from_grey(grey((60, 60))).as_labels()
    assert np.allclose(image.fractions, 1 / 3, atol=1e-3)


def test_sections_put_their_axis_first():
    volume = PhaseImage.from_labels(
        np.arange(24).reshape(2, 3, 4) % 5, voxel_size=(1, 2, 3), unit="nm"
    )
    stack = volume.sections(1)
    assert stack.shape == (3, 2, 4)
    assert stack.voxel_size == (2, 1, 3)
    assert np.array_equal(stack.data[1], volume.data[:, 1])


# ---------------------------------------------------------------------- guessing the kind


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (SECTION, "labels"),
        (SECTION.astype(float), "labels"),
        (SECTION > 0, "labels"),
        (grey(), "grey"),
        ((grey() * 255).astype(np.uint8), "grey"),
        (np.dstack([(grey(seed=i) * 255).astype(np.uint8) for i in range(3)]), "colour"),
        (np.zeros((4, 40, 30), int) + np.arange(30) % 2, "labels"),
    ],
)
def test_kind_is_guessed_from_the_values(array, kind):
    image = PhaseImage.from_array(array, zero="phase", names={0: "pore"}, name="x")
    assert image.kind == kind


# ---------------------------------------------------------------------- refusals

REFUSED = {
    "single phase": (np.ones((9, 9), int), "single phase"),
    "grey as labels": (np.arange(256).reshape(16, 16), "grey values"),
    "four axes": (np.zeros((2, 3, 4, 5), int), "4 axes"),
    "one axis": (np.arange(5), "1 axes"),
    "no axis": (np.int64(3), "0 axes"),
    "empty": (np.zeros((0, 4), int), "empty"),
    "NaN": (np.array([[0, np.nan], [1, 2]]), "NaN"),
    "infinity": (np.array([[0, np.inf], [1, 2]]), "infinite"),
    "fractions": (np.array([[0, 0.5], [1, 2]]), "fractions"),
    "huge floats": (np.array([[0, 1e300], [1, 2]]), "huge"),
    "text": (np.array([["a", "b"]]), "whole numbers"),
    "complex": (np.array([[1j, 2]]), "whole numbers"),
    "ragged": ([[1, 2], [3]], "different lengths"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_labels_that_cannot_be_learned_are_refused_in_one_sentence(case):
    labels, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as caught:
        PhaseImage.from_labels(labels, name="scan")
    assert "'scan'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_without_labels_is_refused():
    with pytest.raises(InputError, match="no labelled voxel"):
        PhaseImage.from_labels(np.zeros((9, 9), int), zero="unlabelled")


def test_a_single_labelled_phase_hints_at_what_zero_means():
    with pytest.raises(InputError, match="0 is a phase"):
        PhaseImage.from_labels([[0, 1], [1, 0]], zero="unlabelled")


@pytest.mark.parametrize("size", [(1,), (0, 1), (-1, 1), (np.nan, 1), (np.inf, 1)])
def test_impossible_voxel_sizes_are_refused(size):
    with pytest.raises(InputError, match="voxel size"):
        PhaseImage.from_labels(SECTION, voxel_size=size)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((9, 9), 3), "constant"),
        (np.array([[0, np.nan], [1, 2]]), "NaN"),
        (np.zeros((2, 3, 4, 5)), "4 axes"),
        (np.zeros((3, 0)), "empty"),
        (np.array([["a", "b"]]), "numbers are needed"),
    ],
)
def test_grey_values_that_cannot_be_learned_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        PhaseImage.from_grey(values)


def test_colour_without_three_channels_is_refused():
    with pytest.raises(InputError, match="3 or 4"):
        PhaseImage.from_colour(np.zeros((5, 6, 2)))


# ---------------------------------------------------------------------- layers


def test_labels_layer_gives_names_colours_scale_and_unit():
    layer = ViewerModel().add_labels(
        np.array([[0, 1], [4, 1]], np.uint8),
        scale=(0.5, 0.25), units=("um", "um"), axis_labels=("y", "x"), name="anode",
        features={"index": [0, 1, 4], "name": ["pore", "nickel", "YSZ"]},
        colormap=DirectLabelColormap(
            color_dict={None: "transparent", 0: "#010203", 1: "#ff0000", 4: "#00ff00"}
        ),
    )  # fmt: skip
    image = PhaseImage.from_layer(layer)
    assert image.phases == (
        Phase(0, "pore", "#010203"), Phase(1, "nickel", "#ff0000"), Phase(4, "YSZ", "#00ff00"),
    )  # fmt: skip
    assert (image.voxel_size, image.unit, image.name) == ((0.5, 0.25), "um", "anode")


def test_labels_layer_with_default_colours_keeps_what_napari_shows():
    layer = Labels(np.array([[0, 1], [4, 1]]))
    image = PhaseImage.from_layer(layer)
    shown = [tuple(round(255 * c) for c in layer.get_color(v)[:3]) for v in (1, 4)]
    assert [tuple(bytes.fromhex(p.color[1:])) for p in image.phases[1:]] == shown
    assert image.phases[0].color == PALETTE[0]  # napari draws no 0 here
    assert image.unit == "pixel"


def test_colours_are_read_even_while_only_one_label_is_shown():
    layer = Labels(SECTION, colormap=DirectLabelColormap(
        color_dict={None: "transparent", 0: "#010203", 1: "#ff0000", 2: "#00ff00"}
    ))  # fmt: skip
    layer.selected_label = 1
    layer.show_selected_label = True
    assert [p.color for p in PhaseImage.from_layer(layer).phases] == [
        "#010203",
        "#ff0000",
        "#00ff00",
    ]


def test_painting_on_the_layer_later_changes_nothing():
    layer = Labels(SECTION.copy())
    image = PhaseImage.from_layer(layer)
    layer.data[:] = 1
    assert np.array_equal(image.to_values(image.data), SECTION)


def test_units_that_differ_by_axis_are_converted():
    layer = Labels(SECTION, scale=(2, 500), units=("um", "nm"), axis_labels=("y", "x"))
    image = PhaseImage.from_layer(layer)
    assert np.allclose(image.voxel_size, (2000, 500))
    assert image.unit == "nm"


def test_pixels_and_lengths_do_not_mix():
    layer = Labels(SECTION, units=("pixel", "nm"), axis_labels=("y", "x"))
    with pytest.raises(InputError, match="mixes units"):
        PhaseImage.from_layer(layer)


def test_image_layers_are_grey_or_colour():
    assert PhaseImage.from_layer(Image(grey())).kind == "grey"
    assert PhaseImage.from_layer(Image(np.dstack([grey()] * 3), rgb=True)).kind == "colour"


def test_the_full_resolution_of_a_pyramid_is_taken():
    fine = np.kron(SECTION, np.ones((20, 20), int))
    layer = Labels([fine, fine[::2, ::2]], multiscale=True)
    assert PhaseImage.from_layer(layer).shape == fine.shape


def test_other_layers_are_refused():
    with pytest.raises(InputError, match="points layer"):
        PhaseImage.from_layer(Points(np.zeros((3, 2)), name="dots"))


# ---------------------------------------------------------------------- TIFF


def test_tiff_is_read_as_what_it_holds(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SECTION.astype(np.uint8))
    assert PhaseImage.from_tiff(path).kind == "labels"
    assert PhaseImage.from_tiff(path, zero="unlabelled").n_phases == 2
    assert PhaseImage.from_tiff(path, kind="grey").kind == "grey"
    tifffile.imwrite(path, grey())
    assert PhaseImage.from_tiff(path).kind == "grey"
    with pytest.raises(InputError, match="fractions"):
        PhaseImage.from_tiff(path, kind="labels")


def test_colour_tiff_is_colour_unless_its_channels_are_equal_labels(tmp_path):
    path = tmp_path / "a.tif"
    colour = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    tifffile.imwrite(path, colour, photometric="rgb")
    assert PhaseImage.from_tiff(path).kind == "colour"
    assert PhaseImage.from_tiff(path, kind="grey").shape == (20, 24)
    with pytest.raises(InputError, match="one number per phase"):
        PhaseImage.from_tiff(path, kind="labels")
    tifffile.imwrite(path, np.dstack([SECTION.astype(np.uint8)] * 3), photometric="rgb")
    assert PhaseImage.from_tiff(path, kind="labels").n_phases == 3


def test_an_image_is_not_changed_by_cropping_it():
    image = PhaseImage.from_labels(SECTION)
    part = image.crop(slice(0, 1), slice(0, 2))
    assert part.shape == (1, 2)
    assert part.digest != image.digest
    assert dataclasses.replace(image, name="b").shape == (2, 3)
