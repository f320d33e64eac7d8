"""The interpolations of a viewer: they outlive its docks and end with its window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Signal

from napari_microgen.widgets.interpolation import interpolation_steps
from napari_microgen.widgets.placement import right_of
from napari_microgen.widgets.workbench import Workbench, stoppable

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_microgen.widgets.interpolation import Interpolation, InterpolationPlan, News


class Interpolations(Workbench):
    """Interpolates in a thread, and keeps the numbers of the last way.

    Attributes
    ----------
    plan : InterpolationPlan or None
        The last one.
    numbers : tuple of dict from Key to float
        What was measured on it so far.
    layer : Layer or None
        Its volumes, once they are all there.
    """

    numbers_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.plan: InterpolationPlan | None = None
        self.numbers: News = ()
        self.layer: Layer | None = None

    def interpolate(self, plan: InterpolationPlan) -> None:
        """Make and measure volumes, and add them as one layer."""
        if self.work.running:
            return
        self.plan, self.layer = plan, None
        self._on_news(())
        self._run(
            f"Interpolating from {plan.title}", "Interpolating",
            lambda stopping: stoppable(interpolation_steps(plan), stopping), self._on_made,
        )  # fmt: skip

    def _on_news(self, news: News) -> None:
        if news is not self.numbers:
            self.numbers = news
            self.numbers_changed.emit()

    def _on_made(self, made: Interpolation) -> str:
        viewer = self._viewer()
        assert viewer is not None  # or it would not have come here
        layer = Layer.create(*made.layer())
        self._jobs.side_by_side.restore()
        shown = [x for x in viewer.layers if x.visible and isinstance(x, Labels | Image)]
        layer.translate = (0, *right_of(layer, shown))
        viewer.add_layer(layer)
        self.layer = layer
        viewer.dims.set_point(range(4), layer.extent.world.mean(axis=0))
        viewer.dims.set_current_step(0, 0)
        viewer.fit_to_view(layers=[layer])
        self.numbers_changed.emit()
        return f"Made {made.plan.steps} volumes; play them with the slider 'step'."
