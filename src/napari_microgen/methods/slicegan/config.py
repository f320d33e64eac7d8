"""Settings of SliceGAN and its three presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from napari_microgen.methods.base import setting
from napari_microgen.training.latent_config import LatentConfig
from napari_microgen.training.section_config import SectionConfig

_PAPER: dict[str, Any] = {
    "minutes": 1440.0, "steps": 5400, "latent_channels": 64, "widths": "512 256 128 64",
    "critic_widths": "64 128 256 512", "loss": "wasserstein", "critic_steps": 5, "volumes": 8,
    "generator_volumes": 32, "planes": 64, "real_patches": 32, "generator_rate": 1e-4,
    "critic_rate": 1e-4, "beta1": 0.0, "beta2": 0.9, "penalty": 10.0, "averaging": 0.999,
    "smooth_start": False, "smoothing": 0.0, "match_fractions": False, "fidelity_every": 50,
    "warm_up": 0, "anchor": 0.0, "lattice": 0.0, "isotropic": "no",
}  # fmt: skip

_STANDARD: dict[str, Any] = {
    "minutes": 60.0, "latent_channels": 32, "widths": "256 128 64 32",
    "critic_widths": "64 128 256", "volumes": 4, "planes": 16, "real_patches": 64,
    "fidelity_every": 100, "patience": 4000, "mixed_precision": True,
}  # fmt: skip


@dataclass(frozen=True)
class SliceGANConfig(SectionConfig, LatentConfig):
    """Settings of SliceGAN.

    ``quick`` gives a useful result in minutes on two CPU cores, ``standard`` is meant for a GPU,
    and ``paper`` has the networks of the paper with the optimiser, batches and length of its
    authors' early code.
    """

    presets: ClassVar = {"quick": {}, "standard": _STANDARD, "paper": _PAPER}

    isotropic: str = setting(
        "auto",
        "Keep the generator's kernels unchanged by exchanging and mirroring axes; auto does so "
        "when one image stands for all three axes.",
        choices=("auto", "yes", "no"),
    )
