import numpy as np
import pytest
from conftest import cut_in_three, periodic_field

from napari_microgen.metrics.report import compare
from napari_microgen.metrics.scalars import Key
from napari_microgen.metrics.spread import (
    compare_cubes,
    d_rel_by_fraction,
    disjoint_cubes,
    over_axes,
)
from napari_microgen.phases import PhaseImage


def laminates(counts):
    """Plates along z and y whose fraction is known, and so their diffusivity."""
    plates = [np.arange(16) < n for n in counts]
    return [np.broadcast_to(p, (16, 16, 16)).astype(np.uint8) for p in plates]


def named(rows, metric, phases=(1,), axis=None):
    (row,) = (r for r in rows if r.key == Key(metric, phases, axis))
    return row


def test_means_and_spreads_of_laminates_are_those_of_their_fractions():
    rows = compare_cubes(laminates((4, 8, 12)), laminates((7, 8, 9)), 2)
    for row, part in (
        (named(rows, "volume_fraction"), 1),
        (named(rows, "d_rel", axis=0), 1),
        (named(over_axes(rows), "d_rel"), 2 / 3),
    ):
        assert np.mean(row.real) == pytest.approx(part / 2, abs=1e-3)
        assert row.relative_error == pytest.approx(0, abs=2e-3)
        assert row.std_ratio == pytest.approx(1 / 4, rel=1e-2)


def test_diffusivity_of_laminates_lies_on_a_line_over_their_fraction():
    rows = compare_cubes(laminates((2, 5, 9)), laminates((0, 3)), 2)
    points = d_rel_by_fraction(rows, 1)
    np.testing.assert_allclose(points["real"][:, 0], np.array([2, 5, 9]) / 16)
    np.testing.assert_allclose(points["real"][:, 1], points["real"][:, 0] * 2 / 3, rtol=1e-3)
    assert points["generated"].shape == (1, 2)  # of the cube that holds the phase
    assert d_rel_by_fraction([r for r in rows if r.key.metric != "d_rel"], 1)["real"].size == 0


def test_cubes_of_one_material_have_one_spread():
    field = [cut_in_three(periodic_field((32, 32, 32), 3.0, seed)) for seed in range(24)]
    rows = compare_cubes(field[:12], field[12:], 3, ("surfaces", "tpb"))
    assert 0.5 < named(rows, "volume_fraction").std_ratio < 2
    alike = compare_cubes(field[:12], field[12:13] * 12, 3, ())
    assert named(alike, "volume_fraction").std_ratio == 0


def test_a_report_gives_the_same_points(volume):
    other = PhaseImage.from_labels(cut_in_three(periodic_field((64, 64, 64), 3.0, 9)), name="other")
    report = compare(volume, other, ("transport",))
    points = d_rel_by_fraction(report.rows, 0)
    assert points["real"].shape == points["generated"].shape == (8, 2)
    assert (np.corrcoef(points["real"].T)[0, 1]) > 0.5


def test_cubes_cover_what_they_can_once():
    volume = np.arange(5 * 4 * 6).reshape(5, 4, 6)
    cubes = disjoint_cubes(volume, 2)
    assert len(cubes) == 2 * 2 * 3
    assert sorted(np.concatenate(cubes, axis=None)) == sorted(volume[:4].ravel())
