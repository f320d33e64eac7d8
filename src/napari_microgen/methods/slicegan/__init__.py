"""SliceGAN: a 3D generator learned from 2D sections.

Paper 003: S. Kench and S. J. Cooper, "Generating 3D structures from a 2D slice with GAN-based
dimensionality expansion", Nature Machine Intelligence 3 (2021) 299, arXiv:2102.07708.
"""

from napari_microgen.methods.slicegan.config import SliceGANConfig
from napari_microgen.methods.slicegan.method import SliceGAN
from napari_microgen.methods.slicegan.model import SliceGANModel

__all__ = ["SliceGAN", "SliceGANConfig", "SliceGANModel"]
