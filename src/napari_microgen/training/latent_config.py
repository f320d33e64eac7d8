"""Settings of every method that trains a generator of endless volumes on latents."""

from __future__ import annotations

from dataclasses import dataclass

from napari_microgen.errors import InputError
from napari_microgen.methods.base import setting
from napari_microgen.training.adversarial_config import SIDE, AdversarialConfig, numbers

__all__ = ["SIDE", "LatentConfig"]


@dataclass(frozen=True)
class LatentConfig(AdversarialConfig):
    """Settings of `LatentTraining`; the defaults are the quick recipe of SliceGAN."""

    latent_channels: int = setting(
        16, "Channels of the latent.", minimum=1, maximum=512, advanced=True
    )
    widths: str = setting(
        "128 64 32 16", "Channels of the generator's four hidden layers.", advanced=True
    )
    lattice: float = setting(
        100.0,
        "Weight against what repeats every 16 voxels (isotropic only).",
        minimum=0,
        maximum=1e5,
        advanced=True,
    )
    smooth_start: bool = setting(
        True, "Start from a smooth random field of the right feature size.", advanced=True
    )
    smoothing: float = setting(
        0.6, "Width of a 3-voxel Gaussian over the generator's output; removes crumbs.",
        minimum=0, maximum=2, unit="voxel", advanced=True,
    )  # fmt: skip
    match_fractions: bool = setting(
        True, "Shift the kept generator's biases so that its volume fractions are the image's.",
        advanced=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.generator_channels) != 4:
            raise InputError(f"'widths' must be four numbers, not '{self.widths}'.")

    @property
    def generator_channels(self) -> tuple[int, ...]:
        """`widths` as numbers."""
        return numbers("widths", self.widths)
