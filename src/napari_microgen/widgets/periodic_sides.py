"""The Periodic sides widget: what joined sides change in the flux, and the volume they save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, SpinBox
from qtpy.QtCore import Slot
from qtpy.QtWidgets import QLabel, QProgressBar

from napari_microgen.errors import InputError
from napari_microgen.io.layers import METADATA_KEY, layer_phases
from napari_microgen.methods.base import Input
from napari_microgen.metrics.sides import spread
from napari_microgen.phases import MAX_PHASES, different_values
from napari_microgen.widgets.convergence_pane import ConvergencePane
from napari_microgen.widgets.form import add_row, two_columns
from napari_microgen.widgets.generate import boxed
from napari_microgen.widgets.generation import next_period
from napari_microgen.widgets.inputs import LayerInputs
from napari_microgen.widgets.jobs import jobs_of, unwrapped
from napari_microgen.widgets.layout import Scrolled, button, row
from napari_microgen.widgets.model_choice import ModelChoice
from napari_microgen.widgets.periodic_bench import PeriodicSides
from napari_microgen.widgets.periodic_flux import MOST_SIZES, ConvergencePlan, FluxPlan
from napari_microgen.widgets.result_rows import number_text
from napari_microgen.widgets.status import StatusLine
from napari_microgen.widgets.tables import SmallTable

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_microgen.methods.base import Model

VOLUME = Input("volume", "Volume", "A periodic volume; leave it open to make a new one of the "
               "model below.", kinds=("labels",), ndims=(3,), optional=True)  # fmt: skip

SIDE, SMALLEST, LARGEST, VOLUMES = 96, 32, 128, 4
LARGEST_SIDE, MAX_SEED = 4096, 2**31 - 1


class PeriodicSidesWidget(Scrolled):
    """Chooses a volume, a phase and an axis, and shows what periodic sides change."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self.bench = PeriodicSides.of(napari_viewer)
        self._side_by_side = jobs_of(napari_viewer).side_by_side
        self._make_form()
        self._make_results()
        self._lay_out()
        self._connect()
        self._guess_volume()
        self._on_volume()
        self._on_work()
        self._on_flux()
        self._on_convergence()

    # ------------------------------------------------------------------ making it

    def _make_form(self) -> None:
        self._rows = rows = two_columns()
        # Before the pickers, which forget their choices when they are moved to another parent.
        self.column.addLayout(rows)
        self.inputs = LayerInputs(rows, self._viewer, (VOLUME,))
        self.model = ModelChoice(
            rows, jobs_of(self._viewer), can_be_periodic,
            "This model makes no periodic volumes of phases; open another one.",
        )  # fmt: skip
        self.side = SpinBox(value=SIDE, min=1, max=LARGEST_SIDE, name="side")
        self.seed = SpinBox(value=0, min=0, max=MAX_SEED, name="seed")
        self.phase = ComboBox(choices=[], name="phase")
        self.axis = ComboBox(choices=[(a, i) for i, a in enumerate("zyx")], name="axis")
        self.new_volume = boxed(self.side.native, self.seed.native)
        add_row(rows, "Side, seed", self.new_volume, "Of the new volume, side in voxels.")
        add_row(rows, "Phase", self.phase.native, "Through which phase.")
        add_row(rows, "Along", self.axis.native, "From which face to which.")
        self._sizes = sizes = two_columns()
        self.smallest = SpinBox(value=SMALLEST, min=1, max=LARGEST_SIDE, name="smallest")
        self.largest = SpinBox(value=LARGEST, min=1, max=LARGEST_SIDE, name="largest")
        self.volumes = SpinBox(value=VOLUMES, min=1, max=100, name="volumes")
        both = boxed(self.smallest.native, self.largest.native)
        add_row(sizes, "Sides, from and to", both, "Of the smallest and the largest volumes.")
        add_row(sizes, "Volumes of each", self.volumes.native, "How many are averaged.")

    def _make_results(self) -> None:
        self.check_line, self.state_line = StatusLine(), StatusLine()
        self.warnings = StatusLine()
        self.flux_button = button(
            "Flux maps", self.start_flux, "Solve diffusion with mirror and with periodic sides."
        )
        self.cancel_button = button("Cancel", self.bench.cancel, "Stop after the present step.")
        self.side_button = button(
            "Side by side", self.toggle_sides, "Both flux maps beside each other, one camera."
        )
        self.side_button.setCheckable(True)
        self.numbers = SmallTable(("", "Mirror sides", "Periodic sides"))
        self.about = QLabel(
            "<b>How large must a volume be?</b> Diffusion through new volumes of the model, with "
            "either kind of sides."
        )
        self.about.setWordWrap(True)
        self.convergence_button = button(
            "Measure convergence", self.start_convergence, "Solve diffusion in growing volumes."
        )
        self.bar = QProgressBar()
        self.results = ConvergencePane(self._viewer)

    def _lay_out(self) -> None:
        self.column.addLayout(row(self.flux_button, self.side_button, self.cancel_button))
        parts = (self.check_line, self.bar, self.state_line, self.numbers, self.warnings)
        for part in parts:
            self.column.addWidget(part)
        self.column.addWidget(self.about)
        self.column.addLayout(self._sizes)
        for part in (self.convergence_button, self.results):
            self.column.addWidget(part)
        self.column.addStretch()

    def _connect(self) -> None:
        self.inputs.changed.connect(self._on_volume)
        self.model.changed.connect(self._on_volume)
        self.model.failed.connect(self.check_line.fail)
        for side in (self.side, self.smallest, self.largest):
            side.native.editingFinished.connect(self._snap)
        checked: list[ValueWidget[Any]] = [self.smallest, self.largest, self.volumes, self.phase]
        for editor in checked:
            editor.changed.connect(self._enable)
        self.bench.work_changed.connect(self._on_work)
        self.bench.flux_changed.connect(self._on_flux)
        self.bench.convergence_changed.connect(self._on_convergence)

    # ------------------------------------------------------------------ choosing

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the layers that are there now; napari calls this when layers change."""
        self.inputs.reset_choices()
        self._enable()

    def _guess_volume(self) -> None:
        """Choose the youngest layer that says it is periodic."""
        (picker,) = self.inputs.pickers
        known = [x for x in picker.choices if x is not None and says_periodic(x)]
        if known:
            picker.value = known[-1]

    @Slot()
    def _on_volume(self) -> None:
        layer, model = self.inputs.layers[0], self.model.model
        self._rows.setRowVisible(self.inputs.zero.native, layer is not None)
        self._rows.setRowVisible(self.new_volume, layer is None and model is not None)
        if layer is not None:
            # Of particles or grains, which may be thousands, a few will do: they are refused.
            values = different_values(np.asarray(layer.data))[: MAX_PHASES + 1]
            phases = layer_phases(layer, values)
        else:
            phases = model.origin.phases if model is not None else ()
        choices = [(p.name, p.value) for p in phases]
        if [value for _, value in choices] != list(self.phase.choices):
            self.phase.choices = choices
        self._snap()

    @Slot()
    def _snap(self) -> None:
        """Lengthen sides to what can be periodic, and step by it."""
        model = self.model.model
        if model is not None:
            for editor in (self.side, self.smallest, self.largest):
                editor.step = next_period(model, 0, 1) or 1
                editor.value = next_period(model, 0, int(editor.value)) or editor.value
        self._enable()

    @property
    def flux_plan(self) -> FluxPlan | None:
        """What is entered for the flux maps; None if there is nothing to solve."""
        layer, model = self.inputs.layers[0], self.model.model
        if (layer is None and model is None) or self.phase.value is None:
            return None
        return FluxPlan(
            layer, self.inputs.zero_meaning, model, int(self.side.value), int(self.seed.value),
            self.phase.value, self.axis.value,
        )  # fmt: skip

    @property
    def convergence_plan(self) -> ConvergencePlan | None:
        """What is entered for the convergence; None without a model."""
        model = self.model.model
        if model is None or self.phase.value is None:
            return None
        return ConvergencePlan(
            model, periods(model, int(self.smallest.value), int(self.largest.value)),
            int(self.volumes.value), self.phase.value, self.axis.value,
        )  # fmt: skip

    def _enable(self) -> None:
        idle, plan = not self.bench.work.running, self.convergence_plan
        self.check_line.tell("")
        if self.flux_plan is None:
            self.check_line.tell("Generate a periodic volume first, or open a model.")
        fine = plan is not None
        if plan is not None:
            try:
                plan.check()
            except InputError as error:
                fine = False
                self.check_line.fail(str(error))
        self.flux_button.setEnabled(idle and self.flux_plan is not None)
        self.convergence_button.setEnabled(idle and fine)
        self.cancel_button.setEnabled(not idle)
        there = all(layer in self._viewer.layers for layer in self.bench.maps)
        self.side_button.setEnabled(bool(self.bench.maps) and there)
        self.side_button.setChecked(self._side_by_side.shown and self.side_button.isEnabled())

    # ------------------------------------------------------------------ running

    @Slot()
    def start_flux(self) -> None:
        """Solve diffusion with both kinds of sides, in a thread."""
        if self.flux_plan is not None:
            self.bench.show_flux(self.flux_plan)

    @Slot()
    def start_convergence(self) -> None:
        """Solve diffusion in volumes of growing size, in a thread."""
        if self.convergence_plan is not None:
            self.bench.converge(self.convergence_plan)

    @Slot()
    def toggle_sides(self) -> None:
        """Put both flux maps side by side, or everything back."""
        if self.side_button.isChecked():
            self._side_by_side.show(*self.bench.maps)
        else:
            self._side_by_side.restore()

    @Slot()
    def _on_work(self) -> None:
        work = self.bench.work
        self.bar.setVisible(work.running)
        self.bar.setValue(round(100 * work.fraction))
        if work.failed:
            self.state_line.fail(work.message)
        else:
            self.state_line.tell(work.message)
        self._enable()

    # ------------------------------------------------------------------ results

    @Slot()
    def _on_flux(self) -> None:
        flux = self.bench.flux
        self.warnings.warn(() if flux is None else flux.warnings)
        if flux is None:
            return
        both = (flux.sides.mirror, flux.sides.periodic)
        self.numbers.show_rows([
            ("Relative diffusivity", *(number_text(t.d_rel) for t in both)),
            ("Tortuosity factor", *(number_text(t.tortuosity_factor) for t in both)),
            ("Share that conducts", *(f"{t.percolating:.1%}" for t in both)),
        ])  # fmt: skip
        self._enable()

    @Slot()
    def _on_convergence(self) -> None:
        plan, found = self.bench.plan, self.bench.convergence
        self.results.show_convergence("" if plan is None else plan.title, found)


def can_be_periodic(model: Model) -> bool:
    """Whether a model makes volumes of phases that repeat along all axes."""
    return model.origin.kind == "labels" and all(next_period(model, a, 1) for a in range(3))


def says_periodic(layer: Layer) -> bool:
    """Whether a layer says that it repeats along some axis."""
    origin = layer.metadata.get(METADATA_KEY)
    return isinstance(origin, dict) and any(origin.get("periodic", ()))


def periods(model: Model, smallest: int, largest: int) -> tuple[int, ...]:
    """Return some of the sides between two that volumes can repeat after, from small to large."""
    found: list[int] = []
    side = next_period(model, 0, smallest)
    while side is not None and side <= largest:
        found.append(side)
        side = next_period(model, 0, side + 1)
    return tuple(spread(found, MOST_SIZES))
