"""Which refinement is advised, for materials of which it is known what they need."""

import numpy as np
import pytest
from conftest import known_fit

from napari_microgen.methods import get_method
from napari_microgen.methods.excursion.assessment import draw_section
from napari_microgen.methods.fieldgan import sections
from napari_microgen.methods.fieldgan.advice import advise
from napari_microgen.methods.fieldgan.misfit import Misfit
from napari_microgen.phases import PhaseImage
from napari_microgen.sample_data import sample_image

METHOD = get_method("fieldgan")


@pytest.fixture(autouse=True)
def many_planes(monkeypatch):
    monkeypatch.setattr(sections, "REAL_SECTIONS", 256)
    monkeypatch.setattr(sections, "PLANES", 6)


def advice(image, settings, fit_steps):
    """Return what is said before the first step."""
    run = METHOD.train([image], settings(refine="auto", fit_steps=fit_steps))
    said = ""
    for item in run:
        if "noise" in item.message:
            said = item.message
            break
    run.close()
    return said


def test_a_gaussian_field_needs_no_refinement(settings):
    labels = draw_section(known_fit("gaussian", (0, 1), (4.0,), (0.4,)), (400, 400), 1)
    assert "no refinement is needed" in advice(PhaseImage.from_labels(labels), settings, 120)


def test_round_particles_need_a_network_against_critics(settings):
    said = advice(sample_image("spheres"), settings, 40)
    assert "the adversarial refinement is advised" in said


@pytest.mark.parametrize(
    ("misfit", "kind"),
    [
        (Misfit(1.3, 1.0, 1.2), "none"),
        (Misfit(1.0, 1.0, 1.5), "filter"),
        (Misfit(2.8, 10.1, 2.0), "filter"),
        (Misfit(5.1, 1.0, 1.0), "adversarial"),
    ],
)
def test_advice_follows_the_misfits_and_tells_all_three(misfit, kind):
    advised, reason = advise(misfit)
    assert advised == kind
    assert all(f"{value:.1f}" in reason for value in misfit)


def test_what_is_chosen_against_the_advice_is_said(settings):
    labels = draw_section(known_fit("gaussian", (0, 1), (4.0,), (0.4,)), (160, 160), 1)
    run = METHOD.train([PhaseImage.from_labels(labels)], settings(refine="filter"))
    messages = [item.message for item in run if "noise" in item.message]
    assert np.all(["Chosen is 'filter'" in m or "a filter is advised" in m for m in messages])
