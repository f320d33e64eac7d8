"""Settings of the grain model and their presets."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, setting

_PAPER: dict[str, Any] = {
    "minutes": 1440.0, "steps": 20_000, "batch": 128, "generated": 64, "rate": 1e-4,
    "final_rate": 1e-4, "averaging": 0.0, "intensity_every": 100, "fidelity_every": 100,
    "beta1": 0.9, "beta2": 0.999, "searched_start": False, "spread": 0.02, "anchor": 0.0,
    "flatness": 0.0, "fitted": True,
}  # fmt: skip


@dataclass(frozen=True)
class GrainConfig(Config):
    """Settings of the grain model.

    ``quick`` is done in two minutes on two CPU cores; ``paper`` has the schedule of the paper, 200
    epochs of 100 steps.
    """

    presets: ClassVar = {
        "quick": {"minutes": 2.0, "steps": 600},
        "standard": {"minutes": 20.0, "steps": 3000, "batch": 32, "generated": 32},
        "paper": _PAPER,
    }

    stack: bool = setting(
        False, "A 3D image is a stack of sections of different particles, and no volume."
    )
    centres: str = setting(
        "", "Particle centre of every section as 'y x; y x' in pixels; empty for the centroids."
    )
    fitted: bool = setting(
        False, "Learn from a diagram fitted to every section, with markers that vary by up to "
        "20 %, as the paper does, instead of from the pixels.",
    )  # fmt: skip
    preview_seconds: float = setting(
        5.0, "Time between two previews; 0 for none.", minimum=0, maximum=3600, unit="s"
    )
    batch: int = setting(
        16, "Real cutouts per discriminator step.", minimum=2, maximum=4096, advanced=True
    )
    generated: int = setting(
        16, "Generated cutouts per step.", minimum=2, maximum=4096, advanced=True
    )
    rate: float = setting(
        1e-3, "Adam learning rate at the start.", minimum=1e-7, maximum=0.1, advanced=True
    )
    final_rate: float = setting(
        5e-5, "Learning rate after the last step, reached along a cosine.",
        minimum=1e-7, maximum=0.1, advanced=True,
    )  # fmt: skip
    beta1: float = setting(0.5, "Adam beta 1.", minimum=0, maximum=0.999, advanced=True)
    beta2: float = setting(0.9, "Adam beta 2.", minimum=0, maximum=0.9999, advanced=True)
    averaging: float = setting(
        0.98, "Decay of the moving average of the marker network that is kept.",
        minimum=0, maximum=0.9999, advanced=True,
    )  # fmt: skip
    anchor: float = setting(
        3.0, "Weight of the distance between sizes, shapes and directions of grains in cutouts; 0 "
        "leaves all to the discriminator, as the paper does.",
        minimum=0, maximum=1000, advanced=True,
    )  # fmt: skip
    flatness: float = setting(
        0.1, "Weight against grains that are flat across the radius, which sections through the "
        "centre hardly show; 0 as in the paper.",
        minimum=0, maximum=1000, advanced=True,
    )  # fmt: skip
    spread: float = setting(
        0.3, "Standard deviation of the last layer's first weights: how markers differ at first.",
        minimum=0, maximum=10, advanced=True,
    )  # fmt: skip
    skip_below: float = setting(
        0.32, "The discriminator rests while its loss is below this; 0.32 in the paper.",
        minimum=0, maximum=2, advanced=True,
    )  # fmt: skip
    intensity_every: int = setting(
        25, "Steps between two updates of the intensity of seeds.",
        minimum=1, maximum=10**6, advanced=True,
    )  # fmt: skip
    fidelity_every: int = setting(
        25, "Steps between two measurements, of which the best model is kept.",
        minimum=1, maximum=10**6, advanced=True,
    )  # fmt: skip
    searched_start: bool = setting(
        True, "Start from the constant markers whose sections are most like the data.",
        advanced=True,
    )  # fmt: skip
    exponent: int = setting(
        2, "Exponent p of the distances in the diagram; not legible in the paper.",
        minimum=1, maximum=2, advanced=True,
    )  # fmt: skip
    least_diagonal: float = setting(
        1.0, "Least entry of a grain's D.", minimum=1e-3, maximum=1000, advanced=True
    )
    greatest_diagonal: float = setting(
        10.0, "Greatest entry; grains are at most the root of the quotient as long as wide.",
        minimum=1e-3, maximum=1000, advanced=True,
    )  # fmt: skip
    greatest_offset: float = setting(
        50.0, "Greatest r of a grain; the least is 0.", minimum=1e-3, maximum=1000, advanced=True
    )
    threads: int = setting(
        0, "CPU threads; 0 leaves one core to the viewer.", minimum=0, maximum=1024, advanced=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_diagonal >= self.greatest_diagonal:
            raise InputError("'least_diagonal' must be smaller than 'greatest_diagonal'.")
        self.given_centres  # noqa: B018

    @property
    def given_centres(self) -> list[tuple[float, float]]:
        """`centres` as numbers."""
        centres = []
        for text in filter(str.strip, self.centres.split(";")):
            parts = text.replace(",", " ").split()
            try:
                y, x = (float(p) for p in parts)
                if not (isfinite(y) and isfinite(x)):
                    raise ValueError(text)
            except ValueError:
                raise InputError(
                    f"'centres' must be two numbers per section, such as '120 118; 95 102', not "
                    f"'{self.centres}'."
                ) from None
            centres.append((y, x))
        return centres
