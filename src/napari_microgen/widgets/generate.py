"""The Generate widget: from a model to volumes of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, SpinBox
from napari.layers import Image, Labels
from qtpy.QtCore import Slot
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QWidget,
)

from napari_microgen.errors import InputError, MicrogenError
from napari_microgen.generation.ensemble import MAX_SEEDS
from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.methods import load_model
from napari_microgen.methods.particles.centred import CentredModel
from napari_microgen.methods.particles.shell_model import ShellModel
from napari_microgen.resources import size_text
from napari_microgen.widgets.form import Folded, add_row, two_columns
from napari_microgen.widgets.generation import GenerationPlan, next_period
from napari_microgen.widgets.inputs import LayerInputs
from napari_microgen.widgets.jobs import jobs_of, unwrapped
from napari_microgen.widgets.law_table import LawTable
from napari_microgen.widgets.layout import Scrolled, button, row
from napari_microgen.widgets.looks import look_like
from napari_microgen.widgets.particle_rows import ParticleRows
from napari_microgen.widgets.preview import is_preview
from napari_microgen.widgets.status import StatusLine
from napari_microgen.widgets.text import words
from napari_microgen.widgets.validation import read_layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_microgen.methods.base import Model
    from napari_microgen.widgets.jobs import NamedModel

SIDE = 128
LARGEST_SIDE = 100_000


class GenerateWidget(Scrolled):
    """Chooses a model and a shape, and generates volumes in its viewer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self.jobs = jobs_of(napari_viewer)
        self._generated: Layer | None = None
        self._ready: Model | None = None
        self._refused = ""
        self._make_editors()
        self._lay_out()
        self._connect()
        self.reset_choices()
        self._on_models()
        self._on_generation()

    # ------------------------------------------------------------------ making it

    def _make_editors(self) -> None:
        self.model = ComboBox(choices=[], name="model")
        self.open_button = button("Open…", self._ask_open, "Open a model file.")
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.laws = LawTable()
        self.folded_laws = Folded("Laws by order", row(self.laws))
        self.input_rows = two_columns()
        self.input_box = QWidget()
        self.input_box.setLayout(self.input_rows)
        self.inputs: LayerInputs | None = None
        self.particles = ParticleRows()
        self.shape = [SpinBox(value=SIDE, min=1, max=LARGEST_SIDE, name=a) for a in "zyx"]
        self.periodic = [CheckBox(text="periodic", name=axis) for axis in "zyx"]
        self.seed = SpinBox(value=0, min=0, max=2**31 - 1, name="seed")
        self.confidence = CheckBox(value=True, text="")
        self.probabilities = CheckBox(text="")
        self.ensemble = SpinBox(value=0, min=0, max=MAX_SEEDS, name="ensemble")
        self.disagreement = CheckBox(value=True, text="")
        self.real = ComboBox(choices=[], nullable=True, name="real")
        self.side_by_side = CheckBox(value=True, text="Real and generated side by side")
        self.side_by_side.tooltip = (
            "Halve the view with one camera for both; otherwise volumes stand right of the image."
        )
        self.check_line = StatusLine()
        self.generate_button = button("Generate", self.generate, "Generate the volume.")
        self.cancel_button = button("Cancel", self.jobs.cancel_generation, "Stop generating.")
        self.set_button = button(
            "Write data set…", self._ask_folder,
            "Write so many particles into a folder: volumes, tessellations and a table.",
        )  # fmt: skip
        self.bar = QProgressBar()
        self.state_line = StatusLine()

    def _lay_out(self) -> None:
        self._rows = rows = two_columns()
        add_row(rows, "Model", boxed(self.model.native, self.open_button), "What to generate from.")
        rows.addRow(self.about)
        rows.addRow(self.folded_laws)
        rows.addRow(self.input_box)
        rows.addRow(self.particles.box)
        hint = "Voxels along {0}; periodic: the volume continues at its opposite face along {0}."
        for axis, side, box in zip("zyx", self.shape, self.periodic, strict=True):
            both = boxed(side.native, box.native)
            add_row(rows, f"Size along {axis}", both, hint.format(axis))
        hint = "Same model, seed and position give the same voxels, whatever the shape."
        add_row(rows, "Seed", self.seed.native, hint)
        hint = "A map of the largest phase probability of every voxel."
        add_row(rows, "Confidence", self.confidence.native, hint)
        hint = "One map per phase; each takes four bytes per voxel."
        add_row(rows, "Phase probabilities", self.probabilities.native, hint)
        hint = (
            "Generate so many seeds and show where they differ, as a map of entropy; 0 for none. "
            "The phase probabilities are then shares of the seeds."
        )
        add_row(rows, "Ensemble of seeds", self.ensemble.native, hint)
        hint = "Mark where the volume, coarsened again, is not the low-resolution volume."
        add_row(rows, "Disagreement", self.disagreement.native, hint)
        add_row(rows, "Real image", self.real.native, "What to compare the volume with.")
        self.column.addLayout(rows)
        self.column.addWidget(self.side_by_side.native)
        self.column.addWidget(self.check_line)
        self.column.addLayout(row(self.generate_button, self.cancel_button, self.set_button))
        self.column.addWidget(self.bar)
        self.column.addWidget(self.state_line)
        self.column.addStretch()

    def _connect(self) -> None:
        self.model.changed.connect(self._on_model)
        checked: list[ValueWidget[Any]] = [
            *self.shape, self.seed, self.confidence, self.probabilities, self.ensemble,
            self.disagreement,
        ]  # fmt: skip
        for editor in checked:
            editor.changed.connect(self.check)
        self.seed.changed.connect(self._on_seed)
        self.particles.changed.connect(self._on_inputs)
        for box in self.periodic:
            box.changed.connect(self._on_periodic)
        for side in self.shape:
            side.native.editingFinished.connect(self._on_periodic)
        self.side_by_side.changed.connect(self._compare)
        self.real.changed.connect(self._compare)
        self.jobs.models_changed.connect(self._on_models)
        self.jobs.generation_changed.connect(self._on_generation)
        self.jobs.generated.connect(self._on_generated)

    # ------------------------------------------------------------------ models

    @Slot()
    def _on_models(self) -> None:
        """Offer the models of this session and choose the youngest."""
        choices = [(m.name, m) for m in self.jobs.models]
        with self.model.changed.blocked():
            self.model.choices = choices
            if choices:
                self.model.value = choices[-1][1]
        self._on_model()

    def _on_model(self) -> None:
        self.about.setText(describe(self.chosen_model))
        self.about.setVisible(self.chosen_model is not None)
        self.laws.show_model(self.chosen_model)
        self._rows.setRowVisible(self.folded_laws, isinstance(self.chosen_model, ShellModel))
        self._ask_inputs()
        self.particles.offer(self.chosen_model, self.jobs.models)
        for widget in (self.particles.box, self.set_button):
            widget.setVisible(self.makes_particles)
        labels = self.chosen_model is not None and self.chosen_model.origin.kind == "labels"
        for row_of_labels in (self.confidence, self.probabilities):
            self._rows.setRowVisible(row_of_labels.native, labels)
        data = self.chosen_model.origin.data if self.chosen_model is not None else ()
        learned_from = self._training_layer(data)
        if learned_from is not None:
            self.real.value = learned_from
        self._on_inputs()

    def _ask_inputs(self) -> None:
        """Offer layers for the images that the model makes volumes from."""
        wanted = self.chosen_model.inputs if self.chosen_model is not None else ()
        while self.input_rows.rowCount():
            self.input_rows.removeRow(0)
        self.inputs = LayerInputs(self.input_rows, self._viewer, wanted) if wanted else None
        if self.inputs is not None:
            self.inputs.changed.connect(self._on_inputs)
        self._rows.setRowVisible(self.input_box, bool(wanted))
        for row_of_inputs in (self.ensemble, self.disagreement):
            self._rows.setRowVisible(row_of_inputs.native, bool(wanted))
        endless = not wanted and not self.makes_particles
        for box in self.periodic:
            box.native.setVisible(endless)
            box.value = box.value and endless

    @Slot()
    def _on_inputs(self) -> None:
        """Put the chosen layers into the model, and suggest the shape of all there is."""
        self._ready, self._refused, whole = self.chosen_model, "", None
        try:
            if self.inputs is not None and self._ready is not None:
                layers, zero = self.inputs.layers, self.inputs.zero_meaning
                self._ready = self._ready.given(read_layers(layers, zero, self._ready.inputs))
            if self._ready is not None:
                self._ready = self.particles.applied(self._ready)
                whole = self._ready.fitting_shape(int(self.seed.value))
        except MicrogenError as error:
            self._ready, self._refused = None, str(error)
        for side, n in zip(self.shape, whole or (), strict=False):
            with side.changed.blocked():
                side.value = max(n, 1)
        for side in self.shape:
            self._rows.setRowVisible(side.native.parentWidget(), self.count == 1)
        self._on_periodic()

    def _on_seed(self) -> None:
        """Suggest the shape of the seed's particle; other models have the same for all seeds."""
        if self.makes_particles:
            self._on_inputs()

    @property
    def makes_particles(self) -> bool:
        """Whether the chosen model makes particles, which have a middle and an end."""
        return isinstance(self.chosen_model, CentredModel)

    @property
    def count(self) -> int:
        """How many particles are laid side by side."""
        return int(self.particles.count.value) if self.makes_particles else 1

    @property
    def made_from(self) -> Layer | None:
        """The layer of the image that the model makes volumes from, if it is there."""
        if self.inputs is None or self.chosen_model is None:
            return None
        layer = self.inputs.layers[0]
        return layer or self._training_layer(self.chosen_model.origin.data[-1:])

    @property
    def chosen_model(self) -> Model | None:
        """The model that is chosen, if there is any."""
        named: NamedModel | None = self.model.value
        return None if named is None else named.model

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
            self.check_line.fail(str(error))
            return
        self.jobs.add_model(path.replace("\\", "/").rsplit("/", 1)[-1], model)

    # ------------------------------------------------------------------ checking

    @property
    def plan(self) -> GenerationPlan | None:
        """What is entered; None without a model."""
        if self._ready is None:
            return None
        z, y, x = (int(s.value) for s in self.shape)
        pz, py, px = (bool(p.value) for p in self.periodic)
        labels = self._ready.origin.kind == "labels"
        from_image = self.inputs is not None
        layer = self.made_from
        at = (0.0, 0.0, 0.0) if layer is None else tuple(layer.translate[-3:])
        return GenerationPlan(
            self._ready, (z, y, x), int(self.seed.value), (pz, py, px),
            labels and self.confidence.value, labels and self.probabilities.value,
            int(self.ensemble.value) if from_image else 0,
            from_image and self.disagreement.value, at, self.count,
            self.makes_particles and self.particles.has_surface,
        )  # fmt: skip

    def check(self) -> bool:
        """Say in `check_line` whether the volume can be made, and how much memory it takes."""
        plan, fine = self.plan, False
        if self._refused:
            self.check_line.fail(self._refused)
        elif plan is None:
            self.check_line.tell("Train a model first, or open one from a file.")
        else:
            try:
                plan.check()
            except InputError as error:
                self.check_line.fail(str(error))
            else:
                fine = True
                memory = f"Takes about {size_text(plan.bytes_needed)} of memory."
                if plan.remarks:
                    self.check_line.warn([*plan.remarks, memory])
                else:
                    self.check_line.tell(memory)
        self.generate_button.setEnabled(fine and not self.jobs.generation.running)
        return fine

    def _on_periodic(self) -> None:
        """Lengthen periodic axes to a length that can be periodic, and step by it."""
        model = self.chosen_model
        for axis, (editor, box) in enumerate(zip(self.shape, self.periodic, strict=True)):
            step = next_period(model, axis, 1) if model is not None and box.value else None
            editor.step = step or 1
            if model is not None and step:
                with editor.changed.blocked():
                    editor.value = next_period(model, axis, int(editor.value)) or editor.value
        self.check()

    # ------------------------------------------------------------------ generating

    @Slot()
    def generate(self) -> None:
        """Generate what is entered, in a thread."""
        plan = self.plan
        if plan is not None and self.check():
            self.jobs.start_generation(plan)

    @Slot()
    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of the data set")
        if path:
            self.write_set(path)

    def write_set(self, path: str) -> None:
        """Write a data set of particles into a folder, in a thread."""
        plan = self.plan
        if plan is not None:
            self.jobs.start_writing(plan, path)

    @Slot()
    def _on_generation(self) -> None:
        state = self.jobs.generation
        self.cancel_button.setEnabled(state.running)
        self.set_button.setEnabled(not state.running and self.plan is not None)
        self.bar.setVisible(state.running)
        self.bar.setValue(round(100 * state.fraction))
        if state.failed:
            self.state_line.fail(state.message)
        else:
            self.state_line.tell(state.message)
        self.generate_button.setEnabled(
            not state.running and self.plan is not None and self.check()
        )

    @Slot(object)
    def _on_generated(self, layer: Layer) -> None:
        self._generated = layer
        learned_from = self._training_layer(layer.metadata[METADATA_KEY]["model"]["data"])
        if learned_from is not None:
            look_like(layer, learned_from)
        self._compare()

    # ------------------------------------------------------------------ comparing

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the layers that are there now; napari calls this when layers change."""
        layers = [x for x in self._viewer.layers if isinstance(x, Labels | Image)]
        layers = [x for x in layers if not is_preview(x)]
        with self.real.changed.blocked():
            self.real.choices = [(layer.name, layer) for layer in layers]
        if self.inputs is not None:
            self.inputs.reset_choices()

    def _training_layer(self, data: Sequence[Mapping[str, Any]]) -> Layer | None:
        """Return the layer of a model's training data, if it is still there."""
        there = {x.name: x for x in self.real.choices if x is not None}
        names = [str(d["name"]) for d in data]
        return next((there[name] for name in names if name in there), None)

    def _compare(self) -> None:
        real = self.real.value
        if self.side_by_side.value and real is not None and self._generated is not None:
            self.jobs.side_by_side.show(real, self._generated, self.made_from)
        else:
            self.jobs.side_by_side.restore()


def describe(model: Model | None) -> str:
    """Return in one or two lines what a model is."""
    if model is None:
        return ""
    origin = model.origin
    names = ", ".join(phase.name for phase in origin.phases) or f"{origin.kind} values"
    size = " × ".join(f"{s:g}" for s in origin.voxel_size)
    text = f"{names} · voxel {size} {origin.unit} · {origin.steps:,} steps"
    if origin.changes:
        text += f" · changed by hand from '{origin.changes['model']}'"
    if "mean" in origin.fidelity:
        text += f" · {words('mean')} error over noise {origin.fidelity['mean']:.2f}"
    return text


def boxed(first: QWidget, second: QWidget) -> QWidget:
    """Return two widgets side by side as one, the first as wide as it can be."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    first.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    layout.addWidget(first, stretch=1)
    layout.addWidget(second)
    return box
