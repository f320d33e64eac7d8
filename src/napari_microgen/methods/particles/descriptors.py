"""Descriptors of particles and grains, real against generated, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.harmonics import roughness_spectrum
from napari_microgen.methods.particles.section_judge import POINTS_PER_UNIT
from napari_microgen.methods.particles.sections import pooled, read_section, unit_length
from napari_microgen.methods.particles.segmentation import drop_border, fill_pores
from napari_microgen.methods.particles.shell import fit_shell
from napari_microgen.metrics.grains import section_descriptors, volume_descriptors
from napari_microgen.metrics.ks import sample_distances
from napari_microgen.metrics.particles import measure_particles
from napari_microgen.units import count_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.metrics.ks import Distance
    from napari_microgen.phases import PhaseImage

    Sample = Mapping[str, NDArray[np.float64]]
    Place = Sequence[float]

LOWEST = 2
"""Lowest order of the roughness; order 1 is where a particle lies, not how rough it is."""


@dataclass(frozen=True)
class Description:
    """Descriptors of the particles or grains of an image.

    Attributes
    ----------
    values : dict of str to ndarray
        A value per particle or grain.
    count : int
        Grains of a section, cut ones too; 0 of anything else.
    area : float
        Area that these lie in.
    """

    values: Sample
    count: int = 0
    area: float = 0.0


def grains_in_section(image: PhaseImage, centre: Place | None = None) -> Description:
    """Describe angle to the radius, aspect ratio and area of the grains of sections.

    Of a volume, the three sections through the centre. What was not indexed goes to the nearest
    grain; only whole grains count.
    """
    planes = [(image, centre)] if image.ndim == 2 else list(_planes(image, centre))
    parts, count, area = [], 0, 0.0
    for plane, middle in planes:
        section = read_section(plane, None if middle is None else (middle[0], middle[1]))
        stride = max(1, int(unit_length([section]) / POINTS_PER_UNIT))
        origin = section.centre[0] / stride, section.centre[1] / stride
        size = plane.voxel_size[0] * stride
        parts.append(section_descriptors(section.numbers[::stride, ::stride], origin, size))
        count += section.n_grains
        area += section.area * plane.voxel_size[0] ** 2
    return Description(_named(pooled(parts), {"angle": "°", "area": f"{image.unit}²"}), count, area)


def grains_in_volume(image: PhaseImage, centre: Place | None = None) -> Description:
    """Describe angle, aspect ratio, volume, sphericity and wholeness of the grains of a volume."""
    _check_3d(image)
    found = volume_descriptors(image.data, centre, image.voxel_size)
    return Description(_named(found, {"angle": "°", "volume": f"{image.unit}³"}))


def particles(image: PhaseImage, _centre: Place | None = None) -> Description:
    """Describe volume, surface, sphericity and roughness by order of the whole particles.

    Closed pores are part of them, as of shells.
    """
    _check_3d(image)
    numbered = fill_pores(drop_border(image.data))
    if not numbered.any():
        raise InputError(
            f"Every particle of '{image.name}' meets the border of the volume, where its shape is "
            "cut off; use a larger volume with whole particles."
        )
    bodies = measure_particles(numbered, voxel_size=image.voxel_size)
    rows = [
        fit_shell(numbered[box] == n, image.voxel_size, np.random.default_rng(n))[0]
        for n, box in enumerate(ndimage.find_objects(numbered), 1)
    ]
    rough = roughness_spectrum(np.array(rows))
    found = {
        "volume": bodies.volumes, "surface": bodies.surfaces, "sphericity": bodies.sphericities
    }  # fmt: skip
    found |= {f"roughness, order {n + 1}": rough[:, n] for n in range(LOWEST - 1, rough.shape[1])}
    return Description(_named(found, {"volume": f"{image.unit}³", "surface": f"{image.unit}²"}))


KINDS: dict[str, Callable[[PhaseImage, Place | None], Description]] = {
    "grains in sections": grains_in_section,
    "grains in a volume": grains_in_volume,
    "particles": particles,
}
"""What numbers may stand for, and how that is described."""


@dataclass(frozen=True)
class Populations:
    """Descriptors of real and generated particles or grains, and how far they are apart.

    Attributes
    ----------
    real, generated : dict of str to ndarray
        A value per particle or grain.
    distances : dict of str to Distance
    densities : dict of str to (float, float)
        Grains per area, real and generated, where they were counted.
    """

    real: Sample
    generated: Sample
    distances: Mapping[str, Distance]
    densities: Mapping[str, tuple[float, float]]


def compare_populations(
    real: Sequence[PhaseImage],
    generated: PhaseImage,
    kind: str,
    centres: Sequence[Place | None] = (),
) -> Iterator[tuple[float, str] | Populations]:
    """Describe and compare; yields the share done and what was done, then the result.

    Parameters
    ----------
    real : sequence of PhaseImage
        Numbered; their particles or grains are put together.
    generated : PhaseImage
    kind : str
        One of `KINDS`.
    centres : sequence of (sequence of float or None), optional
        Where the centre of the particle lies in each real image and in the generated one, in
        pixels; None for the centroid.

    Raises
    ------
    InputError
        If there are not as many centres as images, or an image cannot be described or holds no
        whole particle or grain.
    """
    units = {image.unit for image in (*real, generated)}
    if len(units) > 1:
        raise InputError(
            f"Sizes in {' and '.join(sorted(units))} cannot be compared; give all layers the same "
            "unit and their voxel size."
        )
    images = (*real, generated)
    if centres and len(centres) != len(images):
        raise InputError(
            f"There are {count_text(len(real), 'real image')} and "
            f"{count_text(len(centres) - 1, 'centre')}; give one centre per image in the order of "
            "the images, or none for the centroids."
        )
    describe, parts = KINDS[kind], []
    for i, (image, centre) in enumerate(zip(images, centres or [None] * len(images), strict=True)):
        parts.append(describe(image, centre))
        if not len(next(iter(parts[-1].values.values()))):
            raise InputError(f"'{image.name}' holds nothing whole to measure; use a larger image.")
        yield (i + 1) / (len(real) + 1), f"measured {image.name}"
    together, made = pooled([part.values for part in parts[:-1]]), parts[-1].values
    densities = {}
    if parts[-1].count:
        first = sum(part.count for part in parts[:-1]) / sum(part.area for part in parts[:-1])
        densities[f"grains per {generated.unit}²"] = first, parts[-1].count / parts[-1].area
    yield Populations(together, made, sample_distances(together, made), densities)


def _planes(
    image: PhaseImage, centre: Place | None
) -> Iterator[tuple[PhaseImage, tuple[float, ...]]]:
    """Yield the three planes through a centre, by default the middle, and the centre in them."""
    middle = [n // 2 for n in image.shape] if centre is None else list(centre)
    if not all(-0.5 <= m < n - 0.5 for m, n in zip(middle, image.shape, strict=True)):
        raise InputError(
            f"The centre ({', '.join(f'{m:.5g}' for m in middle)}) lies outside '{image.name}'; "
            "place the point on the particle's middle, or leave it out."
        )
    for axis, name in enumerate("zyx"):
        sizes = tuple(s for i, s in enumerate(image.voxel_size) if i != axis)
        plane = image.data.take(round(middle[axis]), axis)
        title = f"{image.name}, normal to {name}"
        inside = tuple(m for i, m in enumerate(middle) if i != axis)
        yield replace(image, data=plane, voxel_size=sizes, name=title), inside


def _named(found: Sample, units: Mapping[str, str]) -> Sample:
    return {f"{k} ({units[k]})" if k in units else k: v for k, v in found.items()}


def _check_3d(image: PhaseImage) -> None:
    if image.ndim != 3:
        raise InputError(
            f"'{image.name}' is a section; choose 'grains in sections', or a volume instead."
        )
