"""The sweeps of a viewer: they outlive its docks and end with its window."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Signal

from napari_microgen.io.layers import sample_layers
from napari_microgen.methods.excursion.sweeps import sweep_steps
from napari_microgen.widgets.placement import right_of
from napari_microgen.widgets.sweep_rows import where
from napari_microgen.widgets.workbench import Work, Workbench

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.viewer import Viewer

    from napari_microgen.methods.excursion.sweeps import Row, Sweep
    from napari_microgen.widgets.tasks import Stopping


class Sweeps(Workbench):
    """Sweeps in a thread, and keeps the rows of the last one, however it ended.

    Attributes
    ----------
    sweep : Sweep or None
        The last one.
    rows : list of Row
        What has come of it so far.
    paused : bool
        Whether it waits.
    """

    rows_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.sweep: Sweep | None = None
        self.rows: list[Row] = []
        self.paused = False

    def run(self, sweep: Sweep) -> None:
        """Make and measure volumes."""
        if self.work.running:
            return
        self.sweep, self.rows, self.paused = sweep, [], False
        self.rows_changed.emit()
        self._run(
            f"Sweeping through {sweep.count} volumes", "The sweep",
            partial(_stoppable_steps, sweep), self._on_swept,
        )  # fmt: skip

    def pause(self) -> None:
        """Wait after the present step, or go on."""
        if self._task is None:
            return
        self.paused = not self.paused
        (self._task.pause if self.paused else self._task.go_on)()
        self._tell(Work(True, self.work.fraction, "Paused" if self.paused else "Going on"))

    def _on_news(self, news: Row | None) -> None:
        if news is None:
            return
        self.rows.append(news)
        if news.sample is not None:
            self._add_layer(news)
        self.rows_changed.emit()

    def _add_layer(self, row: Row) -> None:
        viewer = self._viewer()
        if viewer is None or self.sweep is None or row.sample is None:
            return
        name = f"Sweep: {where(row, self.sweep)}"
        layer = Layer.create(*sample_layers(row.sample, name)[-1])
        layer.visible = False
        shown = [x for x in viewer.layers if x.visible and isinstance(x, Labels | Image)]
        layer.translate = right_of(layer, shown)
        active = viewer.layers.selection.active
        viewer.add_layer(layer)
        if active is not None:
            viewer.layers.selection.active = active

    def _on_swept(self, complete: bool) -> str:
        self.paused = False
        count = f"{len(self.rows)} rows"
        return f"Done: {count}." if complete else f"Cancelled; {count} are kept."


def _stoppable_steps(
    sweep: Sweep, stopping: Stopping
) -> Generator[tuple[float, str, Row | None], None, bool]:
    """Sweep; returns whether it came to its end."""
    yield from sweep_steps(sweep, stopping)
    return not stopping()
