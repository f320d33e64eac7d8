import os
from dataclasses import replace

import pytest

from napari_microgen.methods import get_method
from napari_microgen.phases import PhaseImage
from napari_microgen.widgets import checkpoints
from napari_microgen.widgets.checkpoints import checkpoint_path, discard_old


@pytest.fixture
def field(field_method):
    return get_method("field")


def test_more_time_finds_the_same_checkpoint_and_other_settings_another(field, labels):
    image = PhaseImage.from_labels(labels)
    config = field.config_class()
    path = checkpoint_path(field, [image], config)
    assert checkpoint_path(field, [image], replace(config, minutes=99.0, steps=7)) == path
    assert checkpoint_path(field, [image], replace(config, width=3.0)) != path
    assert checkpoint_path(field, [PhaseImage.from_labels(labels[1:])], config) != path


def test_only_the_youngest_are_kept(data_folder):
    folder = checkpoints.folder()
    assert data_folder in folder.parents
    folder.mkdir(parents=True)
    for i in range(checkpoints.KEPT + 3):
        file = folder / f"{i}.checkpoint"
        file.touch()
        os.utime(file, (i, i))
    discard_old()
    left = {int(file.stem) for file in folder.iterdir()}
    assert left == set(range(3, checkpoints.KEPT + 3))
