"""DC-GAN ("Pores for thought", paper 000): 3D from 3D, any number of phases, periodic."""

from napari_microgen.methods.dcgan.config import DCGANConfig
from napari_microgen.methods.dcgan.method import DCGAN
from napari_microgen.methods.dcgan.model import DCGANModel

__all__ = ["DCGAN", "DCGANConfig", "DCGANModel"]
