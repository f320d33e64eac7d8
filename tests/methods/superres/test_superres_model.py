import dataclasses

import numpy as np
import pytest
import torch

from napari_microgen.errors import InputError
from napari_microgen.generation.noise import normal_at
from napari_microgen.methods import load_model
from napari_microgen.methods.superres.agreement import disagreement
from napari_microgen.methods.superres.pair import Pair
from napari_microgen.methods.superres.training import SuperResTraining
from napari_microgen.phases import PhaseImage


@pytest.fixture(scope="module")
def make_model(section, volume, superres_config):
    def make(image=section, low=volume, **changes):
        config = superres_config(**changes)
        training = SuperResTraining([image, low], Pair.of([image, low], config), config)
        list(training.prepare())
        return training.snapshot(0, 0.0, {})

    return make


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(border=1)


def as_indices(model, data):
    return np.searchsorted([p.value for p in model.origin.phases], data).astype(np.uint8)


# ---------------------------------------------------------------------- generation


@pytest.mark.parametrize("factor", [4, 64 / 24, 64 / 37, 1])
def test_tiles_equal_the_whole(make_model, volume, factor):
    low = volume.crop(*[slice(0, 23)] * 3) if factor < 4 else volume
    low = volume if min(low.shape) * factor < 64 else low
    if factor == 1 or factor == 64 / 37:
        random = np.random.default_rng(0)
        shape = (70, 65, 66) if factor == 1 else (40, 50, 37)
        low = PhaseImage.from_labels(random.integers(2, size=shape), voxel_size=(200,) * 3)
    model = make_model(low=low, scale_factor=factor, border=0)
    shape = model.fitting_shape()
    sample = model.generate(shape, seed=4, probabilities=True)
    halo, generator = model.generator.halo, model.generator
    positions = [np.arange(-halo, n + halo) for n in low.shape]
    inside = [p.clip(0, n - 1) for p, n in zip(positions, low.shape, strict=True)]
    phases = np.moveaxis(model.low.encode(model.low.data[np.ix_(*inside)]), -1, 0)
    latent = np.concatenate([phases, normal_at(positions, 2, 4)])
    with torch.no_grad():
        whole = generator(torch.from_numpy(latent)[None], [-halo] * 3, [(0, n) for n in shape])
    assert np.abs(sample.probabilities - whole[0].numpy()).max() < 2e-5
    assert (as_indices(model, sample.data) == whole[0].numpy().argmax(0)).mean() > 0.9999


@pytest.mark.parametrize("offset", [(0, 0, 0), (13, 5, 40)])
def test_any_block_made_alone_is_the_same_block_of_the_whole(model, offset):
    whole = model.generate(model.fitting_shape(), seed=1)
    part = model.generate((31, 66, 20), seed=1, offset=offset)
    inside = tuple(slice(o, o + n) for o, n in zip(offset, (31, 66, 20), strict=True))
    np.testing.assert_array_equal(part.data, whole.data[inside])
    np.testing.assert_array_equal(part.confidence, whole.confidence[inside])


def test_counts_as_many_blocks_as_it_yields(model):
    for shape, offset in (((70, 20, 90), (3, 0, 1)), ((64, 64, 64), (0, 0, 0))):
        assert len(list(model.blocks(shape, 0, offset))) == model.count_blocks(shape, offset)


def test_different_seeds_agree_with_the_volume_and_differ_from_each_other(model, volume):
    samples = [model.generate(model.fitting_shape(), seed=seed) for seed in (0, 1)]
    first, second = (as_indices(model, s.data) for s in samples)
    for indices in (first, second):
        assert disagreement(model, indices).share < 0.12  # untrained: the interpolated volume
    assert 0.03 < (first != second).mean() < 0.5
    again = model.generate(model.fitting_shape(), seed=0)
    np.testing.assert_array_equal(again.data, samples[0].data)


def test_periodic_volumes_are_refused_with_a_reason(model):
    with pytest.raises(InputError, match="opposite faces"):
        model.generate((64, 64, 64), periodic=(True, False, False))


def test_a_volume_beyond_the_low_resolution_one_is_refused(model):
    with pytest.raises(InputError, match="at most 88 x 104 x 120"):
        model.generate((89, 64, 64))


# ---------------------------------------------------------------------- where it lies


@pytest.mark.parametrize(("border", "crop"), [(0, 0), (1, 4), (2, 8)])
def test_the_result_lines_up_with_the_volume(make_model, volume, border, crop):
    model = make_model(border=border)
    assert model.fitting_shape() == tuple(4 * n - 2 * crop for n in volume.shape)
    sample = model.generate((8, 8, 8))
    assert (sample.voxel_size, sample.unit) == (pytest.approx((0.05,) * 3), "um")
    # The corner of both is the same but for the crop.
    corner = np.array(sample.place) - 0.05 / 2
    np.testing.assert_allclose(corner, -0.2 / 2 + crop * 0.05)


def test_the_result_of_an_odd_factor_lines_up_too(make_model, volume):
    model = make_model(scale_factor=64 / 24, border=1)
    crop = 3
    assert model.fitting_shape() == tuple(int(n * 64 / 24) - 2 * crop for n in volume.shape)
    voxel = 0.2 * 24 / 64
    place = model.generate((8, 8, 8), offset=(2, 0, 0)).place
    np.testing.assert_allclose(
        np.array(place) + 0.1, [(crop + 2.5) * voxel, *[(crop + 0.5) * voxel] * 2]
    )


