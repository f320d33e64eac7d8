"""Settings of the DC-GAN and its three presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from napari_microgen.errors import InputError
from napari_microgen.methods.base import setting
from napari_microgen.training.latent_config import SIDE, LatentConfig

_QUICK: dict[str, Any] = {"minutes": 10.0, "critic_widths": "16 32 64", "fidelity_every": 80}

_STANDARD: dict[str, Any] = {
    "minutes": 120.0, "latent_channels": 32, "widths": "256 128 64 32",
    "critic_widths": "32 64 128", "volumes": 8, "real_cubes": 16, "fidelity_every": 100,
    "patience": 4000, "mixed_precision": True,
}  # fmt: skip

_PAPER: dict[str, Any] = {
    "recipe": "paper", "epochs": 72, "minutes": 2880.0, "latent_channels": 100,
    "widths": "512 256 128 64", "critic_widths": "16 32 64 128", "volumes": 32, "real_cubes": 32,
    "generator_rate": 2e-5, "critic_rate": 2e-5, "beta1": 0.5, "beta2": 0.999, "averaging": 0.0,
    "smooth_start": False, "smoothing": 0.0, "match_fractions": False, "anchor": 0.0,
    "lattice": 0.0, "penalty": 0.0, "warm_up": 0, "symmetry": "none", "fidelity_every": 400,
}  # fmt: skip


@dataclass(frozen=True)
class DCGANConfig(LatentConfig):
    """Settings of the DC-GAN.

    ``paper`` has the networks, loss and optimiser of the paper. ``quick`` and ``standard`` learn
    from the same cubes with a generator whose volumes have no borders and a critic that is held
    smooth, so that neighbouring cubes differ as much as real ones do; ``quick`` is sized for two
    CPU cores and ``standard`` for a GPU.
    """

    presets: ClassVar = {"quick": _QUICK, "standard": _STANDARD, "paper": _PAPER}

    side: int = setting(
        SIDE, "Side of the training cubes; 32 for volumes too small for 64.",
        choices=(32, SIDE), unit="voxel",
    )  # fmt: skip
    symmetry: str = setting(
        "auto",
        "How cubes may be turned: by all rotations and mirrors (cube), mirrors only, or not at "
        "all; auto reads it from the volume.",
        choices=("auto", "cube", "mirror", "none"),
    )
    recipe: str = setting(
        "stationary",
        "Stationary: a generator without borders, logistic loss with R1 penalty. Paper: the "
        "paper's networks, cross entropy with one-sided label smoothing.",
        choices=("stationary", "paper"), advanced=True,
    )  # fmt: skip
    real_cubes: int = setting(
        4, "Real cubes per critic step.", minimum=1, maximum=256, advanced=True
    )
    spread: float = setting(
        1.0, "Weight that holds the spread of volume fractions among cubes to the real one.",
        minimum=0, maximum=1000, advanced=True,
    )  # fmt: skip
    label: float = setting(
        0.9, "Label of real cubes (paper recipe): 1 less the label smoothing of 0.1.",
        minimum=0.5, maximum=1.0, advanced=True,
    )  # fmt: skip
    generator_steps: int = setting(
        2, "Generator steps per discriminator step (paper recipe).",
        minimum=1, maximum=20, advanced=True,
    )  # fmt: skip
    epochs: int = setting(
        0, "Length in epochs, each as many cubes as there are places 8 voxels apart; 0 leaves "
        "it to the other budgets.",
        minimum=0, maximum=10**6, advanced=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recipe == "paper":
            if self.side != SIDE:
                raise InputError(
                    f"The paper's networks need cubes of {SIDE} voxels; choose the preset quick "
                    "for smaller ones."
                )
            if len(self.critic_channels) != 4:
                raise InputError(
                    "'critic_widths' must be four numbers with the paper's networks, not "
                    f"'{self.critic_widths}'."
                )
