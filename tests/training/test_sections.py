import numpy as np
import pytest
import torch

from napari_microgen.phases import PhaseImage
from napari_microgen.training.sections import (
    diagonal_sections,
    diagonal_starts,
    image_symmetry,
    straight_sections,
)


def test_straight_sections_keep_the_order_of_the_other_axes():
    volume = torch.arange(2 * 1 * 4 * 5 * 6).reshape(2, 1, 4, 5, 6)
    for axis in range(3):
        sections = straight_sections(volume, axis, torch.tensor([1, 3]))
        expected = volume.numpy().take([1, 3], axis=2 + axis)
        expected = np.moveaxis(expected, 2 + axis, 1).reshape(4, 1, *sections.shape[2:])
        np.testing.assert_array_equal(sections.numpy(), expected)


def test_diagonal_sections_of_planes_have_the_right_spacing_and_direction():
    n = 64
    z = torch.arange(n)[:, None, None].expand(n, n, n)
    x = torch.arange(n)[None, None, :].expand(n, n, n)
    section = diagonal_sections(torch.stack([z, x])[None], (0, 1), start=2, mirrored=False)[0]
    # Rows follow the diagonal of z and y, columns are x.
    assert (section[1] == torch.arange(n)).all()
    steps = section[0][:, 0].float()
    torch.testing.assert_close(steps, 2 + torch.arange(n) / 2**0.5, atol=0.51, rtol=0)
    section = diagonal_sections(torch.stack([z, x])[None], (1, 2), start=0, mirrored=False)[0]
    assert (section[0] == torch.arange(n)[:, None]).all()
    section = diagonal_sections(torch.stack([z, x])[None], (0, 2), start=0, mirrored=True)[0]
    assert (section[0] + section[1] == n - 1).all()


def test_every_start_of_a_diagonal_stays_inside_the_cube():
    n = 64
    volume = torch.arange(n).float()[None, None, :, None, None].expand(1, 1, n, n, n)
    last = diagonal_starts(n) - 1
    section = diagonal_sections(volume, (0, 1), last, False)
    assert section.max() == n - 1
    assert (section[0, 0, :, 0].diff() <= 1).all()


@pytest.mark.parametrize(
    ("sigma", "expected"), [((3, 3), "square"), ((1.5, 6), "mirror"), ("tilted", "none")]
)
def test_symmetry_is_read_off_the_correlation(sigma, expected):
    from scipy.ndimage import gaussian_filter, rotate

    noise = np.random.default_rng(0).normal(size=(400, 400))
    if sigma == "tilted":
        field = rotate(gaussian_filter(noise, (1.5, 6), mode="wrap"), 35, reshape=False)[
            90:310, 90:310
        ]
    else:
        field = gaussian_filter(noise, sigma, mode="wrap")
    assert image_symmetry(PhaseImage.from_labels(field > np.median(field))) == expected
