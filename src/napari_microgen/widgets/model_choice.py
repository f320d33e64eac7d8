"""A row that asks for a model of this session or from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from qtpy.QtCore import QObject, Signal, Slot
from qtpy.QtWidgets import QFileDialog, QLabel

from napari_microgen.errors import MicrogenError
from napari_microgen.methods import load_model
from napari_microgen.widgets.form import add_row
from napari_microgen.widgets.generate import boxed, describe
from napari_microgen.widgets.layout import button

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QFormLayout

    from napari_microgen.methods.base import Model
    from napari_microgen.widgets.jobs import Jobs, NamedModel


class ModelChoice(QObject):
    """Asks for one of the models that can do what is wanted.

    Parameters
    ----------
    rows : QFormLayout
        Where the row is added.
    jobs : Jobs
        Whose models are offered.
    wanted : callable
        Whether a model will do.
    refusal : str
        What to say of a file with another one.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(
        self, rows: QFormLayout, jobs: Jobs, wanted: Callable[[Model], bool], refusal: str
    ) -> None:
        super().__init__()
        self._jobs, self._wanted, self._refusal = jobs, wanted, refusal
        self.picker = ComboBox(choices=[], name="model")
        self.picker.changed.connect(self._on_picked)
        self.open_button = button("Open…", self._ask_open, "Open a model file.")
        self.about = QLabel()
        self.about.setWordWrap(True)
        both = boxed(self.picker.native, self.open_button)
        add_row(rows, "Model", both, "What to generate from.")
        rows.addRow(self.about)
        jobs.models_changed.connect(self._on_models)
        self._on_models()

    @property
    def model(self) -> Model | None:
        """The chosen model, if there is any."""
        named: NamedModel | None = self.picker.value
        return None if named is None else named.model

    def open_model(self, path: str) -> None:
        """Take a model from a file."""
        try:
            model = load_model(path)
        except MicrogenError as error:
            self.failed.emit(str(error))
            return
        self._jobs.add_model(path.replace("\\", "/").rsplit("/", 1)[-1], model)
        if not self._wanted(model):
            self.failed.emit(self._refusal)

    @Slot()
    def _ask_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(None, "Open model", "", "Models (*.safetensors)")
        if path:
            self.open_model(path)

    @Slot()
    def _on_models(self) -> None:
        """Offer the models that will do, and choose the youngest."""
        choices = [(m.name, m) for m in self._jobs.models if self._wanted(m.model)]
        with self.picker.changed.blocked():
            self.picker.choices = choices
            if choices:
                self.picker.value = choices[-1][1]
        self._on_picked()

    def _on_picked(self) -> None:
        self.about.setText(describe(self.model))
        self.about.setVisible(self.model is not None)
        self.changed.emit()
