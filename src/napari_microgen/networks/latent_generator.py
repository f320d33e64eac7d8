"""What every convolutional generator of endless volumes has in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class LatentGenerator(nn.Module):
    """A network that turns a grid of latents into the voxels that hear from all they depend on.

    Attributes
    ----------
    stride : int
        Voxels per latent position.
    margin : int
        Latent positions beyond those that a length of voxels covers: latents
        ``[q, q + t + margin)`` give exactly the voxels ``[stride q, stride (q + t))``.
    latent_channels : int
        Channels of the latent.
    """

    stride: ClassVar[int]
    margin: ClassVar[int]
    latent_channels: int

    @abstractmethod
    def endless(self, latent: Tensor) -> Tensor:
        """Generate the inside of a volume.

        Parameters
        ----------
        latent : Tensor, shape (batch, latent_channels, l, m, n)

        Returns
        -------
        Tensor, shape (batch, channels, stride (l - margin), ...)
            Phase probabilities, or values in -1 to 1.
        """
