import numpy as np
import torch

from napari_microgen.phases import PhaseImage
from napari_microgen.training.anchors import LAGS, FollowedAnchor, TwoPointAnchor
from napari_microgen.training.patches import PatchSampler


def anchor(labels):
    sampler = PatchSampler(PhaseImage.from_labels(labels), 64, "none")
    return TwoPointAnchor(sampler, np.random.default_rng(0), torch.device("cpu")), sampler


def test_patches_of_the_image_itself_cost_next_to_nothing():
    noise = np.random.default_rng(0).integers(0, 2, (200, 200))
    target, sampler = anchor(noise)
    same = target.loss(sampler.draw(256, np.random.default_rng(1)))
    other = torch.ones(256, 2, 64, 64) * torch.tensor([1.0, 0.0])[:, None, None]
    assert same < 0.05 < 100 < target.loss(other)


def test_covariance_of_noise_is_its_variance_at_lag_zero_and_nothing_elsewhere():
    noise = np.random.default_rng(0).random((400, 400)) < 0.3
    target, _ = anchor(noise.astype(int))
    covariance = target.correlations.clone()
    variance = covariance[:, :, 0, 0]
    torch.testing.assert_close(variance, torch.full((2, 2), 0.21), atol=0.01, rtol=0)
    covariance[:, :, 0, 0] = 0
    assert covariance.shape == (2, 2, LAGS, LAGS)
    assert covariance.abs().max() < 0.01


def test_the_two_diagonals_are_told_apart():
    stripes = (np.add.outer(np.arange(256), np.arange(256)) // 4) % 2
    target, _ = anchor(stripes)
    forward, backward = target.correlations[0, :, 4, 4]
    # Along one diagonal the stripes return after 4 steps, along the other they never change.
    torch.testing.assert_close(forward, torch.tensor(0.25), atol=0.01, rtol=0)
    torch.testing.assert_close(backward, torch.tensor(0.25), atol=0.01, rtol=0)
    forward, backward = target.correlations[0, :, 2, 2]
    assert forward < 0 < backward


def test_volumes_may_differ_where_only_their_mean_is_held():
    noise = np.random.default_rng(0).integers(0, 2, (200, 200))
    sampler = PatchSampler(PhaseImage.from_labels(noise), 64, "none")
    build = (sampler, np.random.default_rng(0), torch.device("cpu"))
    single, followed = TwoPointAnchor(*build), FollowedAnchor(*build)
    random = torch.Generator().manual_seed(0)
    losses = []
    for step in range(60):
        share = 0.4 if step % 2 else 0.6
        first = (torch.rand(16, 1, 64, 64, generator=random) < share).float()
        volume = torch.cat([first, 1 - first], 1)
        losses.append((float(single.loss(volume)), float(followed.loss(volume))))
    alone, together = np.mean(losses[20:], axis=0)
    assert alone > 9
    assert together * 0.05 < 0.01 * alone  # 0.05: scaled to the gradient of a whole step
    everywhere = torch.ones(16, 2, 64, 64) * torch.tensor([1.0, 0.0])[:, None, None]
    before = float(followed.loss(everywhere))
    for _ in range(20):
        after = float(followed.loss(everywhere))
    assert after > 10 * before


def test_the_gradient_of_the_followed_mean_is_that_of_a_whole_step():
    noise = np.random.default_rng(0).integers(0, 2, (200, 200))
    sampler = PatchSampler(PhaseImage.from_labels(noise), 64, "none")
    followed = FollowedAnchor(sampler, np.random.default_rng(0), torch.device("cpu"))
    followed.seen = [followed.means + 0.1, followed.correlations]
    volume = sampler.draw(8, np.random.default_rng(1)).requires_grad_(True)
    followed.loss(volume).backward()
    # Fractions too high by 0.1 in either phase: 2 x 0.1 x 1000 / 2 phases, over the pixels.
    gradient = volume.grad.sum((0, 2, 3))
    torch.testing.assert_close(gradient, torch.full((2,), 100.0), atol=12, rtol=0)
