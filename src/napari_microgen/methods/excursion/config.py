"""Settings of the excursion sets and their presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from napari_microgen.methods.base import Config, setting


@dataclass(frozen=True)
class ExcursionConfig(Config):
    """Settings of the calibration of excursion sets.

    ``quick`` tries every phase as the first one with the simplest model, and the richest model
    with the phase that was best; ``standard`` tries every model in every order of the phases.
    """

    presets: ClassVar = {"quick": {}, "standard": {"orders": "all", "minutes": 30.0}}

    model: str = setting(
        "auto",
        "Plurigaussian: Gaussian fields, independent and correlated. Chi2: sums of Gaussian and "
        "squared fields (for two phases squared fields alone). Auto tries them and keeps the best.",
        choices=("auto", "plurigaussian", "chi2"),
    )  # fmt: skip
    orders: str = setting(
        "best",
        "Which phase is cut out first matters: try all orders with every model, or with the "
        "richer models only those that were best with the simplest.",
        choices=("best", "all"),
    )
    freedom: int = setting(
        2, "Squared fields that are summed (degrees of freedom).", minimum=1, maximum=4
    )
    stretch: float = setting(
        1.0, "Factor by which generated volumes are longer along z than the image says.",
        minimum=0.2, maximum=5.0,
    )  # fmt: skip
    fit_steps: int = setting(
        250, "Gradient steps per fit.", minimum=1, maximum=100_000, advanced=True
    )
    preview_seconds: float = setting(
        5.0, "Time between two previews; 0 for none.", minimum=0, maximum=3600, unit="s"
    )
    threads: int = setting(
        0, "CPU threads; 0 leaves one core to the viewer.", minimum=0, maximum=1024, advanced=True
    )
