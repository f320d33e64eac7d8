import numpy as np
import pytest
from conftest import periodic_field
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_microgen.metrics.bottlenecks import constrictivity, constrictivity_steps


def necked_cylinder(radius: int, neck: int) -> np.ndarray:
    """Return a cylinder along z with a neck in its middle, the phase being 1."""
    grid = np.ogrid[-radius - 2 : radius + 3, -radius - 2 : radius + 3]
    square = grid[0] ** 2 + grid[1] ** 2
    radii = np.full(60, radius)
    radii[26:34] = neck
    return (square[None] < radii[:, None, None] ** 2).astype(np.uint8)


@pytest.mark.parametrize(("radius", "neck", "expected"), [(10, 5, 0.25), (12, 4, 1 / 9)])
def test_cylinders_with_a_neck(radius, neck, expected):
    found = constrictivity(necked_cylinder(radius, neck), 1)
    assert found.r_max == radius
    assert found.r_min[0] == neck
    assert found.values[0] == pytest.approx(expected, abs=1e-9)
    # From the sides nothing comes in.
    assert found.values[1:] == (0, 0)


def test_constrictivity_does_not_depend_on_the_unit():
    data = necked_cylinder(6, 3)
    found = constrictivity(data, 1, voxel_size=20.0)
    assert found.r_max == pytest.approx(120)
    assert found.values[0] == pytest.approx(0.25)


def test_absent_and_filling_phases_have_no_width():
    assert constrictivity(np.ones((4, 4, 4), np.uint8), 1) is None
    assert constrictivity(np.ones((4, 4, 4), np.uint8), 0) is None


def coverage(mask: np.ndarray, sizes):
    """Return the share of a phase that balls of a radius cover, by scipy's distances.

    Those that fit anywhere, or only those that come in along an axis.
    """
    room = ndimage.distance_transform_edt(mask, sampling=sizes)

    def covered(radius, axis=None) -> float:
        centres = room >= radius
        if axis is not None:
            labels, _ = ndimage.label(centres, np.ones((3,) * mask.ndim))
            entries = np.unique(np.take(labels, 0, axis=axis))
            centres = np.isin(labels, entries[entries > 0])
        if not centres.any():
            return 0.0
        near = ndimage.distance_transform_edt(~centres, sampling=sizes) < radius
        return near.sum() / mask.sum()

    return np.unique(room[mask]), covered


@given(st.integers(0, 10**6), st.sampled_from([(14, 16, 12), (30, 24)]),
       st.sampled_from([(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (0.5, 0.4, 0.7)]))  # fmt: skip
def test_radii_are_where_coverage_crosses_one_half(seed, shape, sizes):
    mask = periodic_field(shape, 1.5, seed) > 0.2
    sizes = sizes[: len(shape)]
    found = constrictivity(mask.astype(np.uint8), 1, voxel_size=sizes)
    radii, covered = coverage(mask, sizes)
    for axis, radius in ((None, found.r_max), *enumerate(found.r_min)):
        index = np.argmin(np.abs(radii - radius)) if radius else -1
        if radius:
            assert radius == pytest.approx(radii[index], rel=1e-9)
            assert covered(radii[index], axis) >= 0.5
        if radius < found.r_max or axis is None:
            assert index + 1 == len(radii) or covered(radii[index + 1], axis) < 0.5
    assert found.values == pytest.approx([(r / found.r_max) ** 2 for r in found.r_min], rel=1e-9)


def test_a_periodic_phase_may_be_cut_anywhere():
    mask = (periodic_field((24, 20, 22), 2.0, 3) > 0).astype(np.uint8)
    whole = constrictivity(mask, 1, periodic=True)
    for shift in (3, 11):
        moved = constrictivity(np.roll(mask, (shift, shift), (1, 2)), 1, periodic=True)
        assert moved.r_max == whole.r_max
        assert moved.values[0] == whole.values[0]
    assert constrictivity(np.roll(mask, (11, 11), (1, 2)), 1).values != whole.values


def test_progress_rises():
    mask = (periodic_field((24, 24, 24), 2.0, 3) > 0).astype(np.uint8)
    shares = [share for share, _ in constrictivity_steps(mask, 1)]
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] <= 1
