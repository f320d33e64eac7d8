import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_microgen.errors import InputError
from napari_microgen.widgets.gallery import gallery_layer, lay_out, places, slices

VOLUME = np.random.default_rng(0).integers(0, 3, (6, 9, 12)).astype(np.uint8)
COMMON = {"units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


@pytest.fixture
def real():
    return Labels(np.zeros((40, 50), int), scale=(0.5, 0.5), translate=(3, 2), units=("um", "um"),
                  axis_labels=("y", "x"))  # fmt: skip


def test_places_are_the_middles_of_equal_intervals():
    assert list(places(12, 3)) == [2, 6, 10]
    assert list(places(2, 3)) == [0, 1]


def test_pixels_are_those_of_the_slices():
    picture = lay_out(slices(VOLUME, 3), fill=7, gap=2)
    assert picture.shape == (9 + 2 + 6 + 2 + 6, 3 * 12 + 2 * 2)
    for column, (z, y, x) in enumerate(zip(places(6, 3), places(9, 3), places(12, 3), strict=True)):
        left = column * 14
        np.testing.assert_array_equal(picture[:9, left : left + 12], VOLUME[z])
        np.testing.assert_array_equal(picture[11:17, left : left + 12], VOLUME[:, y])
        left = column * 11
        np.testing.assert_array_equal(picture[19:, left : left + 9], VOLUME[:, :, x])


def test_between_the_slices_there_is_no_phase():
    picture = lay_out(slices(VOLUME, 3), fill=7, gap=2)
    assert (picture == 7).sum() == picture.size - 3 * (9 * 12 + 6 * 12 + 6 * 9)


def test_it_stands_right_of_the_real_image_at_its_scale(real):
    layer = gallery_layer(Labels(VOLUME, name="gen", scale=(0.5,) * 3, **COMMON), real)
    assert layer.name == "gen slices"
    np.testing.assert_allclose(layer.scale, real.scale)
    assert layer.units == real.units
    # The real image ends at 2 + 50 pixels, a gap of 8 and one to the middle of the next.
    np.testing.assert_allclose(layer.translate, (3, 2 + (49 + 8 + 1) * 0.5))
    assert set(np.unique(layer.data)) == {0, 1, 2, 3}  # 3: no phase


def test_slices_are_coloured_as_the_real_image_and_nothing_is_between_them(real):
    real.opacity = 0.5
    for colours in (real.colormap, {None: "transparent", 0: "black", 1: "red", 2: "#00ff0080"}):
        real.colormap = colours
        layer = gallery_layer(Labels(VOLUME, scale=(0.5,) * 3, **COMMON), real)
        for label in (0, 1, 2):
            np.testing.assert_allclose(layer.colormap.map(label), real.colormap.map(label))
        assert layer.colormap.map(3)[3] == 0
        assert layer.opacity == 0.5


def test_wide_types_stay_as_they_are():
    volume = np.where(VOLUME > 0, 2**40, 0)
    wide = Labels(np.tile([0, 2**40], (4, 2)), scale=(0.5, 0.5))
    layer = gallery_layer(Labels(volume, scale=(0.5,) * 3, **COMMON), wide)
    assert set(np.unique(layer.data)) == {0, 2**40, 2**40 + 1}


def test_the_largest_label_of_a_type_leaves_room(real):
    layer = gallery_layer(Labels(VOLUME + np.uint8(253), scale=(0.5,) * 3, **COMMON), real)
    assert layer.data.max() == 256


def test_colours_keep_their_channels(real):
    colours = np.random.default_rng(0).random((6, 9, 12, 3)).astype(np.float32)
    layer = gallery_layer(Image(colours, rgb=True, scale=(0.5,) * 3, **COMMON), real)
    np.testing.assert_array_equal(layer.data[:9, :12], colours[1])


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Labels(VOLUME, name="flat", scale=(2, 1, 1), **COMMON), "no cubes"),
        (Labels(VOLUME[0], name="flat"), "no volume"),
        (Labels(VOLUME[:1], name="flat", **COMMON), "no volume"),
    ],
)
def test_what_has_no_slices_of_one_scale_is_refused(layer, said, real):
    with pytest.raises(InputError, match=said):
        gallery_layer(layer, real)


def test_only_the_real_image_and_the_slices_are_seen(viewer, open_dock):
    viewer.add_labels(VOLUME.astype(int), name="gen", scale=(0.5,) * 3, **COMMON)
    compare = open_dock("Compare")
    real, generated = (picker for picker in compare.inputs.pickers)
    real.value, generated.value = viewer.layers["micrograph"], viewer.layers["gen"]
    compare.side_button.click()
    compare.gallery_button.click()
    assert not viewer.canvas.grid.enabled
    assert [x.name for x in viewer.layers if x.visible] == ["micrograph", "gen slices"]
    assert not compare.side_button.isChecked()
