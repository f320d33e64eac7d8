"""Particles and their grains with known truth, seeded and quick to make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_microgen.methods.particles.diagram import Diagram
    from napari_microgen.methods.particles.shell import ShellLaw
    from napari_microgen.phases import PhaseImage

    LayerData = tuple[Any, dict[str, Any], str]
    from numpy.typing import NDArray

CT_SHAPE = (160, 208, 208)
CT_VOXEL = 0.6
CT_PARTICLES = 150
CT_GREYS = (70.0, 150.0)
CT_NOISE = 18.0
MEAN_RADIUS = 9.0

GRAIN_INTENSITY = 0.0026
GRAIN_DIAGONALS = (
    ((1.1, 1.7), (5.0, 8.0), (5.0, 8.0)),
    ((3.0, 5.0), (3.0, 5.0), (3.0, 5.0)),
)
ROUND_SHARE = 0.35
GRAIN_OFFSETS = (5.0, 35.0)
GRAIN_PIXEL = 0.05
GRAIN_UNIT = 1.5
"""Pixels per unit of length of the paper."""

SECTION_SHAPE = (321, 321)
SECTION_RADIUS = 120.0
TRUTH_RADIUS = 80


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


# ---------------------------------------------------------------------- grains


def true_grains(seed: int, reach: float) -> Diagram:
    """Return the diagram behind the sample's grains, in the paper's units.

    Seeds are a Poisson process of 0.0026 per cubic unit. Two thirds of the grains are drawn out
    along the radius, the others as long as wide; all differ in size and shape, independently of
    their neighbours.

    Parameters
    ----------
    seed : int
        Which realisation.
    reach : float
        Half the side of the cube that is filled.
    """
    import torch

    from napari_microgen.methods.particles.diagram import Diagram, metrics, radial_bases
    from napari_microgen.methods.particles.seeds import poisson_seeds

    seeds = poisson_seeds(GRAIN_INTENSITY, seed, reach)
    random = np.random.default_rng((seed, 2))
    n = len(seeds)
    long, round_ = (
        random.uniform([a for a, _ in ends], [b for _, b in ends], (n, 3))
        for ends in GRAIN_DIAGONALS
    )
    diagonals = np.where(random.random((n, 1)) < ROUND_SHARE, round_, long)
    offsets = random.uniform(*GRAIN_OFFSETS, n)
    bases = radial_bases(torch.from_numpy(seeds.points), torch.from_numpy(seeds.turns))
    matrices = metrics(bases, torch.from_numpy(diagonals)).numpy()
    return Diagram(seeds.points, diagonals, matrices, offsets)


def grain_section(seed: int, unindexed: bool = True) -> NDArray[np.int32]:
    """Make an EBSD-like map of a planar section through a particle's centre.

    Parameters
    ----------
    seed : int
        Which realisation.
    unindexed : bool
        Whether some pixels have no grain, as in a measured map.

    Returns
    -------
    ndarray of int32, shape `SECTION_SHAPE`
        Grains numbered from 1; 0 outside the particle, and at about 4 % of its pixels, most of
        them between grains, which could not be indexed. The centre is the middle of the image.
    """
    from napari_microgen.methods.particles.shell import Voxeliser

    half = SECTION_SHAPE[0] // 2
    reach = half / GRAIN_UNIT
    random = np.random.default_rng((seed, 3))
    outline = true_shells().sample(random)
    outline *= SECTION_RADIUS / (outline[0] / np.sqrt(4 * np.pi))
    inside = Voxeliser(outline).inside((0, -half, -half), (1, *SECTION_SHAPE))[0]
    owner = true_grains(seed, reach + 16).owners(
        (0, -reach, -reach), (1, *SECTION_SHAPE), 1 / GRAIN_UNIT, inside[None]
    )[0]
    numbers = renumbered(owner + 1)
    if not unindexed:
        return numbers
    edge = np.zeros(numbers.shape, bool)
    edge[:-1] |= numbers[:-1] != numbers[1:]
    edge[:, :-1] |= numbers[:, :-1] != numbers[:, 1:]
    lost = random.random(numbers.shape) < np.where(edge, 0.12, 0.01)
    return np.where(lost, 0, numbers).astype(np.int32)


def grain_volume(seed: int = 0) -> NDArray[np.int32]:
    """Make the grains of a ball, the known 3D truth behind `grain_section`.

    Returns
    -------
    ndarray of int32, shape (161, 161, 161)
        On the sections' pixels; the centre is the middle.
    """
    half = TRUTH_RADIUS
    reach = half / GRAIN_UNIT
    side = 2 * half + 1
    z, y, x = np.ogrid[-half : half + 1, -half : half + 1, -half : half + 1]
    inside = z * z + y * y + x * x <= half * half
    owner = true_grains(seed, reach + 16).owners((-reach,) * 3, (side,) * 3, 1 / GRAIN_UNIT, inside)
    return renumbered(owner + 1)


def renumbered(numbers: NDArray[np.integer]) -> NDArray[np.int32]:
    """Number what occurs from 1, in ascending order; 0 stays."""
    values, index = np.unique(numbers, return_inverse=True)
    return np.asarray(index.reshape(numbers.shape) + (values[0] != 0), np.int32)


def section_images(count: int = 6) -> list[PhaseImage]:
    """Return sections of so many particles, ready to be learned from."""
    from napari_microgen.phases import PhaseImage

    return [
        PhaseImage.from_numbered(
            grain_section(seed), voxel_size=(GRAIN_PIXEL,) * 2, unit="um",
            name=f"Grains: section {seed}",
        )
        for seed in range(1, count + 1)
    ]  # fmt: skip


def open_grains() -> list[LayerData]:
    """Return sections on top, the centres of their particles, and the true grains in 3D."""
    from napari_microgen.io.layers import METADATA_KEY

    def common(*axes: str) -> dict[str, Any]:
        return {
            "scale": (GRAIN_PIXEL,) * len(axes),
            "units": ("um",) * len(axes),
            "axis_labels": axes,
            "metadata": {METADATA_KEY: {"sample": "grains", "seed": 0}},
        }

    middle = [n // 2 for n in SECTION_SHAPE]
    sections = section_images()
    layers: list[LayerData] = [
        (grain_volume(), {"name": "Grains: true volume", "visible": False, **common(*"zyx")},
         "labels"),
    ]  # fmt: skip
    layers += [
        (image.data, {"name": image.name, "visible": image is sections[0], **common(*"yx")},
         "labels")
        for image in reversed(sections)
    ]  # fmt: skip
    looks = {"name": "Grains: centres", "size": 6, "face_color": "white", "visible": False}
    return [*layers, ([middle] * len(sections), {**looks, **common(*"yx")}, "points")]
