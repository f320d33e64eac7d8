"""The Interpolate widget: volumes on the way from one seed of a model to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, SpinBox
from qtpy.QtCore import Slot
from qtpy.QtWidgets import QFileDialog, QProgressBar

from napari_microgen.errors import InputError, MicrogenError
from napari_microgen.generation.latent_model import LatentModel
from napari_microgen.resources import size_text
from napari_microgen.widgets.form import add_row, two_columns
from napari_microgen.widgets.generate import boxed
from napari_microgen.widgets.generation import next_period
from napari_microgen.widgets.interpolation import (
    InterpolationPlan,
    measured,
    save_numbers,
    series,
    unit_of,
)
from napari_microgen.widgets.interpolations import Interpolations
from napari_microgen.widgets.jobs import jobs_of, unwrapped
from napari_microgen.widgets.layout import Scrolled, button, row
from napari_microgen.widgets.line_plot import Line, LinePlot
from napari_microgen.widgets.model_choice import ModelChoice
from napari_microgen.widgets.number_table import NumberTable
from napari_microgen.widgets.result_rows import NAMES, Cell, number_text
from napari_microgen.widgets.status import StatusLine

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from napari.viewer import Viewer


SIDE, STEPS = 64, 9
LARGEST_SIDE, MOST_STEPS, MAX_SEED = 4096, 201, 2**31 - 1


class InterpolateWidget(Scrolled):
    """Chooses a model and two seeds, and shows what changes on the way between them."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self.bench = Interpolations.of(napari_viewer)
        self._make_form()
        self._make_results()
        self._lay_out()
        self._connect()
        self._on_model()
        self._on_work()
        self._on_numbers()

    # ------------------------------------------------------------------ making it

    def _make_form(self) -> None:
        self._rows = rows = two_columns()
        # Before the pickers, which forget their choices when they are moved to another parent.
        self.column.addLayout(rows)
        self.model = ModelChoice(
            rows, jobs_of(self._viewer), lambda model: isinstance(model, LatentModel),
            "This model has no latents to interpolate between; open one of a network, such as "
            "SliceGAN or DC-GAN.",
        )  # fmt: skip
        self.seeds = [SpinBox(value=i, min=0, max=MAX_SEED, name=f"seed {i}") for i in range(2)]
        self.steps = SpinBox(value=STEPS, min=2, max=MOST_STEPS, name="steps")
        self.side = SpinBox(value=SIDE, min=1, max=LARGEST_SIDE, name="side")
        self.periodic = CheckBox(text="periodic", name="periodic")
        self.diffusion = CheckBox(text="Measure relative diffusivity too (slow)", name="diffusion")
        both = boxed(self.seeds[0].native, self.seeds[1].native)
        add_row(rows, "Seeds, from and to", both, "The volumes at both ends.")
        add_row(rows, "Volumes", self.steps.native, "How many, both ends included.")
        size = boxed(self.side.native, self.periodic.native)
        add_row(rows, "Side (voxels)", size, "Of every volume; periodic ones continue at faces.")
        rows.addRow(self.diffusion.native)

    def _make_results(self) -> None:
        self.check_line, self.state_line = StatusLine(), StatusLine()
        self.start_button = button("Interpolate", self.start, "Make and measure the volumes.")
        self.cancel_button = button(
            "Cancel", self.bench.cancel, "Stop after the present step; nothing is added."
        )
        self.bar = QProgressBar()
        self.metric = ComboBox(choices=[], name="metric")
        self.plot = LinePlot(self._viewer)
        self.table = NumberTable()
        self.copy_button = button("Copy", self.table.copy, "Copy the rows for a spreadsheet.")
        self.save_button = button("Save…", self._ask_save, "Save all that was measured as CSV.")

    def _lay_out(self) -> None:
        self.column.addWidget(self.check_line)
        self.column.addLayout(row(self.start_button, self.cancel_button))
        parts = (self.bar, self.state_line, self.metric.native, self.plot, self.table)
        for part in parts:
            self.column.addWidget(part)
        self.column.addLayout(row(self.copy_button, self.save_button))
        self.column.addStretch()

    def _connect(self) -> None:
        self.model.changed.connect(self._on_model)
        self.model.failed.connect(self.check_line.fail)
        editors: list[ValueWidget[Any]] = [*self.seeds, self.steps, self.diffusion, self.side]
        for editor in editors:
            editor.changed.connect(self.check)
        self.side.native.editingFinished.connect(self._on_model)
        self.periodic.changed.connect(self._on_model)
        self.metric.changed.connect(self._show_metric)
        self.bench.work_changed.connect(self._on_work)
        self.bench.numbers_changed.connect(self._on_numbers)
        self._viewer.dims.events.current_step.connect(self._on_slider)

    # ------------------------------------------------------------------ checking

    @property
    def plan(self) -> InterpolationPlan | None:
        """What is entered; None without a model."""
        model = self.model.model
        if not isinstance(model, LatentModel):
            return None
        side, wraps = int(self.side.value), bool(self.periodic.value)
        first, last = (int(seed.value) for seed in self.seeds)
        return InterpolationPlan(
            model, (first, last), int(self.steps.value), (side,) * 3, (wraps,) * 3,
            bool(self.diffusion.value) and model.origin.kind == "labels",
        )  # fmt: skip

    @Slot()
    def _on_model(self) -> None:
        """Lengthen a periodic side to one that can be, and step by it."""
        model, wraps = self.model.model, self.periodic.value
        period = next_period(model, 0, 1) if model is not None and wraps else None
        self.side.step = period or 1
        if model is not None and period:
            with self.side.changed.blocked():
                self.side.value = next_period(model, 0, int(self.side.value)) or self.side.value
        labels = model is None or model.origin.kind == "labels"
        self._rows.setRowVisible(self.diffusion.native, labels)
        self.check()

    def check(self) -> bool:
        """Say in `check_line` whether it can be done, and how much memory it takes."""
        plan, fine = self.plan, False
        if plan is None:
            self.check_line.tell("Train a model first, or open one from a file.")
        else:
            try:
                plan.check()
            except InputError as error:
                self.check_line.fail(str(error))
            else:
                fine = True
                self.check_line.tell(f"Takes about {size_text(plan.bytes_needed)} of memory.")
        self.start_button.setEnabled(fine and not self.bench.work.running)
        return fine

    # ------------------------------------------------------------------ running

    @Slot()
    def start(self) -> None:
        """Interpolate as entered, in a thread."""
        plan = self.plan
        if plan is not None and self.check():
            self.bench.interpolate(plan)

    @Slot()
    def _on_work(self) -> None:
        work = self.bench.work
        self.bar.setVisible(work.running)
        self.bar.setValue(round(100 * work.fraction))
        self.cancel_button.setEnabled(work.running)
        if work.failed:
            self.state_line.fail(work.message)
        else:
            self.state_line.tell(work.message)
        self.check()

    # ------------------------------------------------------------------ the numbers

    @Slot()
    def _on_numbers(self) -> None:
        choices = measured(self.bench.numbers)
        self.metric.native.setVisible(bool(choices))
        if list(self.metric.choices) != choices:
            with self.metric.changed.blocked():
                self.metric.choices = [(NAMES[name], name) for name in choices]
        for part in (self.copy_button, self.save_button):
            part.setVisible(bool(choices))
        self._show_metric()

    def _show_metric(self) -> None:
        """Draw the chosen metric and put it into the table."""
        bench, metric = self.bench, self.metric.value
        if bench.plan is None or metric is None or not bench.numbers:
            self.plot.show_lines("", ())
            self.table.show_rows((), ())
            return
        origin = bench.plan.model.origin
        unit = unit_of(metric, origin.unit).replace("^2", "²")
        found = series(bench.numbers, origin.phases, metric)
        heading = NAMES[metric] + (f" ({unit})" if unit else "")
        steps = range(len(bench.numbers))
        self.plot.show_lines(heading, [Line(name, steps, values) for name, values in found.items()])
        cells = zip(steps, bench.plan.shares, *found.values(), strict=False)
        rows = [[Cell(str(i), i), *(Cell(number_text(v), v, f"{v:.6g}") for v in values)]
                for i, *values in cells]  # fmt: skip
        self.table.show_rows(("Step", "Share", *found), rows)
        self._on_slider()

    def _on_slider(self, _event: Any = None) -> None:
        """Mark in the plot the volume that is seen."""
        there = self.bench.layer is not None and self.bench.layer in self._viewer.layers
        self.plot.mark(self._viewer.dims.current_step[0] if there else None)

    @Slot()
    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save numbers", "interpolation.csv", "Table (*.csv)"
        )
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Write the numbers of the last way as CSV."""
        if self.bench.plan is None:
            return
        try:
            save_numbers(self.bench.plan, self.bench.numbers, path)
        except MicrogenError as error:
            self.state_line.fail(str(error))
        else:
            self.state_line.tell(f"Saved as {path}")
