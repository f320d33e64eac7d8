"""Work in a thread, one thing at a time: it outlives docks and ends with the window."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal, Slot

from napari_microgen.widgets.jobs import jobs_of, unwrapped
from napari_microgen.widgets.text import sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

    from napari_microgen.widgets.tasks import Outcome, Steps, Stopping, Task


@dataclass(frozen=True)
class Work:
    """What is going on, or how the last work ended.

    Attributes
    ----------
    running : bool
    fraction : float
        Share done, 0-1.
    message : str
        What is being done, or how it ended.
    failed : bool
        Whether it failed.
    """

    running: bool = False
    fraction: float = 0.0
    message: str = ""
    failed: bool = False


class Workbench(QObject):
    """Runs the work of one kind of dock of one viewer; get it with `of`.

    Attributes
    ----------
    work : Work
    """

    work_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._jobs = jobs_of(viewer)
        self.work = Work()
        self._task: Task | None = None
        self._what = ""
        self._done: Callable[[Any], str] = str

    @classmethod
    def of(cls, viewer: Viewer) -> Self:
        """Return the workbench of a viewer; the same for every dock that asks."""
        viewer = unwrapped(viewer)
        kinds = _workbenches.setdefault(viewer, {})
        if cls not in kinds:
            kinds[cls] = cls(viewer)
        kept: Self = kinds[cls]
        return kept

    @Slot()
    def cancel(self) -> None:
        """Stop after the present step."""
        if self._task is not None:
            self._task.stop()
            self._tell(Work(True, self.work.fraction, "Stopping after this step…"))

    def fail(self, message: str) -> None:
        """Tell that something went wrong."""
        self._tell(Work(message=message, failed=True))
        show_error(message)

    def _run(
        self, title: str, what: str, make: Callable[[Stopping], Steps], done: Callable[[Any], str]
    ) -> None:
        """Run a task, unless one is running.

        Parameters
        ----------
        title : str
            What napari says is running.
        what : str
            Beginning of the sentence if it fails.
        make : callable
            ``make(stopping)`` returns the generator; it yields the share done and what was done,
            and perhaps something for `_on_news`, and returns None if it was stopped.
        done : callable
            Takes the generator's value in the main thread and returns what to say.
        """
        if self.work.running:
            return
        self._what, self._done = what, done
        self._task = self._jobs.new_task(title, make)
        self._task.yielded.connect(self._on_step)
        self._task.ended.connect(self._on_ended)
        self._tell(Work(True, 0.0, f"{title}…"))
        self._task.start()

    def _on_news(self, news: Any) -> None:
        """Take what the work has found so far."""

    def _tell(self, work: Work) -> None:
        self.work = work
        self.work_changed.emit()

    @Slot(object)
    def _on_step(self, step: tuple[Any, ...]) -> None:
        fraction, text, *news = step
        for item in news:
            self._on_news(item)
        self._tell(Work(True, fraction, text[:1].upper() + text[1:]))

    @Slot(object)
    def _on_ended(self, outcome: Outcome) -> None:
        self._task = None
        if self._jobs.closed or self._viewer() is None:
            return
        if outcome.error is not None:
            self.fail(sentence(outcome.error, self._what))
        elif outcome.value is None:
            self._tell(Work(message="Cancelled; nothing was changed."))
        else:
            self._finish(outcome.value)

    def _finish(self, value: Any) -> None:
        """Take what came of the work; even what fails here ends it."""
        try:
            message = self._done(value)
        except Exception as error:
            self.fail(sentence(error, self._what))
        else:
            self._tell(Work(message=message))


def stoppable(steps: Steps, stopping: Stopping) -> Steps:
    """Pass on the steps of some work and return its result; None if it was stopped before."""
    while not stopping():
        try:
            yield next(steps)
        except StopIteration as end:
            return end.value
    return None


_workbenches: weakref.WeakKeyDictionary[Viewer, dict[type, Any]] = weakref.WeakKeyDictionary()
