"""The training loop of every adversarial method: budget, fidelity, best model, checkpoints."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from napari_microgen.errors import InputError, RunError, ran_out_of_memory
from napari_microgen.methods.base import Origin, Progress
from napari_microgen.training.checkpoint import load_checkpoint, save_checkpoint
from napari_microgen.training.device import memory_in_use

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Model, Sample
    from napari_microgen.training.adversarial_config import AdversarialConfig

CHECKPOINT_SECONDS = 60.0
YIELD_SECONDS = 0.25
PREVIEW_SHARE = 0.2
"""Share of the time that previews may take; slow ones come more rarely than asked for."""


class Trainable(Protocol):
    """What a method hands to the loop: its networks, one step, and how to judge them."""

    device: torch.device
    device_reason: str

    def prepare(self) -> Iterator[str]:
        """Give the networks their first weights; yield what is being done every second or so."""

    def step(self, index: int) -> Generator[None, None, dict[str, float]]:
        """Train one step, yielding between its parts; return the losses."""

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, as tensors and plain types."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""

    def score(self) -> dict[str, float]:
        """Measure the averaged generator; ``"selection"`` is what the best model has least of."""

    def snapshot(self, steps: int, seconds: float, fidelity: Mapping[str, float]) -> Model:
        """Return the averaged generator, as it was scored, as a model."""

    def rebuild(self, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> Model:
        """Return the model that an earlier `snapshot` was, from what was stored of it."""

    def preview(self) -> Sample:
        """Generate a volume with the averaged generator."""


@dataclass
class Schedule:
    """When the loop stops, looks and shows.

    Attributes
    ----------
    minutes : float
        Time budget, earlier runs of a resumed training included.
    steps : int
        Step budget; 0 for none.
    fidelity_every : int
        Steps between two measurements.
    patience : int
        Stop when so many steps brought no better model; 0 for never.
    preview_seconds : float
        Seconds between two previews; 0 for none.
    """

    minutes: float
    steps: int
    fidelity_every: int
    patience: int
    preview_seconds: float

    @classmethod
    def of(cls, settings: AdversarialConfig, steps: int | None = None) -> Schedule:
        """Return the schedule that settings ask for; `steps` replaces their step budget."""
        return cls(
            settings.minutes, settings.steps if steps is None else steps, settings.fidelity_every,
            settings.patience, settings.preview_seconds,
        )  # fmt: skip

    def fraction(self, step: int, seconds: float) -> float:
        """Share of the budget that is used."""
        by_steps = step / self.steps if self.steps else 0.0
        return min(1.0, max(by_steps, seconds / (60 * self.minutes)))


@dataclass
class Tally:
    """Where a training stands; goes into the checkpoint as it is."""

    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_selection: float = math.inf
    best_fidelity: dict[str, float] = field(default_factory=dict)
    measured_step: int = -1
    losses: dict[str, float] = field(default_factory=dict)


class TrainingLoop:
    """Trains until the budget is used, yielding `Progress`; see `Method.train` for the contract.

    Parameters
    ----------
    make : callable
        Builds the `Trainable`.
    schedule : Schedule
    signature : str
        Tells whether a checkpoint belongs to these images and settings.
    checkpoint : Path or None
        Where the state is kept.
    """

    def __init__(
        self,
        make: Callable[[], Trainable],
        schedule: Schedule,
        signature: str,
        checkpoint: Path | None,
    ) -> None:
        self.make, self.schedule = make, schedule
        self.signature, self.checkpoint = signature, checkpoint
        self.tally = Tally()
        self.model: Model | None = None
        self._trainable: Trainable
        self._fidelity: dict[str, float] | None = None
        self._improved = False
        self._shows_previews = schedule.preview_seconds > 0
        self._preview_took = 0.0
        self._whole = True  # no step is half done

    def run(self, resume: bool) -> Iterator[Progress]:
        """Train; with `resume` go on from the checkpoint."""
        try:
            yield from self._run(resume)
        except torch.OutOfMemoryError:
            raise RunError(
                "The GPU ran out of memory; lower the volumes per step or the widths, close other "
                "programs that use the GPU, or choose the device cpu."
            ) from None
        except (MemoryError, OSError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
            raise RunError(
                "The memory ran out; lower the volumes per step or the widths, or close other "
                "programs, and resume."
            ) from None

    def _run(self, resume: bool) -> Iterator[Progress]:
        self._clock = _Clock()
        stored = load_checkpoint(self.checkpoint, self.signature) if resume else None
        self._trainable = self.make()
        if stored is not None:
            self._resume(stored)
        else:
            for message in self._trainable.prepare():
                yield self._report(preview=False, message=message)
            self._measure()
        self._clock.start(self.tally)
        if stored is None:
            self._save()  # a place that cannot be written to is better known now than in a minute
        try:
            yield self._report(preview=True)
            while not self._finished():
                yield from self._step()
                if self._finished() or self.tally.step % self.schedule.fidelity_every == 0:
                    self._measure()
                if self._clock.due("save", CHECKPOINT_SECONDS):
                    self._save()
                preview = self._clock.due("preview", self._preview_interval())
                if preview or self._fidelity or self._clock.due("report", YIELD_SECONDS):
                    yield self._report(preview)
        finally:
            if self._whole:
                self._save()
        self._improved = True
        yield self._report(preview=True)

    def _step(self) -> Iterator[Progress]:
        self._whole = False
        parts = self._trainable.step(self.tally.step)
        while True:
            try:
                next(parts)
            except StopIteration as stop:
                losses: dict[str, float] = stop.value
                break
            if self._clock.due("report", YIELD_SECONDS):
                yield self._report(preview=False)
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise RunError(
                f"The training was stopped at step {self.tally.step + 1} because the loss "
                f"'{bad[0]}' is no longer a finite number; the best model before it is kept, and "
                "a lower learning rate or another seed may help."
            )
        self.tally.losses = losses
        self.tally.step += 1
        self.tally.seconds = self._clock.seconds()
        self._whole = True

    def _finished(self) -> bool:
        patience = self.schedule.patience
        stale = patience and self.tally.step - self.tally.best_step >= patience
        return bool(stale) or self.schedule.fraction(self.tally.step, self.tally.seconds) >= 1

    def _measure(self) -> None:
        """Score the averaged generator, and keep it if it is the best so far."""
        if self.tally.measured_step == self.tally.step:
            return
        self.tally.measured_step = self.tally.step
        fidelity = self._trainable.score()
        selection = fidelity.pop("selection")
        self._fidelity = fidelity
        if self.model is None or selection < self.tally.best_selection:
            self.tally.best_selection, self.tally.best_step = selection, self.tally.step
            self.tally.best_fidelity = dict(self._fidelity)
            self.model = self._trainable.snapshot(
                self.tally.step, self.tally.seconds, self._fidelity
            )
            self._improved = True

    def _preview_interval(self) -> float:
        """Return the seconds between previews: those asked for, or more where they are slow."""
        asked = self.schedule.preview_seconds
        return asked and max(asked, self._preview_took / PREVIEW_SHARE)

    def _preview(self) -> Sample:
        began = time.perf_counter()
        sample = self._trainable.preview()
        self._preview_took = time.perf_counter() - began
        return sample

    def _report(self, preview: bool, message: str = "") -> Progress:
        fraction = 1.0 if self._finished() else self._fraction()
        progress = Progress(
            step=self.tally.step,
            fraction=fraction,
            seconds=self._clock.seconds(),
            steps_per_second=self._clock.speed(self.tally),
            losses=self.tally.losses,
            fidelity=self._fidelity,
            preview=self._preview() if preview and self.schedule.preview_seconds else None,
            device=self._trainable.device_reason,
            memory_bytes=memory_in_use(self._trainable.device),
            message=message or self._message(),
            model=self.model if self._improved else None,
        )
        self._fidelity, self._improved = None, False
        return progress

    def _fraction(self) -> float:
        if not self.tally.step:
            return 0.0  # getting ready says nothing about how long the steps will take
        return self._used()

    def _used(self) -> float:
        return self.schedule.fraction(self.tally.step, self._clock.seconds())

    def _message(self) -> str:
        if self._finished() and self._used() < 1:
            return (
                f"Stopped early: no better model since step {self.tally.best_step}, which is kept."
            )
        return ""

    # ------------------------------------------------------------------ checkpoint

    def _save(self) -> None:
        if self.checkpoint is None or self.model is None:
            return
        self.tally.seconds = self._clock.seconds()
        best = {name: torch.from_numpy(value) for name, value in self.model.tensors().items()}
        save_checkpoint(
            self.checkpoint,
            {
                "signature": self.signature,
                "tally": asdict(self.tally),
                "trainable": self._trainable.state(),
                "best_origin": self.model.origin.to_dict(),
                "best_tensors": best,
            },
        )

    def _resume(self, stored: Mapping[str, Any]) -> None:
        try:
            self._restore(stored)
        except (KeyError, RuntimeError, TypeError) as error:
            if ran_out_of_memory(error):
                raise
            # What torch and dicts say of weights and entries that another network had.
            raise InputError(
                f"The checkpoint '{self.checkpoint}' was written by another version of "
                "napari-microgen; start a new training instead."
            ) from None

    def _restore(self, stored: Mapping[str, Any]) -> None:
        self.tally = Tally(**stored["tally"])
        self._trainable.load_state(stored["trainable"])
        origin = Origin.from_dict(stored["best_origin"])
        best = {name: value.numpy() for name, value in stored["best_tensors"].items()}
        self.model = self._trainable.rebuild(origin, best)
        self._improved = True  # so that the next report carries it


class _Clock:
    """Training time over all runs, recent speed, and what is due again."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._last: dict[str, float] = {}
        self._first_step = 0
        self._first_time = self._started

    def start(self, tally: Tally) -> None:
        """Go on from the time and step of `tally`; preparing a fresh training counts too."""
        self._started -= tally.seconds
        self._first_step, self._first_time = tally.step, time.perf_counter()
        self._last = dict.fromkeys(("save", "preview", "report"), self._first_time)

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def speed(self, tally: Tally) -> float:
        return (tally.step - self._first_step) / (time.perf_counter() - self._first_time + 1e-9)

    def due(self, what: str, interval: float) -> bool:
        """Whether `interval` seconds have passed since `what` was last due; 0 is never."""
        now = time.perf_counter()
        if not interval or now - self._last[what] < interval:
            return False
        self._last[what] = now
        return True
