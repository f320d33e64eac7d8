"""The fluxes and convergences of a viewer: they outlive its docks and end with its window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Signal

from napari_microgen.widgets.periodic_flux import convergence_of, flux_steps
from napari_microgen.widgets.placement import right_of
from napari_microgen.widgets.workbench import Workbench, stoppable

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_microgen.metrics.periodicity import Convergence
    from napari_microgen.widgets.periodic_flux import ConvergencePlan, Flux, FluxPlan


class PeriodicSides(Workbench):
    """Solves diffusion with both kinds of sides in a thread, and keeps the last results.

    Attributes
    ----------
    flux : Flux or None
    maps : tuple of Layer
        Its flux maps with mirror and with periodic sides.
    plan : ConvergencePlan or None
        The last convergence.
    convergence : Convergence or None
        What was found of it so far.
    """

    flux_changed = Signal()
    convergence_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.flux: Flux | None = None
        self.maps: tuple[Layer, ...] = ()
        self.plan: ConvergencePlan | None = None
        self.convergence: Convergence | None = None

    def show_flux(self, plan: FluxPlan) -> None:
        """Add flux maps with both kinds of sides."""
        self._run(
            "Solving diffusion", "Solving diffusion",
            lambda stopping: stoppable(flux_steps(plan), stopping), self._on_flux,
        )  # fmt: skip

    def converge(self, plan: ConvergencePlan) -> None:
        """Measure how D_rel converges with the volume's size."""
        if self.work.running:
            return
        self.plan = plan
        self._run(
            "Measuring convergence", "Measuring convergence",
            lambda stopping: stoppable(convergence_of(plan), stopping), self._on_converged,
        )  # fmt: skip

    def _on_news(self, news: Convergence) -> None:
        if news is not self.convergence:
            self.convergence = news
            self.convergence_changed.emit()

    def _on_converged(self, found: Convergence) -> str:
        self._on_news(found)
        return "Done."

    def _on_flux(self, flux: Flux) -> str:
        viewer = self._viewer()
        assert viewer is not None  # or it would not have come here
        layers = [Layer.create(*each) for each in flux.layers]
        self._jobs.side_by_side.restore()
        if len(layers) > 2:  # a new volume, which needs a place
            shown = [x for x in viewer.layers if x.visible and isinstance(x, Labels | Image)]
            for layer in layers:
                layer.translate = right_of(layers[0], shown)
        for layer in layers:
            viewer.add_layer(layer)
        self.flux, self.maps = flux, tuple(layers[-2:])
        self._jobs.side_by_side.show(*self.maps)
        self.flux_changed.emit()
        more = f"by {100 * flux.sides.gain:.1f} %" if flux.sides.mirror.d_rel else "from nothing"
        return f"Periodic sides raise D_rel of {flux.title} {more}."
