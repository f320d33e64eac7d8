"""A trained SliceGAN: an endless volume as a function of seed and position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_microgen.generation.latent_model import LatentModel
from napari_microgen.methods.slicegan.config import SliceGANConfig
from napari_microgen.networks.slice_generator import Activation, SliceGenerator

if TYPE_CHECKING:
    from napari_microgen.methods.base import Origin


class SliceGANModel(LatentModel):
    """A SliceGAN generator in evaluation mode; volumes repeat after multiples of 32 voxels."""

    @staticmethod
    def build(origin: Origin) -> SliceGenerator:
        """Return an untrained generator as the settings in `origin` describe it."""
        config = SliceGANConfig.from_dict(origin.config)
        channels = {"labels": len(origin.phases), "grey": 1, "colour": 3}[origin.kind]
        activation: Activation = "softmax" if origin.kind == "labels" else "tanh"
        return SliceGenerator(
            config.latent_channels,
            config.generator_channels,
            channels,
            activation,
            config.smoothing,
        )
