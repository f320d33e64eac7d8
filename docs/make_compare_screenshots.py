"""Drive the Compare widget in a real viewer and save what it looks like to docs/images.

Run it under a display of at least 1600 x 1000, for example::

    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/make_compare_screenshots.py
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from make_screenshots import PLUGIN, Driver

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_microgen.widgets.compare import CompareWidget


def main() -> None:
    """Compare the electrode's section with its volume, and take a blind test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--theme", default="dark")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    driver = Driver(options.out, options.theme)
    viewer = driver.viewer
    viewer.open_sample(PLUGIN, "electrode")
    _, compare = viewer.window.add_plugin_dock_widget(PLUGIN, "Compare")
    section, volume = (viewer.layers[f"Battery electrode: {n}"] for n in ("section", "volume"))
    viewer.fit_to_view()
    compare_in(driver, compare, section, volume)
    look_in(driver, compare, section, volume)
    blind_in(driver, compare)
    measure_in(driver, compare, section)
    viewer.close()


def compare_in(driver: Driver, compare: CompareWidget, section: Layer, volume: Layer) -> None:
    """Compare, and show numbers and curves."""
    compare.inputs.pickers[0].value = section
    compare.inputs.pickers[1].value = volume
    driver.shoot("compare_before")
    compare.start_button.click()
    driver.wait(lambda: not compare.comparisons.work.running, 300)
    compare.side_button.click()
    driver.shoot("compare")
    compare.tabs.setCurrentIndex(1)
    driver.shoot("compare_curves")


def look_in(driver: Driver, compare: CompareWidget, section: Layer, volume: Layer) -> None:
    """Show slices beside the real image, and where diffusion goes through the volume."""
    viewer = driver.viewer
    compare.tabs.setCurrentIndex(3)
    compare.gallery_button.click()
    driver.shoot("compare_slices")
    viewer.layers.remove(viewer.layers[-1])
    compare.extra.button.click()
    driver.wait(lambda: not compare.comparisons.work.running, 300)
    viewer.fit_to_view(layers=[volume])
    driver.shoot("compare_layers")
    viewer.layers.remove(viewer.layers[-1])
    section.visible, volume.visible = True, False
    viewer.fit_to_view()


def blind_in(driver: Driver, compare: CompareWidget) -> None:
    """Ask a question, and show the end of a test that was answered by guessing."""
    compare.tabs.setCurrentIndex(4)
    compare.blind_button.click()
    driver.wait(lambda: compare.blind.test is not None, 60)
    driver.shoot("blind_test")
    for i in range(20):
        (compare.blind.real_button if i % 2 else compare.blind.generated_button).click()
    driver.shoot("blind_test_done")


def measure_in(driver: Driver, compare: CompareWidget, section: Layer) -> None:
    """Measure the real image alone."""
    compare.inputs.pickers[1].value = None
    compare.start_button.click()
    driver.wait(lambda: not compare.comparisons.work.running, 60)
    compare.tabs.setCurrentIndex(2)
    driver.shoot("measure")


if __name__ == "__main__":
    main()