def test_labels_and_names_are_those_of_the_image(model):
    sample = model.generate((40, 40, 40))
    assert set(np.unique(sample.data)) == {0, 3, 200}
    assert [p.name for p in sample.phases] == ["pore", "binder", "active"]
    assert sample.provenance["low"]["name"] == "volume"


# ---------------------------------------------------------------------- agreement


def test_a_perfect_result_disagrees_nowhere(make_model, truth):
    model = make_model(border=0)
    found = disagreement(model, as_indices(model, truth))
    assert found.share < 5e-4  # coarse voxels of which half is either phase
    assert found.where.shape == (24, 28, 32) and found.place == (0, 0, 0)


def test_disagreement_is_found_where_it_is(make_model, truth, volume):
    model = make_model(border=1)
    wrong = as_indices(model, truth)[4:-4, 4:-4, 4:-4]
    wrong[16:24, 16:24, 16:24] = np.where(volume.data[5:7, 5:7, 5:7] == 0, 2, 0).repeat(
        4, 0).repeat(4, 1).repeat(4, 2)  # fmt: skip
    found = disagreement(model, wrong)
    assert found.place == pytest.approx((0.2,) * 3) and found.unit == "um"
    assert found.where[4:6, 4:6, 4:6].all()
    assert found.where.sum() < 40
    assert found.share == pytest.approx(found.where.sum() / found.where.size)
    part = disagreement(model, wrong[10:40, 10:40, 10:40], offset=(10, 10, 10))
    first = [round(p / 0.2) - 1 for p in part.place]
    inside = tuple(slice(f, f + n) for f, n in zip(first, part.where.shape, strict=True))
    np.testing.assert_array_equal(part.where, found.where[inside])


# ---------------------------------------------------------------------- files, other volumes


def test_the_model_file_brings_the_volume_along(model, tmp_path):
    loaded = load_model(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.low.data, model.low.data)
    assert loaded.inputs[0].optional
    first, second = (m.generate((30, 30, 30), seed=3).data for m in (model, loaded))
    np.testing.assert_array_equal(first, second)


def test_a_volume_too_large_for_the_file_has_to_be_given(model, tmp_path, monkeypatch, volume):
    monkeypatch.setattr("napari_microgen.methods.superres.model.EMBEDDED_VOXELS", 1000)
    loaded = load_model(model.save(tmp_path / "model"))
    assert loaded.low is None and not loaded.inputs[0].optional
    with pytest.raises(InputError, match="--low"):
        loaded.fitting_shape()
    sample = loaded.given([volume]).generate((30, 30, 30), seed=3)
    np.testing.assert_array_equal(sample.data, model.generate((30, 30, 30), seed=3).data)


def test_another_volume_of_the_material_can_be_given(model, volume, tmp_path):
    part = volume.crop(slice(4, 20), slice(0, 18), slice(10, 32))
    other = model.given([part])
    assert other.fitting_shape() == (56, 64, 80)
    assert other.generate((56, 64, 80)).provenance["low"]["sha256"] == part.digest
    # What is saved is the model of its training, not the volume at hand.
    assert load_model(other.save(tmp_path / "other")).low is None


def test_a_volume_in_another_unit_of_length_gives_the_same_in_that_unit(model, volume):
    other = model.given([dataclasses.replace(volume, voxel_size=(200.0,) * 3, unit="nm")])
    made, same = (m.generate((30, 30, 30), seed=1) for m in (other, model))
    np.testing.assert_array_equal(made.data, same.data)
    assert (made.unit, same.unit) == ("nm", "um")
    for ours, theirs in ((made.voxel_size, same.voxel_size), (made.place, same.place)):
        np.testing.assert_allclose(ours, 1000 * np.array(theirs))


def test_phases_of_another_volume_are_told_by_their_labels(model, volume):
    swapped = PhaseImage.from_labels(
        np.where(volume.data == 0, 1, 7)[:, ::-1], voxel_size=(0.2,) * 3, unit="um"
    )
    np.testing.assert_array_equal(model.given([swapped]).low.data, volume.data[:, ::-1])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v.crop(3, slice(None), slice(None)), "3D volume of labels"),
        (lambda v: dataclasses.replace(v, voxel_size=(0.1,) * 3), "trained for 0.2 x 0.2 x 0.2 um"),
        (lambda v: dataclasses.replace(v, unit="nm"), "trained for"),
        (
            lambda v: PhaseImage.from_labels(v.data + 5, voxel_size=(0.2,) * 3, unit="um"),
            "the label 5, which the model does not know",
        ),
    ],
)
def test_a_volume_that_the_model_cannot_work_on_is_refused(model, volume, change, told):
    with pytest.raises(InputError, match=told):
        model.given([change(volume)])


def test_damaged_files_are_refused(model, tmp_path):
    tensors = model.tensors()
    for broken in (
        {**tensors, "low": tensors["low"] + 1},
        {**tensors, "low": tensors["low"].astype(np.float32)},
        {k: v for k, v in tensors.items() if k != "last.bias"},
    ):
        with pytest.raises(InputError, match="do not fit"):
            type(model).from_tensors(model.origin, broken)
