"""One page that shows a report: sections, violins of the numbers, and curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from napari_microgen.errors import RunError
from napari_microgen.io.files import replacing
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.gridspec import SubplotSpec
    from numpy.typing import NDArray

    from napari_microgen.metrics.report import Curve, Report, Row

REAL, GENERATED = "#444444", "#d55e00"
VIOLINS = ("volume_fraction", "ssa", "mean_chord", "d_rel")
TITLES = {
    "volume_fraction": "volume fraction",
    "ssa": "specific surface area",
    "mean_chord": "mean chord",
    "d_rel": "relative diffusivity",
}
DASHES = {None: "-", 0: "-", 1: "--", 2: ":"}
CURVES = {
    "s2": "two-point correlation",
    "chord": "chords no longer than",
    "spectrum": "Fourier profile, log10",
}
MAX_PHASES = 4
"""Largest number of phases that have panels of their own."""


def draw_report(report: Report, path: str | Path) -> None:
    """Draw a report on one page.

    Parameters
    ----------
    report : Report
        What to draw.
    path : str or Path
        Image or PDF file to write.

    Raises
    ------
    RunError
        If the file cannot be written, or its format is unknown.
    """
    try:
        with replacing(path) as part:
            report_page(report).savefig(part, dpi=150, format=Path(path).suffix[1:])
    except ValueError:
        raise RunError(f"'{path}' is of an unknown format; choose .png, .pdf or .svg.") from None


def report_page(report: Report) -> Figure:
    """Return the page as a figure of matplotlib."""
    figure = Figure(figsize=(11.7, 9.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_headline(report), fontsize=10)
    page = figure.add_gridspec(3, 1, height_ratios=(1.0, 1.0, 1.9))
    _draw_slices(figure, page[0], report)
    _draw_violins(figure, page[1], report)
    _draw_curves(figure, page[2], report)
    _draw_key(figure, report)
    return figure


def _headline(report: Report) -> str:
    text = f"{report.generated.name} against {report.real.name}"
    if report.fidelity is None:
        return text
    ratios = ", ".join(
        f"{name.replace('_', ' ')} {value:.2g}" for name, value in report.fidelity.to_dict().items()
    )
    return f"{text}\nerror over the real image's own noise (1: no difference is seen): {ratios}"


def _draw_slices(figure: Figure, place: SubplotSpec, report: Report) -> None:
    grid = place.subgridspec(1, len(report.slices))
    colors = ListedColormap([*(p.color for p in report.phases), "#ffffff"])
    # All at one scale: as much of each as the smallest shows.
    height, width = np.min([s.shape for s in report.slices.values()], axis=0)
    for i, (title, section) in enumerate(report.slices.items()):
        axes = figure.add_subplot(grid[i])
        shown = np.where(section == UNLABELLED, len(report.phases), section)[:height, :width]
        axes.imshow(shown, cmap=colors, vmin=0, vmax=len(report.phases), interpolation="nearest")
        axes.set_title(title, fontsize=8)
        axes.set_axis_off()


def _draw_violins(figure: Figure, place: SubplotSpec, report: Report) -> None:
    names = [n for n in VIOLINS if any(r.key.metric == n for r in report.rows)]
    grid = place.subgridspec(1, len(names))
    for i, name in enumerate(names):
        axes = figure.add_subplot(grid[i])
        rows = [r for r in report.rows if r.key.metric == name]
        unit = report.describe(rows[0])["unit"]
        axes.set_title(TITLES[name] + (f" ({unit})" if unit else ""), fontsize=8)
        for k, phase in enumerate(report.phases):
            mine = [r for r in rows if r.key.phases == (k,)]
            _violin(axes, _pool(mine, "real"), k - 0.2, REAL)
            _violin(axes, _pool(mine, "generated"), k + 0.2, GENERATED)
            axes.axvline(k, color=phase.color, lw=6, alpha=0.15, zorder=0)
        if not any(r.real for r in rows):
            axes.text(0.5, 0.05, "no real volume to compare with", fontsize=7, ha="center",
                      transform=axes.transAxes)  # fmt: skip
        axes.set_xticks(range(len(report.phases)), [p.name for p in report.phases], fontsize=7)
        axes.set_xlim(-0.5, len(report.phases) - 0.5)
        axes.tick_params(axis="y", labelsize=7)
        axes.set_ylim(bottom=0)


def _pool(rows: list[Row], side: str) -> NDArray[np.float64]:
    values = np.array([v for row in rows for v in getattr(row, side)], float)
    return np.asarray(values[np.isfinite(values)])


def _violin(axes: Axes, values: NDArray[np.float64], where: float, color: str) -> None:
    if not values.size:
        return
    if np.ptp(values) > 0:
        parts = axes.violinplot(values, positions=[where], widths=0.35, showextrema=False)
        for body in parts["bodies"]:  # type: ignore[attr-defined]
            body.set_facecolor(color)
    axes.plot([where - 0.12, where + 0.12], [values.mean()] * 2, color=color, lw=1.5)


def _draw_curves(figure: Figure, place: SubplotSpec, report: Report) -> None:
    phases, unit = report.phases[:MAX_PHASES], report.real.unit
    grid = place.subgridspec(len(CURVES), len(phases))
    for k, phase in enumerate(phases):
        for row, (metric, title) in enumerate(CURVES.items()):
            axes = figure.add_subplot(grid[row, k])
            curves = [c for c in report.curves if c.metric == metric and c.phase == k]
            for curve in curves:
                _draw_curve(axes, curve)
            axes.set_title(f"{title}, {phase.name}", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.set_xlabel(f"1/{unit}" if metric == "spectrum" else unit, fontsize=7)


def _draw_key(figure: Figure, report: Report) -> None:
    """Say below all panels, where no curve runs, what colours and dashes mean."""
    lines = {
        "real": Line2D([], [], color=REAL),
        "one standard deviation between pieces of the real image": Patch(color=REAL, alpha=0.2),
        "generated": Line2D([], [], color=GENERATED),
    }
    for axis in sorted({c.axis for c in report.curves if c.axis is not None}):
        lines[f"chords along {'zyx'[axis]}"] = Line2D([], [], color="black", ls=DASHES[axis])
    figure.legend(
        lines.values(), lines.keys(), loc="outside lower center", ncols=len(lines), fontsize=7,
        frameon=False,
    )  # fmt: skip


def _draw_curve(axes: Axes, curve: Curve) -> None:
    band = (curve.real - curve.real_std, curve.real + curve.real_std)
    axes.fill_between(curve.x, *band, color=REAL, alpha=0.2, lw=0)
    dash = DASHES[curve.axis]
    axes.plot(curve.x, curve.real, color=REAL, ls=dash, lw=1)
    axes.plot(curve.x, curve.generated, color=GENERATED, ls=dash, lw=1)
