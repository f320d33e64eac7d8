"""Settings of SuperRes and its three presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from napari_microgen.errors import InputError
from napari_microgen.methods.base import setting
from napari_microgen.training.adversarial_config import numbers
from napari_microgen.training.section_config import SectionConfig

WIDTHS = 4
"""Hidden layers of the generator at the largest scale factor."""

_PAPER: dict[str, Any] = {
    "minutes": 2880.0, "noise_channels": 1, "widths": "64 128 256 512", "normalised": True,
    "direct": False, "critic_widths": "64 128 256 512", "loss": "wasserstein", "critic_steps": 5,
    "volumes": 8, "generator_volumes": 8, "planes": 56, "real_patches": 64,
    "generator_rate": 1e-4, "critic_rate": 1e-4, "beta1": 0.5, "beta2": 0.999, "penalty": 10.0,
    "sharpness": 100.0, "averaging": 0.999, "warm_up": 0, "anchor": 0.0, "match_fractions": False,
    "fidelity_every": 50,
}  # fmt: skip

_STANDARD: dict[str, Any] = {
    "minutes": 60.0, "widths": "32 64 128 256", "critic_widths": "64 128 256", "volumes": 4,
    "planes": 14, "real_patches": 64, "generator_rate": 5e-4, "patience": 6000,
    "mixed_precision": True,
}  # fmt: skip


@dataclass(frozen=True)
class SuperResConfig(SectionConfig):
    """Settings of SuperRes.

    ``quick`` gives a useful result in ten minutes on two CPU cores, ``standard`` is meant for a
    GPU, and ``paper`` has the networks, loss, optimiser and batches of the paper.
    """

    presets: ClassVar = {"quick": {"minutes": 10.0}, "standard": _STANDARD, "paper": _PAPER}

    scale_factor: float = setting(
        0.0,
        "Pixels of the image along an edge of a voxel of the volume, 1 to 8; 0 derives it from "
        "the voxel sizes. The nearest 64/d with a whole d is taken.",
        minimum=0, maximum=8,
    )  # fmt: skip
    phase_map: str = setting(
        "",
        "Which phase of the image looks like which phase of the volume, as pairs of labels "
        "HIGH:LOW such as 0:0,1:1,2:0; empty guesses it.",
    )
    super_sampling: bool = setting(
        False,
        "The volume is under-sampled: its voxels are as sharp as the image's pixels, only farther "
        "apart, so they are compared without blur.",
    )
    border: int = setting(
        1, "Voxels of the volume cropped from every face of the result, where it knows its "
        "surroundings on one side only (paper 001: 1).", minimum=0, maximum=16,
    )  # fmt: skip
    threshold: float = setting(
        0.005, "Voxel-wise loss below which it is not added (the paper's b).",
        minimum=0, maximum=1, advanced=True,
    )  # fmt: skip
    weight: float = setting(
        10.0, "Weight of the voxel-wise loss (the paper's c).",
        minimum=0, maximum=10_000, advanced=True,
    )  # fmt: skip
    sharpness: float = setting(
        20.0,
        "Inverse temperature of the softmax that segments the coarsened result (paper 001: low "
        "temperature; its code: 100). Above 50 wrong voxels hardly have a gradient.",
        minimum=1, maximum=1000, advanced=True,
    )  # fmt: skip
    generator_rate: float = setting(
        1e-3, "Adam learning rate of the generator.", minimum=1e-7, maximum=0.1, advanced=True
    )
    fidelity_every: int = setting(
        100, "Steps between two measurements of the averaged generator.",
        minimum=1, maximum=10**6, advanced=True,
    )  # fmt: skip
    noise_channels: int = setting(
        4, "Channels of noise beside the volume's phases (paper 001: 1).",
        minimum=1, maximum=64, advanced=True,
    )  # fmt: skip
    widths: str = setting(
        "8 16 48 96",
        "Channels of the generator's hidden layers from the finest to the coarsest; those that a "
        "scale factor does not need are left out.",
        advanced=True,
    )
    normalised: bool = setting(
        False, "Batch normalisation in the generator (paper 001: yes).", advanced=True
    )
    direct: bool = setting(
        True, "Add the interpolated volume and smooth noise to the generator's output, and start "
        "from there (paper 001: no).", advanced=True,
    )  # fmt: skip

    match_fractions: bool = setting(
        True, "Let phases that look alike in the volume share their room as in the image.",
        advanced=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.scale_factor < 1:
            raise InputError(
                f"'scale_factor' must be from 1 to 8, or 0 to derive it, not {self.scale_factor:g}."
            )
        if len(self.generator_channels) != WIDTHS:
            raise InputError(f"'widths' must be {WIDTHS} numbers, not '{self.widths}'.")

    @property
    def generator_channels(self) -> tuple[int, ...]:
        """`widths` as numbers."""
        return numbers("widths", self.widths)
