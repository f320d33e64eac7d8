"""Uniform information density: every output voxel must hear from equally many kernel elements.

Source: Kench and Cooper, "Generating 3D structures from a 2D slice with GAN-based dimensionality
expansion" (SliceGAN), section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_transposed(kernel: int, stride: int, padding: int) -> None:
    """Check the rules s < k, k mod s = 0 and p >= k - s for a transposed convolution.

    Raises
    ------
    ValueError
        If a rule is broken, naming it.
    """
    if not stride < kernel:
        raise ValueError(f"stride {stride} must be smaller than kernel {kernel}")
    if kernel % stride:
        raise ValueError(f"kernel {kernel} must be a multiple of stride {stride}")
    if padding < kernel - stride:
        raise ValueError(f"padding {padding} must be at least kernel - stride = {kernel - stride}")


def information_density(layers: Sequence[nn.Module], side: int) -> Tensor:
    """Send ones through the convolutions, all weights one: uniform output is uniform density.

    Parameters
    ----------
    layers : sequence of Module
        The generator's layers in order; those that are no convolution are passed over.
    side : int
        Side of the cubic input.

    Returns
    -------
    Tensor
        Number of paths to each output voxel over the largest number, shape ``(z, y, x)``.
    """
    field = torch.ones(1, 1, side, side, side, dtype=torch.float64)
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose3d):
            kernel = torch.ones(1, 1, *layer.kernel_size, dtype=torch.float64)
            field = nn.functional.conv_transpose3d(
                field, kernel, stride=layer.stride, padding=tuple(map(int, layer.padding))
            )
            field = field / field.max()
    return field[0, 0]
