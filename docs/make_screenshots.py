"""Drive the real viewer through the whole flow and save what it looks like to docs/images.

Run it under a display of at least 1600 x 1000, for example::

    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/make_screenshots.py --minutes 2
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN = "napari-microgen"
SIZE = (1600, 1000)


class Driver:
    """A viewer that is waited for and photographed."""

    def __init__(self, folder: Path, theme: str) -> None:
        self.folder = folder
        self.viewer = napari.Viewer()
        self.viewer.theme = theme
        self.viewer.window.resize(*SIZE)

    def wait(self, condition: Callable[[], object], seconds: float) -> None:
        """Run the event loop until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"Nothing happened within {seconds} s.")
            QApplication.processEvents()
            time.sleep(0.002)

    def watch(self, seconds: float) -> None:
        """Run the event loop for a while."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end, seconds + 10)

    def shoot(self, name: str) -> None:
        """Save the whole window."""
        for widget in QApplication.allWidgets():
            if isinstance(widget, NapariQtNotification):
                widget.close()
        self.watch(0.5)
        path = self.folder / f"{name}.png"
        self.viewer.screenshot(path=path, canvas_only=False, flash=False)
        print(path)


def main() -> None:
    """Open the sample, train, cancel, resume, generate and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--theme", default="dark")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    driver = Driver(options.out, options.theme)
    train_in(driver, options.minutes)
    generate_in(driver)
    driver.viewer.close()


def train_in(driver: Driver, minutes: float) -> None:
    """Train on the electrode section, stop half way, and go on."""
    viewer = driver.viewer
    viewer.open_sample(PLUGIN, "electrode")
    _, train = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    viewer.fit_to_view()
    train.form.editors["minutes"].value = minutes
    driver.wait(lambda: train.plan is not None, 30)
    driver.shoot("train_before")
    train.start_button.click()
    training = train.jobs.training
    driver.wait(lambda: training.progress is not None and training.progress.fraction > 0.5, 3600)
    driver.shoot("train_running")
    train.cancel_button.click()
    driver.wait(lambda: not training.status.running and train.plan is not None, 60)
    driver.shoot("train_stopped")
    train.resume_button.click()
    driver.wait(lambda: not training.status.running and train.plan is not None, 3600)
    driver.watch(3)
    driver.shoot("train_done")


def generate_in(driver: Driver) -> None:
    """Generate a volume and put it beside the image it was learned from."""
    viewer = driver.viewer
    _, generate = viewer.window.add_plugin_dock_widget(PLUGIN, "Generate", tabify=True)
    for side in generate.shape:
        side.value = 192
    generate.generate_button.click()
    driver.wait(lambda: not generate.jobs.generation.running, 600)
    driver.shoot("side_by_side")
    generate.real.value = viewer.layers["Battery electrode: volume"]
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (10, 35, 60)
    viewer.fit_to_view(layers=[viewer.layers["generated, seed 0"]])
    driver.shoot("side_by_side_3d")
    viewer.dims.ndisplay = 2
    generate.real.value = viewer.layers["Battery electrode: section"]
    viewer.window.add_plugin_dock_widget("napari", "Features table widget")
    driver.shoot("phase_table")


if __name__ == "__main__":
    main()
