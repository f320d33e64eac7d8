"""The pane that holds a model's two-point functions against those of an image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal, Slot
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_microgen.methods.base import Input
from napari_microgen.methods.excursion.exploration import curve_error
from napari_microgen.widgets.explore_image import target_steps
from napari_microgen.widgets.explore_plot import CoveragePlot
from napari_microgen.widgets.form import two_columns
from napari_microgen.widgets.inputs import LayerInputs
from napari_microgen.widgets.latest import Latest
from napari_microgen.widgets.status import StatusLine
from napari_microgen.widgets.text import sentence

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_microgen.methods.excursion.estimator import CoverageTarget
    from napari_microgen.methods.excursion.exploration import Exploration, Prediction
    from napari_microgen.widgets.jobs import Jobs
    from napari_microgen.widgets.tasks import Outcome, Stopping

    Values = Mapping[str, float]

IMAGE = Input(
    "image", "Over the image", "Whose two-point functions to show beside the model's.",
    optional=True,
)  # fmt: skip


class CurvesPane(QWidget):
    """Asks for an image, and draws the model's curves over the image's.

    Parameters
    ----------
    viewer : ViewerModel
    jobs : Jobs
        Where images are read.

    Attributes
    ----------
    target : CoverageTarget or None
        What was read from the image.
    """

    image_changed = Signal()
    """Another image was chosen, or what was read from it has arrived."""

    def __init__(self, viewer: ViewerModel, jobs: Jobs) -> None:
        super().__init__()
        self.target: CoverageTarget | None = None
        self._exploration: Exploration | None = None
        self._values: Values = {}
        self.reading = Latest(jobs, "Reading the image")
        self.refining = Latest(jobs, "Computing the curves")
        rows = two_columns()
        self.inputs = LayerInputs(rows, viewer, (IMAGE,))
        self.line = StatusLine()
        self.plot = CoveragePlot(viewer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.setSpacing(4)
        column.addLayout(rows)
        column.addWidget(self.line)
        column.addWidget(self.plot)
        column.addStretch()
        self.inputs.changed.connect(self.read)
        self.reading.done.connect(self._on_read)
        self.refining.done.connect(self._on_refined)

    @property
    def image(self) -> Layer | None:
        """The chosen layer."""
        return self.inputs.layers[0]

    def begin(self, exploration: Exploration | None) -> None:
        """Take up another model, with the layer it was fitted to if that is there."""
        self._exploration = exploration
        self.refining.drop()
        if exploration is None:
            self.read()
            return
        self.plot.begin(exploration.phases, exploration.voxel, exploration.base.origin.unit)
        names = [data["name"] for data in exploration.base.origin.data]
        (picker,) = self.inputs.pickers
        fitted = next((x for x in picker.choices if x is not None and x.name in names), None)
        if picker.value is fitted:
            self.read()
        else:
            picker.value = fitted

    @Slot()
    def read(self) -> None:
        """Read the chosen image anew, in a thread."""
        self._take(None)
        self.reading.drop()
        if self.image is not None and self._exploration is not None:
            self.line.tell("Reading the image…")
            zero = self.inputs.zero_meaning
            self.reading.ask(partial(target_steps, self.image, zero, self._exploration))

    @Slot(object)
    def _on_read(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.line.fail(sentence(outcome.error, "Reading the image"))
        else:
            self._take(outcome.value)

    def _take(self, target: CoverageTarget | None) -> None:
        self.target = target
        self.line.tell("")
        self.plot.show_image(target)
        self.image_changed.emit()

    def show_model(self, values: Values, prediction: Prediction) -> None:
        """Draw the curves of a model with these parameters, and how far they are off."""
        self._values = dict(values)
        self._draw(prediction)

    def refine(self) -> None:
        """Compute the curves as well as the numbers are, where that takes longer; in a thread."""
        exploration = self._exploration
        if exploration is not None and exploration.base.formula.random_points:
            self.refining.ask(partial(curve_steps, exploration, self._values, self.target))

    @Slot(object)
    def _on_refined(self, outcome: Outcome) -> None:
        if outcome.error is not None or outcome.value is None:
            return
        values, target, prediction = outcome.value
        if values == self._values and target is self.target:
            self._draw(prediction)

    def _draw(self, prediction: Prediction) -> None:
        self.plot.show_model(prediction)
        if self.target is not None:
            error = curve_error(self.target, prediction)
            self.line.tell(f"S2 differs from the image's by {error:.4f} (rms).")


def curve_steps(
    exploration: Exploration, values: Values, target: CoverageTarget | None, stopping: Stopping
) -> Generator[None, None, tuple[Values, CoverageTarget | None, Prediction] | None]:
    """Compute curves with more quasi-random points than there is time for while sliders move."""
    yield
    if stopping():
        return None
    return values, target, exploration.predict(values, target, fine=True)
