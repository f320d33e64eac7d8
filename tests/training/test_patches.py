import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.phases import PhaseImage
from napari_microgen.training.patches import PatchSampler


def test_patches_are_one_hot_parts_of_the_image(rng=None):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (40, 50))
    sampler = PatchSampler(PhaseImage.from_labels(labels), 8, "none")
    patches = sampler.draw(20, random).numpy()
    assert patches.shape == (20, 3, 8, 8)
    windows = np.lib.stride_tricks.sliding_window_view(labels, (8, 8)).reshape(-1, 64)
    known = {w.tobytes() for w in windows.astype(np.uint8)}
    for patch in patches:
        assert (patch.sum(0) == 1).all()
        assert patch.argmax(0).astype(np.uint8).tobytes() in known


def test_no_patch_touches_an_unlabelled_voxel():
    random = np.random.default_rng(1)
    labels = np.where(random.random((60, 60)) < 0.5, 1, 2)
    labels[20:24, 30] = 0
    image = PhaseImage.from_labels(labels, zero="unlabelled")
    patches = PatchSampler(image, 16, "square").draw(500, random)
    assert (patches.sum(1) == 1).all()
    free = PatchSampler(image, 16, "none")._complete
    assert free.size == 45 * 45 - 19 * 16


def test_an_image_without_a_complete_patch_is_refused():
    labels = np.ones((40, 40), int)
    labels[::2] = 2
    labels[::7, ::7] = 0
    image = PhaseImage.from_labels(labels, zero="unlabelled")
    with pytest.raises(InputError, match="without unlabelled"):
        PatchSampler(image, 16, "none")


def test_an_image_smaller_than_a_patch_is_refused():
    image = PhaseImage.from_labels(np.arange(200).reshape(10, 20) % 2)
    with pytest.raises(InputError, match="10 x 20 pixels"):
        PatchSampler(image, 64, "none")


@pytest.mark.parametrize(("symmetry", "count"), [("none", 1), ("mirror", 4), ("square", 8)])
def test_patches_are_turned_as_far_as_the_symmetry_allows(symmetry, count):
    image = PhaseImage.from_labels(np.triu(np.ones((8, 8), int)) + np.eye(8, k=2, dtype=int) * 0)
    marked = image.data.copy()
    marked[0, 3] = 0
    image = PhaseImage.from_labels(marked)
    patches = PatchSampler(image, 8, symmetry).draw(200, np.random.default_rng(0)).numpy()
    assert len({p.tobytes() for p in patches}) == count


def test_stacks_are_sampled_from_all_sections():
    stack = np.zeros((5, 20, 20), int) + np.arange(5)[:, None, None]
    patches = PatchSampler(PhaseImage.from_labels(stack), 8, "none").draw(
        200, np.random.default_rng(0)
    )
    assert set(patches.argmax(1).flatten().tolist()) == set(range(5))
