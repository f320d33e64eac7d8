"""The Compare widget: a real image measured alone, or a generated one against it."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
from magicgui.widgets import ComboBox, SpinBox
from napari.layers import Labels
from qtpy.QtCore import Qt, QTimer, Slot
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QLabel,
    QProgressBar,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Input
from napari_microgen.metrics.report import Report
from napari_microgen.metrics.scalars import CHEAP, FAMILIES
from napari_microgen.resources import size_text
from napari_microgen.widgets.blind_pane import BlindPane
from napari_microgen.widgets.blind_test import blind_steps
from napari_microgen.widgets.comparison import (
    ComparisonPlan,
    fidelity_text,
    real_side,
    verdict,
    what_sections_hide,
)
from napari_microgen.widgets.comparisons import comparisons_of
from napari_microgen.widgets.extra_pane import ExtraPane
from napari_microgen.widgets.form import Folded, add_row, two_columns
from napari_microgen.widgets.gallery import gallery_layer
from napari_microgen.widgets.inputs import LayerInputs
from napari_microgen.widgets.jobs import jobs_of, unwrapped
from napari_microgen.widgets.layout import Scrolled, button, row
from napari_microgen.widgets.looks import look_like
from napari_microgen.widgets.placement import look_at
from napari_microgen.widgets.population_pane import PopulationPane, is_generated
from napari_microgen.widgets.preferences import device
from napari_microgen.widgets.result_plots import ResultPlots
from napari_microgen.widgets.result_rows import (
    legend,
    representativity_rows,
    table_columns,
    table_rows,
)
from napari_microgen.widgets.results_table import ResultsTable, grade_legend
from napari_microgen.widgets.saving import formats
from napari_microgen.widgets.status import StatusLine
from napari_microgen.widgets.tables import SmallTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_microgen.widgets.comparison import Result

INPUTS = (
    Input("real", "Real image", "The micrograph or volume to judge by.",
          kinds=("labels", "grey", "colour")),
    Input("generated", "Generated", "What to judge; without it the real image is measured alone.",
          kinds=("labels", "grey", "colour"), optional=True),
)  # fmt: skip

FAMILY_NAMES = {
    "surfaces": ("Surfaces and interfaces", ""),
    "tpb": ("Triple-phase boundary", ""),
    "chords": ("Chord lengths", ""),
    "s2": ("Two-point correlation", ""),
    "transport": ("Diffusion", "0.5 s per phase and axis"),
    "geodesic": ("Shortest paths", "0.2 s per phase and axis"),
    "constrictivity": ("Bottlenecks", "1 s per phase"),
}
"""What families are called, and how long the slower ones take at 128^3 voxels."""

SLOW_HINT = "at 128³ voxels on one core, 64 times as long at 512³."
PIECES_HINT = " The pieces of a real volume take up to 30 s more."

MANY_WARNINGS = 3
"""More than this would push the numbers out of sight."""

NORMALS: dict[str, tuple[int, ...] | None] = {
    "any axis (isotropic)": None, "z": (0,), "y": (1,), "x": (2,)
}  # fmt: skip


class CompareWidget(Scrolled):
    """Chooses layers and metrics, and shows how the generated image compares with the real one."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self.comparisons = comparisons_of(napari_viewer)
        self._side_by_side = jobs_of(napari_viewer).side_by_side
        self._pair: tuple[Layer, Layer] | None = None
        self._make_choices()
        self._make_results()
        self._lay_out()
        self._connect()
        self._on_inputs()
        self._on_work()
        self._on_result()

    # ------------------------------------------------------------------ making it

    def _make_choices(self) -> None:
        self._rows = rows = two_columns()
        # Before the pickers, which forget their choices when they are moved to another parent.
        self.folded = Folded("Images and metrics", rows)
        self.folded.expand(animate=False)
        self.inputs = LayerInputs(rows, self._viewer, INPUTS)
        self.normal = ComboBox(choices=tuple(NORMALS), name="normal")
        hint = "Which sections of the generated volume the real section is compared with."
        add_row(rows, "Section normal to", self.normal.native, hint)
        self.families = {name: self._family_box(name) for name in FAMILIES}
        for box in self.families.values():
            rows.addRow(box)
            box.toggled.connect(self._enable)
        self.check_line = StatusLine()
        rows.addRow(self.check_line)
        self._guess_layers()

    @staticmethod
    def _family_box(name: str) -> QCheckBox:
        title, cost = FAMILY_NAMES[name]
        box = QCheckBox(f"{title} ({cost})" if cost else title)
        box.setChecked(name in CHEAP)
        if cost:
            box.setToolTip(f"{cost} {SLOW_HINT}" + PIECES_HINT * (name == "transport"))
        return box

    def _make_results(self) -> None:
        self.start_button = button("Compare", self.start, "Measure what is chosen.")
        self.cancel_button = button(
            "Cancel", self.comparisons.cancel, "Stop after the present step."
        )
        self.bar = QProgressBar()
        self.state_line = StatusLine()
        self.verdict = QLabel()
        self.verdict.setStyleSheet("font-weight: bold;")
        self.fidelity = QLabel()
        for label in (self.verdict, self.fidelity):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.warnings = StatusLine()
        self.folded_warnings = Folded("Warnings", row(self.warnings))
        self.folded_warnings.expand(animate=False)
        self.side_button = button(
            "Side by side", self.show_side_by_side, "Real and generated, one camera, same colours."
        )
        self.side_button.setCheckable(True)
        self.gallery_button = button(
            "Slices", self.show_gallery,
            "Lay slices along z, y and x beside the real image, at its scale.",
        )  # fmt: skip
        self.tabs = QTabWidget()
        self.tabs.addTab(self._numbers_tab(), "Numbers")
        self.plots = ResultPlots(self._viewer)
        self.tabs.addTab(self.plots, "Curves")
        self.tabs.addTab(self._size_tab(), "Size")
        self.extra = ExtraPane(self.add_layer)
        self.tabs.addTab(self.extra, "Layers")
        self.tabs.addTab(self._blind_tab(), "Blind test")
        self.populations = PopulationPane(self._viewer, self.compare_populations)
        self.tabs.addTab(self.populations, "Particles")

    def _numbers_tab(self) -> QWidget:
        self.table = ResultsTable()
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.copy_button = button("Copy", self.table.copy, "Copy the rows for a spreadsheet.")
        self.save_button = button(
            "Save…", self._ask_save, "Save a table, everything as JSON, or a one-page figure."
        )
        return _column(self.table, self.legend, row(self.copy_button, self.save_button))

    def _size_tab(self) -> QWidget:
        self.size_table = SmallTable(("Phase", "Fraction", "Standard error", "Side for 1 %"))
        about = QLabel(
            "How far the volume fractions of images of this size scatter about that of the "
            "material, and the side of an image that gives them to 1 %."
        )
        about.setWordWrap(True)
        return _column(about, self.size_table)

    def _blind_tab(self) -> QWidget:
        self.questions = SpinBox(value=20, min=5, max=200, name="questions")
        self.blind_button = button("Start", self.start_blind_test, "Cut crops and begin.")
        self.blind = BlindPane()
        rows = two_columns()
        hint = "A coin's toss decides for each whether it shows a real or a generated crop."
        add_row(rows, "Questions", self.questions.native, hint)
        about = QLabel("Can you tell real from generated? The score comes at the end.")
        about.setWordWrap(True)
        return _column(about, rows, row(self.blind_button), self.blind)

    def _lay_out(self) -> None:
        self.column.addWidget(self.folded)
        self.column.addLayout(row(self.start_button, self.cancel_button))
        self.column.addWidget(self.bar)
        self.column.addWidget(self.state_line)
        self.column.addLayout(row(self.side_button, self.gallery_button))
        for part in (self.verdict, self.fidelity, self.folded_warnings):
            self.column.addWidget(part)
        self.column.addWidget(self.tabs, stretch=1)

    def _connect(self) -> None:
        self.inputs.changed.connect(self._on_inputs)
        self.comparisons.work_changed.connect(self._on_work)
        self.comparisons.result_changed.connect(self._on_result)
        self.comparisons.test_ready.connect(self._on_test)
        self.comparisons.populations_changed.connect(self._on_populations)
        self.populations.inputs.changed.connect(self._enable)
        self._on_populations()
        if self.comparisons.test is not None:
            self.blind.begin(self.comparisons.test)

    # ------------------------------------------------------------------ choosing

    @property
    def real(self) -> Layer | None:
        """The chosen real layer."""
        return self.inputs.layers[0]

    @property
    def generated(self) -> Layer | None:
        """The chosen generated layer."""
        return self.inputs.layers[1]

    @property
    def plan(self) -> ComparisonPlan | None:
        """What is chosen; None without a real layer."""
        if self.real is None:
            return None
        families = tuple(name for name, box in self.families.items() if box.isChecked())
        return ComparisonPlan(
            self.real, self.generated, self.inputs.zero_meaning, families,
            NORMALS[self.normal.value], device(),
        )  # fmt: skip

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the layers that are there now; napari calls this when layers change."""
        first = self.real is None
        self.inputs.reset_choices()
        self.populations.reset_choices()
        if first:
            self._guess_layers()

    def _guess_layers(self) -> None:
        """Choose the youngest generated layer, and a real one that is not generated."""
        real, generated = self.inputs.pickers
        labels = [x for x in self._viewer.layers if isinstance(x, Labels)]
        made = [x for x in labels if is_generated(x) and x in generated.choices]
        others = [x for x in labels if x not in made and x in real.choices]
        active = self._viewer.layers.selection.active
        if others:
            real.value = active if active in others else others[-1]
        if made:
            generated.value = made[-1]

    @Slot()
    def _on_inputs(self) -> None:
        real, generated = self.real, self.generated
        sections = real is not None and generated is not None
        sections = sections and _flat(real) and not _flat(generated)
        self._rows.setRowVisible(self.normal.native, sections)
        self.start_button.setText("Measure" if generated is None else "Compare")
        if self._pair not in (None, (real, generated)):
            self._put_back()  # what is side by side is no longer what is chosen
        self._enable()

    def _fits(self) -> bool:
        """Say in `check_line` how much memory measuring takes; return whether it is free."""
        plan = self.plan
        if plan is None:
            self.check_line.tell("Open an image or a volume to measure.")
            return False
        try:
            plan.check()
        except InputError as error:
            self.check_line.fail(str(error))
            self.folded.expand(animate=False)
            return False
        free = size_text(psutil.virtual_memory().available)
        self.check_line.tell(
            f"Takes up to {size_text(plan.bytes_needed)} of memory; {free} are free."
        )
        return True

    @Slot()
    def _enable(self) -> None:
        running = self.comparisons.work.running
        fits = running or self._fits()
        result = self.comparisons.result
        both = self.real is not None and self.generated is not None
        self.start_button.setEnabled(fits and not running)
        self.cancel_button.setEnabled(running)
        self.side_button.setEnabled(both)
        self.gallery_button.setEnabled(both)
        self.blind_button.setEnabled(both and not running)
        self.populations.button.setEnabled(self.populations.plan is not None and not running)
        self.extra.button.setEnabled(self.real is not None and not running)
        self.copy_button.setEnabled(result is not None)
        self.save_button.setEnabled(result is not None and not running)

    # ------------------------------------------------------------------ measuring

    @Slot()
    def start(self) -> None:
        """Measure the real image, or compare the generated one with it, in a thread."""
        if self.plan is not None:
            self.comparisons.compare(self.plan)

    @Slot()
    def _on_work(self) -> None:
        work = self.comparisons.work
        self.bar.setVisible(work.running)
        self.bar.setValue(round(100 * work.fraction))
        if work.failed:
            self.state_line.fail(work.message)
        else:
            self.state_line.tell(work.message)
        self._enable()

    @Slot()
    def _on_result(self) -> None:
        result = self.comparisons.result
        for part in (self.verdict, self.fidelity, self.folded_warnings):
            part.setVisible(result is not None)
        if result is None:
            return
        self.folded.collapse(animate=False)
        self.verdict.setText(verdict(result))
        self._tell_fidelity(result)
        self._warn([*what_sections_hide(result), *result.warnings])
        self.table.show_rows(table_columns(result), table_rows(result))
        if isinstance(result, Report):
            self.legend.setText(f"{legend(result)}<br>{grade_legend()}")
        self.legend.setVisible(isinstance(result, Report))
        self.plots.show_result(result)
        self.size_table.show_rows(representativity_rows(real_side(result)))
        self.extra.offer(result.phases)
        self._enable()

    def _tell_fidelity(self, result: Result) -> None:
        fidelity = result.fidelity if isinstance(result, Report) else None
        self.fidelity.setText(fidelity_text(fidelity) if fidelity else "")
        self.fidelity.setVisible(fidelity is not None)

    def _warn(self, sentences: Sequence[str]) -> None:
        """Show warnings, folded away if they are many."""
        self.warnings.warn(sentences)
        self.folded_warnings.setText(f"Warnings ({len(sentences)})")
        self.folded_warnings.setVisible(bool(sentences))
        if len(sentences) > MANY_WARNINGS:
            self.folded_warnings.collapse(animate=False)
        else:
            self.folded_warnings.expand(animate=False)

    # ------------------------------------------------------------------ taking it along

    @Slot()
    def _ask_save(self) -> None:
        result = self.comparisons.result
        if result is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self, "Save result", "comparison.csv", formats(result)
        )
        if path:
            self.comparisons.save(path)

    # ------------------------------------------------------------------ looking at both

    @Slot()
    def show_side_by_side(self) -> None:
        """Put real and generated side by side, or everything back."""
        real, generated = self.real, self.generated
        if not self.side_button.isChecked() or real is None or generated is None:
            self._put_back()
            return
        self._pair = (real, generated)
        look_like(generated, real)
        self._side_by_side.show(real, generated)

    def _put_back(self) -> None:
        self._pair = None
        self.side_button.setChecked(False)
        self._side_by_side.restore()

    @Slot()
    def show_gallery(self) -> None:
        """Lay slices of the generated volume beside the real image."""
        real, generated = self.real, self.generated
        if real is None or generated is None:
            return
        try:
            layer = gallery_layer(generated, real)
        except InputError as error:
            self.comparisons.fail(str(error))
            return
        self._put_back()
        for other in self._viewer.layers:
            other.visible = other is real
        self._viewer.add_layer(layer)
        self._viewer.dims.ndisplay = 2
        # The volume, hidden, lends the pair the depth that the camera counts with.
        look_at(self._viewer, [real, generated, layer])

    # ------------------------------------------------------------------ layers on request

    @Slot()
    def add_layer(self) -> None:
        """Compute the chosen layer in a thread and add it."""
        layer, other = self.generated, self.real
        if layer is None or self.extra.of.value == "real":
            layer, other = other, layer
        if layer is None:
            return
        wanted = self.extra.wanted(layer, self.inputs.zero_meaning, device())
        if wanted is None:
            self.comparisons.fail("Measure first; then the phases can be chosen.")
            return
        self._put_back()  # a third layer would share one of the halves
        layer.visible = True
        if other is not None and other.visible:
            other.visible = False  # it has nothing to do with what will lie there
            look_at(self._viewer, [layer])
        self.comparisons.make_layer(wanted)

    # ------------------------------------------------------------------ particles and grains

    @Slot()
    def compare_populations(self) -> None:
        """Compare the descriptors of particles or grains in a thread."""
        if self.populations.plan is not None:
            self.comparisons.compare_populations(self.populations.plan)

    @Slot()
    def _on_populations(self) -> None:
        self.populations.show_result(self.comparisons.populations)

    # ------------------------------------------------------------------ blind test

    @Slot()
    def start_blind_test(self) -> None:
        """Cut crops of both images in a thread and ask which are real."""
        if self.plan is not None:
            # A new order every time: who has seen one knows its answers.
            seed = secrets.randbits(32)
            make = partial(blind_steps, self.plan, int(self.questions.value), seed)
            self.comparisons.make_test("Preparing the blind test", make)

    @Slot()
    def _on_test(self) -> None:
        if self.comparisons.test is not None:
            self.blind.begin(self.comparisons.test)
            for part in (self.folded, self.folded_warnings):
                part.collapse(animate=False)
            QTimer.singleShot(0, self._scroll_to_question)  # once all is in its new place

    @Slot()
    def _scroll_to_question(self) -> None:
        self.ensureWidgetVisible(self.blind.real_button)


def _flat(layer: Layer | None) -> bool:
    """Whether a layer holds a section."""
    return layer is not None and sum(n > 1 for n in layer.data.shape[: layer.ndim]) <= 2


def _column(*parts: Any) -> QWidget:
    """Return widgets and layouts in a column."""
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(0, 6, 0, 0)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    if not any(isinstance(part, ResultsTable) for part in parts):  # which grows instead
        layout.addStretch()
    return page
