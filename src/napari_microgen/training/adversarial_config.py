"""Settings of every method that trains a generator against critics."""

from __future__ import annotations

from dataclasses import dataclass

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, setting

SIDE = 64
"""Side of training cubes and patches in voxels (the papers' l)."""


@dataclass(frozen=True)
class AdversarialConfig(Config):
    """Settings of `AdversarialTraining`; the defaults are the quick recipe of SliceGAN."""

    patience: int = setting(
        0, "Stop when no better model was found for so many steps; 0 uses the whole budget.",
        minimum=0, maximum=10**9,
    )  # fmt: skip
    preview_seconds: float = setting(
        5.0, "Time between two previews; 0 for none.", minimum=0, maximum=3600, unit="s"
    )
    critic_widths: str = setting(
        "32 64 128", "Channels of the critic's hidden layers.", advanced=True
    )
    volumes: int = setting(1, "Volumes per critic step.", minimum=1, maximum=64, advanced=True)
    generator_rate: float = setting(
        5e-4, "Adam learning rate of the generator.", minimum=1e-7, maximum=0.1, advanced=True
    )
    critic_rate: float = setting(
        1e-3, "Adam learning rate of the critics.", minimum=1e-7, maximum=0.1, advanced=True
    )
    beta1: float = setting(0.0, "Adam beta 1.", minimum=0, maximum=0.999, advanced=True)
    beta2: float = setting(0.99, "Adam beta 2.", minimum=0, maximum=0.9999, advanced=True)
    warm_up: int = setting(
        60, "Steps in which only the critics learn, so that they do not spoil a good start.",
        minimum=0, maximum=10**6, advanced=True,
    )  # fmt: skip
    anchor: float = setting(
        0.2, "Weight of the squared errors of volume fractions and two-point correlation.",
        minimum=0, maximum=1000, advanced=True,
    )  # fmt: skip
    penalty: float = setting(
        1.0, "Weight of the gradient penalty (R1 every 8th step, or Wasserstein's lambda).",
        minimum=0, maximum=1000, advanced=True,
    )  # fmt: skip
    averaging: float = setting(
        0.995, "Decay of the moving average of the generator that is kept.",
        minimum=0, maximum=0.99999, advanced=True,
    )  # fmt: skip
    mixed_precision: bool = setting(
        False, "Compute in bfloat16 where a CUDA device has it.", advanced=True
    )
    fidelity_every: int = setting(
        40, "Steps between two measurements of the averaged generator.",
        minimum=1, maximum=10**6, advanced=True,
    )  # fmt: skip
    measured_side: int = setting(
        128, "Side of the volume that is measured while training, and of the preview.",
        minimum=SIDE, maximum=1024, unit="voxel", advanced=True,
    )  # fmt: skip
    threads: int = setting(
        0, "CPU threads; 0 leaves one core to the viewer.", minimum=0, maximum=1024, advanced=True
    )

    @property
    def critic_channels(self) -> tuple[int, ...]:
        """`critic_widths` as numbers."""
        return numbers("critic_widths", self.critic_widths)


def numbers(name: str, text: str) -> tuple[int, ...]:
    """Return the positive numbers in a setting such as ``"128 64 32 16"``.

    Raises
    ------
    InputError
        If it holds anything else, or nothing.
    """
    parts = text.replace(",", " ").split()
    if not parts or not all(p.isdigit() and 0 < int(p) <= 4096 for p in parts):
        raise InputError(f"'{name}' must be numbers such as '128 64 32 16', not '{text}'.")
    return tuple(int(p) for p in parts)
