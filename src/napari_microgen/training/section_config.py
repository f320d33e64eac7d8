"""Settings of every method whose critics look at sections."""

from __future__ import annotations

from dataclasses import dataclass

from napari_microgen.errors import InputError
from napari_microgen.methods.base import setting
from napari_microgen.training.adversarial_config import SIDE, AdversarialConfig


@dataclass(frozen=True)
class SectionConfig(AdversarialConfig):
    """Settings of `SectionTraining`."""

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
