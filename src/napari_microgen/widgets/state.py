"""Where a training stands, as observable data that knows neither Qt nor napari."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from psygnal import SignalGroupDescriptor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_microgen.methods.base import Model, Progress

HIDDEN_MEASURES = ("selection",)
"""Entries of a fidelity that choose between models and mean nothing to a reader."""


class Status(StrEnum):
    """What a training is doing."""

    IDLE = "idle"
    TRAINING = "training"
    PAUSED = "paused"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    CRASHED = "crashed"

    @property
    def running(self) -> bool:
        """Whether there is something to pause or cancel."""
        return self in (Status.TRAINING, Status.PAUSED, Status.STOPPING)


@dataclass
class Curves:
    """Values by name over training steps, for plots.

    Attributes
    ----------
    points : dict of str to (list of int, list of float)
        Steps and values of every curve.
    """

    points: dict[str, tuple[list[int], list[float]]] = field(default_factory=dict)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Append one point to every curve in `values`."""
        for name, value in values.items():
            steps, numbers = self.points.setdefault(name, ([], []))
            steps.append(step)
            numbers.append(float(value))


@dataclass
class TrainingState:
    """What widgets show of a training; every field is observable through `events`.

    Attributes
    ----------
    status : Status
        What is going on.
    title : str
        What is trained on what, for headings and model names.
    progress : Progress or None
        The last news.
    message : str
        The last message of the training, or why it ended.
    fidelity : dict of str to float
        The last measured errors over the real image's own noise.
    model : Model or None
        The best model so far.
    losses, ratios : Curves
        History of losses and of fidelity.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"progress": operator.is_, "model": operator.is_}
    )

    status: Status = Status.IDLE
    title: str = ""
    progress: Progress | None = None
    message: str = ""
    fidelity: dict[str, float] = field(default_factory=dict)
    model: Model | None = None
    losses: Curves = field(default_factory=Curves)
    ratios: Curves = field(default_factory=Curves)

    def begin(self, title: str, again: bool = False) -> None:
        """Start; forget the training before, unless it is the same one that goes on again."""
        self.title, self.message, self.progress = title, "", None
        if not again:
            self.model, self.fidelity = None, {}
            self.losses, self.ratios = Curves(), Curves()
        self.status = Status.TRAINING

    def advance(self, progress: Progress) -> None:
        """Take in the training's news."""
        if progress.losses:
            self.losses.add(progress.step, progress.losses)
        if progress.fidelity:
            shown = {k: v for k, v in progress.fidelity.items() if k not in HIDDEN_MEASURES}
            self.ratios.add(progress.step, shown)
            self.fidelity = shown
        if progress.message:
            self.message = progress.message
        elif self.progress is not None and self.progress.step == 0 < progress.step:
            self.message = ""  # it was about getting ready
        if progress.model is not None:
            self.model = progress.model
        self.progress = progress

    def pause(self) -> None:
        """Note that the training waits."""
        if self.status is Status.TRAINING:
            self.status = Status.PAUSED

    def go_on(self) -> None:
        """Note that the training goes on."""
        if self.status is Status.PAUSED:
            self.status = Status.TRAINING

    def stop(self) -> None:
        """Note that the training was asked to stop."""
        if self.status.running:
            self.status = Status.STOPPING

    def end(self) -> None:
        """Note that the training came to its end, or stopped because it was asked to."""
        self.status = Status.STOPPED if self.status is Status.STOPPING else Status.DONE

    def crash(self, message: str) -> None:
        """Note that the training failed; the best model is kept."""
        self.message = message
        self.status = Status.CRASHED


@dataclass
class GenerationState:
    """What widgets show of a volume being generated.

    Attributes
    ----------
    running : bool
    fraction : float
        Share done, 0-1.
    message : str
        How the last one ended.
    failed : bool
        Whether it failed.
    """

    running: bool = False
    fraction: float = 0.0
    message: str = ""
    failed: bool = False
