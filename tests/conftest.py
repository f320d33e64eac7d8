import os

# Small arrays gain nothing from threads, and the workers share the cores.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
from tiny_method import TinyMethod

from napari_microgen.methods import METHODS
from napari_microgen.phases import PhaseImage


@pytest.fixture
def tiny_method(monkeypatch):
    """The tiny method, registered as one of ours."""
    monkeypatch.setitem(METHODS, "tiny", "tiny_method:TinyMethod")
    return TinyMethod()


@pytest.fixture
def train_tiny(tiny_method):
    """Returns a function that trains the tiny method on an image."""

    def train(image, **changes):
        config = tiny_method.config_class.from_preset("quick", **changes)
        return list(tiny_method.train([image], config))[-1].model

    return train


@pytest.fixture
def three_phases():
    """A section of three phases with gaps between their labels, names, colours and a scale."""
    labels = np.random.default_rng(0).choice([0, 3, 200], (40, 30), p=[0.5, 0.3, 0.2])
    return PhaseImage.from_labels(
        labels, names={0: "pore", 3: "nickel"}, colors={0: "#102030", 200: "#ff8000"},
        voxel_size=(25, 25), unit="nm", name="section",
    )  # fmt: skip
