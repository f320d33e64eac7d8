from fractions import Fraction

import numpy as np
import pytest
import torch

from napari_microgen.networks.superres_generator import (
    SuperResGenerator,
    covered,
    initialise_direct,
    match_alike,
)

FACTORS = [Fraction(64, d) for d in (8, 11, 16, 24, 37, 64)]


def generator(factor, **options):
    torch.manual_seed(0)
    return SuperResGenerator(factor, 2, 3, 2, (4, 4, 4, 4), **options).eval()


@pytest.mark.parametrize("factor", FACTORS)
def test_every_training_cube_becomes_64_voxels_a_side(factor):
    side = int(64 / factor)
    with torch.no_grad():
        volumes = generator(factor)(torch.randn(1, 4, side, side, side))
    assert volumes.shape == (1, 3, 64, 64, 64)
    torch.testing.assert_close(volumes.sum(1), torch.ones(1, 64, 64, 64))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("options", [{}, {"direct": True, "normalised": False}])
def test_the_halo_holds_all_that_a_part_depends_on(factor, options):
    network = generator(factor, **options)
    halo, near = network.halo, 4
    latent = torch.randn(1, 4, 2 * halo + near, near, near).requires_grad_(True)
    first = (5, 0, 0)
    inner = covered((first[0] + halo, first[0] + halo + near), factor)
    wanted = [inner, *[covered((0, near), factor)] * 2]
    network(latent, first, wanted)[:, 0].sum().backward()
    heard = latent.grad.abs().sum((0, 1, 3, 4)) > 0
    assert heard[halo : halo + near].all()
    # Whatever lies farther out than the halo is not heard, and the padding not either.
    assert not heard[0] and not heard[-1]


def test_the_paper_generator_has_the_papers_widths():
    network = SuperResGenerator(Fraction(4), 2, 3, 1, (64, 128, 256, 512))
    sizes = [m.weight.shape for m in network.modules() if hasattr(m, "kernel_size")]
    assert [tuple(s) for s in sizes] == [
        (256, 3, 3, 3, 3), (256, 256, 3, 3, 3), (256, 256, 3, 3, 3), (256, 128, 4, 4, 4),
        (64, 128, 3, 3, 3), (3, 64, 3, 3, 3),
    ]  # fmt: skip


def test_starts_as_the_interpolated_volume_with_the_right_fractions():
    network = generator(Fraction(4), direct=True, normalised=False)
    merging = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    coarse = torch.zeros(2, 2, 16, 16, 16)
    coarse[:, 0, :, :9] = 1
    coarse[:, 1, :, 9:] = 1
    latent = torch.cat([coarse, torch.randn(2, 2, 16, 16, 16)], 1)
    fractions = torch.tensor([0.40, 7 / 16, 0.1625])
    initialise_direct(network, merging, fractions, latent, 0)
    with torch.no_grad():
        labels = network(latent).argmax(1)
    found = np.bincount(labels.flatten(), minlength=3) / labels.numel()
    np.testing.assert_allclose(found, fractions, atol=0.01)
    assert (labels[:, :, :32] == 1).float().mean() < 0.01
    assert (labels[:, :, 40:] == 1).float().mean() > 0.99


def test_too_few_widths_are_refused():
    with pytest.raises(ValueError, match="4 widths"):
        SuperResGenerator(Fraction(8), 2, 3, 1, (8, 8, 8))


def test_phases_that_look_alike_share_their_room_as_wanted():
    network = generator(Fraction(4), direct=True, normalised=False)
    merging = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    coarse = torch.zeros(2, 2, 16, 16, 16)
    coarse[:, 0, :, :9] = 1
    coarse[:, 1, :, 9:] = 1
    latent = torch.cat([coarse, torch.randn(2, 2, 16, 16, 16)], 1)
    initialise_direct(network, merging, torch.tensor([0.4, 7 / 16, 0.1625]), latent, 0)
    match_alike(network, [latent[:1], latent[1:]], merging, np.array([0.2, 0.5, 0.3]))
    with torch.no_grad():
        labels = network(latent).argmax(1)
    found = np.bincount(labels.flatten(), minlength=3) / labels.numel()
    np.testing.assert_allclose(found, [9 / 16 * 0.4, 7 / 16, 9 / 16 * 0.6], atol=0.01)
