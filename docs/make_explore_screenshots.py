"""Drive the Explore widget in a real viewer and save what it looks like to docs/images.

Run it under a display of at least 1600 x 1000, for example::

    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/make_explore_screenshots.py

With ``--model FILE`` a model of the electrode's section that was fitted before is taken.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from make_screenshots import PLUGIN, SIZE, Driver

if TYPE_CHECKING:
    from napari_microgen.widgets.explore import ExploreWidget

SECTION = "Battery electrode: section"


def main() -> None:
    """Fit the electrode's section, move what can be moved, and sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--theme", default="dark")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, help="of the window in pixels")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    driver = Driver(options.out, options.theme)
    viewer = driver.viewer
    viewer.window.resize(*options.size)
    viewer.open_sample(PLUGIN, "electrode")
    viewer.layers["Battery electrode: volume"].visible = False
    viewer.fit_to_view()
    if options.model is None:
        fit_in(driver)
    _, explore = viewer.window.add_plugin_dock_widget(PLUGIN, "Explore")
    if options.model is not None:
        explore.open_model(str(options.model))
    move_in(driver, explore)
    sweep_in(driver, explore)
    look_in(driver, explore)
    viewer.close()


def fit_in(driver: Driver) -> None:
    """Fit an excursion set to the section."""
    _, train = driver.viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    train.preview_box.setChecked(False)
    train.method.value = "excursion"
    driver.wait(lambda: train.plan is not None, 60)
    driver.shoot("explore_fit")
    train.start_button.click()
    driver.wait(lambda: not train.jobs.training.status.running, 1200)
    driver.viewer.window.remove_dock_widget(train)


def move_in(driver: Driver, explore: ExploreWidget) -> None:
    """Show the model as it came, with other amounts, and stretched."""
    sliders = explore.sliders.editors
    settle(driver, explore)
    driver.shoot("explore")
    explore.phase.value, explore.fraction.value = 0, 0.25
    explore.solve_button.click()
    sliders["length"].box.setValue(1.5)
    settle(driver, explore)
    driver.shoot("explore_moved")
    explore.reset_button.click()
    sliders["stretch"].box.setValue(2.5)
    explore.plane.value = "z, x"
    settle(driver, explore)
    driver.shoot("explore_stretch")
    explore.reset_button.click()
    explore.plane.value = "y, x"
    settle(driver, explore)


def sweep_in(driver: Driver, explore: ExploreWidget) -> None:
    """Measure how the pores conduct over their amount and the coarseness."""
    pane = explore.sweep
    explore.tabs.setCurrentWidget(pane)
    first, second = pane.axes
    first.low.value, first.high.value, first.steps.value = 0.2, 0.5, 4
    second.parameter.value = next(
        p for p in second.parameter.choices if p is not None and p.name == "stretch"
    )
    second.low.value, second.high.value, second.steps.value = 1.0, 2.0, 2
    pane.side.value = 64
    pane.families["transport"].setChecked(True)
    explore.ensureWidgetVisible(pane.start_button)
    driver.shoot("explore_sweep_before")
    pane.start_button.click()
    driver.wait(lambda: pane.bench.rows and not pane.bench.work.running, 1200)
    pane.metric.value, pane.axis.value = "d_rel", "z"
    driver.watch(0.5)
    bar = explore.verticalScrollBar()
    bar.setValue(bar.maximum())
    driver.shoot("explore_sweep")


def look_in(driver: Driver, explore: ExploreWidget) -> None:
    """Show the volume in 3D."""
    viewer = driver.viewer
    explore.tabs.setCurrentIndex(0)
    explore.verticalScrollBar().setValue(0)
    for layer in viewer.layers:
        layer.visible = layer.name == "Explore: volume"
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (10, 35, 60)
    viewer.fit_to_view(layers=[viewer.layers["Explore: volume"]])
    driver.shoot("explore_3d")


def settle(driver: Driver, explore: ExploreWidget) -> None:
    """Wait until section, volume and curves show what the sliders say."""
    driver.watch(0.5)
    driver.wait(lambda: not explore.preview.busy and not explore.curves.reading.busy, 60)
    driver.watch(0.5)


if __name__ == "__main__":
    main()
