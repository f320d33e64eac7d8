"""One line that says what is wrong, what to know, or that all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

ERROR, WARNING = "#e5484d", "#d98e04"
"""Red and amber that are readable on napari's dark and light backgrounds."""


class StatusLine(QLabel):
    """Text that is red for an error, amber for warnings and plain otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)  # whatever layers are called
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.tell("")

    def tell(self, text: str) -> None:
        """Show plain text."""
        self._show(text, "")

    def warn(self, sentences: Sequence[str]) -> None:
        """Show warnings in amber, one per line."""
        self._show("\n".join(sentences), WARNING)

    def fail(self, sentence: str) -> None:
        """Show an error in red."""
        self._show(sentence, ERROR)

    def _show(self, text: str, color: str) -> None:
        style = f"color: {color};" if color else ""
        if (text, style) != (self.text(), self.styleSheet()):  # restyling is slow
            self.setText(text)
            self.setStyleSheet(style)
        self.setVisible(bool(text))
