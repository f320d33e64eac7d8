"""What is known of a training before it starts; runs in a thread, without Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_microgen.errors import InputError
from napari_microgen.phases import PhaseImage
from napari_microgen.resources import size_text
from napari_microgen.training.device import choose_device, memory_available
from napari_microgen.widgets.checkpoints import checkpoint_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.layers import Layer

    from napari_microgen.methods.base import Config, Input, Method, Plot
    from napari_microgen.phases import Zero


@dataclass(frozen=True)
class TrainingPlan:
    """A training that can be started.

    Attributes
    ----------
    method : Method
    config : Config
    images : tuple of PhaseImage
        Copies of the layers' data.
    zero : {"phase", "unlabelled"}
        What the label 0 was taken for.
    checkpoint : Path
        Where its state is kept; if there is a file, the training can go on from it.
    memory_bytes, available_bytes : int
        Memory that it takes, and that can be had on its device.
    warnings : tuple of str
        What the user should know before starting.
    notes : tuple of str
        What was worked out from images and settings.
    plot : Plot or None
        What shows the reason for a warning.
    """

    method: Method
    config: Config
    images: tuple[PhaseImage, ...]
    zero: Zero
    checkpoint: Path
    memory_bytes: int
    available_bytes: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    plot: Plot | None = None

    @property
    def title(self) -> str:
        """What is trained on what, ``"SliceGAN of section"``."""
        return f"{self.method.title} of {self.images[0].name}"


def read_layers(
    layers: Sequence[Layer | None], zero: Zero, inputs: Sequence[Input]
) -> tuple[PhaseImage, ...]:
    """Copy the chosen layers into images.

    Parameters
    ----------
    layers : sequence of Layer or None
        One for each of `inputs`; more are further ones of the last.
    zero : {"phase", "unlabelled"}
        What the label 0 means.
    inputs : sequence of Input

    Raises
    ------
    InputError
        If a needed one is left out, or an optional one before another, or a layer cannot be used.
    """
    left_out = False
    inputs = [*inputs, *[inputs[-1]] * (len(layers) - len(inputs))]
    for layer, wanted in zip(layers, inputs, strict=True):
        if layer is None and not wanted.optional:
            kinds = "an Image or Labels layer" if len(wanted.kinds) > 1 else "a Labels layer"
            sizes = " or ".join(f"{n}D" for n in wanted.ndims)
            raise InputError(
                f"Open an image for '{wanted.title}': {kinds}, {sizes}, with one time point or "
                f"channel of a series. {wanted.help}"
            )
        if wanted.optional and layer is not None and left_out:
            raise InputError("Choose the images in order; one between two others is missing.")
        left_out = left_out or (wanted.optional and layer is None)
    return tuple(
        PhaseImage.from_layer(layer, zero=zero, numbered="numbered" in wanted.kinds)
        for layer, wanted in zip(layers, inputs, strict=True)
        if layer is not None
    )


def plan_training(
    method: Method, images: Sequence[PhaseImage], zero: Zero, config: Config
) -> TrainingPlan:
    """Check images and settings, and estimate what the training takes.

    Raises
    ------
    InputError
        If the training cannot work.
    """
    method.check_inputs(images)
    warnings = list(method.check(images, config))
    plot = method.warning_plot(images, config) if warnings else None
    device, _ = choose_device(config.device)
    needed, available = method.memory_needed(images, config), memory_available(device)
    if needed > available:
        warnings.append(
            f"This training takes about {size_text(needed)} of memory and only "
            f"{size_text(available)} are free; it may fail or slow everything down."
        )
    path = checkpoint_path(method, images, config)
    return TrainingPlan(
        method, config, tuple(images), zero, path, needed, available, tuple(warnings),
        tuple(method.notes(images, config)), plot,
    )  # fmt: skip
