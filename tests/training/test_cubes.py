import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_microgen.errors import InputError
from napari_microgen.phases import PhaseImage
from napari_microgen.training.anchors import SpreadAnchor
from napari_microgen.training.cubes import CubeSampler, volume_symmetry


def random():
    return np.random.default_rng(0)


def test_cubes_are_pieces_of_the_volume():
    labels = np.arange(5 * 6 * 7).reshape(5, 6, 7) % 3
    image = PhaseImage.from_labels(labels)
    every = {
        labels[z : z + 4, y : y + 4, x : x + 4].tobytes()
        for z in range(2) for y in range(3) for x in range(4)
    }  # fmt: skip
    drawn = CubeSampler(image, 4, "none").draw(200, random())
    found = {c.argmax(0).numpy().tobytes() for c in drawn}
    assert found == every


def test_all_48_symmetries_of_the_cube_are_drawn():
    image = PhaseImage.from_labels(np.random.default_rng(1).integers(2, size=(4, 4, 4)))
    for symmetry, count in (("cube", 48), ("mirror", 8), ("none", 1)):
        drawn = CubeSampler(image, 4, symmetry).draw(1000, random())
        assert len({c.argmax(0).numpy().tobytes() for c in drawn}) == count


def test_no_cube_holds_an_unlabelled_voxel():
    labels = np.random.default_rng(2).integers(1, 3, size=(9, 10, 11))
    labels[4, 5, 5] = 0
    image = PhaseImage.from_labels(labels, zero="unlabelled")
    sampler = CubeSampler(image, 4, "mirror")
    assert (sampler.draw(500, random()).sum(1) == 1).all()
    # 6 x 7 x 8 places less those whose cube covers the gap.
    assert sampler._complete.size == 6 * 7 * 8 - 4 * 4 * 4
    with pytest.raises(InputError, match="without unlabelled"):
        CubeSampler(image, 9, "none")


def test_symmetry_is_read_from_the_volume():
    noise = np.random.default_rng(3).normal(size=(64, 64, 64))
    for sigma, expected in (((3, 3, 3), "cube"), ((1.5, 3, 3), "mirror")):
        field = gaussian_filter(noise, sigma, mode="wrap")
        assert volume_symmetry(PhaseImage.from_labels(field > 0)) == expected
    sheared = gaussian_filter(noise, (1.5, 4, 3), mode="wrap")
    sheared = np.stack([np.roll(s, 2 * i, 0) for i, s in enumerate(sheared)])
    assert volume_symmetry(PhaseImage.from_labels(sheared > 0)) == "none"


def test_real_cubes_have_the_real_spread():
    import torch

    field = gaussian_filter(np.random.default_rng(4).normal(size=(80, 80, 80)), 3, mode="wrap")
    image = PhaseImage.from_labels(field > 0)
    sampler = CubeSampler(image, 16, "none")
    anchor = SpreadAnchor(sampler, random(), torch.device("cpu"))
    real = sampler.draw(64, np.random.default_rng(5))
    for _ in range(200):
        anchor.loss(real)
    assert anchor.seen.numpy() == pytest.approx(1.0, abs=0.4)
    alike = real.mean(0, keepdim=True).expand(4, -1, -1, -1, -1)
    for _ in range(200):
        anchor.loss(alike)
    assert anchor.seen.max() < 0.2


def test_the_spread_pulls_like_cubes_apart():
    import torch

    field = gaussian_filter(np.random.default_rng(4).normal(size=(80, 80, 80)), 3, mode="wrap")
    sampler = CubeSampler(PhaseImage.from_labels(field > 0), 16, "none")
    anchor = SpreadAnchor(sampler, random(), torch.device("cpu"))
    share = (anchor.means[0] + 1e-3).clone().requires_grad_(True)
    cube = torch.stack([share, 1 - share]).view(1, 2, 1, 1, 1).expand(1, 2, 4, 4, 4)
    anchor.loss(cube).backward()
    assert share.grad < 0  # a fraction above the mean should rise further
