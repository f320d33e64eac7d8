"""The Explore widget: a model's parameters as sliders, and what they make of the material."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, FloatSpinBox
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Slot
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLabel, QTabWidget, QVBoxLayout, QWidget
from superqt.utils import QSignalDebouncer, QSignalThrottler

from napari_microgen.errors import InputError, MicrogenError
from napari_microgen.io.files import replacing
from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.excursion.exploration import Exploration
from napari_microgen.methods.excursion.live_section import LiveSection
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.widgets.explore_curves import CurvesPane
from napari_microgen.widgets.explore_layers import ExploreLayers
from napari_microgen.widgets.explore_models import Source, sources, tried_rows
from napari_microgen.widgets.explore_numbers import NumbersTable
from napari_microgen.widgets.explore_sliders import Sliders
from napari_microgen.widgets.form import add_row, two_columns
from napari_microgen.widgets.generate import boxed, describe
from napari_microgen.widgets.generation import model_steps
from napari_microgen.widgets.jobs import jobs_of, unwrapped
from napari_microgen.widgets.latest import Latest
from napari_microgen.widgets.layout import Scrolled, button, row
from napari_microgen.widgets.status import StatusLine
from napari_microgen.widgets.sweep_pane import SweepPane
from napari_microgen.widgets.sweeps import Sweeps
from napari_microgen.widgets.tables import SmallTable
from napari_microgen.widgets.text import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.viewer import Viewer

    from napari_microgen.methods.base import Sample
    from napari_microgen.widgets.tasks import Outcome

SECTION_SIDES = (128, 256, 512)
SECTION_SIDE = 256
PREVIEW_SIDE = 96
SECTION_MS, PREVIEW_MS = 30, 200
"""Least time between two sections, and time without a move after which a volume is made."""

SAME_MOVE = 1.0
"""Seconds within which moves of one slider count as one, to be undone together."""

MOST_UNDONE = 100
PLANES = {"y, x": ("y", "x"), "z, x": ("z", "x")}
NOTHING = "Choose a model: fit 'excursion' in Train, open a file, or play with a new one."
TRIED = (
    "What was fitted to the image, the chosen model first: difference of the two-point "
    "functions, and errors of what the fit did not see."
)


class ExploreWidget(Scrolled):
    """Chooses a model, and shows what moving its parameters does."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self.jobs = jobs_of(napari_viewer)
        self.exploration: Exploration | None = None
        self.layers = ExploreLayers(self._viewer)
        self._section = LiveSection()
        self._shown: dict[str, float] = {}
        self._history: list[dict[str, float]] = []
        self._last_move = ("", 0.0)
        self._make_model()
        self._make_parameters()
        self._make_views()
        self._lay_out()
        self._connect()
        self.reset_choices()
        self._on_source()
        self._on_models()

    # ------------------------------------------------------------------ making it

    def _make_model(self) -> None:
        self.source = ComboBox(choices=[], nullable=True, name="source")
        self.open_button = button("Open…", self._ask_open, "Open a model file.")
        self.about = QLabel()
        self.about.setWordWrap(True)

    def _make_parameters(self) -> None:
        self._slider_rows = two_columns()
        self.sliders = Sliders(self._slider_rows)
        self.undo_button = button("Undo", self.undo, "Take the last move back.")
        self.reset_button = button("Reset", self.reset, "Go back to the model as it came.")
        self.warning = StatusLine()
        self.numbers = NumbersTable()
        self.phase = ComboBox(choices=[], name="phase")
        self.fraction = FloatSpinBox(value=0.3, min=0.0, max=1.0, step=0.01, name="fraction")
        self.fraction.native.setDecimals(3)
        self.solve_button = button("Set", self.solve, "Move the threshold that sets it.")

    def _make_views(self) -> None:
        self.plane = ComboBox(choices=tuple(PLANES), name="plane")
        self.side = ComboBox(choices=SECTION_SIDES, value=SECTION_SIDE, name="side")
        self.preview_box = QCheckBox("and a volume")
        self.preview_box.setChecked(True)
        self.preview_box.setToolTip(
            f"A periodic cube of {PREVIEW_SIDE}³ voxels, renewed shortly after every move."
        )
        self.preview = Latest(self.jobs, "Generating the preview")
        self._throttler = QSignalThrottler(parent=self)
        self._throttler.setTimeout(SECTION_MS)
        self._debouncer = QSignalDebouncer(parent=self)
        self._debouncer.setTimeout(PREVIEW_MS)
        self.curves = CurvesPane(self._viewer, self.jobs)
        self.sweep = SweepPane(self._viewer, Sweeps.of(self._viewer))
        self.tried = SmallTable(("Models tried", "S2 error", "Surface", "Chords", "Euler"))
        self.tabs = QTabWidget()
        self.tabs.addTab(self.curves, "Curves")
        self.tabs.addTab(self.sweep, "Sweep")
        self.tabs.addTab(self._fit_tab(), "Fit")
        self.use_button = button(
            "To Generate", self.use, "Offer the moved model in Generate, for volumes of any size."
        )
        self.save_button = button("Save…", self._ask_save, "Write the moved model to a file.")
        self.export_button = button(
            "Export…", self._ask_export, "Write parameters and predictions as JSON."
        )
        self.state_line = StatusLine()

    def _fit_tab(self) -> QWidget:
        about = QLabel(TRIED)
        about.setWordWrap(True)
        tab = QWidget()
        column = QVBoxLayout(tab)
        column.setContentsMargins(0, 6, 0, 0)
        column.addWidget(about)
        column.addWidget(self.tried)
        column.addStretch()
        return tab

    def _lay_out(self) -> None:
        rows, more = two_columns(), two_columns()
        both = boxed(self.source.native, self.open_button)
        add_row(rows, "Model", both, "An excursion set: where to start from.")
        rows.addRow(self.about)
        wanted = boxed(boxed(self.phase.native, self.fraction.native), self.solve_button)
        add_row(
            more, "Set fraction", wanted,
            "Finds the threshold at which a phase fills so much of the volume.",
        )  # fmt: skip
        views = boxed(boxed(self.plane.native, self.side.native), self.preview_box)
        add_row(
            more, "Section", views,
            "Its axes (choose z, x to see the stretch) and its side in voxels.",
        )  # fmt: skip
        self.column.addLayout(rows)
        self.column.addLayout(self._slider_rows)
        self.column.addLayout(more)
        self.column.addWidget(self.warning)
        self.column.addWidget(self.numbers)
        self.column.addLayout(row(
            self.undo_button, self.reset_button, self.use_button, self.save_button,
            self.export_button,
        ))  # fmt: skip
        self.column.addWidget(self.state_line)
        self.column.addWidget(self.tabs)
        self.column.addStretch()

    def _connect(self) -> None:
        self.source.changed.connect(self._on_source)
        self.sliders.moved.connect(self._on_moved)
        self._throttler.triggered.connect(self.refresh)
        self._debouncer.triggered.connect(self._on_settled)
        self.plane.changed.connect(self._on_plane)
        self.side.changed.connect(self._on_side)
        self.preview_box.toggled.connect(self._on_preview_box)
        self.preview.done.connect(self._on_preview)
        self.curves.image_changed.connect(self._on_image)
        self.sweep.chosen.connect(self.move_to)
        self.jobs.models_changed.connect(self._on_models)

    # ------------------------------------------------------------------ which model

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the layers that are there now; napari calls this when layers change."""
        self.curves.inputs.reset_choices()
        self._offer_sources()

    def _offer_sources(self) -> None:
        before: Source | None = self.source.value
        offered = sources(self.jobs, self._viewer, self.layers.own)
        with self.source.changed.blocked():
            self.source.choices = [(s.title, s) for s in offered]
            same = [s for s in offered if before is not None and s.of is before.of]
            self.source.value = same[0] if same else None

    @Slot()
    def _on_models(self) -> None:
        """Take up a newly fitted model, unless another one is being explored."""
        before: Source | None = self.source.value
        self._offer_sources()
        models = [s for s in self.source.choices if s is not None and s.of in self.jobs.models]
        if models and (before is None or before.fresh):
            self.source.value = models[-1]

    def _on_source(self) -> None:
        source: Source | None = self.source.value
        found = None
        if source is not None:
            try:
                found = Exploration(source.model(), source.name)
            except MicrogenError as error:
                self._fail(str(error))
        self._explore(found)

    def _explore(self, exploration: Exploration | None) -> None:
        """Lay a model open; None closes the one before."""
        if exploration is not None:
            self.state_line.tell("")
        self.layers.clear()
        self.preview.drop()
        self.exploration = exploration
        self._section, self._history, self._last_move = LiveSection(), [], ("", 0.0)
        self.sweep.begin(exploration)
        self.tabs.setEnabled(exploration is not None)
        self._show_about()
        if exploration is None:
            self.sliders.offer(())
            self.curves.begin(None)
            self._enable()
            return
        self.sliders.offer(exploration.parameters)
        self._shown = self.sliders.values
        self.phase.choices = [(p.name, k) for k, p in enumerate(exploration.phases)]
        self.numbers.begin(exploration.base.origin.unit)
        self.curves.begin(exploration)
        self._debouncer.throttle()

    def _show_about(self) -> None:
        model = None if self.exploration is None else self.exploration.base
        self.about.setText(NOTHING if model is None else describe(model))
        self.tried.show_rows([] if model is None else tried_rows(model))

    @Slot()
    def _ask_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open model", "", "Models (*.safetensors)")
        if path:
            self.open_model(path)

    def open_model(self, path: str) -> None:
        """Take a model from a file."""
        try:
            model = load_model(path)
        except MicrogenError as error:
            self._fail(str(error))
            return
        name = Path(path).name
        if not isinstance(model, ExcursionModel):
            self._fail(
                f"'{name}' is a model of {get_method(model.origin.method).title}, which has no "
                "parameters to move; open one of excursion sets."
            )
            return
        named = self.jobs.add_model(name, model)
        self.source.value = next(s for s in self.source.choices if s and s.of is named)

    # ------------------------------------------------------------------ moving

    @property
    def values(self) -> dict[str, float]:
        """Every parameter's value."""
        return self.sliders.values

    @Slot(str)
    def _on_moved(self, name: str) -> None:
        last, when = self._last_move
        now = time.monotonic()
        if name != last or now - when > SAME_MOVE:
            self._remember()
        self._last_move = (name, now)
        self._shown = self.values
        self._renew()

    def _remember(self) -> None:
        self._history = [*self._history[1 - MOST_UNDONE :], self._shown]

    @Slot(object)
    def move_to(self, values: Mapping[str, float]) -> None:
        """Put the sliders to other values; that can be undone."""
        self._remember()
        self._put(values)

    def _put(self, values: Mapping[str, float]) -> None:
        self._last_move = ("", 0.0)
        self.sliders.set_values(values)
        self._shown = self.values
        self._renew()

    def _renew(self) -> None:
        self.state_line.tell("")  # what it said was of the values before
        self._throttler.throttle()
        self._debouncer.throttle()

    @Slot()
    def undo(self) -> None:
        """Take the last move back."""
        if self._history:
            *self._history, before = self._history
            self._put(before)

    @Slot()
    def reset(self) -> None:
        """Go back to the model as it came."""
        if self.exploration is not None:
            self.move_to(self.exploration.start)

    @Slot()
    def solve(self) -> None:
        """Move the threshold that gives the entered volume fraction."""
        if self.exploration is None:
            return
        try:
            values = self.exploration.solved(
                self.values, self.phase.value, float(self.fraction.value)
            )
        except InputError as error:
            self._fail(str(error))
        else:
            self.move_to(values)

    # ------------------------------------------------------------------ showing

    @Slot()
    def refresh(self) -> None:
        """Draw the section, the numbers and the curves of the values that are there now."""
        exploration = self.exploration
        if exploration is None:
            return
        self._draw_section(exploration)
        prediction = exploration.predict(self.values, self.curves.target)
        self.numbers.show_prediction(exploration.phases, prediction)
        self.curves.show_model(self.values, prediction)
        self.warning.warn(exploration.warnings(self.values))
        self.sweep.set_values(self.values)
        self._enable()

    def _draw_section(self, exploration: Exploration) -> None:
        values, origin = self.values, exploration.base.origin
        shape, axes = (self.side.value,) * 2, PLANES[self.plane.value]
        seed = exploration.seed(values)
        stretch = exploration.stretch(values) if axes[0] == "z" else 1.0
        drawn = self._section.draw(exploration.fit(values), shape, seed, stretch)
        told = exploration.model(values).provenance(shape, seed, (0, 0), (True, True))
        told["section"] = list(axes)
        self.layers.show_section(
            drawn, exploration.phases, exploration.voxel, origin.unit, axes, told
        )

    def _enable(self) -> None:
        there = self.exploration is not None
        moved = there and self.values != getattr(self.exploration, "start", None)
        for each in (self.use_button, self.save_button, self.export_button, self.solve_button):
            each.setEnabled(there)
        self.reset_button.setEnabled(moved)
        self.undo_button.setEnabled(bool(self._history))

    def _on_plane(self) -> None:
        self._throttler.throttle()

    def _on_side(self) -> None:
        self.layers.clear()  # so that they stand beside each other again
        self._renew()

    # ------------------------------------------------------------------ the volume

    @Slot()
    def _on_settled(self) -> None:
        """Make what takes longer, now that nothing moves."""
        self._ask_preview()
        self.curves.refine()

    @Slot()
    def _ask_preview(self) -> None:
        if self.exploration is None or not self.preview_box.isChecked():
            return
        values = self.values
        model = self.exploration.model(values)
        self.preview.ask(partial(
            model_steps, model, (PREVIEW_SIDE,) * 3,
            seed=self.exploration.seed(values), periodic=(True,) * 3,
        ))  # fmt: skip

    @Slot(object)
    def _on_preview(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._fail(sentence(outcome.error, "Generating the preview"))
        elif outcome.value is not None:
            sample: Sample = outcome.value
            self.layers.show_volume(sample)

    @Slot(bool)
    def _on_preview_box(self, wanted: bool) -> None:
        if wanted:
            self._ask_preview()
        else:
            self.preview.drop()
            self.layers.remove("volume")

    @Slot()
    def _on_image(self) -> None:
        """Draw over what is now known of the image."""
        self.layers.looks_like = self.curves.image
        self.refresh()
        self._debouncer.throttle()

    # ------------------------------------------------------------------ taking it along

    @Slot()
    def use(self) -> None:
        """Offer the moved model in Generate, and open that."""
        if self.exploration is None:
            return
        name = f"{self.exploration.name}, explored"
        named = self.jobs.add_model(name, self.exploration.model(self.values))
        self._viewer.window.add_plugin_dock_widget("napari-microgen", "Generate")
        show_info(f"'{named.name}' can be chosen in Generate.")

    @Slot()
    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save model", "explored.safetensors", "Models (*.safetensors)"
        )
        if path:
            self.save_model(path)

    def save_model(self, path: str) -> None:
        """Write the moved model to a file."""
        if self.exploration is None:
            return
        try:
            written = self.exploration.model(self.values).save(path)
        except MicrogenError as error:
            self._fail(str(error))
        else:
            self._tell(f"Model saved as {written}")

    @Slot()
    def _ask_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export parameters", "parameters.json", "JSON (*.json)"
        )
        if path:
            self.export(path)

    def export(self, path: str) -> None:
        """Write parameters and predictions as JSON."""
        if self.exploration is None:
            return
        text = json.dumps(self.exploration.to_dict(self.values), indent=1, allow_nan=False)
        try:
            with replacing(path) as part:
                part.write_text(text, encoding="utf-8")
        except MicrogenError as error:
            self._fail(str(error))
        else:
            self._tell(f"Saved as {path}")

    def _tell(self, message: str) -> None:
        self.state_line.tell(message)
        show_info(message)

    def _fail(self, message: str) -> None:
        self.state_line.fail(message)
        show_error(message)
