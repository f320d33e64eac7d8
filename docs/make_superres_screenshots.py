"""Drive the real viewer through SuperRes and save what it looks like to docs/images.

Run it under a display of at least 1600 x 1000 with a model of the cathode sample, for example::

    napari-microgen ...  # or: python benchmarks/superres.py cathode --save MODEL.safetensors
    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/make_superres_screenshots.py MODEL
"""

from __future__ import annotations

import argparse
from pathlib import Path

from make_screenshots import PLUGIN, Driver

COARSE = "Battery cathode: coarse volume"
RESULT = "generated, seed 0"


def main() -> None:
    """Show the form, a result beside what it was made from, and where it is unsure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--theme", default="dark")
    options = parser.parse_args()
    driver = Driver(options.out, options.theme)
    show_form(driver)
    show_result(driver, options.model)
    driver.viewer.close()


def show_form(driver: Driver) -> None:
    """Choose the method; scale factor and phase map are worked out from the layers."""
    viewer = driver.viewer
    viewer.open_sample(PLUGIN, "cathode")
    _, train = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    train.method.value = "superres"
    driver.wait(lambda: train.plan is not None, 60)
    viewer.fit_to_view()
    driver.shoot("superres_train")


def show_result(driver: Driver, model: str) -> None:
    """Generate all there is with an ensemble, and look at it in three ways."""
    viewer = driver.viewer
    _, generate = viewer.window.add_plugin_dock_widget(PLUGIN, "Generate", tabify=True)
    generate.open_model(model)
    generate.ensemble.value = 4
    driver.watch(1)
    generate.generate_button.click()
    driver.wait(lambda: not generate.jobs.generation.running, 1800)
    driver.watch(1)
    driver.shoot("superres_side_by_side")
    generate.side_by_side.value = False
    for layer in viewer.layers:
        layer.visible = layer.name in (COARSE, f"{RESULT} disagreement")
    viewer.layers[f"{RESULT} disagreement"].opacity = 1
    viewer.fit_to_view(layers=[viewer.layers[COARSE]])
    driver.shoot("superres_disagreement")
    for layer in viewer.layers:
        layer.visible = layer.name == f"{RESULT} entropy"
    viewer.layers[f"{RESULT} entropy"].colorbar.visible = True
    driver.shoot("superres_entropy")


if __name__ == "__main__":
    main()
