"""Drive the real viewer through shells, grains and whole particles; save it to docs/images.

Run it under a display of at least 1600 x 1000, maybe with a grain model that exists already::

    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/make_particle_screenshots.py [GRAINS]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from make_screenshots import PLUGIN, Driver

SHELLS = "Particle shells of Particles: numbered"


def main() -> None:
    """Segment and fit shells, train grains, and put both together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grains", nargs="?", help="model file; without it grains are trained")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--theme", default="dark")
    options = parser.parse_args()
    driver = Driver(options.out, options.theme)
    dock, train = driver.viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    show_segmentation(driver, train)
    fit_shells(driver, train)
    driver.viewer.layers.clear()
    dock.raise_()
    train_grains(driver, train, options.grains)
    show_particle(driver)
    compare_sections(driver)
    driver.viewer.close()


def show_segmentation(driver: Driver, train) -> None:
    """Show every step from the CT volume to whole particles, side by side."""
    viewer = driver.viewer
    viewer.open_sample(PLUGIN, "particles")
    train.method.value = "shell"
    train.inputs.pickers[0].value = viewer.layers["Particles: CT"]
    driver.wait(lambda: train.plan is not None, 120)
    train.look_button.click()
    driver.wait(lambda: "Particles: CT: whole particles" in viewer.layers, 120)
    viewer.layers["Particles: numbered"].visible = False
    for layer in viewer.layers[:-1]:
        layer.visible = layer.name.startswith("Particles: CT")
    viewer.canvas.grid.enabled, viewer.canvas.grid.shape = True, (3, 3)
    viewer.fit_to_view()
    driver.shoot("shell_segmentation")
    viewer.canvas.grid.enabled = False


def fit_shells(driver: Driver, train) -> None:
    """Fit shells to the numbered particles, and generate a bed of them."""
    viewer = driver.viewer
    numbered = viewer.layers["Particles: numbered"]
    for layer in viewer.layers:
        layer.visible = layer is numbered
    train.inputs.pickers[0].value = numbered
    driver.wait(lambda: train.plan is not None, 60)
    train.start_button.click()
    driver.wait(lambda: len(train.jobs.models) == 1, 120)
    driver.wait(lambda: train.plan is not None, 60)
    train.folded.collapse(animate=False)
    viewer.fit_to_view()
    driver.watch(1)
    train.ensureWidgetVisible(train.progress.laws)
    driver.shoot("shell_laws")
    _, generate = viewer.window.add_plugin_dock_widget(PLUGIN, "Generate", tabify=True)
    generate.side_by_side.value = False
    generate.particles.count.value = 36
    generate.particles.voxel_size.value = "0.3"
    driver.wait(generate.generate_button.isEnabled, 10)
    generate.generate_button.click()
    driver.wait(lambda: not generate.jobs.generation.running, 120)
    made = viewer.layers[-1]
    for layer in viewer.layers:
        layer.visible = layer is made
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (0, -25, 155)
    viewer.fit_to_view(layers=[made])
    driver.shoot("shell_bed")
    viewer.dims.ndisplay = 2


def train_grains(driver: Driver, train, model: str | None) -> None:
    """Choose six sections and their centres, and train unless there is a model."""
    viewer = driver.viewer
    viewer.open_sample(PLUGIN, "grains")
    viewer.layers.selection = {x for x in viewer.layers if "section" in x.name}
    train.method.value = "grains"
    train.folded.expand(animate=False)
    train.centres.picker.value = viewer.layers["Grains: centres"]
    driver.wait(lambda: train.plan is not None, 60)
    viewer.fit_to_view()
    if model is not None:
        driver.shoot("grains_train")
        train.jobs.add_model("grains", load(model))
        return
    train.start_button.click()
    training = train.jobs.training
    driver.wait(lambda: training.progress is not None and training.progress.fraction > 0.5, 3600)
    driver.shoot("grains_train")
    driver.wait(lambda: not training.status.running and train.plan is not None, 3600)


def load(path: str):
    """Load a model file."""
    from napari_microgen.methods import load_model

    return load_model(path)


def show_particle(driver: Driver) -> None:
    """Generate a whole particle: a section beside its EBSD, and the grains in 3D, cut open."""
    viewer = driver.viewer
    dock, generate = viewer.window.add_plugin_dock_widget(PLUGIN, "Generate", tabify=True)
    dock.raise_()
    shell = next(m for m in generate.jobs.models if m.model.origin.method == "shell")
    generate.particles.shell.value = shell
    generate.real.value = viewer.layers["Grains: section 1"]
    generate.side_by_side.value = True
    driver.wait(generate.generate_button.isEnabled, 10)
    generate.generate_button.click()
    driver.wait(lambda: not generate.jobs.generation.running, 600)
    driver.watch(1)
    made = viewer.layers["generated, seed 0"]
    viewer.dims.set_point(0, float(made.extent.world[:, 0].mean()))
    driver.shoot("particle_section")
    generate.side_by_side.value = False
    for layer in viewer.layers:
        layer.visible = layer is made
    viewer.dims.ndisplay = 3
    open_half = made.data.copy()
    open_half[: len(open_half) // 2] = 0
    whole, made.data = made.data, open_half
    made.opacity = 1
    viewer.scene.camera.angles = (0, -30, -150)
    viewer.fit_to_view(layers=[made])
    viewer.scene.camera.zoom *= 1.5
    driver.shoot("particle_3d")
    made.data, made.opacity = whole, 0.7
    viewer.dims.ndisplay = 2


def compare_sections(driver: Driver) -> None:
    """Compare the grains of the particle's sections with those of the six real ones."""
    viewer = driver.viewer
    dock, compare = viewer.window.add_plugin_dock_widget(PLUGIN, "Compare", tabify=True)
    dock.raise_()
    pane = compare.populations
    compare.tabs.setCurrentWidget(pane)
    compare.folded.collapse(animate=False)
    pane.inputs.pickers[0].value = viewer.layers["generated, seed 0"]
    real = [x for x in viewer.layers if "section" in x.name]
    pane.inputs.pickers[1].value = real
    pane.points.value = viewer.layers["Grains: centres"]
    pane.button.click()
    driver.wait(lambda: compare.comparisons.populations is not None, 120)
    driver.shoot("particle_compare")


if __name__ == "__main__":
    main()
