"""Drive DC-GAN in the real viewer and save what it looks like to docs/images.

The model is what benchmarks/dcgan.py saves. Run it under a display of at least 1600 x 1000::

    python benchmarks/dcgan.py electrode --steps 1800 --save dcgan.safetensors
    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/make_dcgan_figures.py dcgan.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
from make_screenshots import PLUGIN, Driver

from napari_microgen.methods import get_method
from napari_microgen.methods.dcgan.training import DCGANTraining
from napari_microgen.sample_data import sample_image

matplotlib.use("Agg")

CONFIDENCE_STEPS = (0, 100, 200, 400, 800)
VOLUME = "Battery electrode: volume"


def main() -> None:
    """Train a little, generate, interpolate and join sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--theme", default="dark")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    draw_confidence(options.out / "dcgan_confidence.png")
    driver = Driver(options.out, options.theme)
    open_volume(driver)
    train_in(driver)
    interpolate_in(driver, options.model)
    sides_in(driver)
    compare_in(driver, options.model)
    driver.viewer.close()


def draw_confidence(path: Path) -> None:
    """Draw sections of volume and confidence while the generator learns."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    image = sample_image("electrode", "volume")
    config = get_method("dcgan").config_class.from_preset("quick", threads=1)
    training = DCGANTraining(image, image, config)
    for _ in training.prepare():
        pass
    seen = {}
    for step in range(max(CONFIDENCE_STEPS) + 1):
        if step in CONFIDENCE_STEPS:
            seen[step] = training.preview()
        for _ in training.step(step):
            pass
    figure, axes = plt.subplots(2, len(seen), figsize=(2 * len(seen), 4.2), layout="constrained")
    colors = ListedColormap([p.color for p in image.phases])
    for (volume, confidence), (step, sample) in zip(axes.T, sorted(seen.items()), strict=True):
        middle = sample.data.shape[0] // 2
        volume.imshow(sample.data[middle], cmap=colors, vmin=-0.5, vmax=len(image.phases) - 0.5,
                      interpolation="nearest")  # fmt: skip
        volume.set_title(f"step {step}", fontsize=9)
        confidence.imshow(sample.confidence[middle], cmap="gray", vmin=1 / 3, vmax=1)
        confidence.set_title(f"mean confidence {sample.confidence.mean():.2f}", fontsize=9)
        for axis in (volume, confidence):
            axis.set_axis_off()
    figure.savefig(path, dpi=110)
    print(path)


def open_volume(driver: Driver) -> None:
    """Open the sample and show its volume alone."""
    viewer = driver.viewer
    viewer.open_sample(PLUGIN, "electrode")
    for layer in viewer.layers:
        layer.visible = layer.name == VOLUME
    viewer.layers.selection.active = viewer.layers[VOLUME]
    viewer.fit_to_view(layers=[viewer.layers[VOLUME]])


def train_in(driver: Driver) -> None:
    """Train for some steps, the confidence beside the volume."""
    viewer = driver.viewer
    _, train = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    train.method.value = "dcgan"
    driver.wait(lambda: train.plan is not None, 60)
    driver.shoot("dcgan_form")
    editors = train.form.editors
    editors["steps"].value, editors["minutes"].value = 400, 60.0
    editors["preview_seconds"].value = 2.0
    driver.wait(lambda: train.plan is not None, 60)
    train.start_button.click()
    training = train.jobs.training
    driver.wait(lambda: training.progress is not None and training.progress.step >= 60, 3600)
    viewer.layers["preview"].visible = False
    viewer.layers["preview confidence"].visible = True
    driver.shoot("dcgan_training")
    train.cancel_button.click()
    driver.wait(lambda: not training.status.running, 120)
    driver.watch(5)
    viewer.window.remove_dock_widget(train)
    for name in ("preview", "preview confidence"):
        viewer.layers.remove(name)


def interpolate_in(driver: Driver, model: str) -> None:
    """Walk from one seed to another."""
    viewer = driver.viewer
    _, interpolate = viewer.window.add_plugin_dock_widget(PLUGIN, "Interpolate")
    interpolate.model.open_model(model)
    interpolate.diffusion.value = True
    interpolate.start_button.click()
    driver.wait(lambda: not interpolate.bench.work.running, 600)
    viewer.dims.set_current_step(0, 4)
    interpolate.metric.value = "d_rel"
    driver.shoot("dcgan_interpolate")
    viewer.layers.remove(interpolate.bench.layer)
    viewer.window.remove_dock_widget(interpolate)


def sides_in(driver: Driver) -> None:
    """Join the sides of a periodic volume, and look how large one has to be."""
    viewer = driver.viewer
    _, sides = viewer.window.add_plugin_dock_widget(PLUGIN, "Periodic sides")
    sides.inputs.pickers[0].value = None
    sides.phase.value, sides.axis.value, sides.side.value = 0, 1, 64
    sides.flux_button.click()
    driver.wait(lambda: not sides.bench.work.running, 600)
    sides.volumes.value = 8
    sides.convergence_button.click()
    driver.wait(lambda: not sides.bench.work.running, 1800)
    driver.shoot("dcgan_periodic_sides")


def compare_in(driver: Driver, model: str) -> None:
    """Compare a generated volume with the real one, its diffusivities too."""
    viewer = driver.viewer
    _, generate = viewer.window.add_plugin_dock_widget(PLUGIN, "Generate")
    generate.open_model(model)
    generate.generate_button.click()
    driver.wait(lambda: not generate.jobs.generation.running, 600)
    viewer.window.remove_dock_widget(generate)
    _, compare = viewer.window.add_plugin_dock_widget(PLUGIN, "Compare")
    compare.inputs.pickers[0].value = viewer.layers[VOLUME]
    compare.families["transport"].setChecked(True)
    compare.start_button.click()
    driver.wait(lambda: not compare.comparisons.work.running, 1200)
    compare.tabs.setCurrentIndex(1)
    compare.plots.phase.setCurrentIndex(1)
    driver.watch(3)
    bar = compare.verticalScrollBar()
    bar.setValue(bar.maximum())
    driver.shoot("dcgan_compare_curves")
    compare.tabs.setCurrentIndex(0)
    driver.shoot("dcgan_compare")


if __name__ == "__main__":
    main()
