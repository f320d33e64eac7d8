"""The trainings and generations of a viewer: they outlive its docks and end with its window."""

from __future__ import annotations

import itertools
import weakref
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QEvent, QObject, Signal, Slot
from qtpy.QtWidgets import QApplication

from napari_microgen.units import count_text
from napari_microgen.widgets.checkpoints import discard_old
from napari_microgen.widgets.generation import generation_steps, model_steps, writing_steps
from napari_microgen.widgets.placement import add_beside, add_in_place
from napari_microgen.widgets.preview import Preview
from napari_microgen.widgets.side_by_side import SideBySide
from napari_microgen.widgets.state import GenerationState, Status, TrainingState
from napari_microgen.widgets.tasks import Task
from napari_microgen.widgets.text import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari.viewer import Viewer

    from napari_microgen.methods.base import Model, Progress
    from napari_microgen.widgets.generation import GenerationPlan
    from napari_microgen.widgets.tasks import Outcome, Steps, Stopping
    from napari_microgen.widgets.validation import TrainingPlan

CLOSE_SECONDS = 30.0
"""Longest that closing the window waits for a thread to finish its step and its checkpoint."""


@dataclass(frozen=True, eq=False)
class NamedModel:
    """A model of this session."""

    name: str
    model: Model


class Jobs(QObject):
    """What one viewer has running: at most one training, and any number of short tasks.

    Attributes
    ----------
    training : TrainingState
        Where the training stands.
    models : list of NamedModel
        Models trained or opened in this session, the youngest last.
    generation : GenerationState
        Where generating a volume stands.
    preview : Preview
    side_by_side : SideBySide
    """

    status_changed = Signal()
    progressed = Signal()
    models_changed = Signal()
    generation_changed = Signal()
    generated = Signal(object)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.training = TrainingState()
        self.models: list[NamedModel] = []
        self.generation = GenerationState()
        self.preview = Preview(viewer)
        self.side_by_side = SideBySide(viewer)
        self._viewer = weakref.ref(viewer)
        self.training.events.status.connect(self._on_status)
        self._training_task: Task | None = None
        self._checkpoint: Path | None = None
        self._trained: NamedModel | None = None
        self._generation_task: Task | None = None
        self._tasks: set[Task] = set()
        self._closed = False
        self._watch_window(viewer)

    @property
    def closed(self) -> bool:
        """Whether the window was closed."""
        return self._closed

    # ------------------------------------------------------------------ training

    def start_training(self, plan: TrainingPlan, layer: Layer, resume: bool = False) -> None:
        """Start a training, or go on with it from its checkpoint.

        Parameters
        ----------
        plan : TrainingPlan
        layer : Layer
            Training image; the preview goes beside it.
        resume : bool
            Whether to go on from the plan's checkpoint.
        """
        if self.training.status.running:
            return
        self.side_by_side.restore()
        self.preview.begin(layer)
        again = resume and plan.checkpoint == self._checkpoint
        self.training.begin(plan.title, again)
        self._checkpoint = plan.checkpoint
        if not again:
            self._trained = None
        task = self.new_task(plan.title, lambda stopping: training_steps(plan, resume, stopping))
        task.yielded.connect(self._on_progress)
        task.ended.connect(self._on_training_ended)
        self._training_task = task
        task.start()

    def pause(self) -> None:
        """Let the training wait after its present step."""
        if self._training_task is not None:
            self._training_task.pause()
            self.training.pause()

    def go_on(self) -> None:
        """Let a waiting training go on."""
        if self._training_task is not None:
            self.training.go_on()
            self._training_task.go_on()

    def cancel(self) -> None:
        """Stop the training; the best model and the checkpoint are kept."""
        if self._training_task is not None:
            self.training.stop()
            self._training_task.stop()

    @Slot(object)
    def _on_progress(self, progress: Progress) -> None:
        if self._closed:
            return
        self.training.advance(progress)
        if progress.preview is not None:
            self.preview.update(progress.preview)
        self.progressed.emit()

    @Slot(object)
    def _on_training_ended(self, outcome: Outcome) -> None:
        self._training_task = None
        if self._closed:
            return
        training = self.training
        if training.model is not None:
            self._trained = self.add_model(training.title, training.model, self._trained)
            self._preview_best(training.model)
        if outcome.error is not None:
            message = sentence(outcome.error, "The training")
            training.crash(message)
            show_error(message)
            return
        training.end()
        if training.status is Status.DONE:
            show_info(f"Training finished: {training.title}")

    def _preview_best(self, model: Model) -> None:
        """Let the preview end with the model that is kept, which need not be the last one."""
        shape = self.preview.shape
        if shape is not None:
            task = self.new_task("Generating the preview", partial(model_steps, model, shape))
            task.ended.connect(self._on_best_preview)
            task.start()

    @Slot(object)
    def _on_best_preview(self, outcome: Outcome) -> None:
        if outcome.value is not None and not self._closed and not self.training.status.running:
            self.preview.update(outcome.value)

    def _on_status(self) -> None:
        self.status_changed.emit()

    # ------------------------------------------------------------------ generating

    def start_generation(self, plan: GenerationPlan) -> None:
        """Generate a volume and add it to the viewer; one at a time."""
        if self.generation.running:
            return
        task = self.new_task(f"Generating {plan.title}", partial(generation_steps, plan))
        task.yielded.connect(self._on_share)
        task.ended.connect(self._on_generation_ended)
        self._generation_task = task
        self._tell_generation(GenerationState(running=True))
        task.start()

    def start_writing(self, plan: GenerationPlan, folder: str) -> None:
        """Write the plan's particles into a folder as a data set."""
        if self.generation.running:
            return
        task = self.new_task(f"Writing {folder}", partial(writing_steps, plan, folder))
        task.yielded.connect(self._on_share)
        task.ended.connect(self._on_writing_ended)
        self._generation_task = task
        self._tell_generation(GenerationState(running=True))
        task.start()

    @Slot(object)
    def _on_writing_ended(self, outcome: Outcome) -> None:
        self._generation_task = None
        if self._closed:
            return
        if outcome.error is not None:
            message = sentence(outcome.error, "Writing the data set")
            self._tell_generation(GenerationState(message=message, failed=True))
            show_error(message)
        elif outcome.value is None:
            message = "Cancelled; the particles written so far are in the folder."
            self._tell_generation(GenerationState(message=message))
        else:
            count, table = len(outcome.value["particles"]), outcome.value["table"]
            message = f"Wrote {count_text(count, 'particle')}; their table is '{table}'."
            self._tell_generation(GenerationState(message=message))

    def cancel_generation(self) -> None:
        """Stop generating after the present block."""
        if self._generation_task is not None:
            self._generation_task.stop()

    def _tell_generation(self, state: GenerationState) -> None:
        self.generation = state
        self.generation_changed.emit()

    @Slot(object)
    def _on_share(self, share: float) -> None:
        self._tell_generation(GenerationState(running=True, fraction=share))

    @Slot(object)
    def _on_generation_ended(self, outcome: Outcome) -> None:
        self._generation_task = None
        viewer = self._viewer()
        if self._closed or viewer is None:
            return
        if outcome.error is not None:
            message = sentence(outcome.error, "Generating")
            self._tell_generation(GenerationState(message=message, failed=True))
            show_error(message)
        elif outcome.value is None:
            self._tell_generation(GenerationState(message="Cancelled; nothing was added."))
        else:
            layers = [Layer.create(*each) for each in outcome.value.layers]
            voxels = " × ".join(str(n) for n in layers[-1].data.shape[:3])
            message = f"Generated {voxels} voxels in {outcome.value.seconds:.1f} s."
            message = f"{message} {outcome.value.remark}".rstrip()
            self._tell_generation(GenerationState(message=message))
            self.side_by_side.restore()  # which puts the volume before back to its place
            if outcome.value.placed:
                marks = [Layer.create(*each) for each in outcome.value.marks]
                add_in_place(viewer, [*layers, *marks])
                viewer.layers.selection.active = layers[-1]
            else:
                shown = [x for x in viewer.layers if x.visible and isinstance(x, Labels | Image)]
                add_beside(viewer, layers, shown)
            self.generated.emit(layers[-1])

    # ------------------------------------------------------------------ models and tasks

    def add_model(
        self, name: str, model: Model, instead_of: NamedModel | None = None
    ) -> NamedModel:
        """Keep a model for this session, under a name of its own or in an earlier one's place."""
        if instead_of in self.models:
            self.models.remove(instead_of)
        names = {m.name for m in self.models}
        numbered = (f"{name} ({n})" for n in itertools.count(2))
        unique = next(n for n in itertools.chain([name], numbered) if n not in names)
        named = NamedModel(unique, model)
        self.models.append(named)
        self.models_changed.emit()
        return named

    def new_task(self, title: str, make: Callable[[Stopping], Steps]) -> Task:
        """Return a task that is stopped when the window closes; the caller starts it."""
        task = Task(title, make)
        self._tasks.add(task)
        task.ended.connect(self._forget)
        return task

    @Slot(object)
    def _forget(self, _outcome: Any) -> None:
        self._tasks.discard(self.sender())

    # ------------------------------------------------------------------ the end

    def _watch_window(self, viewer: Viewer) -> None:
        window = viewer.window._qt_window  # napari offers no public signal of its closing
        window.installEventFilter(self)
        window.destroyed.connect(self.shut_down)
        QApplication.instance().aboutToQuit.connect(self.shut_down)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Shut down when the window is closed by a program; of a user napari asks first."""
        if event.type() == QEvent.Type.Close and not event.spontaneous():
            self.shut_down()
        return False

    @Slot()
    def shut_down(self) -> None:
        """Stop every thread, and wait for it, so that none outlives the window."""
        self._closed = True
        for task in self._tasks:
            task.stop()
        for task in list(self._tasks):
            task.wait(CLOSE_SECONDS)
        self._tasks.clear()


def training_steps(
    plan: TrainingPlan, resume: bool, stopping: Stopping
) -> Generator[Progress, None, None]:
    """Train as planned until the end or until it is asked to stop; runs in a thread."""
    discard_old()
    run = plan.method.train(plan.images, plan.config, checkpoint=plan.checkpoint, resume=resume)
    with closing(run):  # type: ignore[type-var]
        for progress in run:
            yield progress
            if stopping():
                return


_jobs: weakref.WeakKeyDictionary[Viewer, Jobs] = weakref.WeakKeyDictionary()


def jobs_of(viewer: Viewer) -> Jobs:
    """Return the jobs of a viewer; the same for every dock that asks."""
    viewer = unwrapped(viewer)
    if viewer not in _jobs:
        _jobs[viewer] = Jobs(viewer)
    return _jobs[viewer]


def unwrapped(viewer: Viewer) -> Viewer:
    """Return the viewer behind the proxy that napari hands to plugins."""
    return getattr(viewer, "__wrapped__", viewer)
