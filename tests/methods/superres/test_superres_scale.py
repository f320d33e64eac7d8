from fractions import Fraction

import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.methods import get_method
from napari_microgen.methods.superres.pair import Pair
from napari_microgen.methods.superres.scale import nearest_factor, voxel_ratio
from napari_microgen.phases import PhaseImage

METHOD = get_method("superres")


def labels(shape, size, unit="nm", name="labels", phases=2):
    data = np.random.default_rng(0).integers(phases, size=shape)
    return PhaseImage.from_labels(data, voxel_size=(size,) * len(shape), unit=unit, name=name)


def pair(fine, coarse, unit="nm", low_unit="nm", low_shape=(64, 64, 64), **settings):
    image = labels((128, 128), fine, unit, "section")
    low = labels(low_shape, coarse, low_unit, "volume")
    return Pair.of([image, low], METHOD.config_class.from_preset("quick", **settings))


@pytest.mark.parametrize(
    ("fine", "coarse", "factor"),
    [
        (50, 200, Fraction(4)), (50, 100, Fraction(2)), (50, 400, Fraction(8)),
        (50, 50, Fraction(1)), (30, 80, Fraction(64, 24)), (64, 37, None),
        (37, 64, Fraction(64, 37)),
        (10, 15, Fraction(64, 43)), (10, 30, Fraction(64, 21)),
    ],
)  # fmt: skip
def test_the_factor_is_derived_from_the_voxel_sizes(fine, coarse, factor):
    if factor is None:
        with pytest.raises(InputError, match=r"would be 0\.578"):
            pair(fine, coarse)
    else:
        assert pair(fine, coarse).factor == factor


def test_every_factor_of_the_paper_can_be_had():
    for side in range(8, 65):
        assert nearest_factor(64 / side) == Fraction(64, side)


def test_units_are_converted():
    assert pair(50, 0.2, "nm", "um").factor == 4
    assert voxel_ratio([labels((64, 64), 50)], labels((16, 16, 16), 0.2, "um")) == pytest.approx(4)


def test_scales_without_unit_are_compared_as_they_are():
    assert pair(1, 4, "pixel", "pixel").factor == 4


@pytest.mark.parametrize(
    ("fine", "coarse", "unit", "low_unit", "told"),
    [
        (1, 1, "pixel", "pixel", "set the scale of both layers"),
        (50, 1, "nm", "pixel", "set the scale of both layers"),
        (200, 50, "nm", "nm", "smaller than"),
        (10, 90, "nm", "nm", "so much larger than"),
    ],
)
def test_what_gives_no_factor_is_refused_with_a_way_out(fine, coarse, unit, low_unit, told):
    with pytest.raises(InputError, match=told):
        pair(fine, coarse, unit, low_unit)


def test_voxels_that_are_no_cubes_are_refused():
    low = PhaseImage.from_labels(
        np.arange(64**3).reshape(64, 64, 64) % 2, voxel_size=(100, 200, 200), unit="nm"
    )
    config = METHOD.config_class.from_preset("quick")
    with pytest.raises(InputError, match="no cubes"):
        Pair.of([labels((128, 128), 50), low], config)


def test_a_factor_that_is_set_mends_no_long_voxels():
    config = METHOD.config_class.from_preset("quick", scale_factor=4)
    for fine, coarse, told in (
        ((50, 80), (200,) * 3, "pixels of 'fine' are no squares"),
        ((50, 50), (200, 200, 400), "voxels of 'coarse' are no cubes"),
    ):
        image, low = (
            PhaseImage.from_labels(
                np.indices((64,) * len(size)).sum(0) % 2, voxel_size=size, unit="nm", name=name
            )
            for name, size in (("fine", fine), ("coarse", coarse))
        )
        with pytest.raises(InputError, match=told):
            Pair.of([image, low], config)


def test_a_factor_that_contradicts_the_voxel_sizes_is_told():
    assert "voxel sizes say 2" in pair(50, 100, scale_factor=4).warnings()[0]
    assert pair(50, 100, scale_factor=2).warnings() == []
    assert pair(1, 1, "pixel", "pixel", scale_factor=4).warnings() == []


def test_a_factor_can_be_set_where_voxel_sizes_are_missing():
    assert pair(1, 1, "pixel", "pixel", scale_factor=2.65).factor == Fraction(64, 24)
    for value in (0.5, 9):
        with pytest.raises(InputError, match="scale_factor"):
            pair(1, 1, "pixel", "pixel", scale_factor=value)


def test_voxels_of_the_result_fit_into_those_of_the_volume():
    made = pair(10, 30)
    assert made.voxel_size == pytest.approx((30 * 21 / 64,) * 3)
    assert "1.6 % too small" in made.warnings()[0]
    assert pair(50, 200).voxel_size == (50, 50, 50)


def test_what_was_derived_is_told():
    told = METHOD.notes(
        [labels((128, 128), 50, phases=3), labels((64,) * 3, 200)],
        METHOD.config_class.from_preset("quick"),
    )
    assert (
        told[0] == "Scale factor 4 (from the voxel sizes); voxels of the result: 50 x 50 x 50 nm."
    )
    assert told[1].startswith("Phase map 0:")


def test_a_volume_smaller_than_a_training_cube_is_refused():
    with pytest.raises(InputError, match="cubes of 16 voxels"):
        pair(50, 200, low_shape=(15, 40, 40))
    pair(50, 200, low_shape=(16, 40, 40))
