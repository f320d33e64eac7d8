import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest
from random_field_method import RandomFieldConfig

from napari_microgen.methods import METHODS

COLORS = {None: "transparent", 0: "#112233", 3: "#e69f00", 200: "#56b4e9"}


@pytest.fixture(autouse=True)
def plugin(plugin_settings, npe2pm):
    """The plugin alone, with settings of its own."""
    manifest = PluginManifest.from_distribution("napari-microgen")
    npe2pm.register(manifest)
    return manifest


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """A folder for checkpoints that nobody else uses."""
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def field_method(monkeypatch):
    """The small method as the only one there is."""
    monkeypatch.setattr("napari_microgen.widgets.train.METHODS", {"field": ""})
    monkeypatch.setitem(METHODS, "field", "random_field_method:RandomField")
    return RandomFieldConfig


@pytest.fixture
def labels():
    """Three phases in nested blobs, with labels that are no indices."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(96, 96))
    field = gaussian_filter(noise, 3, mode="wrap")
    return np.array([0, 3, 200], np.uint8)[np.digitize(field, np.quantile(field, (0.4, 0.8)))]


def add_micrograph(viewer, labels):
    """Add a segmented micrograph of known units, names and colours."""
    viewer.add_labels(
        labels, name="micrograph", scale=(0.5, 0.5), units=("um", "um"), axis_labels=("y", "x"),
        colormap=COLORS, features={"index": [0, 3, 200], "name": ["pore", "grain", "binder"]},
    )  # fmt: skip
    return viewer


@pytest.fixture
def viewer(make_napari_viewer, labels):
    """A viewer with the micrograph."""
    return add_micrograph(make_napari_viewer(), labels)


@pytest.fixture
def viewer_model(labels):
    """The same without a window."""
    return add_micrograph(ViewerModel(), labels)


@pytest.fixture
def open_dock(viewer):
    """Open one of the plugin's widgets as a user does."""

    def open_widget(name, into=viewer):
        _, widget = into.window.add_plugin_dock_widget("napari-microgen", name)
        return widget

    return open_widget


@pytest.fixture
def latent_model(labels):
    """An untrained network that draws the micrograph's phases, and repeats after 32 voxels."""
    from napari_microgen.methods.base import Origin
    from napari_microgen.methods.dcgan import DCGANConfig, DCGANModel
    from napari_microgen.networks.slice_generator import initialise_smooth
    from napari_microgen.phases import PhaseImage

    image = PhaseImage.from_labels(
        labels, names={0: "pore", 3: "grain", 200: "binder"}, voxel_size=(0.5, 0.5), unit="um",
        name="micrograph",
    )  # fmt: skip
    config = DCGANConfig(widths="16 8 8 8", latent_channels=4)
    origin = Origin.of_training("dcgan", config, [image], "cpu")
    generator = DCGANModel.build(origin)
    initialise_smooth(generator, (2, 2, 2), list(image.fractions), 0)
    return DCGANModel(origin, generator)
