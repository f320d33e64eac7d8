"""The pane for sweeps: what to step through, and the table of what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, SpinBox
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Signal, Slot
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_microgen.errors import InputError, MicrogenError
from napari_microgen.methods.excursion.sweeps import Sweep
from napari_microgen.metrics.scalars import FAMILIES
from napari_microgen.resources import size_text
from napari_microgen.widgets.compare import FAMILY_NAMES
from napari_microgen.widgets.form import add_row, two_columns
from napari_microgen.widgets.generate import boxed
from napari_microgen.widgets.layout import button, row
from napari_microgen.widgets.line_plot import LinePlot
from napari_microgen.widgets.number_table import NumberTable
from napari_microgen.widgets.status import StatusLine
from napari_microgen.widgets.sweep_axis import AxisEditor
from napari_microgen.widgets.sweep_rows import (
    Shown,
    directed,
    lines,
    metrics,
    save,
    table,
    title,
)
from napari_microgen.widgets.text import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel

    from napari_microgen.methods.excursion.exploration import Exploration
    from napari_microgen.methods.excursion.sweeps import Row
    from napari_microgen.widgets.sweeps import Sweeps

SIDE, LARGEST_SIDE = 96, 1024
MEASURED = tuple(name for name in FAMILIES if name != "s2")
QUICK = ("surfaces", "chords")
FIRST_SHOWN = "ssa"
"""The metric that is shown at first, where it was measured."""

AXES = {"all axes": None, "z": 0, "y": 1, "x": 2}
PHASE_WIDTH, AXIS_WIDTH = 90, 84
NOT_KEPT, AS_LAYERS, AS_FILES = "not kept", "added as layers", "saved in a folder"


class SweepPane(QWidget):
    """Asks what to step through, runs it, and shows the table.

    Parameters
    ----------
    viewer : Viewer
    bench : Sweeps
    """

    chosen = Signal(object)
    """The values of a row that the sliders are to be put to."""

    def __init__(self, viewer: ViewerModel, bench: Sweeps) -> None:
        super().__init__()
        self.bench = bench
        self._exploration: Exploration | None = None
        self._values: Mapping[str, float] = {}
        self._folder: Path | None = None
        self._make_form()
        self._make_results(viewer)
        self._lay_out()
        self._connect()
        self._on_work()
        self._on_rows()

    # ------------------------------------------------------------------ making it

    def _make_form(self) -> None:
        self.axes = (AxisEditor("first", False), AxisEditor("second", True))
        self.side = SpinBox(value=SIDE, min=1, max=LARGEST_SIDE, name="side")
        self.keep = ComboBox(choices=(NOT_KEPT, AS_LAYERS, AS_FILES), name="keep")
        self.families = {name: self._family_box(name) for name in MEASURED}
        self.check_line, self.state_line = StatusLine(), StatusLine()
        self.start_button = button("Sweep", self.start, "Make and measure the volumes.")
        self.pause_button = button("Pause", self.bench.pause, "Wait, or go on.")
        self.cancel_button = button(
            "Cancel", self.bench.cancel, "Stop after the present step; the rows so far are kept."
        )
        self.bar = QProgressBar()

    @staticmethod
    def _family_box(name: str) -> QCheckBox:
        text, cost = FAMILY_NAMES[name]
        box = QCheckBox(f"{text} (slow)" if cost else text)
        box.setToolTip(f"{cost}, at 128³ voxels" if cost else "")
        box.setChecked(name in QUICK)
        return box

    def _make_results(self, viewer: ViewerModel) -> None:
        self.metric = ComboBox(choices=[], name="metric")
        self.metric.tooltip = "Which metric to show; the file holds all of them."
        self.phase = ComboBox(choices=[], name="phase")
        self.phase.tooltip = "Of which phase."
        self.axis = ComboBox(choices=tuple(AXES), name="axis")
        for box, width in ((self.phase, PHASE_WIDTH), (self.axis, AXIS_WIDTH)):
            box.native.setMaximumWidth(width)
        self.axis.tooltip = "Along which axis; the curve for all is the mean."
        self.plot = LinePlot(viewer)
        self.table = NumberTable()
        self.table.horizontalHeader().setMinimumSectionSize(24)
        self.show_button = button(
            "Show this row", self.show_row, "Put the sliders to the values of the chosen row."
        )
        self.copy_button = button("Copy", self.table.copy, "Copy the rows for a spreadsheet.")
        self.save_button = button("Save CSV…", self._ask_save, "Save all that was measured.")

    def _lay_out(self) -> None:
        rows = two_columns()
        add_row(rows, "Step through", self.axes[0], "The parameter that changes.")
        add_row(rows, "and through", self.axes[1], "A second one, for a grid of both.")
        add_row(rows, "Side (voxels)", self.side.native, "Edge of the periodic cubes.")
        add_row(rows, "Volumes are", self.keep.native, "Every row can also be made again later.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.setSpacing(4)
        column.addLayout(rows)
        boxes = QGridLayout()
        for i, box in enumerate(self.families.values()):
            boxes.addWidget(box, *divmod(i, 2))
        column.addLayout(boxes)
        column.addWidget(self.check_line)
        column.addLayout(row(self.start_button, self.pause_button, self.cancel_button))
        column.addWidget(self.bar)
        column.addWidget(self.state_line)
        self._shown = QWidget()
        inside = QVBoxLayout(self._shown)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(boxed(boxed(self.metric.native, self.phase.native), self.axis.native))
        inside.addWidget(self.table)
        inside.addWidget(self.plot)
        inside.addLayout(row(self.show_button, self.copy_button, self.save_button))
        column.addWidget(self._shown)
        column.addStretch()

    def _connect(self) -> None:
        for editor in self.axes:
            editor.changed.connect(self.check)
        self.side.changed.connect(self.check)
        self.keep.changed.connect(self._on_keep)
        for box in self.families.values():
            box.toggled.connect(self.check)
        self.metric.changed.connect(self._draw)
        self.phase.changed.connect(self._draw)
        self.axis.changed.connect(self._draw)
        self.table.itemSelectionChanged.connect(self._on_selected)
        self.table.itemDoubleClicked.connect(self.show_row)
        self.bench.work_changed.connect(self._on_work)
        self.bench.rows_changed.connect(self._on_rows)

    # ------------------------------------------------------------------ what to do

    def begin(self, exploration: Exploration | None) -> None:
        """Offer the parameters of another model."""
        self._exploration = exploration
        self._values = {} if exploration is None else exploration.start
        offered = []
        if exploration is not None:
            offered = [*exploration.fraction_parameters(), *exploration.parameters]
        self.axes[0].offer(offered, "fraction_1")
        self.axes[1].offer(offered)

    def set_values(self, values: Mapping[str, float]) -> None:
        """Note where the parameters are that stay."""
        self._values = dict(values)

    @property
    def sweep(self) -> Sweep | None:
        """What is entered; None without a model."""
        if self._exploration is None:
            return None
        return Sweep(
            self._exploration, self._values,
            tuple(editor.axis for editor in self.axes if editor.axis is not None),
            self.side.value,
            tuple(name for name, box in self.families.items() if box.isChecked()),
            self.keep.value == AS_LAYERS,
            self._folder if self.keep.value == AS_FILES else None,
        )  # fmt: skip

    @Slot()
    def check(self) -> bool:
        """Say in `check_line` whether the sweep can be made, and how long it takes."""
        sweep, fine = self.sweep, False
        if sweep is None:
            self.check_line.tell("Choose a model first.")
        else:
            try:
                sweep.check()
            except InputError as error:
                self.check_line.fail(str(error))
            else:
                fine = True
                self.check_line.tell(
                    f"{sweep.count} volumes, about {duration(sweep.seconds_needed)} and "
                    f"{size_text(sweep.bytes_needed)} of memory."
                )
        self.start_button.setEnabled(fine and not self.bench.work.running)
        return fine

    def _on_keep(self) -> None:
        if self.keep.value == AS_FILES:
            folder = QFileDialog.getExistingDirectory(self, "Where to save the volumes")
            self.set_folder(folder)
        self.check()

    def set_folder(self, folder: str) -> None:
        """Save the volumes there; without a folder they are not kept."""
        self._folder = Path(folder) if folder else None
        with self.keep.changed.blocked():
            self.keep.value = AS_FILES if folder else NOT_KEPT
        self.check()

    @Slot()
    def start(self) -> None:
        """Sweep as entered."""
        sweep = self.sweep
        if sweep is not None and self.check():
            self.bench.run(sweep)

    @Slot()
    def _on_work(self) -> None:
        work = self.bench.work
        self.pause_button.setEnabled(work.running)
        self.pause_button.setText("Continue" if self.bench.paused else "Pause")
        self.cancel_button.setEnabled(work.running)
        self.bar.setVisible(work.running)
        self.bar.setValue(round(100 * work.fraction))
        (self.state_line.fail if work.failed else self.state_line.tell)(work.message)
        self.check()

    # ------------------------------------------------------------------ what came of it

    @Slot()
    def _on_rows(self) -> None:
        rows, sweep = self.bench.rows, self.bench.sweep
        self._shown.setVisible(bool(rows))
        if sweep is None or not rows:
            return
        found = [(title(sweep, name), name) for name in metrics(rows)]
        if [name for _, name in found] != list(self.metric.choices):
            _offer(self.metric, found)
        if len(rows) == 1 or not self.phase.choices:
            _offer(self.phase, [(p.name, k) for k, p in enumerate(sweep.exploration.phases)])
        self._draw()

    def _draw(self) -> None:
        rows, sweep = self.bench.rows, self.bench.sweep
        if sweep is None or not rows:
            return
        # As long as no row has a material, there is nothing but the amounts that were asked for.
        metric, phase = self.metric.value or "volume_fraction", self.phase.value or 0
        has_axes = directed(rows, metric)
        self.axis.native.setVisible(has_axes)
        along = AXES[self.axis.value] if has_axes else None
        shown = Shown(metric, phase, along)
        self.table.show_rows(*table(sweep, rows, shown))
        text = f"{title(sweep, metric)} of {sweep.exploration.phases[phase].name}"
        if along is not None:
            text += f" along {self.axis.value}"
        over = sweep.axes[0].parameter.title.lower()
        self.plot.show_lines(f"{text} over {over}", lines(sweep, rows, shown))
        self._on_selected()

    @property
    def chosen_row(self) -> Row | None:
        """The row that is selected, if it is one."""
        places = sorted({i.row() for i in self.table.selectedIndexes()})
        if len(places) != 1 or not self.bench.rows:
            return None
        return self.bench.rows[int(self.table.item(places[0], 0).text()) - 1]

    @Slot()
    def _on_selected(self) -> None:
        self.show_button.setEnabled(self.chosen_row is not None)

    @Slot()
    def show_row(self) -> None:
        """Put the sliders to the values of the selected row."""
        row, sweep = self.chosen_row, self.bench.sweep
        if row is None or sweep is None:
            return
        if not row.values:
            show_error(row.note)
        elif self._exploration is None or sweep.exploration.base is not self._exploration.base:
            show_error(
                f"This sweep was made with '{sweep.exploration.name}'; choose that model first."
            )
        else:
            self.chosen.emit(dict(row.values))

    @Slot()
    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save sweep", "sweep.csv", "Table (*.csv)")
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Write everything as CSV."""
        if self.bench.sweep is None or not self.bench.rows:
            return
        try:
            save(self.bench.sweep, self.bench.rows, path)
        except MicrogenError as error:
            show_error(str(error))
        else:
            show_info(f"Saved as {path}")


def _offer(box: ComboBox, choices: Sequence[tuple[str, Any]]) -> None:
    """Offer other choices and keep the chosen one, if it is among them."""
    before = box.value
    with box.changed.blocked():
        box.choices = choices
        values = [value for _, value in choices]
        if values:
            box.value = next(v for v in (before, FIRST_SHOWN, *values) if v in values)
