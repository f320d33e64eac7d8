"""A pane that asks which crops are real."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRect, Qt, Signal
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_microgen.widgets.layout import button, row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qtpy.QtGui import QKeyEvent, QPaintEvent

    from napari_microgen.widgets.blind_test import BlindTest

SIDE = 340
"""Height of the picture, in screen pixels."""


class Picture(QWidget):
    """A picture in whole screen pixels per pixel, never interpolated."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(SIDE)
        self._image = QImage()

    def show_picture(self, pixels: NDArray[np.uint8] | None) -> None:
        """Show an array of shape ``(height, width, 3)``, or nothing."""
        if pixels is None:
            self._image = QImage()
        else:
            height, width = pixels.shape[:2]
            data = pixels.tobytes()
            self._image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the picture in the middle, as large as whole factors allow."""
        if self._image.isNull():
            return
        wide, high = self._image.width(), self._image.height()
        factor = max(1, min(self.width() // wide, self.height() // high))
        place = QRect(0, 0, wide * factor, high * factor)
        place.moveCenter(self.rect().center())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.drawImage(place, self._image)
        painter.end()


class BlindPane(QWidget):
    """Shows one crop after the other and takes the answers, by mouse or keyboard."""

    finished = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.test: BlindTest | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.question = QLabel()
        self.picture = Picture()
        self.real_button = button("Real (R)", self._say_real, "This crop is real; key R.")
        self.generated_button = button(
            "Generated (G)", self._say_generated, "This crop is generated; key G."
        )
        self.result = QLabel()
        self.result.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.question)
        layout.addWidget(self.picture)
        layout.addLayout(row(self.real_button, self.generated_button))
        layout.addWidget(self.result)
        self._show()

    def begin(self, test: BlindTest) -> None:
        """Ask the questions of a test."""
        self.test = test
        self._show()
        self.setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Answer on R and G."""
        answers = {Qt.Key.Key_R: True, Qt.Key.Key_G: False}
        if event.key() in answers and not event.isAutoRepeat():
            self._answer(answers[event.key()])
        else:
            super().keyPressEvent(event)

    def _say_real(self) -> None:
        self._answer(True)

    def _say_generated(self) -> None:
        self._answer(False)

    def _answer(self, is_real: bool) -> None:
        if self.test is None or self.test.finished:
            return
        self.test.answer(is_real)
        self._show()
        if self.test.finished:
            self.finished.emit(self.test.score())

    def _show(self) -> None:
        test = self.test
        asking = test is not None and not test.finished
        for part in (self.question, self.picture, self.real_button, self.generated_button):
            part.setVisible(asking)
        self.picture.show_picture(test.picture if test is not None else None)
        if asking and test is not None:
            self.question.setText(f"Crop {test.asked + 1} of {len(test.pictures)}: real or not?")
        done = test is not None and test.finished
        self.result.setText(str(test.score()) if done and test is not None else "")
        self.result.setVisible(done)
