"""Work of which only the newest request matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_microgen.widgets.jobs import Jobs
    from napari_microgen.widgets.tasks import Outcome, Steps, Stopping, Task


class Latest(QObject):
    """Does what it was asked for last, in a thread, one thing at a time.

    A new request stops what is being done; of requests that come meanwhile all but the last are
    forgotten, and so is what comes out of work that was stopped.

    Parameters
    ----------
    jobs : Jobs
        Whose window ends the work.
    title : str
        What napari says is running when its window is closed.
    """

    done = Signal(object)

    def __init__(self, jobs: Jobs, title: str) -> None:
        super().__init__()
        self._jobs, self._title = jobs, title
        self._task: Task | None = None
        self._next: Callable[[Stopping], Steps] | None = None
        self._dropped = False

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._task is not None

    def ask(self, make: Callable[[Stopping], Steps]) -> None:
        """Do this as soon as possible, instead of what was asked for before."""
        self._next = make
        if self._task is None:
            self._start()
        else:
            self._dropped = True
            self._task.stop()

    def drop(self) -> None:
        """Forget all that was asked for."""
        self._next = None
        if self._task is not None:
            self._dropped = True
            self._task.stop()

    def _start(self) -> None:
        assert self._next is not None
        self._task = self._jobs.new_task(self._title, self._next)
        self._next, self._dropped = None, False
        self._task.ended.connect(self._on_ended)
        self._task.start()

    @Slot(object)
    def _on_ended(self, outcome: Outcome) -> None:
        dropped, self._task = self._dropped, None
        if self._jobs.closed:
            return
        if self._next is not None:
            self._start()
        if not dropped:
            self.done.emit(outcome)
