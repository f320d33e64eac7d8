"""Sections that are described and compared: real ones, of volumes, and of calibrated sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_microgen.methods.fieldgan.inputs import FieldInputs
from napari_microgen.training.patches import PatchSampler
from napari_microgen.training.sections import straight_sections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_microgen.methods.excursion.model import ExcursionModel
    from napari_microgen.training.orientations import Orientation

SIDE = 64
"""Side of the sections that are described, in voxels."""

REAL_SECTIONS = 256
PLANES = 6
PLANE_SIDE = 512
"""Planes that the means of a calibrated set are taken from, where planes can be drawn alone."""

VOLUMES = 6
VOLUME_SIDE = 128
SPACING = 16
"""Voxels between two sections of a volume; closer ones say the same."""

LEARNED_SEEDS = 2**33
"""Added to the seeds of what is learned from; no user's volume is one of them."""


def real_sections(orientation: Orientation, random: np.random.Generator) -> Tensor:
    """Draw indicators of real sections, shape ``(REAL_SECTIONS, n_phases, SIDE, SIDE)``."""
    sampler = PatchSampler(orientation.image, SIDE, orientation.symmetry)
    return sampler.draw(REAL_SECTIONS, random)


def independent_sections(orientation: Orientation) -> float:
    """Return how many sections of `SIDE` the labelled part of the image would fill."""
    return max(1.0, float(orientation.image.labelled.sum()) / SIDE**2)


def calibrated_sections(model: ExcursionModel, axis: int) -> Tensor:
    """Draw indicators of so many sections of a calibrated set that their means are its own.

    Sections of an isotropic set are planes drawn by themselves; those of a stretched one are
    cut out of volumes.

    Returns
    -------
    Tensor, shape (n, n_phases, SIDE, SIDE)
    """
    n_phases = len(model.origin.phases)
    if axis == 0 or model.stretch == 1:
        plane = (PLANE_SIDE, PLANE_SIDE)
        drawn = [model.section(plane, LEARNED_SEEDS - 1 - i)[None] for i in range(PLANES)]
        return torch.cat([cut_sections(one_hot(d, n_phases), 0, 1) for d in drawn])
    inputs = FieldInputs(model)
    volumes = (inputs.periodic((VOLUME_SIDE,) * 3, LEARNED_SEEDS - 1 - i) for i in range(VOLUMES))
    found = (one_hot(v.argmax(0).numpy(), n_phases) for v in volumes)
    return torch.cat([cut_sections(v, axis, SPACING) for v in found])


def cut_sections(channels: Tensor, axis: int, step: int) -> Tensor:
    """Cut every `step`-th section of a volume into squares of `SIDE`.

    Parameters
    ----------
    channels : Tensor, shape (channels, z, y, x)
        At least `SIDE` voxels along every axis but the one that the sections are normal to.

    Returns
    -------
    Tensor, shape (n, channels, SIDE, SIDE)
    """
    planes = torch.arange(step // 2, channels.shape[1 + axis], step)
    sections = straight_sections(channels[None], axis, planes.to(channels.device))
    squares = sections.unfold(2, SIDE, SIDE).unfold(3, SIDE, SIDE)
    return squares.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).contiguous()


def one_hot(phases: NDArray[np.integer], n_phases: int) -> Tensor:
    """Return the indicators of phase indices, shape ``(n_phases, ...)``."""
    return torch.from_numpy(np.stack([phases == k for k in range(n_phases)]).astype(np.float32))
