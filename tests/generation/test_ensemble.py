import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.generation.ensemble import ensemble_steps
from napari_microgen.metrics._steps import finish
from napari_microgen.phases import PhaseImage

SHAPE = (7, 30, 40)


def test_counts_how_often_a_voxel_is_of_each_phase(three_phases, train_tiny):
    model = train_tiny(three_phases)
    found = finish(ensemble_steps(model, SHAPE, 5, seed=3, probabilities=True))
    volumes = np.stack([model.generate(SHAPE, seed=s).data for s in range(3, 8)])
    for share, phase in zip(found.probabilities, three_phases.phases, strict=True):
        np.testing.assert_allclose(share, (volumes == phase.value).mean(0), atol=1e-6)


def test_entropy_is_zero_where_all_agree_and_one_where_all_are_as_frequent(
    three_phases, train_tiny
):
    found = finish(ensemble_steps(train_tiny(three_phases), SHAPE, 6, probabilities=True))
    certain = found.probabilities.max(0) == 1
    even = (found.probabilities == np.float32(2 / 6)).all(0)
    assert certain.any() and even.any()
    assert (found.entropy[certain] == 0).all()
    np.testing.assert_allclose(found.entropy[even], 1, atol=1e-6)
    assert 0 < found.mean_entropy < 1


def test_steps_end_at_one(three_phases, train_tiny):
    steps = list(ensemble_steps(train_tiny(three_phases), SHAPE, 3))
    assert steps == sorted(steps) and steps[-1] == 1


def test_what_gives_no_ensemble_is_refused(three_phases, train_tiny):
    for count in (1, 256):
        with pytest.raises(InputError, match="2 to 255"):
            finish(ensemble_steps(train_tiny(three_phases), SHAPE, count))
    grey = PhaseImage.from_grey(np.random.default_rng(0).normal(size=(20, 20)))
    with pytest.raises(InputError, match="grey"):
        finish(ensemble_steps(train_tiny(grey), SHAPE, 3))
