"""Particles and grains, real against generated: distributions and their distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from magicgui.widgets import ComboBox
from napari.layers import Points
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_microgen.errors import InputError
from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.methods.base import Input
from napari_microgen.methods.particles.descriptors import KINDS, Populations, compare_populations
from napari_microgen.phases import PhaseImage
from napari_microgen.widgets.centres import pixel_places
from napari_microgen.widgets.form import add_row, two_columns
from napari_microgen.widgets.inputs import LayerInputs
from napari_microgen.widgets.layout import button
from napari_microgen.widgets.line_plot import Line, LinePlot
from napari_microgen.widgets.tables import SmallTable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_microgen.metrics.ks import Distance

INPUTS = (
    Input("generated", "Generated", "What to judge.", ("numbered",)),
    Input("real", "Real", "Labels with a number per particle or grain, put together.",
          ("numbered",), several=True),
)  # fmt: skip

BINS = 24
USUAL = 0.995
"""Share of the values that the axis of a plot reaches to, so that one large one hides nothing."""


@dataclass(frozen=True)
class PopulationPlan:
    """Layers to compare, what their numbers stand for, and the centres of the real ones."""

    real: Sequence[Layer]
    generated: Layer
    kind: str
    points: Layer | None = None


def population_steps(plan: PopulationPlan) -> Generator[tuple[float, str], None, Populations]:
    """Read the layers and compare them; yields the share done and what was done.

    Raises
    ------
    InputError
        If a layer cannot be used, or one was chosen twice.
    """
    if plan.generated in plan.real:
        raise InputError(f"'{plan.generated.name}' was chosen twice; choose different layers.")
    yield 0.0, "reading the layers"
    real = [PhaseImage.from_layer(layer, numbered=True) for layer in plan.real]
    generated = PhaseImage.from_layer(plan.generated, numbered=True)
    places: list[tuple[float, ...] | None] = [None] * len(real)
    if plan.points is not None:
        ndim = max(image.ndim for image in real)
        if plan.points.ndim < ndim:
            raise InputError(
                f"The points of '{plan.points.name}' are {plan.points.ndim}D and the particles "
                f"{ndim}D; place them in a {ndim}D Points layer, or choose none for the centroids."
            )
        places = [place[-ndim:] for place in pixel_places(plan.points, plan.real)]
    # What a model makes has its centre in the middle, whatever its outline.
    middle = tuple(n // 2 for n in generated.shape) if is_generated(plan.generated) else None
    for step in compare_populations(real, generated, plan.kind, [*places, middle]):
        if isinstance(step, Populations):
            return step
        yield step
    raise AssertionError("the last step is the result")


class PopulationPane(QWidget):
    """Asks for numbered layers, and shows their descriptors against each other.

    Parameters
    ----------
    viewer : ViewerModel
    compare : callable
        What the button does.
    """

    def __init__(self, viewer: ViewerModel, compare: Callable[[], None]) -> None:
        super().__init__()
        self._result: Populations | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        rows = two_columns()
        layout.addLayout(rows)  # before the pickers, which forget their choices when they move
        self.kind = ComboBox(choices=tuple(KINDS), name="kind")
        add_row(rows, "Numbers are", self.kind.native, "What the labels number.")
        self.inputs = LayerInputs(rows, viewer, INPUTS)
        self.points = ComboBox(choices=[], nullable=True, name="points")
        hint = "A Points layer with the centre of every real particle; none for the centroids."
        add_row(rows, "Centres from", self.points.native, hint)
        self._viewer = viewer
        self.button = button("Compare distributions", compare, "Measure every particle or grain.")
        self.table = SmallTable(("Mean of", "Real", "Generated", "KS", "p"))
        self.shown = ComboBox(choices=[], name="shown")
        self.plot = LinePlot(viewer)
        for part in (self.button, self.table, self.shown.native, self.plot):
            layout.addWidget(part)
        layout.addStretch()
        self.shown.changed.connect(self._draw)
        self.shown.native.hide()
        self.reset_choices()

    def reset_choices(self) -> None:
        """Offer the layers that are there now."""
        self.inputs.reset_choices()
        layers = [x for x in self._viewer.layers if isinstance(x, Points)]
        self.points.choices = [(layer.name, layer) for layer in layers]

    @property
    def plan(self) -> PopulationPlan | None:
        """What is chosen; None without layers."""
        generated, *real = self.inputs.layers
        chosen = [layer for layer in real if layer is not None]
        if generated is None or not chosen:
            return None
        return PopulationPlan(chosen, generated, self.kind.value, self.points.value)

    def show_result(self, result: Populations | None) -> None:
        """Show distances in the table and the first distribution."""
        if result is None or result is self._result:
            return
        self._result = result
        counted = [(n, f"{a:.3g}", f"{b:.3g}", "", "") for n, (a, b) in result.densities.items()]
        self.table.show_rows([*counted, *(table_row(n, d) for n, d in result.distances.items())])
        before = self.shown.value
        with self.shown.changed.blocked():
            self.shown.choices = tuple(result.distances)
            if before in result.distances:
                self.shown.value = before
        self.shown.native.show()
        self._draw()

    def _draw(self) -> None:
        if self._result is not None and self.shown.value is not None:
            self.plot.show_lines("Density", densities(self._result, self.shown.value))


def is_generated(layer: Layer) -> bool:
    """Whether a layer came out of a model."""
    origin = layer.metadata.get(METADATA_KEY)
    return isinstance(origin, dict) and "model" in origin


def table_row(name: str, distance: Distance) -> tuple[str, ...]:
    """Return a descriptor's row: its means, their KS distance and its probability by chance."""
    values = (distance.real_mean, distance.generated_mean)
    chance = f"{distance.p:.2f}" if distance.p >= 0.01 else f"{distance.p:.0e}"
    return (name, *(f"{v:.3g}" for v in values), f"{distance.ks:.3f}", chance)


def densities(result: Populations, name: str) -> list[Line]:
    """Return the distributions of a descriptor as two curves."""
    sides = {
        f"real ({len(result.real[name])})": result.real[name],
        f"generated ({len(result.generated[name])})": result.generated[name],
    }
    every = np.concatenate(list(sides.values()))
    low, high = float(every.min()), float(np.quantile(every, USUAL))
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    lines = []
    for title, values in sides.items():
        counts, _ = np.histogram(values, edges)
        lines.append(
            Line(title, middles.tolist(), (counts / len(values) / np.diff(edges)).tolist())
        )
    return lines
