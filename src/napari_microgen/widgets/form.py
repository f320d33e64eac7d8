"""A form made from the fields of a Config."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from magicgui.widgets import ComboBox, create_widget
from qtpy.QtCore import QObject, Qt, Signal, Slot
from qtpy.QtWidgets import QFormLayout, QLayout, QSizePolicy, QWidget
from superqt import QCollapsible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magicgui.widgets.bases import ValueWidget

    from napari_microgen.methods.base import Config

INT_LIMIT = 2**31 - 1
QWIDGETSIZE_MAX = 2**24 - 1


class ConfigForm(QObject):
    """Edits a Config: one row per field, the advanced ones folded away.

    Parameters
    ----------
    rows : QFormLayout
        Where the rows are added.
    config_class : type of Config
    overrides : mapping of str to object
        Values that go before those of every preset, such as the user's preferences.
    """

    changed = Signal()

    def __init__(
        self, rows: QFormLayout, config_class: type[Config], overrides: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.config_class = config_class
        self.overrides = overrides
        self.editors: dict[str, ValueWidget[Any]] = {}
        advanced = two_columns()
        for field in dataclasses.fields(config_class):
            self._add_row(advanced if field.metadata["advanced"] else rows, field)
        if advanced.rowCount():
            rows.addRow(Folded("Advanced settings", advanced))
        self.fill(next(iter(config_class.presets)))

    def config(self) -> Config:
        """Return what is entered.

        Raises
        ------
        InputError
            If the values contradict each other.
        """
        return self.config_class.from_dict({k: e.value for k, e in self.editors.items()})

    def fill(self, preset: str) -> None:
        """Enter the values of a preset."""
        values = {**self.config_class.from_preset(preset).to_dict(), **self.overrides}
        for name, editor in self.editors.items():
            with editor.changed.blocked():
                editor.value = values[name]
        self.changed.emit()

    def _add_row(self, rows: QFormLayout, field: dataclasses.Field[Any]) -> None:
        editor = make_editor(field, self.config_class)
        editor.changed.connect(self.fill if field.name == "preset" else self._on_edited)
        self.editors[field.name] = editor
        unit = field.metadata["unit"] if isinstance(field.default, int) else ""
        label = f"{field.name.replace('_', ' ')} ({unit})" if unit else field.name.replace("_", " ")
        add_row(rows, label, editor.native, field.metadata["help"])

    def _on_edited(self) -> None:
        self.changed.emit()


def two_columns() -> QFormLayout:
    """Return a form layout that uses the width of a dock."""
    rows = QFormLayout()
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setVerticalSpacing(4)
    rows.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return rows


def add_row(
    rows: QFormLayout, label: str, widget: QWidget, help: str, place: int | None = None
) -> None:
    """Add a labelled widget that takes any width, with the same help on label and widget.

    It is the last row, or that at a place.
    """
    widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    widget.setToolTip(help)
    place = rows.rowCount() if place is None else place
    rows.insertRow(place, label[:1].upper() + label[1:], widget)
    rows.labelForField(widget).setToolTip(help)


class Folded(QCollapsible):
    """Content that is folded away under its title, and may grow while it is open."""

    def __init__(self, title: str, layout: QLayout) -> None:
        super().__init__(title, collapsedIcon="▶")
        inside = QWidget()
        inside.setLayout(layout)
        layout.setContentsMargins(0, 4, 0, 0)
        self.setDuration(0)
        self.setContent(inside)
        self.collapse(animate=False)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.toggled.connect(self._free_height)

    @Slot(bool)
    def _free_height(self, opened: bool) -> None:
        if opened:
            self.content().setMaximumHeight(QWIDGETSIZE_MAX)


def make_editor(field: dataclasses.Field[Any], config_class: type[Config]) -> ValueWidget[Any]:
    """Return a magicgui widget for a field of a Config, within the range that it allows."""
    meta, kind = field.metadata, type(field.default)
    choices = tuple(config_class.presets) if field.name == "preset" else meta["choices"]
    if choices:
        return ComboBox(value=field.default, choices=choices, name=field.name)
    options: dict[str, Any] = {}
    if kind in (int, float):
        low = -INT_LIMIT if meta["minimum"] is None else meta["minimum"]
        high = INT_LIMIT if meta["maximum"] is None else meta["maximum"]
        options = {"min": low, "max": high, "step": None}
    editor: Any = create_widget(field.default, annotation=kind, name=field.name, options=options)
    if kind is bool:
        editor.text = ""
    if kind is float:
        box = editor.native
        box.setDecimals(_places(field, config_class))
        box.setRange(low, high)  # again: it was rounded to two places
        box.setSuffix(f" {meta['unit']}" if meta["unit"] else "")
    return cast("ValueWidget[Any]", editor)


def _places(field: dataclasses.Field[Any], config_class: type[Config]) -> int:
    """Return the decimals that default and presets need, and more where the limits are fine."""
    values = [
        field.default,
        *(p[field.name] for p in config_class.presets.values() if field.name in p),
    ]
    limits = [m for m in (field.metadata["minimum"], field.metadata["maximum"]) if m is not None]
    return max(*map(_decimals, values), *(min(6, _decimals(m)) for m in limits), 1)


def _decimals(value: float) -> int:
    exponent = Decimal(str(value)).normalize().as_tuple().exponent
    return max(0, -int(exponent))
