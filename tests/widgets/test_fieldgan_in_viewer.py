"""The method that is offered first, in a real window."""

import numpy as np
import pytest

from napari_microgen.methods.fieldgan import sections
from napari_microgen.widgets.state import Status

QUICK = {"fit_steps": 15, "filter_steps": 3, "side": 64, "threads": 1, "preview_seconds": 100.0}


@pytest.fixture
def until(qtbot):
    def wait(condition, seconds=240):
        qtbot.waitUntil(lambda: bool(condition()), timeout=1000 * seconds)

    return wait


def test_a_new_user_is_offered_field_gan_and_sees_the_calibrated_set_at_once(
    viewer, open_dock, until, monkeypatch
):
    monkeypatch.setattr(sections, "REAL_SECTIONS", 64)
    monkeypatch.setattr(sections, "PLANES", 1)
    train = open_dock("Train")
    assert train.method.value == "fieldgan"
    for name, value in QUICK.items():
        train.form.editors[name].value = value
    until(lambda: train.plan)
    train.start_button.click()
    training = train.jobs.training
    until(lambda: "preview" in viewer.layers)
    assert training.progress.step == 0
    shown = viewer.layers["preview"]
    assert set(np.unique(shown.data)) <= {0, 3, 200}
    np.testing.assert_allclose(shown.scale, 0.5)
    until(lambda: training.status is Status.DONE)
    assert training.progress.step == 3
    assert set(training.model.origin.fidelity) >= {"mean", "euler", "pattern"}
