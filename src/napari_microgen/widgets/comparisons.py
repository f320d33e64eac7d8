"""The comparisons of a viewer: they outlive its docks and end with its window."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal, Slot

from napari_microgen.metrics.report import Report
from napari_microgen.widgets.comparison import comparison_steps, real_side
from napari_microgen.widgets.extra_layers import extra_steps
from napari_microgen.widgets.jobs import jobs_of, unwrapped
from napari_microgen.widgets.result_rows import phase_columns
from napari_microgen.widgets.saving import save_steps
from napari_microgen.widgets.text import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.viewer import Viewer

    from napari_microgen.metrics.sides import SideReport
    from napari_microgen.phases import Phase
    from napari_microgen.widgets.blind_test import BlindTest
    from napari_microgen.widgets.comparison import ComparisonPlan, Result
    from napari_microgen.widgets.extra_layers import Made, Wanted
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


class Comparisons(QObject):
    """Compares layers of one viewer in a thread, one thing at a time, and keeps the last result.

    Attributes
    ----------
    work : Work
    result : Report or SideReport or None
        The last result.
    test : BlindTest or None
        The last blind test, as far as it got.
    """

    work_changed = Signal()
    result_changed = Signal()
    test_ready = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._jobs = jobs_of(viewer)
        self.work = Work()
        self.result: Result | None = None
        self.test: BlindTest | None = None
        self._task: Task | None = None
        self._what = ""
        self._done: Callable[[Any], str] = str

    # ------------------------------------------------------------------ what can be done

    def compare(self, plan: ComparisonPlan) -> None:
        """Measure or compare; the numbers per phase go into the layers' features."""
        self._run(plan.title, "Comparing", partial(comparison_steps, plan),
                  partial(self._on_compared, plan))  # fmt: skip

    def make_layer(self, wanted: Wanted) -> None:
        """Add a layer that shows where a number comes from."""
        self._run(f"Computing {wanted.what}", "Computing the layer",
                  partial(extra_steps, wanted), self._on_made)  # fmt: skip

    def make_test(self, title: str, make: Callable[[Stopping], Steps]) -> None:
        """Prepare a blind test."""
        self._run(title, "The blind test", make, self._on_test)

    def save(self, path: str) -> None:
        """Write the result as table, JSON or figure, whichever the file's name asks for."""
        if self.result is not None:
            self._run(f"Saving {path}", "Saving", partial(save_steps, self.result, path),
                      self._on_saved)  # fmt: skip

    @Slot()
    def cancel(self) -> None:
        """Stop after the present step."""
        if self._task is not None:
            self._task.stop()
            self._tell(Work(True, self.work.fraction, "Stopping after this step…"))

    # ------------------------------------------------------------------ running it

    def _run(
        self, title: str, what: str, make: Callable[[Stopping], Steps], done: Callable[[Any], str]
    ) -> None:
        """Run a task; `done` takes its value in the main thread and returns what to say."""
        if self.work.running:
            return
        self._what, self._done = what, done
        self._task = self._jobs.new_task(title, make)
        self._task.yielded.connect(self._on_step)
        self._task.ended.connect(self._on_ended)
        self._tell(Work(True, 0.0, f"{title}…"))
        self._task.start()

    def _tell(self, work: Work) -> None:
        self.work = work
        self.work_changed.emit()

    @Slot(object)
    def _on_step(self, step: tuple[float, str]) -> None:
        fraction, text = step
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
            self._tell(Work(message=self._done(outcome.value)))

    def fail(self, message: str) -> None:
        """Tell that something went wrong."""
        self._tell(Work(message=message, failed=True))
        show_error(message)

    # ------------------------------------------------------------------ when it is done

    def _on_compared(self, plan: ComparisonPlan, result: Result) -> str:
        self.result = result
        sides: list[tuple[Layer | None, SideReport]] = [(plan.real, real_side(result))]
        if isinstance(result, Report):
            sides.append((plan.generated, result.generated))
        for layer, side in sides:
            if isinstance(layer, Labels):
                write_features(layer, side.phases, phase_columns(side))
        self.result_changed.emit()
        return ""

    def _on_made(self, made: Made) -> str:
        viewer = self._viewer()
        assert viewer is not None  # or _on_ended would have returned
        viewer.add_layer(Layer.create(*made.layer))
        return made.message

    def _on_test(self, test: BlindTest) -> str:
        self.test = test
        self.test_ready.emit()
        return ""

    def _on_saved(self, path: str) -> str:
        return f"Saved as {path}"


def write_features(
    layer: Labels, phases: Sequence[Phase], columns: Mapping[str, Sequence[float]]
) -> None:
    """Add columns to a layer's table of labels; what else it holds is kept."""
    table = layer.features.copy()
    if "index" not in table:
        table.insert(0, "index", np.arange(len(table)))
    table = table.set_index("index")
    values = [phase.value for phase in phases]
    table = table.reindex(table.index.union(values))
    if "name" not in table:
        table["name"] = ""
    for phase in phases:
        table.loc[phase.value, "name"] = phase.name
    for name, numbers in columns.items():
        table.loc[values, name] = list(numbers)
    layer.features = table.rename_axis("index").reset_index()


_comparisons: weakref.WeakKeyDictionary[Viewer, Comparisons] = weakref.WeakKeyDictionary()


def comparisons_of(viewer: Viewer) -> Comparisons:
    """Return the comparisons of a viewer; the same for every dock that asks."""
    viewer = unwrapped(viewer)
    if viewer not in _comparisons:
        _comparisons[viewer] = Comparisons(viewer)
    return _comparisons[viewer]
