"""SuperRes: a coarse volume and a fine image of one material to a fine volume.

Paper 001: A. Dahari, S. Kench, I. Squires and S. J. Cooper, "Fusion of complementary 2D and 3D
mesostructural datasets using generative adversarial networks", Advanced Energy Materials 13
(2023) 2202407, arXiv:2110.11281.
"""

from napari_microgen.methods.superres.config import SuperResConfig
from napari_microgen.methods.superres.method import SuperRes
from napari_microgen.methods.superres.model import SuperResModel

__all__ = ["SuperRes", "SuperResConfig", "SuperResModel"]
