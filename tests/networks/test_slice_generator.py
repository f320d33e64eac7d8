import pytest
import torch

from napari_microgen.networks.critics import PatchCritic, SliceCritic, critic_score
from napari_microgen.networks.slice_generator import (
    SliceGenerator,
    initialise_smooth,
    match_fractions,
)


def small(channels=3, **keywords):
    return SliceGenerator(4, (8, 8, 8, 8), channels, **keywords).eval()


@pytest.mark.parametrize("side", [3, 4, 6])
def test_a_latent_of_side_l_gives_32_times_l_minus_2_voxels(side):
    with torch.no_grad():
        assert small()(torch.randn(1, 4, side, 3, 3)).shape == (1, 3, 32 * (side - 2), 32, 32)


def test_the_paper_crop_and_the_smoothed_output_have_the_same_geometry():
    torch.manual_seed(0)
    plain, smooth = small(), small(smoothing=1e-3)
    smooth.load_state_dict(plain.state_dict())
    latent = torch.randn(1, 4, 4, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(plain(latent), smooth(latent))


def test_probabilities_add_up_to_one_and_values_stay_in_range():
    with torch.no_grad():
        latent = torch.randn(1, 4, 4, 4, 4)
        total = small(smoothing=0.6)(latent).sum(1)
        torch.testing.assert_close(total, torch.ones_like(total))
        assert small(1, activation="tanh")(latent).abs().max() <= 1


def test_the_paper_generator_has_the_papers_size():
    with torch.device("meta"):
        generator = SliceGenerator(64, (512, 256, 128, 64), 3)
        critic = SliceCritic(3, (64, 128, 256, 512))
    weights = sum(layer.weight.numel() for layer in generator.layers)
    assert weights == 64 * (64 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    assert sum(p.numel() for p in critic.parameters()) == 16 * (
        3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512
    )


def test_critics_give_one_number_per_section():
    sections = torch.randn(5, 2, 64, 64)
    assert critic_score(SliceCritic(2, (4, 4, 4, 4)), sections).shape == (5,)
    assert critic_score(PatchCritic(2, (4, 4)), sections).shape == (5,)


@pytest.mark.parametrize("fractions", [(0.3, 0.7), (0.1, 0.3, 0.6)])
def test_matched_fractions_are_the_wanted_ones(fractions):
    generator = SliceGenerator(4, (8, 8, 8, 8), len(fractions), smoothing=0.6)
    initialise_smooth(generator, (2, 2, 2), [1 / len(fractions)] * len(fractions), seed=1)
    latent = torch.randn(1, 4, 5, 5, 5, generator=torch.Generator().manual_seed(2))
    generator.eval()
    match_fractions(generator, latent, fractions)
    with torch.no_grad():
        labels = generator(latent).argmax(1)
    found = torch.bincount(labels.flatten(), minlength=len(fractions)) / labels.numel()
    torch.testing.assert_close(found, torch.tensor(fractions), atol=4e-3, rtol=0)


def test_more_smooth_layers_give_larger_features():
    sizes = []
    for layers in (1, 2, 3):
        generator = SliceGenerator(16, (32, 32, 32, 16), 2)
        initialise_smooth(generator, (layers,) * 3, (0.5, 0.5), seed=0)
        latent = torch.randn(1, 16, 5, 5, 5, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            labels = generator(latent).argmax(1)[0]
        sizes.append(1 / float((labels[1:] != labels[:-1]).float().mean()))
    assert sizes[0] * 1.4 < sizes[1] and sizes[1] * 1.4 < sizes[2]


def test_more_smooth_layers_along_one_axis_give_longer_features_there():
    generator = SliceGenerator(16, (32, 32, 32, 16), 2)
    initialise_smooth(generator, (1, 2, 3), (0.5, 0.5), seed=0)
    latent = torch.randn(1, 16, 5, 5, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = generator(latent).argmax(1)[0]
    z, y, x = (float((labels.diff(dim=axis) != 0).float().mean()) for axis in range(3))
    assert z > 1.4 * y > 1.4 * 1.4 * x
