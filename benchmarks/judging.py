"""What benchmarks share: halves of images, drawn volumes, and scores against what was not seen."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_microgen.metrics.fidelity import Reference
from napari_microgen.phases import to_indices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Model
    from napari_microgen.phases import PhaseImage

SIDE = 128
FIRST_SEED = 100
"""Of volumes that are judged; training draws others."""


def halves(images: Sequence[PhaseImage]) -> tuple[list[PhaseImage], list[PhaseImage]]:
    """Return the left and the right halves."""
    left, right = [], []
    for image in images:
        rows = [slice(None)] * (image.ndim - 1)
        middle = image.shape[-1] // 2
        left.append(image.crop(*rows, slice(0, middle)))
        right.append(image.crop(*rows, slice(middle, None)))
    return left, right


def isotropic(image: PhaseImage) -> Reference:
    """Return an image as what sections normal to every axis should look like."""
    return Reference(dict.fromkeys(range(3), image))


def drawn(
    model: Model, count: int, device: str = "cpu", repeating: bool = True
) -> list[NDArray[np.uint8]]:
    """Return fresh volumes of `SIDE` as phase indices; those that repeat are quickest."""
    shape, periodic = (SIDE,) * 3, (repeating,) * 3
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    samples = (model.generate(shape, s, periodic=periodic, device=device) for s in seeds)
    return [to_indices(sample.data, model.origin.phases) for sample in samples]


class Stopwatch:
    """Seconds of work, judging left out: of the processor, or of the clock beside a GPU.

    Processor time does not change with what else a machine is doing.
    """

    def __init__(self, device: str) -> None:
        self._now = time.perf_counter if device != "cpu" else time.process_time
        self._begun = self._now()
        self._stopped = 0.0

    def seconds(self) -> float:
        return self._now() - self._begun - self._stopped

    def __enter__(self) -> None:
        """Stop it for a while."""
        self._halted = self._now()

    def __exit__(self, *_: object) -> None:
        self._stopped += self._now() - self._halted


def machine(device: str) -> str:
    """Return what it was measured on."""
    if device != "cpu":
        return torch.cuda.get_device_name()
    return f"one thread, {platform.processor() or platform.machine()}, no GPU"


def changes(items: Sequence[str]) -> dict[str, str]:
    """Return settings given as KEY=VALUE."""
    return dict(item.split("=", 1) for item in items)


def told(values: Sequence[float], form: str = ".2f") -> str:
    """Return a mean and, of several values, the least and the largest."""
    text = f"{np.mean(values):{form}}"
    if len(values) > 1:
        text += f" ({min(values):{form}}-{max(values):{form}})"
    return text
