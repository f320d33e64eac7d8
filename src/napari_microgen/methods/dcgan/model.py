"""A trained DC-GAN: an endless volume as a function of seed and position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_microgen.generation.latent_model import LatentModel
from napari_microgen.methods.dcgan.config import DCGANConfig
from napari_microgen.networks.cube_generator import CubeGenerator
from napari_microgen.networks.slice_generator import SliceGenerator

if TYPE_CHECKING:
    from napari_microgen.methods.base import Origin
    from napari_microgen.networks.latent_generator import LatentGenerator


class DCGANModel(LatentModel):
    """A DC-GAN generator in evaluation mode.

    Volumes repeat after multiples of 16 voxels with the paper's networks, of 32 otherwise. The
    paper's are generated without their borders, with batch-norm statistics of the inside.
    """

    @staticmethod
    def build(origin: Origin) -> LatentGenerator:
        """Return an untrained generator as the settings in `origin` describe it."""
        config = DCGANConfig.from_dict(origin.config)
        widths, phases = config.generator_channels, len(origin.phases)
        if config.recipe == "paper":
            return CubeGenerator(config.latent_channels, widths, phases)
        return SliceGenerator(config.latent_channels, widths, phases, smoothing=config.smoothing)
