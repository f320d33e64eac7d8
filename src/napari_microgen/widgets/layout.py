"""The frame that every widget of the plugin has: one scrolling column, rows of buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 400
"""Width that a dock asks for, in pixels."""


class Scrolled(QScrollArea):
    """A column of widgets that scrolls up and down, never sideways."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        self.column = QVBoxLayout(inside)
        self.column.setContentsMargins(8, 6, 8, 6)
        self.column.setSpacing(6)
        self.setWidget(inside)

    def sizeHint(self) -> QSize:
        """Ask for the width of a usual dock and the height of the content."""
        return QSize(WIDTH, self.widget().sizeHint().height())


def button(text: str, slot: Callable[[], None], help: str) -> QPushButton:
    """Return a push button."""
    made = QPushButton(text)
    made.setToolTip(help)
    made.clicked.connect(slot)
    return made


def row(*widgets: QWidget) -> QHBoxLayout:
    """Return widgets side by side."""
    layout = QHBoxLayout()
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget)
    return layout
