"""Particles and their grains with known truth, seeded and quick to make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_microgen.methods.particles.shell import ShellLaw
    from napari_microgen.phases import PhaseImage

    LayerData = tuple[Any, dict[str, Any], str]
    from numpy.typing import NDArray

CT_SHAPE = (160, 208, 208)
CT_VOXEL = 0.128
CT_PARTICLES = 150
CT_GREYS = (70.0, 150.0)
CT_NOISE = 18.0
MEAN_RADIUS = 9.0


# ---------------------------------------------------------------------- shells


def true_shells() -> ShellLaw:
    """Return the law that the particles of the sample are drawn from, in voxels.

    Log-normal sizes about a mean radius of 9 voxels, and Student's t for what makes them rough,
    wilder for the higher orders, as in the paper's table 1.
    """
    from napari_microgen.methods.particles.distributions import Fitted
    from napari_microgen.methods.particles.shell import ShellLaw

    size = Fitted("log-normal", (np.log(MEAN_RADIUS * np.sqrt(4 * np.pi)), 0.22), 0.0)
    rough = [Fitted("t", (5.0, 0.0, 4.0 / n**1.7), 0.0) for n in range(1, 10)]
    return ShellLaw(([size], *([law] for law in rough)))


def ct_particles(seed: int = 0) -> NDArray[np.uint8]:
    """Make numbered star-shaped particles that touch but do not overlap.

    Returns
    -------
    ndarray of uint8, shape `CT_SHAPE`
        0 between the particles; those at the border are cut off.
    """
    from napari_microgen.methods.particles.shell import Voxeliser

    random = np.random.default_rng(seed)
    law = true_shells()
    shape = np.array(CT_SHAPE)
    numbers = np.zeros(CT_SHAPE, np.uint8)
    for number in range(1, CT_PARTICLES + 1):
        shell = Voxeliser(law.sample(random))
        inside = shell.inside([-h for h in shell.half], shell.fitting_shape)
        for _ in range(200):
            corner = random.integers(0, shape) - np.array(shell.half)
            low, high = np.maximum(corner, 0), np.minimum(corner + inside.shape, shape)
            box = tuple(map(slice, low, high))
            part = inside[tuple(map(slice, low - corner, high - corner))]
            if not numbers[box][part].any():
                numbers[box][part] = number
                break
    return numbers


def ct_scan(seed: int = 0) -> NDArray[np.uint8]:
    """Image the particles of `ct_particles` as a CT would: blurred, with noise."""
    from scipy.ndimage import gaussian_filter

    dark, bright = CT_GREYS
    sharp = np.where(ct_particles(seed) > 0, np.float32(bright), np.float32(dark))
    noise = np.random.default_rng((seed, 1)).normal(0, CT_NOISE, CT_SHAPE)
    return np.asarray(np.clip(gaussian_filter(sharp, 0.8) + noise, 0, 255), np.uint8)


def particle_image(seed: int = 0) -> PhaseImage:
    """Return the numbered particles, ready to fit shells to."""
    from napari_microgen.phases import PhaseImage

    return PhaseImage.from_numbered(
        ct_particles(seed), voxel_size=(CT_VOXEL,) * 3, unit="um", name="Particles: numbered"
    )


def open_particles() -> list[LayerData]:
    """Return the numbered particles, on top, and their CT volume as napari layers."""
    from napari_microgen.io.layers import METADATA_KEY

    common: dict[str, Any] = {
        "scale": (CT_VOXEL,) * 3,
        "units": ("um",) * 3,
        "axis_labels": ("z", "y", "x"),
        "metadata": {METADATA_KEY: {"sample": "particles", "seed": 0}},
    }
    return [
        (ct_scan(), {"name": "Particles: CT", "visible": False, **common}, "image"),
        (ct_particles(), {"name": "Particles: numbered", **common}, "labels"),
    ]
