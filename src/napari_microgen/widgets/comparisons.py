"""The comparisons of a viewer: they outlive its docks and end with its window."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtCore import Signal

from napari_microgen.metrics.report import Report
from napari_microgen.widgets.comparison import comparison_steps, real_side
from napari_microgen.widgets.extra_layers import extra_steps
from napari_microgen.widgets.population_pane import population_steps
from napari_microgen.widgets.result_rows import phase_columns
from napari_microgen.widgets.saving import save_steps
from napari_microgen.widgets.workbench import Workbench, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.viewer import Viewer

    from napari_microgen.methods.particles.descriptors import Populations
    from napari_microgen.metrics.sides import SideReport
    from napari_microgen.phases import Phase
    from napari_microgen.widgets.blind_test import BlindTest
    from napari_microgen.widgets.comparison import ComparisonPlan, Result
    from napari_microgen.widgets.extra_layers import Made, Wanted
    from napari_microgen.widgets.population_pane import PopulationPlan
    from napari_microgen.widgets.tasks import Steps, Stopping


class Comparisons(Workbench):
    """Compares layers of one viewer in a thread, one thing at a time, and keeps the last result.

    Attributes
    ----------
    result : Report or SideReport or None
        The last result.
    test : BlindTest or None
        The last blind test, as far as it got.
    populations : Populations or None
        The last comparison of particles or grains.
    """

    result_changed = Signal()
    populations_changed = Signal()
    test_ready = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.result: Result | None = None
        self.test: BlindTest | None = None
        self.populations: Populations | None = None

    # ------------------------------------------------------------------ what can be done

    def compare(self, plan: ComparisonPlan) -> None:
        """Measure or compare; the numbers per phase go into the layers' features."""
        self._run(
            plan.title, "Comparing",
            lambda stopping: stoppable(comparison_steps(plan), stopping),
            partial(self._on_compared, plan),
        )  # fmt: skip

    def compare_populations(self, plan: PopulationPlan) -> None:
        """Compare particles or grains."""
        self._run(
            f"Comparing {plan.kind}", "Comparing",
            lambda stopping: stoppable(population_steps(plan), stopping), self._on_populations,
        )  # fmt: skip

    def make_layer(self, wanted: Wanted) -> None:
        """Add a layer that shows where a number comes from."""
        self._run(
            f"Computing {wanted.what}", "Computing the layer",
            lambda stopping: stoppable(extra_steps(wanted), stopping), self._on_made,
        )  # fmt: skip

    def make_test(self, title: str, make: Callable[[Stopping], Steps]) -> None:
        """Prepare a blind test."""
        self._run(title, "The blind test", make, self._on_test)

    def save(self, path: str) -> None:
        """Write the result as table, JSON or figure, whichever the file's name asks for."""
        if self.result is not None:
            self._run(f"Saving {path}", "Saving", partial(save_steps, self.result, path),
                      self._on_saved)  # fmt: skip

    # ------------------------------------------------------------------ when it is done

    def _on_compared(self, plan: ComparisonPlan, result: Result) -> str:
        self.result = result
        sides: list[tuple[Layer | None, SideReport]] = [(plan.real, real_side(result))]
        if isinstance(result, Report):
            sides.append((plan.generated, result.generated))
        for layer, side in sides:
            if isinstance(layer, Labels):
                write_features(layer, side.phases, phase_columns(side))
        self.result_changed.emit()
        return ""

    def _on_populations(self, populations: Populations) -> str:
        self.populations = populations
        self.populations_changed.emit()
        return ""

    def _on_made(self, made: Made) -> str:
        viewer = self._viewer()
        assert viewer is not None  # or _on_ended would have returned
        viewer.add_layer(Layer.create(*made.layer))
        return made.message

    def _on_test(self, test: BlindTest) -> str:
        self.test = test
        self.test_ready.emit()
        return ""

    def _on_saved(self, path: str) -> str:
        return f"Saved as {path}"


def write_features(
    layer: Labels, phases: Sequence[Phase], columns: Mapping[str, Sequence[float]]
) -> None:
    """Add columns to a layer's table of labels; what else it holds is kept."""
    import pandas as pd

    table = layer.features.copy()
    if "index" not in table:
        table.insert(0, "index", np.arange(len(table)))
    values = [phase.value for phase in phases]
    missing = [value for value in values if value not in set(table["index"])]
    table = pd.concat([table, pd.DataFrame({"index": missing})], ignore_index=True)
    if "name" not in table:
        table["name"] = ""
    # Not by an index, as users' tables may hold a label twice, or what is no label.
    order = table["index"].map({value: k for k, value in enumerate(values)})
    mine = order.notna()
    places = order[mine].astype(int)
    for name, entries in {"name": [p.name for p in phases], **columns}.items():
        table.loc[mine, name] = np.array(entries)[places]
    if pd.api.types.is_numeric_dtype(table["index"]):
        table = table.sort_values("index", kind="stable", ignore_index=True)
    layer.features = table


def comparisons_of(viewer: Viewer) -> Comparisons:
    """Return the comparisons of a viewer; the same for every dock that asks."""
    return Comparisons.of(viewer)
