"""Train Field-GAN in the real viewer, time the first preview, and save screenshots.

Run it under a display of at least 1600 x 1000, for example::

    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/make_fieldgan_screenshots.py IMAGE.tif
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from make_screenshots import PLUGIN, Driver

from napari_microgen.io.tiff import read_tiff


def main() -> None:
    """Open the image, press Start at the default settings, and watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--theme", default="dark")
    options = parser.parse_args()
    driver = Driver(options.out, options.theme)
    viewer = driver.viewer
    viewer.add_labels(read_tiff(options.image).data, name=options.image.stem)
    _, train = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    viewer.fit_to_view()
    driver.wait(lambda: train.plan is not None, 60)
    began, cpu = time.perf_counter(), time.process_time()
    train.start_button.click()
    driver.wait(lambda: "preview" in viewer.layers, 300)
    print(
        f"{train.method.value}: first preview after {time.perf_counter() - began:.1f} s "
        f"({time.process_time() - cpu:.1f} s of the processor)"
    )
    training = train.jobs.training
    driver.watch(2)  # until the labels are laid out
    driver.shoot("fieldgan_first")
    driver.wait(lambda: not training.status.running and train.plan is not None, 3600)
    print(f"done after {time.perf_counter() - began:.0f} s")
    driver.watch(3)
    driver.shoot("fieldgan_done")
    viewer.close()


if __name__ == "__main__":
    main()
