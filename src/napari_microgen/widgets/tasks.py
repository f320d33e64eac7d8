"""A generator at work in a thread, with pause, stop, and an end that always arrives."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, QThreadPool, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Stopping = Callable[[], bool]
    Steps = Generator[Any, None, Any]


@dataclass(frozen=True)
class Outcome:
    """How a task ended: the generator's return value, or the exception that it raised.

    An exception travels as a value because a generator worker swallows RuntimeErrors, which is
    what almost everything that torch raises is.
    """

    value: Any = None
    error: Exception | None = None


class _Worker(GeneratorWorker):  # type: ignore[misc]
    """A worker that lets its generator clean up when napari asks it to quit."""

    def __init__(self, run: Callable[[], Steps]) -> None:
        super().__init__(run)
        self._task: Task = run.__self__  # type: ignore[attr-defined]

    def quit(self) -> None:
        self._task.stop()


class Task(QObject):
    """Runs a generator in a thread; news arrives in the thread that made the task.

    Parameters
    ----------
    title : str
        What napari says is running when its window is closed.
    make : callable
        ``make(stopping)`` returns the generator. It is made and run in the other thread, must
        not touch the viewer, and returns soon after ``stopping()`` became true.
    """

    yielded = Signal(object)
    ended = Signal(object)

    def __init__(self, title: str, make: Callable[[Stopping], Steps]) -> None:
        super().__init__()
        self._title, self._make = title, make
        self._stop, self._go, self._begun, self._done = Event(), Event(), Event(), Event()
        self._go.set()
        self._worker: Any = None

    def __repr__(self) -> str:
        return self._title

    def start(self) -> None:
        """Begin, as soon as the event loop comes round."""
        self._worker = create_worker(
            self._run, _start_thread=False, _ignore_errors=True, _worker_class=_Worker
        )
        self._worker.yielded.connect(self._on_yielded)
        self._worker.returned.connect(self._on_returned)
        self._worker.start()

    def pause(self) -> None:
        """Stop asking the generator for more."""
        self._go.clear()

    def go_on(self) -> None:
        """Ask the generator for more again."""
        self._go.set()

    def stop(self) -> None:
        """Tell the generator to return, whether it is paused or not."""
        self._stop.set()
        self._go.set()

    def wait(self, seconds: float) -> bool:
        """Block until the thread is through; return whether it is after so many seconds."""
        if not self._begun.is_set():
            return True
        deadline = time.monotonic() + seconds
        self._done.wait(seconds)
        while self._worker.is_running and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self._worker.is_running

    def _run(self) -> Steps:
        pool = QThreadPool.globalInstance()
        pool.releaseThread()  # hours of training must not hold up everybody else's workers
        self._begun.set()
        try:
            return (yield from self._guarded())
        finally:
            pool.reserveThread()
            self._done.set()

    def _guarded(self) -> Steps:
        try:
            steps = self._make(self._stop.is_set)
            try:
                while True:
                    self._go.wait()
                    yield next(steps)
            except StopIteration as end:
                return Outcome(end.value)
            finally:
                steps.close()
        except Exception as error:
            return Outcome(error=error)

    @Slot(object)
    def _on_yielded(self, item: Any) -> None:
        self.yielded.emit(item)

    @Slot(object)
    def _on_returned(self, outcome: Outcome) -> None:
        self.ended.emit(outcome)
