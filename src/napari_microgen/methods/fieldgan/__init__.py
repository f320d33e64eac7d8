"""Field-GAN: calibrated random fields, refined by what a small network learns.

A method of our own. A network that treats every place alike acts on the random fields of a
calibrated excursion set. Before it has learned anything it hands the excursion set on unchanged;
learning adds what two-point statistics do not hold. Volumes are stationary by construction: no
lattice, any size, periodic with the fields, and tiles are exact with a halo of what the network
sees.
"""

from napari_microgen.methods.fieldgan.config import FieldGANConfig
from napari_microgen.methods.fieldgan.method import FieldGAN
from napari_microgen.methods.fieldgan.model import FieldGANModel

__all__ = ["FieldGAN", "FieldGANConfig", "FieldGANModel"]
