"""Settings of the excursion sets and their presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, setting
from napari_microgen.methods.excursion.anisotropy import RANGE


@dataclass(frozen=True)
class ExcursionConfig(Config):
    """Settings of the calibration of excursion sets.

    ``quick`` tries every phase as the first one with the simplest model, and the richer models
    with the phase that was best, as far as they are needed; ``standard`` tries every model in
    every order of the phases.
    ``paper`` takes model, kernels, algorithm and patience of paper 002, in every order.
    """

    presets: ClassVar = {
        "quick": {},
        "standard": {"orders": "all", "minutes": 30.0, "epochs": 2000, "patience": 500},
        "paper": {
            "model": "chi2", "orders": "all", "spectrum": "kernels", "algorithm": "3",
            "minutes": 240.0, "epochs": 10_000, "patience": 500,
        },
    }  # fmt: skip

    model: str = setting(
        "auto",
        "Plurigaussian: Gaussian fields, independent and correlated. Chi2: sums of Gaussian and "
        "squared fields (for two phases squared fields alone). Auto tries them and keeps the "
        "best. Lowparam: the best, with six numbers for each correlation function.",
        choices=("auto", "plurigaussian", "chi2", "lowparam"),
    )  # fmt: skip
    orders: str = setting(
        "best",
        "Which phase is cut out first matters: try all orders with every model, or with the "
        "richer models only those that were best with the simplest, and leave out the richest "
        "where a simpler one is good.",
        choices=("best", "all"),
    )
    algorithm: str = setting(
        "exact",
        "Exact: closed-form two-point functions, in seconds. 1, 2, 3: the algorithms of the paper "
        "on top of it, by simulation, with a discriminator, or with both; minutes.",
        choices=("exact", "1", "2", "3"),
    )  # fmt: skip
    spectrum: str = setting(
        "shells",
        "How correlation functions are written down: by spectral shells, or by the paper's "
        "radial kernels of 101 numbers.",
        choices=("shells", "kernels"), advanced=True,
    )  # fmt: skip
    freedom: int = setting(
        2, "Squared fields that are summed (degrees of freedom).", minimum=1, maximum=4
    )
    stretch: float = setting(
        0.0,
        "Factor by which generated volumes are longer along z; 0 takes it from a second section "
        "or a volume, and 1 where there is neither.",
        minimum=0, maximum=RANGE[1],
    )  # fmt: skip
    fit_steps: int = setting(
        250, "Gradient steps per exact fit.", minimum=1, maximum=100_000, advanced=True
    )
    epochs: int = setting(
        400, "Simulations of algorithms 1, 2 and 3 at most.",
        minimum=1, maximum=1_000_000, advanced=True,
    )  # fmt: skip
    patience: int = setting(
        200,
        "Algorithms 1, 2 and 3 stop when so many simulations brought no better volume fractions "
        "and surfaces, after 100 at the earliest; 500 in the paper.",
        minimum=1, maximum=1_000_000, advanced=True,
    )  # fmt: skip
    preview_seconds: float = setting(
        5.0, "Time between two previews; 0 for none.", minimum=0, maximum=3600, unit="s"
    )
    threads: int = setting(
        0, "CPU threads; 0 leaves one core to the viewer.", minimum=0, maximum=1024, advanced=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.stretch < RANGE[0]:
            raise InputError(
                f"'stretch' must be 0, or {RANGE[0]:g} at least, not {self.stretch:g}."
            )
