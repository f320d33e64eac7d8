import subprocess
import sys

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

MANIFEST = PluginManifest.from_distribution("napari-microgen")


def test_npe2_finds_nothing_wrong(capsys):
    checked = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "napari-microgen"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "valid" in checked.stdout


@pytest.mark.parametrize("command", MANIFEST.contributions.commands, ids=lambda c: c.id)
def test_every_command_can_be_imported(command):
    assert callable(import_python_name(command.python_name))


def test_every_command_has_a_place():
    there = MANIFEST.contributions
    used = {c.command for group in (
        there.widgets, there.sample_data, there.readers, there.writers
    ) for c in group}  # fmt: skip
    assert used == {command.id for command in there.commands}


def test_widgets_are_found_in_the_layer_menus():
    there = MANIFEST.contributions
    submenus = {m.id for m in there.submenus}
    for place in ("napari/layers/segment", "napari/layers/measure"):
        (entry,) = there.menus[place]
        assert entry.submenu in submenus
        commands = {item.command for item in there.menus[entry.submenu]}
        assert {"napari-microgen.train", "napari-microgen.generate"} <= commands
    (new_layer,) = there.menus["napari/file/new_layer"]
    assert new_layer.command == "napari-microgen.generate"


def test_a_sample_opens_in_the_viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.open_sample("napari-microgen", "fibres")
    assert len(viewer.layers) == 4
    assert all(str(layer.units[-1]) != "pixel" for layer in viewer.layers)


def test_preferences_are_the_defaults_of_the_form():
    from napari.settings import get_plugin_settings

    from napari_microgen.widgets.preferences import training_defaults

    assert training_defaults() == {"device": "auto", "preview_seconds": 5.0}
    get_plugin_settings("napari-microgen").training.device = "cpu"
    assert training_defaults()["device"] == "cpu"
