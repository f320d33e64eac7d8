import numpy as np
import pytest
from conftest import cut_in_three, periodic_field

from napari_microgen.errors import InputError
from napari_microgen.metrics.diffusivity import DiffusivityReference
from napari_microgen.phases import PhaseImage


@pytest.fixture(scope="module")
def reference():
    field = cut_in_three(periodic_field((64, 64, 64), 2.0, 11))
    return DiffusivityReference(PhaseImage.from_labels(field), 32)


def test_other_volumes_of_the_material_are_as_near_as_its_cubes(reference):
    scores = [
        reference.score(cut_in_three(periodic_field((64, 64, 64), 2.0, seed))) for seed in (12, 13)
    ]
    assert np.mean(scores) == pytest.approx(0.9, abs=0.4)


def test_the_same_amounts_connected_otherwise_are_told_apart(reference):
    field = cut_in_three(periodic_field((64, 64, 64), 2.0, 12))
    shuffled = np.random.default_rng(0).permutation(field.ravel()).reshape(field.shape)
    assert reference.score(shuffled) > 2.5


def test_each_axis_is_compared_with_itself():
    plates = np.zeros((64, 64, 64), np.uint8)
    widths = np.random.default_rng(0).integers(6, 11, size=(2, 2, 2))
    for z, y, x in np.ndindex(2, 2, 2):
        cube = plates[32 * z : 32 * z + 32, 32 * y : 32 * y + 32, 32 * x : 32 * x + 32]
        cube[..., np.arange(32) % 16 < widths[z, y, x]] = 1
    judge = DiffusivityReference(PhaseImage.from_labels(plates), 32)
    assert judge.score(plates) < 1.5
    assert judge.score(np.ascontiguousarray(plates.transpose(2, 1, 0))) > 3


def test_what_never_conducts_cannot_be_told_apart():
    layers = np.broadcast_to(np.arange(32) % 8 < 4, (32, 32, 32))
    block = layers & layers.transpose(1, 2, 0) & layers.transpose(2, 0, 1)
    judge = DiffusivityReference(PhaseImage.from_labels(block.astype(np.uint8)), 16)
    judge.real[...] = 0
    assert judge.score(block.astype(np.uint8)) == 1


def test_cubes_with_gaps_are_left_out():
    labels = np.random.default_rng(0).integers(1, 3, (32, 32, 32))
    labels[0, 0, 0] = 0
    judge = DiffusivityReference(PhaseImage.from_labels(labels, zero="unlabelled"), 16)
    assert len(judge.real) == 7
    labels[:, 16:] = labels[:, :, 16:] = 0
    with pytest.raises(InputError, match="fewer than two"):
        DiffusivityReference(PhaseImage.from_labels(labels, zero="unlabelled"), 16)
