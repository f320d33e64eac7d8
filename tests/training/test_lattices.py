import pytest
import torch

from napari_microgen.training.lattices import interface_lattice, lattice_variance


def one_hot(labels):
    return torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()


def noise(side, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(3, (2, side, side, side), generator=random)


def doubled(labels):
    for axis in (1, 2, 3):
        labels = labels.repeat_interleave(2, axis)
    return labels


def test_noise_has_no_lattice():
    assert interface_lattice(one_hot(noise(32)), 2) < 1e-4


def test_voxels_in_pairs_are_a_lattice_of_two():
    # All interfaces lie between pairs: the two places have 0 and twice the mean.
    assert interface_lattice(one_hot(doubled(noise(16))), 2).item() == pytest.approx(1, abs=0.01)


def test_features_that_stand_anywhere_are_no_lattice():
    shifted = [torch.roll(doubled(noise(16, s)), (s % 2,) * 3, (1, 2, 3)) for s in range(8)]
    assert interface_lattice(one_hot(torch.cat(shifted)), 2) < 0.01


def test_it_can_be_descended():
    logits = (3 * one_hot(doubled(noise(8)))).requires_grad_()
    optimiser = torch.optim.Adam([logits], 0.1)
    before = interface_lattice(logits.softmax(1), 2).item()
    for _ in range(20):
        optimiser.zero_grad()
        interface_lattice(logits.softmax(1), 2).backward()
        optimiser.step()
    assert interface_lattice(logits.softmax(1), 2) < 0.2 * before


@pytest.mark.parametrize("layers", [1, 2])
def test_an_even_start_has_no_pairs(layers):
    from napari_microgen.networks.slice_generator import SliceGenerator, initialise_smooth

    found = {}
    for even in (False, True):
        generator = SliceGenerator(8, (32, 16, 16, 8), 3)
        initialise_smooth(generator, (layers,) * 3, (0.4, 0.3, 0.3), 0, even=even)
        latent = torch.randn(2, 8, 4, 4, 4, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            drawn = generator(latent).argmax(1)
        found[even] = interface_lattice(one_hot(drawn), 2).item()
    assert found[True] < 0.2 * found[False]


def test_a_lattice_has_its_own_variance_and_noise_next_to_none():
    cell = torch.zeros(16, 16, 16)
    cell[:8] = 1
    volume = cell.repeat(4, 4, 4)[None, None]
    assert lattice_variance(volume, 16) == pytest.approx(0.25, rel=1e-3)
    assert lattice_variance(torch.ones_like(volume), 16) == 0
    noise = torch.rand(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    assert lattice_variance(noise, 16) == pytest.approx(1 / 12 / 64, rel=0.1)
