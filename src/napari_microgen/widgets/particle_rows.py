"""Rows of the Generate form that only shells, grains and whole particles have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, ComboBox, LineEdit, SpinBox
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_microgen.errors import InputError
from napari_microgen.methods.particles.centred import CentredModel
from napari_microgen.methods.particles.grain_model import GrainModel
from napari_microgen.methods.particles.shell_model import ShellModel
from napari_microgen.methods.particles.whole import combine
from napari_microgen.widgets.form import add_row, two_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.base import Model
    from napari_microgen.widgets.jobs import NamedModel

MOST_PARTICLES = 10_000


class ParticleRows(QObject):
    """Asks for the shell around grains, the voxel size, the number of particles and a surface."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.box = QWidget()
        self._rows: QFormLayout = two_columns()
        self.box.setLayout(self._rows)
        self._model: Model | None = None
        self.shell = ComboBox(choices=[], nullable=True, name="shell")
        hint = "A shell model, matched in physical size; without one the grains fill a ball."
        add_row(self._rows, "Shell", self.shell.native, hint)
        self.voxel_size = LineEdit(name="voxel_size")
        add_row(self._rows, "Voxel size", self.voxel_size.native, "Edge of the cubic voxels.")
        self.count = SpinBox(value=1, min=1, max=MOST_PARTICLES, name="count")
        hint = "More than one are laid side by side, with the seeds that follow."
        add_row(self._rows, "Particles", self.count.native, hint)
        self.surface = CheckBox(value=True, text="")
        hint = "The shell as a Surface layer, which can be saved as STL or PLY."
        add_row(self._rows, "Surface", self.surface.native, hint)
        for editor in (self.shell, self.voxel_size, self.count, self.surface):
            editor.changed.connect(self._on_edited)

    def offer(self, model: Model | None, models: Sequence[NamedModel]) -> None:
        """Ask for what a model needs; nothing of models that have no middle."""
        if model is not self._model:
            with self.count.changed.blocked():
                self.count.value = 1  # a bed of grains takes much more than one of shells
        self._model = model
        shells = [(m.name, m) for m in models if isinstance(m.model, ShellModel)]
        with self.shell.changed.blocked():
            self.shell.choices = shells
        if isinstance(model, CentredModel):
            with self.voxel_size.changed.blocked():
                self.voxel_size.value = f"{model.origin.voxel_size[0]:g}"
            self._rows.labelForField(self.voxel_size.native).setText(
                f"Voxel size ({model.origin.unit})"
            )
        self._rows.setRowVisible(self.shell.native, isinstance(model, GrainModel) and bool(shells))
        self._show_surface()

    def applied(self, model: Model) -> Model:
        """Return a model as these rows want it.

        Raises
        ------
        InputError
            If shell and grains do not fit together, or the voxel size is no length.
        """
        if not isinstance(model, CentredModel):
            return model
        if isinstance(model, GrainModel) and self.shell.value is not None:
            model = combine(model, self.shell.value.model)
        try:
            size = float(self.voxel_size.value)
        except ValueError:
            size = 0.0
        if not 0 < size < float("inf"):
            raise InputError(
                f"'{self.voxel_size.value}' is no voxel size; give the edge of a voxel in "
                f"{model.origin.unit}, such as {model.origin.voxel_size[0]:g}."
            )
        return model if f"{size:g}" == f"{model.origin.voxel_size[0]:g}" else (
            model.with_voxel_size(size)
        )  # fmt: skip

    @property
    def has_surface(self) -> bool:
        """Whether a surface is wanted and there is one."""
        return self._can_have_surface and bool(self.surface.value)

    @property
    def _can_have_surface(self) -> bool:
        filled = isinstance(self._model, GrainModel) and self.shell.value is not None
        return self.count.value == 1 and (filled or isinstance(self._model, ShellModel))

    def _show_surface(self) -> None:
        self._rows.setRowVisible(self.surface.native, self._can_have_surface)

    def _on_edited(self) -> None:
        self._show_surface()
        self.changed.emit()
