"""Settings of Field-GAN and its presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from napari_microgen.methods.base import Config, setting


@dataclass(frozen=True)
class FieldGANConfig(Config):
    """Settings of Field-GAN.

    ``quick`` refines with a filter, in about a minute on one CPU core; ``standard`` with a
    network against critics, in some minutes.
    """

    presets: ClassVar = {
        "quick": {"minutes": 10.0},
        "standard": {"refine": "adversarial", "minutes": 15.0},
    }

    refine: str = setting(
        "filter",
        "What is learned on top of the calibrated random fields: nothing, a filter, a network "
        "against critics (adversarial), or what the misfit of the calibrated set asks for (auto).",
        choices=("auto", "none", "filter", "adversarial"),
    )  # fmt: skip
    stretch: float = setting(
        0.0, "Factor by which the material is longer along z than across; 0 reads it from the "
        "images.", minimum=0.0, maximum=5.0,
    )  # fmt: skip
    preview_seconds: float = setting(
        5.0, "Time between two previews; 0 for none.", minimum=0, maximum=3600, unit="s"
    )
    fit_steps: int = setting(
        200, "Gradient steps per fit of an excursion set.", minimum=1, maximum=100_000,
        advanced=True,
    )  # fmt: skip
    filter_steps: int = setting(
        120, "Steps in which the filter is learned.", minimum=1, maximum=10**6, advanced=True
    )
    filter_rate: float = setting(
        0.04, "Adam learning rate of the filter.", minimum=1e-6, maximum=10, advanced=True
    )
    network_steps: int = setting(
        460, "Steps in which the network learns from critics.", minimum=1, maximum=10**6,
        advanced=True,
    )  # fmt: skip
    network_rate: float = setting(
        1e-3, "Adam learning rate of the network.", minimum=1e-7, maximum=1, advanced=True
    )
    side: int = setting(
        128, "Side of the volumes that are learned from and measured.",
        minimum=64, maximum=512, unit="voxel", advanced=True,
    )  # fmt: skip
    threads: int = setting(
        0, "CPU threads; 0 leaves one core to the viewer.", minimum=0, maximum=1024, advanced=True
    )
