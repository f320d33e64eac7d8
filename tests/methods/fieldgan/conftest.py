import numpy as np
import pytest
import torch

from napari_microgen.methods.excursion.assessment import draw_section
from napari_microgen.methods.excursion.calibration import Candidate, Fit
from napari_microgen.methods.excursion.covariances import bump_weights
from napari_microgen.methods.excursion.models import Scalars
from napari_microgen.methods.fieldgan import FieldGANConfig, sections
from napari_microgen.phases import PhaseImage


@pytest.fixture(autouse=True, scope="package")
def in_seconds():
    """Take statistics of fewer sections, in one thread, to save time."""
    torch.set_num_threads(1)
    before = sections.REAL_SECTIONS, sections.PLANES, sections.VOLUMES
    sections.REAL_SECTIONS, sections.PLANES, sections.VOLUMES = 64, 1, 1
    yield
    sections.REAL_SECTIONS, sections.PLANES, sections.VOLUMES = before


def known_fit(name="correlated", roles=(1, 0, 2), lengths=(4.0, 5.0, 7.0), levels=(0.5, 0.1)):
    """An excursion set that nothing was calibrated for."""
    weights = torch.stack([bump_weights(x, 60) for x in lengths])
    scalars = Scalars(
        torch.tensor(levels, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64),
        torch.ones(2, dtype=torch.float64),
    )  # fmt: skip
    return Fit(Candidate(name, roles), weights, scalars, 0.0, 0.0)


@pytest.fixture(scope="package")
def three_phases():
    labels = np.array([0, 3, 200], np.uint8)[draw_section(known_fit(), (160, 160), 5)]
    return PhaseImage.from_labels(labels, voxel_size=(25, 25), unit="nm", name="known")


@pytest.fixture(scope="package")
def two_phases():
    fit = known_fit("gaussian", (0, 1), (4.0,), (0.4,))
    return PhaseImage.from_labels(draw_section(fit, (160, 160), 1), name="two")


@pytest.fixture(scope="package")
def settings():
    """Return settings that learn hardly anything, and in a second or two."""

    def make(**changes):
        short = {"threads": 1, "fit_steps": 15, "filter_steps": 4, "side": 64, "preview_seconds": 0}
        return FieldGANConfig.from_preset("quick", **{**short, **changes})

    return make
