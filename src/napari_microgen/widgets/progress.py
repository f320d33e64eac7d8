"""Everything that is seen of a running training: figures, curves, fidelity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Slot
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_microgen.resources import size_text
from napari_microgen.widgets.law_table import LawTable
from napari_microgen.widgets.plots import CurvePlot
from napari_microgen.widgets.state import Status
from napari_microgen.widgets.status import StatusLine
from napari_microgen.widgets.tables import SmallTable
from napari_microgen.widgets.text import duration, speed, words

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_microgen.methods.base import Progress
    from napari_microgen.widgets.jobs import Jobs

REFRESH_MS = 500


class TrainingProgress(QWidget):
    """Shows the training of a viewer, whoever started it and whenever.

    Parameters
    ----------
    viewer : ViewerModel
    jobs : Jobs
    """

    def __init__(self, viewer: ViewerModel, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._news = True
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setFormat("%p %")
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        self.figures.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.state_line = StatusLine()
        self.losses = CurvePlot(viewer, "Losses by step")
        self.ratios = CurvePlot(
            viewer,
            "Error over noise by step",
            ratios=True,
            note="At 1 it cannot be told from another part of the image.",
        )
        hint = (
            "<p>Difference between generated and real image, over the difference between parts of "
            "the real image: at 1 nothing distinguishes them, at 2 it is twice as far off.</p>"
            "<p>Ripple is unevenness of the two-point correlation at long distances, such as a "
            "lattice leaves; isotropy is about whether the axes differ as they do in the image.</p>"
        )
        self.table = SmallTable(("Error over noise", "Now", "Best model"))
        self.laws = LawTable()
        self.ratios.setToolTip(hint)
        self.table.setToolTip(hint)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (
            self.bar, self.figures, self.state_line, self.losses, self.ratios, self.table,
            self.laws,
        ):  # fmt: skip
            layout.addWidget(part)
        jobs.status_changed.connect(self._on_status)
        jobs.progressed.connect(self._on_progress)
        self._timer = QTimer(self, interval=REFRESH_MS)
        self._timer.timeout.connect(self._refresh)
        self._timer.start()
        self._on_status()

    @Slot()
    def _on_progress(self) -> None:
        self._news = True

    @Slot()
    def _on_status(self) -> None:
        self._news = True
        self._refresh()

    @Slot()
    def _refresh(self) -> None:
        """Draw what is new; a few times a second however fast the training is."""
        if not self._news:
            return
        self._news = False
        training = self._jobs.training
        self.setVisible(training.status is not Status.IDLE)
        self._tell()
        if training.progress is not None:
            self.bar.setValue(round(1000 * training.progress.fraction))
            self.figures.setText(figures(training.progress))
        self.losses.setVisible(bool(training.losses.points))  # a fit has none
        self.losses.show_curves(training.losses)
        self.ratios.show_curves(training.ratios)
        self.table.show_rows(self._fidelity_rows())
        self.laws.show_model(training.model)

    def _fidelity_rows(self) -> list[tuple[str, str, str]]:
        training = self._jobs.training
        best = training.model.origin.fidelity if training.model is not None else {}
        return [
            (words(name), f"{value:.2f}", f"{best[name]:.2f}" if name in best else "")
            for name, value in training.fidelity.items()
        ]

    def _tell(self) -> None:
        training = self._jobs.training
        if training.status is Status.CRASHED:
            self.state_line.fail(training.message)
            return
        said = {
            Status.TRAINING: f"Training {training.title}"
            + ("…" if training.progress else ": getting ready…"),
            Status.PAUSED: f"{training.title} is paused.",
            Status.STOPPING: f"{training.title} stops after this step…",
            Status.DONE: f"{training.title} is finished; the model is ready in Generate.",
            Status.STOPPED: f"{training.title} was stopped; the best model is ready in Generate. "
            "Resume goes on with the same images and settings."
            if training.model is not None
            else f"{training.title} was stopped before there was a model.",
        }.get(training.status, "")
        news = "" if training.status is Status.STOPPED else training.message
        self.state_line.tell(" ".join(filter(None, (said, news))))


def figures(progress: Progress) -> str:
    """Return where a training stands."""
    left = progress.seconds_left
    pace = f" · {speed(progress.steps_per_second)}" if progress.step else ""
    ahead = f" · {duration(left)} left" if math.isfinite(left) else ""
    return (
        f"Step {progress.step:,}{pace} · {duration(progress.seconds)} so far{ahead}\n"
        f"{progress.device}\n"
        f"{size_text(progress.memory_bytes)} of memory in use"
    )
