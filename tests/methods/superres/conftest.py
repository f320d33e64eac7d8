import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_microgen.methods import get_method
from napari_microgen.methods.superres.degradation import coarsened
from napari_microgen.phases import PhaseImage

TINY = {
    "widths": "4 4 6 6", "critic_widths": "8 8", "noise_channels": 2, "planes": 2,
    "real_patches": 4, "preview_seconds": 0, "fidelity_every": 3, "minutes": 5, "device": "cpu",
    "threads": 1, "measured_side": 64, "warm_up": 1,
    "border": 0,
}  # fmt: skip


@pytest.fixture(scope="session")
def superres_config():
    """Returns a function that gives settings for the smallest networks."""

    def make(preset="quick", **changes):
        config_class = get_method("superres").config_class
        return config_class.from_preset(preset, **{**TINY, **changes})

    return make


def blobs(shape, seed=0, sigma=5.0):
    """Two solid phases in a pore, of the fractions 0.4, 0.45 and 0.15."""
    random = np.random.default_rng(seed)
    first, second = (
        gaussian_filter(random.normal(size=shape), s, mode="wrap") for s in (sigma, sigma / 2)
    )
    solid = first > np.quantile(first, 0.55)
    binder = ~solid & (second > np.quantile(second[~solid], 0.4 / 0.55))
    return np.where(solid, 200, np.where(binder, 3, 0))


@pytest.fixture(scope="session")
def section():
    """A three-phase section with pixels of 50 nm."""
    return PhaseImage.from_labels(
        blobs((160, 160)), names={0: "pore", 3: "binder", 200: "active"}, voxel_size=(50, 50),
        unit="nm", name="section",
    )  # fmt: skip


@pytest.fixture(scope="session")
def truth():
    """A volume of the same material with voxels of 50 nm."""
    return blobs((96, 112, 128), seed=1)


@pytest.fixture(scope="session")
def volume(truth):
    """The same volume with voxels of 200 nm, the binder not to be told from the pore."""
    coarse = np.where(coarsened(truth == 200, 4), 7, 1)
    return PhaseImage.from_labels(
        coarse, names={1: "pore", 7: "active"}, voxel_size=(0.2,) * 3, unit="um", name="volume"
    )
