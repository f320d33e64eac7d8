"""Runs without a viewer: training and generating with a progress line, checked before the start."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from contextlib import closing, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from napari_microgen.errors import RunError, Stopped
from napari_microgen.resources import check_disk, check_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from napari_microgen.methods.base import (
        Config,
        Method,
        Model,
        Periodic,
        Progress,
        Sample,
        Shape,
    )
    from napari_microgen.phases import PhaseImage

Result = TypeVar("Result")

MODEL_BYTES = 200_000_000
"""Room asked for beside a model: more than most models and their checkpoints take."""


def make_config(method: Method, preset: str, changes: dict[str, Any]) -> Config:
    """Return settings for a run without a viewer: no previews, and every core is used.

    Raises
    ------
    InputError
        If there is no such preset or setting, or a value is refused.
    """
    known = {field.name for field in dataclasses.fields(method.config_class)}
    headless = {"preview_seconds": 0.0, "threads": _cores()}
    changes = {k: v for k, v in headless.items() if k in known} | changes
    preset = changes.pop("preset", preset)
    return method.config_class.from_preset(preset, **changes)


def train_model(
    method: Method, data: Sequence[PhaseImage], config: Config, out: Path, resume: bool = False
) -> tuple[Model, Progress]:
    """Train, show the progress, and save the model.

    The checkpoint lies beside the model and stays there, so that a later run with a larger
    budget can go on from it. Where the run fails or is stopped, the best model so far is saved.

    Parameters
    ----------
    method, data, config
        As in `Method.train`.
    out : Path
        Model file to write.
    resume : bool
        Whether to go on from the checkpoint.

    Returns
    -------
    model : Model
    progress : Progress
        The last one.

    Raises
    ------
    InputError
        If images, settings or `out` cannot be used, before anything starts.
    RunError
        If the training cannot go on.
    Stopped
        If it was interrupted.
    """
    from napari_microgen.training.device import choose_device, memory_available

    for warning in method.check(data, config):
        say(f"warning: {warning}")
    for note in method.notes(data, config):
        say(note)
    device, why = choose_device(config.device)
    check_disk(out, MODEL_BYTES)
    check_memory(
        method.memory_needed(data, config), f"Training {method.title}",
        "choose a smaller preset, or lower the volumes per step or the widths",
        memory_available(device),
    )  # fmt: skip
    say(f"Training {method.title} on {why}.")
    checkpoint = checkpoint_path(out)
    run = method.train(data, config, checkpoint=checkpoint, resume=resume)
    model: Model | None = None
    last: Progress | None = None
    try:
        with interrupt_flag() as stop, progress_line("Training") as show, closing(run):  # type: ignore[type-var]
            for progress in run:
                model = progress.model or model
                last = progress
                show(progress.fraction, progress.seconds_left, _training_text(progress))
                if progress.message:
                    say(progress.message)
                if stop.is_set():
                    break
    except RunError as error:
        raise RunError(f"{error}{_kept(model, out)}") from None
    if stop.is_set():
        raise Stopped(
            f"Stopped at step {last.step if last else 0}; add --resume to go on from "
            f"'{checkpoint}'.{_kept(model, out)}"
        )
    if model is None or last is None:
        raise RunError("The training ended without a model; give it more minutes.")
    model.save(out)
    return model, last


def checkpoint_path(out: Path) -> Path:
    """Return the checkpoint that belongs to a model file."""
    return out.with_suffix(".checkpoint")


def generate_sample(
    model: Model,
    shape: Shape,
    seed: int = 0,
    periodic: Periodic = (False, False, False),
    device: str = "auto",
) -> tuple[Sample, float]:
    """Generate a volume and show the progress.

    Returns
    -------
    sample : Sample
    seconds : float
        How long it took.

    Raises
    ------
    InputError
        If no such volume can be made, or memory is short; before anything starts.
    """
    model.check_shape(shape, periodic)
    check_memory(
        model.bytes_needed(shape), f"A volume of {' x '.join(map(str, shape))} voxels",
        model.mend,
    )  # fmt: skip
    for remark in model.remarks(seed):
        say(f"warning: {remark}")
    started = time.perf_counter()
    steps = model.generate_steps(shape, seed, periodic=periodic, device=device)
    sample = follow(steps, "Generating")
    return sample, time.perf_counter() - started


def follow(steps: Generator[float | tuple[float, str], None, Result], title: str) -> Result:
    """Run all steps, show the progress, and return what they return.

    Parameters
    ----------
    steps : generator of float, or of float and str
        Yields the share that is done, and maybe what was done last.
    title : str
    """
    started = time.perf_counter()
    with progress_line(title) as show:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result: Result = end.value
                return result
            fraction, text = step if isinstance(step, tuple) else (step, "")
            used = time.perf_counter() - started
            show(fraction, used * (1 - fraction) / max(fraction, 1e-9), text)


# ---------------------------------------------------------------------- telling the user


def say(text: str) -> None:
    """Write a line to standard error, above a progress line if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


@contextmanager
def progress_line(title: str) -> Iterator[Callable[[float, float, str], None]]:
    """Show a progress line on standard error; gives ``show(fraction, seconds_left, text)``."""
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 10.0
    form = "{desc} |{bar:24}| {percentage:3.0f} %{postfix}"
    with tqdm(
        total=1.0, desc=title, bar_format=form, file=sys.stderr, mininterval=interval, miniters=0,
    ) as bar:  # fmt: skip

        def show(fraction: float, seconds_left: float, text: str) -> None:
            left = f"{tqdm.format_interval(seconds_left)} left" if fraction > 0 else "starting"
            bar.set_postfix_str(f"{left}, {text}" if text else left, refresh=False)
            bar.update(fraction - bar.n)

        yield show


@contextmanager
def interrupt_flag() -> Iterator[Event]:
    """Turn the first Ctrl-C into a flag, so that a run ends between two steps; the second kills."""
    flag = Event()

    def on_interrupt(*_: object) -> None:
        flag.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Not print: a signal may arrive in the middle of another one.
        os.write(2, b"\nStopping after this step; press Ctrl-C again to stop at once.\n")

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


def _training_text(progress: Progress) -> str:
    text = f"step {progress.step}, {progress.steps_per_second:.3g} per s"
    for name, value in progress.losses.items():
        text += f", {name} {value:.3g}"
    return text


def _kept(model: Model | None, out: Path) -> str:
    if model is None:
        return ""
    return f" The best model so far is in '{model.save(out)}'."


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
