import pytest

from napari_microgen.methods.excursion import training


@pytest.fixture(autouse=True, scope="session")
def _small_measured_volumes():
    """Judge models by smaller volumes, to save time."""
    before = training.MEASURED_SIDE
    training.MEASURED_SIDE = 64
    yield
    training.MEASURED_SIDE = before
