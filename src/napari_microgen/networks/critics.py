"""Critics that tell real from generated sections."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class SliceCritic(nn.Sequential):
    """The SliceGAN critic (paper 003, table 1): sections of 64 x 64 to one number each.

    Conv2d with k 4, s 2, p 1, 1, 1, 1, 0 and ReLU, no normalisation, no bias.

    Parameters
    ----------
    channels : int
        Channels of a section.
    widths : sequence of four int
        Channels of the hidden layers; the paper has 64, 128, 256, 512.
    kernels : sequence of five int
        Sides of the kernels; 4, 4, 4, 3, 4 suits the sections of 56 x 56 of paper 001.
    bias : bool
        Whether layers have a bias, as in the code of paper 001.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        kernels: Sequence[int] = (4, 4, 4, 4, 4),
        bias: bool = False,
    ) -> None:
        sizes = [channels, *widths]
        layers: list[nn.Module] = []
        for (a, b), kernel in zip(pairwise(sizes), kernels, strict=False):
            layers += [nn.Conv2d(a, b, kernel, 2, 1, bias=bias), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(sizes[-1], 1, kernels[-1], 2, 0, bias=bias))


class PatchCritic(nn.Sequential):
    """A small critic with one number per patch of a section of any size.

    Conv2d with k 4, s 2, p 1 and LeakyReLU .2, then a 3 x 3 head.

    Parameters
    ----------
    channels : int
        Channels of a section.
    widths : sequence of int
        Channels of the hidden layers.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        sizes = [channels, *widths]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(sizes[-1], 1, 3, 1, 1))


def critic_score(critic: nn.Module, sections: Tensor) -> Tensor:
    """Mean score of each section, shape ``(batch,)``."""
    score: Tensor = critic(sections)
    return score.flatten(1).mean(1)


class CubeCritic(nn.Sequential):
    """A small critic with one number per region of a cube of any size.

    Conv3d with k 4, s 2, p 1 and LeakyReLU .2, then a 3 x 3 x 3 head.

    Parameters
    ----------
    channels : int
        Channels of a cube.
    widths : sequence of int
        Channels of the hidden layers.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        sizes = [channels, *widths]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Conv3d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv3d(sizes[-1], 1, 3, 1, 1))


class CubeDiscriminator(nn.Sequential):
    """The discriminator of "Pores for thought" (paper 000, table 2): 64^3 voxels to one logit.

    Conv3d with k 4, s 2, p 1, batch normalisation and LeakyReLU .2, and a last one with k 4, s 1,
    p 0. The sigmoid of the table is part of the loss, where it is numerically safe.

    Parameters
    ----------
    channels : int
        Phases.
    widths : sequence of four int
        Channels of the hidden layers; the paper has 16, 32, 64, 128.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        sizes = [channels, *widths]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Conv3d(a, b, 4, 2, 1, bias=False), nn.BatchNorm3d(b), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv3d(sizes[-1], 1, 4, 1, 0, bias=False))
