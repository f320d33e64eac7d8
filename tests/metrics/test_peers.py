"""Equality with TauFactor and PoreSpy where their convention is ours (extra `validation`)."""

import numpy as np
import pytest
from conftest import cut_in_three, periodic_field

from napari_microgen.metrics.correlations import radial, two_point_map
from napari_microgen.metrics.surfaces import interphase_areas, ssa_faces, triple_phase_boundary
from napari_microgen.metrics.transport import transport


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return cut_in_three(periodic_field((40, 40, 40), 3.0, 11))


@pytest.fixture(scope="module")
def taufactor():
    return pytest.importorskip("taufactor")


def test_face_counts_are_taufactors(data, taufactor):
    found = taufactor.metrics.specific_surface_area(data, method="face_counting", device="cpu")
    assert ssa_faces(data, 3) == pytest.approx([found[str(k)] for k in range(3)])
    pairs = taufactor.metrics.interfacial_areas(data, device="cpu")
    assert sorted(interphase_areas(data, 3)[np.triu_indices(3, 1)]) == pytest.approx(
        sorted(float(v) for v in pairs.values())
    )


def test_triple_line_fraction_is_taufactors(data, taufactor):
    expected = float(taufactor.metrics.triple_phase_boundary(data.astype(np.int64)))
    assert triple_phase_boundary(data).fraction == pytest.approx(expected)


@pytest.mark.parametrize("periodic", [False, True])
def test_diffusivity_is_taufactors(data, taufactor, periodic):
    solver = taufactor.PeriodicSolver if periodic else taufactor.Solver
    run = solver((data == 0).astype(np.uint8), device="cpu")
    run.solve(verbose=False, conv_crit=1e-4)
    found = transport(data, 0, 0, periodic=periodic, tolerance=1e-6)
    assert found.d_rel == pytest.approx(float(run.D_rel[0]), rel=2e-3)


@pytest.mark.parametrize("section", [False, True])
def test_correlation_is_porespys(data, section):
    """Theirs is over the volume fraction, the conditional probability; shells are the same."""
    metrics = pytest.importorskip("porespy").metrics
    phase = data[0] == 0 if section else data == 0
    # Edges half-way between whole lags, as `radial` rounds; the first shell is the lag 0 alone.
    found = metrics.two_point_correlation(phase, bins=np.arange(-0.5, 17))
    _, mine = radial(two_point_map(phase.astype(np.uint8), 1, 1, max_lag=16), phase.ndim)
    assert mine == pytest.approx(found.probability * phase.mean(), rel=1e-9)
    assert mine[0] == pytest.approx(phase.mean())
