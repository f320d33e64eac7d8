"""The Train widget: from layers to a model, watched while it learns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from napari.layers import Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import QTimer, Slot
from qtpy.QtWidgets import QApplication, QCheckBox, QFileDialog

from napari_microgen.errors import InputError, MicrogenError
from napari_microgen.methods import METHODS, get_method
from napari_microgen.resources import size_text
from napari_microgen.widgets.centres import CentrePoints
from napari_microgen.widgets.extra_layers import place_of
from napari_microgen.widgets.form import ConfigForm, Folded, add_row, two_columns
from napari_microgen.widgets.inputs import LayerInputs
from napari_microgen.widgets.jobs import jobs_of, unwrapped
from napari_microgen.widgets.layout import Scrolled, button, row
from napari_microgen.widgets.line_plot import Line, LinePlot
from napari_microgen.widgets.phase_map_table import PhaseMapTable
from napari_microgen.widgets.preferences import training_defaults
from napari_microgen.widgets.progress import TrainingProgress
from napari_microgen.widgets.script import train_command
from napari_microgen.widgets.state import Status
from napari_microgen.widgets.status import StatusLine
from napari_microgen.widgets.text import sentence
from napari_microgen.widgets.validation import TrainingPlan, plan_training, read_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.viewer import Viewer

    from napari_microgen.methods.base import Config, Method, Plot
    from napari_microgen.phases import PhaseImage, Zero
    from napari_microgen.widgets.tasks import Outcome, Steps, Task

CHECK_DELAY_MS = 250
"""Time without edits after which layers and settings are checked."""


class TrainWidget(Scrolled):
    """Chooses method, layers and settings, and runs the training of its viewer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self.jobs = jobs_of(napari_viewer)
        self.plan: TrainingPlan | None = None
        self._images: tuple[PhaseImage, ...] | None = None
        self._check_task: Task | None = None
        self._check_timer = QTimer(self, singleShot=True, interval=CHECK_DELAY_MS)
        self._check_timer.timeout.connect(self.check)
        self.method = ComboBox(choices=tuple(METHODS), name="method")
        self.method.changed.connect(self._on_method)
        self._rows = two_columns()
        self._make_parts()
        self._lay_out()
        self._on_method()
        self.jobs.status_changed.connect(self._on_status)
        self.jobs.progressed.connect(self._on_progress)
        self._on_status()

    # ------------------------------------------------------------------ making it

    def _make_parts(self) -> None:
        self.note_line = StatusLine()
        self.check_line = StatusLine()
        self.warning_plot = LinePlot(self._viewer)
        self.start_button = button("Start", self.start, "Train from the beginning.")
        self.resume_button = button(
            "Resume",
            self.resume,
            "Go on from the last checkpoint of these images and settings; a training that has used "
            "up its minutes or steps needs more of them first.",
        )
        self.pause_button = button("Pause", self.pause, "Wait after the present step, or go on.")
        self.cancel_button = button("Cancel", self.jobs.cancel, "Stop and keep the best model.")
        self.look_button = button(
            "", self.show_intermediates, "Add what becomes of the images first as layers."
        )
        self.preview_box = QCheckBox("Preview beside the training image")
        self.preview_box.setToolTip("Show a generated volume in the viewer and keep renewing it.")
        self.preview_box.setChecked(self.jobs.preview.shown)
        self.preview_box.toggled.connect(self._on_preview)
        self.progress = TrainingProgress(self._viewer, self.jobs)
        self.save_button = button("Save model…", self._ask_save, "Write the model to a file.")
        self.script_button = button(
            "Copy as command", self.copy_command, "Copy the command that repeats this training."
        )

    def _lay_out(self) -> None:
        add_row(self._rows, "Method", self.method.native, "The published system to train.")
        self.folded = Folded("Images and settings", self._rows)
        self.folded.expand(animate=False)
        self.column.addWidget(self.folded)
        self.column.addWidget(self.note_line)
        self.column.addWidget(self.check_line)
        self.column.addWidget(self.warning_plot)
        self.column.addWidget(self.look_button)
        buttons = (self.start_button, self.resume_button, self.pause_button, self.cancel_button)
        self.column.addLayout(row(*buttons))
        self.column.addWidget(self.preview_box)
        self.column.addWidget(self.progress)
        self.column.addLayout(row(self.save_button, self.script_button))
        self.column.addStretch()

    def _on_method(self) -> None:
        """Ask for what the chosen method needs."""
        while self._rows.rowCount() > 1:
            self._rows.removeRow(1)
        self.chosen_method: Method = get_method(self.method.value)
        self.method.native.setToolTip(self.chosen_method.paper)
        self.look_button.setText(self.chosen_method.intermediates_title)
        self.look_button.setVisible(bool(self.chosen_method.intermediates_title))
        self.inputs = LayerInputs(self._rows, self._viewer, self.chosen_method.inputs)
        config_class = self.chosen_method.config_class
        self.form = ConfigForm(self._rows, config_class, training_defaults())
        self.phase_map: PhaseMapTable | None = None
        if "phase_map" in self.form.editors:
            self.phase_map = PhaseMapTable(self._rows, self.form.editors["phase_map"])
        self.centres: CentrePoints | None = None
        if self.chosen_method.points:
            editor = self.form.editors[self.chosen_method.points]
            self.centres = CentrePoints(self._rows, editor, self._viewer, self.inputs)
            self.centres.changed.connect(self._on_edited)
        self.inputs.changed.connect(self._on_layers)
        self.form.changed.connect(self._on_edited)
        self._on_layers()

    # ------------------------------------------------------------------ checking before the start

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the layers that are there now; napari calls this when layers change."""
        self.inputs.reset_choices()
        if self.centres is not None:
            self.centres.reset_choices()

    @Slot()
    def _on_layers(self) -> None:
        self._images = None
        self._on_edited()

    @Slot()
    def _on_edited(self) -> None:
        """Allow no start until what is there now has been checked."""
        if not self.jobs.training.status.running:
            self._set_plan(None)
            self._check_timer.start()

    @Slot()
    def check(self) -> None:
        """Check layers and settings in a thread; the answer shows in `check_line`."""
        self._check_timer.stop()
        if self.jobs.training.status.running:
            return
        self._set_plan(None)
        try:
            config = self.form.config()
        except InputError as error:
            self.check_line.fail(str(error))
            return
        self.check_line.tell("Checking…")
        self._check_task = self.jobs.new_task("Checking the images", self._check_steps(config))
        self._check_task.yielded.connect(self._on_read)
        self._check_task.ended.connect(self._on_checked)
        self._check_task.start()

    def _check_steps(self, config: Config) -> Any:
        method, images = self.chosen_method, self._images
        layers, zero = self.inputs.layers, self.inputs.zero_meaning
        return lambda _stopping: check_steps(method, images, layers, zero, config)

    @Slot(object)
    def _on_read(self, images: tuple[PhaseImage, ...]) -> None:
        """Keep what was read, and let the user mend what may be wrong with it."""
        if self.sender() is not self._check_task or self._check_timer.isActive():
            return  # something was edited meanwhile
        self._images = images
        if self.phase_map is not None:
            self.phase_map.offer(images)

    @Slot(object)
    def _on_checked(self, outcome: Outcome) -> None:
        if self.sender() is not self._check_task or self._check_timer.isActive():
            return  # something was edited meanwhile
        self._check_task = None
        if outcome.error is not None:
            self.note_line.tell("")
            self.check_line.fail(sentence(outcome.error, "Checking the images"))
        elif self.centres is not None and self.centres.problem:
            self.check_line.fail(self.centres.problem)
        else:
            self._set_plan(outcome.value)

    def _set_plan(self, plan: TrainingPlan | None) -> None:
        self.plan = plan
        self._enable()
        self._show_plot(plan.plot if plan is not None else None)
        if plan is None:
            return
        self.note_line.tell("\n".join(plan.notes))
        needed, free = size_text(plan.memory_bytes), size_text(plan.available_bytes)
        memory = f"Takes about {needed} of memory; {free} are free."
        warnings = [*plan.warnings]
        if self.centres is not None and self.centres.warning:
            warnings.insert(0, self.centres.warning)
        if warnings:
            self.check_line.warn([*warnings, memory])
        else:
            self.check_line.tell(memory)

    def _show_plot(self, plot: Plot | None) -> None:
        curves = plot.curves if plot is not None else {}
        lines = [Line(name, x, y) for name, (x, y) in curves.items()]
        heading, level = (plot.heading, plot.level) if plot is not None else ("", None)
        self.warning_plot.show_lines(heading, lines, level)
        if lines:  # from 0, so that chance does not look large
            self.warning_plot.plot.setYRange(0, 1.1 * max(max(line.y) for line in lines))

    # ------------------------------------------------------------------ looking at the images

    @Slot()
    def show_intermediates(self) -> None:
        """Add what becomes of the images before anything is learned, as layers over them."""
        plan, layers = self.plan, [x for x in self.inputs.layers if x is not None]
        if plan is None:
            return
        self.look_button.setEnabled(False)
        task = self.jobs.new_task("Preparing the images", lambda _: look_steps(plan, layers))
        task.ended.connect(self._on_look)
        task.start()

    @Slot(object)
    def _on_look(self, outcome: Outcome) -> None:
        self._enable()
        if outcome.error is not None:
            self.check_line.fail(sentence(outcome.error, "Preparing the images"))
        elif not self.jobs.closed:
            for each in outcome.value:
                self._viewer.add_layer(Layer.create(*each))

    # ------------------------------------------------------------------ running

    @Slot()
    def start(self) -> None:
        """Train from the beginning."""
        self._start(resume=False)

    @Slot()
    def resume(self) -> None:
        """Go on with the training whose checkpoint belongs to these images and settings."""
        self._start(resume=True)

    def _start(self, resume: bool) -> None:
        layer = self.inputs.layers[0]
        if self.plan is not None and layer is not None:
            self.folded.collapse(animate=False)
            self.jobs.start_training(self.plan, layer, resume)

    @Slot()
    def pause(self) -> None:
        """Pause the training, or let it go on."""
        if self.jobs.training.status is Status.PAUSED:
            self.jobs.go_on()
        else:
            self.jobs.pause()

    @Slot()
    def _on_status(self) -> None:
        self._enable()
        if self.jobs.training.status.running:
            self.check_line.tell("")
            self._show_plot(None)
        else:
            self.check()

    def _enable(self) -> None:
        status, plan = self.jobs.training.status, self.plan
        ready = plan is not None and not status.running
        self.start_button.setEnabled(ready)
        self.look_button.setEnabled(plan is not None)
        self.resume_button.setEnabled(plan is not None and ready and plan.checkpoint.is_file())
        self.pause_button.setEnabled(status in (Status.TRAINING, Status.PAUSED))
        self.pause_button.setText("Continue" if status is Status.PAUSED else "Pause")
        self.cancel_button.setEnabled(status in (Status.TRAINING, Status.PAUSED))
        self._on_progress()
        self.script_button.setEnabled(plan is not None)
        self.folded.content().setEnabled(not status.running)

    @Slot()
    def _on_progress(self) -> None:
        self.save_button.setEnabled(self.jobs.training.model is not None)

    @Slot(bool)
    def _on_preview(self, shown: bool) -> None:
        self.jobs.preview.shown = shown

    # ------------------------------------------------------------------ taking it along

    @Slot()
    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save model", "model.safetensors", "Models (*.safetensors)"
        )
        if path:
            self.save_model(path)

    def save_model(self, path: str) -> None:
        """Write the best model to a file."""
        model = self.jobs.training.model
        if model is None:
            return
        try:
            written = model.save(path)
        except MicrogenError as error:
            self.progress.state_line.fail(str(error))
        else:
            show_info(f"Model saved as {written}")

    @Slot()
    def copy_command(self) -> None:
        """Put the command that repeats this training on the clipboard."""
        if self.plan is None:
            return
        layers = [layer for layer in self.inputs.layers if layer is not None]
        command = train_command(self.plan, [layer_file(layer) for layer in layers])
        QApplication.clipboard().setText(command)
        unsaved = [layer_file(layer) for layer in layers if not layer.source.path]
        first = (
            f" Save the images first, as Microgen TIFF: {', '.join(unsaved)}." if unsaved else ""
        )
        show_info(f"Copied: {command}{first}")


def check_steps(
    method: Method,
    images: tuple[PhaseImage, ...] | None,
    layers: Sequence[Layer | None],
    zero: Zero,
    config: Config,
) -> Steps:
    """Read the layers, unless that has been done, and plan the training; runs in a thread.

    Yields what was read.
    """
    if images is None:
        images = read_layers(layers, zero, method.inputs)
    yield images
    return plan_training(method, images, zero, config)


def look_steps(plan: TrainingPlan, layers: Sequence[Layer]) -> Steps:
    """Return the layers that show what becomes of the images first; runs in a thread."""
    yield
    found = plan.method.intermediates(plan.images, plan.config)
    shown = []
    for i, name, values in found:
        options = {"name": f"{layers[i].name}: {name}", **place_of(layers[i], values.ndim)}
        options["visible"] = name == found[-1][1]
        numbered = values.dtype.kind in "iu"
        shown.append((values, options, "labels" if numbered else "image"))
    return shown


def layer_file(layer: Layer) -> str:
    """Return the file that a layer came from, or one that it could be saved as."""
    name = re.sub(r"[^\w.-]+", "_", layer.name)
    return layer.source.path or f"{name}.tif"
