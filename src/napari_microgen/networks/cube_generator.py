"""The DC-GAN generator of "Pores for thought" (paper 000, table 2)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_microgen.networks.latent_generator import LatentGenerator

if TYPE_CHECKING:
    from collections.abc import Sequence

SPREAD = 3
"""How many further positions a latent reaches in the first layer (kernel 4, stride 1)."""


class CubeGenerator(LatentGenerator):
    """Five transposed convolutions with k 4: the first s 1, p 0, the others s 2, p 1.

    A latent of side ``l`` gives a volume of side ``64 + 16 (l - 1)``. As the first layer breaks
    the rule p >= k - s, the outer voxels hear from fewer latents than the inner ones: a volume
    of one latent, which the paper trains on, has no inside. `endless` leaves the border out.

    Parameters
    ----------
    latent_channels : int
        Channels of the latent; the paper has 100.
    widths : sequence of four int
        Channels after each hidden layer; the paper has 512, 256, 128, 64.
    channels : int
        Phases.
    """

    stride = 16
    margin = 5

    def __init__(self, latent_channels: int, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        sizes = [latent_channels, *widths, channels]
        self.layers = nn.ModuleList(
            nn.ConvTranspose3d(a, b, 4, 2 if i else 1, 1 if i else 0, bias=False)
            for i, (a, b) in enumerate(pairwise(sizes))
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(w) for w in widths)

    def forward(self, latent: Tensor) -> Tensor:
        """Generate volumes with their borders, as in the paper.

        Parameters
        ----------
        latent : Tensor, shape (batch, latent_channels, l, m, n)

        Returns
        -------
        Tensor, shape (batch, channels, 64 + 16 (l - 1), ...)
            Phase probabilities.
        """
        return self._decoded(self.layers[0](latent))

    def endless(self, latent: Tensor) -> Tensor:
        """Generate the inside of a volume, shape (batch, channels, 16 (l - 5), ...)."""
        inner = (..., *(slice(SPREAD, -SPREAD),) * 3)
        outer = (..., *(slice(self.stride, -self.stride),) * 3)
        return self._decoded(self.layers[0](latent)[inner])[outer]

    def _decoded(self, x: Tensor) -> Tensor:
        for norm, layer in zip(self.norms, list(self.layers)[1:], strict=True):
            x = layer(norm(x).relu_())
        return x.softmax(1)


def initialise_normal(network: nn.Module) -> None:
    """Draw weights from N(0, .02), and the scales of batch normalisation from N(1, .02).

    As Radford, Metz and Chintala (2016) propose for DC-GANs and the paper's code does.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
