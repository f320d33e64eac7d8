from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from napari_microgen.methods.superres.degradation import (
    Degradation,
    blur,
    coarsened,
    gaussian_kernel,
    voxel_loss,
)

FACTORS = [Fraction(64, d) for d in (8, 11, 16, 24, 37, 64)]
MERGING = np.array([[1, 0, 1], [0, 1, 0]], np.float32)


def upsampled(low, factor):
    """Fine volume that repeats every coarse voxel."""
    return (
        low.repeat_interleave(factor, 2).repeat_interleave(factor, 3).repeat_interleave(factor, 4)
    )


def coarse_cube(side, seed=0):
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (1, side, side, side), generator=random)
    return one_hot(labels).movedim(-1, 1).float()


@pytest.mark.parametrize(
    ("factor", "length", "sigma"), [(4, 3, 0.8), (8, 7, 1.4), (5, 5, 1.1), (2, 1, None)]
)
def test_the_kernel_is_the_papers(factor, length, sigma):
    kernel = gaussian_kernel(Fraction(factor))
    assert len(kernel) == length
    assert kernel.sum() == pytest.approx(1)
    if sigma:
        assert kernel[length // 2 + 1] / kernel[length // 2] == pytest.approx(
            np.exp(-0.5 / sigma**2)
        )


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("super_sampling", [False, True])
def test_a_constant_volume_stays_constant_up_to_its_border(factor, super_sampling):
    degradation = Degradation(factor, MERGING, super_sampling)
    shares = torch.tensor([0.2, 0.5, 0.3])[None, :, None, None, None].expand(1, 3, 64, 64, 64)
    seen = degradation.shares(shares, [(0, 64)] * 3, [(0, int(64 / factor))] * 3)
    torch.testing.assert_close(seen[:, 0], torch.full_like(seen[:, 0], 0.5))
    np.testing.assert_allclose(blur(9, gaussian_kernel(factor)).sum(1), 1)


@pytest.mark.parametrize("super_sampling", [False, True])
def test_the_loss_of_a_perfect_reconstruction_is_zero(super_sampling):
    low = coarse_cube(16)
    fine = torch.cat([upsampled(low, 4), torch.zeros(1, 1, 64, 64, 64)], 1)
    observed = Degradation(Fraction(4), MERGING, super_sampling)(fine)
    assert float(voxel_loss(low, observed)) < 1e-12


def test_phases_that_the_volume_does_not_show_cost_nothing():
    low = coarse_cube(16)
    pore, particle = upsampled(low, 4).unbind(1)
    binder = pore * (torch.rand(pore.shape, generator=torch.Generator().manual_seed(1)) < 0.4)
    fine = torch.stack([pore - binder, particle, binder], 1)
    assert 0.1 < float(binder.mean()) < 0.3
    assert float(voxel_loss(low, Degradation(Fraction(4), MERGING)(fine))) < 1e-12
    apart = Degradation(Fraction(4), np.array([[1, 0, 0], [0, 1, 1]], np.float32))
    assert float(voxel_loss(low, apart(fine))) > 0.01


def test_the_loss_of_the_opposite_phase_is_one():
    low = coarse_cube(16)
    fine = torch.cat([upsampled(low.flip(1), 4), torch.zeros(1, 1, 64, 64, 64)], 1)
    assert float(voxel_loss(low, Degradation(Fraction(4), MERGING)(fine))) == pytest.approx(1)


def test_the_loss_reaches_every_fine_voxel_near_a_coarse_boundary():
    low = coarse_cube(16)
    fine = torch.full((1, 3, 64, 64, 64), 1 / 3).requires_grad_(True)
    merged = Degradation(Fraction(4), MERGING, sharpness=10)(fine)
    voxel_loss(low, merged).backward()
    assert (fine.grad.abs().sum(1) > 0).all()


def test_under_sampled_volumes_show_the_voxel_in_the_middle():
    fine = torch.rand(1, 3, 64, 64, 64)
    seen = Degradation(Fraction(4), np.eye(3, dtype=np.float32), super_sampling=True).shares(
        fine, [(0, 64)] * 3, [(0, 16)] * 3
    )
    torch.testing.assert_close(seen, fine[..., 2::4, 2::4, 2::4])


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("super_sampling", [False, True])
def test_a_part_looks_as_it_does_within_the_whole(factor, super_sampling):
    degradation = Degradation(factor, np.eye(2, dtype=np.float32), super_sampling)
    fine = torch.rand(1, 2, 96, 70, 70, dtype=torch.float64)
    coarse = [(0, int(n / factor)) for n in fine.shape[2:]]
    whole = degradation.shares(fine, [(0, n) for n in fine.shape[2:]], coarse)
    first, stop = degradation.seen_within((20, 80), coarse[0][1])
    assert stop - first >= (60 - 8) / factor - 1
    slab = degradation.looked_at((first, stop), (0, 96))
    assert 20 - 1 <= slab[0] and slab[1] <= 80 + 1
    part = degradation.shares(
        fine[:, :, slab[0] : slab[1]], [slab, (0, 70), (0, 70)], [(first, stop), *coarse[1:]]
    )
    torch.testing.assert_close(part, whole[:, :, first:stop])


def test_coarsening_keeps_what_is_large_and_loses_what_is_small():
    mask = np.zeros((32, 32, 32), bool)
    mask[8:24, 8:24, 8:24] = True
    mask[0, 0, 0] = True
    expected = np.zeros((8, 8, 8), bool)
    expected[2:6, 2:6, 2:6] = True
    np.testing.assert_array_equal(coarsened(mask, 4), expected)
