"""Settings of the shell model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from napari_microgen.methods.base import Config, setting


@dataclass(frozen=True)
class ShellConfig(Config):
    """Settings of the fit of particle shells; ``paper`` also keeps the harmonics of order 1."""

    presets: ClassVar = {"quick": {}, "paper": {"centred": False}}

    order: int = setting(
        9, "Highest order of the spherical harmonics; 9 in the paper.", minimum=2, maximum=15
    )
    centred: bool = setting(
        True, "Leave out order 1 in generated shells: it shifts a particle more than it shapes it."
    )
    blur: float = setting(
        1.8, "Grey volumes: standard deviation of the Gaussian before the threshold.",
        minimum=0, maximum=20, unit="voxel", advanced=True,
    )  # fmt: skip
    apart: int = setting(
        5, "Grey volumes: least distance between the centres of two particles.",
        minimum=1, maximum=1000, unit="voxel", advanced=True,
    )  # fmt: skip
    smallest: int = setting(
        10, "Grey volumes: pieces of fewer voxels go to a neighbour or are dropped.",
        minimum=0, maximum=10**6, unit="voxel", advanced=True,
    )  # fmt: skip
    least_sphericity: float = setting(
        0.5, "Grey volumes: so do pieces of lower sphericity.",
        minimum=0, maximum=1, advanced=True,
    )  # fmt: skip
