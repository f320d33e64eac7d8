from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from napari_microgen.networks.resampling import along_axes, as_tensors, interpolation, nearest

FACTORS = [Fraction(64, d) for d in (8, 11, 16, 37, 64)]


@pytest.mark.parametrize("factor", FACTORS)
def test_rows_of_both_matrices_sum_to_one(factor):
    for make in (interpolation, nearest):
        np.testing.assert_allclose(make((3, 12), (7, 40), factor).sum(1), 1)


@pytest.mark.parametrize("side", [8, 11, 16, 37])
def test_interpolates_as_torch_does(side):
    values = torch.from_numpy(np.random.default_rng(side).normal(size=(2, 3, side, side, side)))
    matrix = interpolation((0, side), (0, 64), Fraction(64, side))
    ours = along_axes(values, as_tensors([matrix] * 3, values))
    theirs = interpolate(values, size=(64, 64, 64), mode="trilinear")
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_straight_line_stays_one_away_from_the_border(factor):
    coarse = np.arange(-5, 50) + 0.5
    fine = interpolation((-5, 50), (0, 40), factor) @ coarse
    np.testing.assert_allclose(fine, (np.arange(40) + 0.5) / float(factor), atol=1e-12)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_part_is_resampled_as_within_the_whole(factor):
    whole = interpolation((0, 200), (0, 200), factor)
    middle = int(130 / factor)
    part = interpolation((middle - 2, middle + 25), (130, 150), factor)
    np.testing.assert_array_equal(part, whole[130:150, middle - 2 : middle + 25])


def test_nearest_takes_the_voxel_in_the_middle():
    taken = nearest((0, 32), (0, 8), Fraction(1, 4)).argmax(1)
    np.testing.assert_array_equal(taken, 4 * np.arange(8) + 2)
    np.testing.assert_array_equal(nearest((0, 8), (0, 8), Fraction(1)), np.eye(8))
