"""Settings of SliceGAN and its three presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from napari_microgen.errors import InputError
from napari_microgen.methods.base import setting
from napari_microgen.training.latent_config import SIDE, LatentConfig

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
class SliceGANConfig(LatentConfig):
    """Settings of SliceGAN.

    ``quick`` gives a useful result in minutes on two CPU cores, ``standard`` is meant for a GPU,
    and ``paper`` has the networks of the paper with the optimiser, batches and length of its
    authors' early code.
    """

    presets: ClassVar = {"quick": {}, "standard": _STANDARD, "paper": _PAPER}

    axes: str = setting(
        "zyx", "Axes whose sections a critic sees; leave out one that no image shows.",
        choices=("zyx", "yx", "zx", "zy"),
    )  # fmt: skip
    symmetry: str = setting(
        "auto",
        "How patches may be turned: by rotations and mirrors (square), mirrors only, or not at "
        "all; auto reads it from the images.",
        choices=("auto", "square", "mirror", "none"),
    )
    isotropic: str = setting(
        "auto",
        "Keep the generator's kernels unchanged by exchanging and mirroring axes; auto does so "
        "when one image stands for all three axes.",
        choices=("auto", "yes", "no"),
    )
    diagonal_sections: bool = setting(
        False, "Also show the critics sections at 45 degrees; prevents ridges along them."
    )
    loss: str = setting(
        "logistic",
        "Logistic: one volume per step shared by generator and critic, and R1 penalty. "
        "Wasserstein: the paper's, several critic steps per generator step, gradient penalty.",
        choices=("logistic", "wasserstein"), advanced=True,
    )  # fmt: skip
    critic_steps: int = setting(
        1, "Critic steps per generator step (Wasserstein loss).",
        minimum=1, maximum=50, advanced=True,
    )  # fmt: skip
    generator_volumes: int = setting(
        1, "Volumes per generator step (Wasserstein loss).", minimum=1, maximum=256, advanced=True
    )
    planes: int = setting(
        8, "Sections per volume and axis, evenly spread.", minimum=1, maximum=SIDE, advanced=True
    )
    real_patches: int = setting(
        24, "Patches of the real image per critic step.", minimum=1, maximum=1024, advanced=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "wasserstein" and len(self.critic_channels) != 4:
            raise InputError(
                f"'critic_widths' must be four numbers with the Wasserstein loss, not "
                f"'{self.critic_widths}'."
            )
