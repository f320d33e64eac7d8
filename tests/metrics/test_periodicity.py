import numpy as np
import pytest
from conftest import periodic_field

from napari_microgen.metrics.periodicity import (
    Convergence,
    Size,
    both_sides,
    convergence,
    convergence_steps,
    seam_mismatch,
)
from napari_microgen.metrics.transport import transport

EXACT = {"tolerance": 1e-8}


def blobs(side: int, seed: int, s: float = 3.0) -> np.ndarray:
    return (periodic_field((side, side, side), s, seed) > 0.25).astype(np.uint8)


@pytest.fixture(scope="module")
def volume():
    return blobs(24, 5)


def test_a_strip_that_leaves_through_a_side_conducts_only_where_sides_are_joined():
    z, y, _ = np.ogrid[:12, :12, :3]
    inside, crossing = (
        np.broadcast_to((y - z + shift) % 12 < 3, (12, 12, 3)).astype(np.uint8) for shift in (0, 6)
    )
    assert transport(crossing, 1, 0).d_rel == 0
    found = both_sides(crossing, 1, 0, joined=(False, True, False), **EXACT)
    assert found.mirror.d_rel == 0
    assert found.gain == float("inf")
    whole = both_sides(inside, 1, 0, joined=True, **EXACT).periodic
    assert found.periodic.d_rel == pytest.approx(whole.d_rel, rel=1e-6)
    assert both_sides(crossing, 1, 0, joined=(False, False, True)).gain == 0


def test_joined_sides_never_conduct_less(volume):
    for axis in range(3):
        for phase in (0, 1):
            assert both_sides(volume, phase, axis, **EXACT).gain >= -1e-7


def test_with_joined_sides_it_does_not_matter_where_the_volume_is_cut(volume):
    here = both_sides(volume, 1, 0, **EXACT)
    moved = both_sides(np.roll(volume, (5, 11), (1, 2)), 1, 0, **EXACT)
    assert moved.periodic.d_rel == pytest.approx(here.periodic.d_rel, rel=1e-6)
    assert moved.mirror.d_rel != pytest.approx(here.mirror.d_rel, rel=1e-3)


def test_mirror_sides_are_those_of_the_volume_beside_its_mirror_image(volume):
    twice = np.concatenate([volume, volume[:, ::-1]], axis=1)
    four = np.concatenate([twice, twice[:, :, ::-1]], axis=2)
    assert transport(four, 1, 0, periodic=True, **EXACT).d_rel == pytest.approx(
        both_sides(volume, 1, 0, **EXACT).mirror.d_rel, rel=1e-6
    )


def test_both_flux_maps_carry_their_own_diffusivity(volume):
    found = both_sides(volume, 1, 2, flux=True, **EXACT)
    for solved in (found.mirror, found.periodic):
        assert solved.flux.shape == volume.shape
        assert not solved.flux[volume == 0].any()
    assert (found.periodic.flux - found.mirror.flux)[:, 0].sum() > 0


def test_faces_fit_only_where_a_volume_continues():
    field = periodic_field((48, 48, 48), 3.0, 1) > 0
    for axis in range(3):
        assert seam_mismatch(field.astype(np.uint8), axis) == pytest.approx(1, abs=0.3)
        cut = field.take(range(40), axis).astype(np.uint8)
        assert seam_mismatch(cut, axis) > 2
    assert seam_mismatch(np.zeros((4, 4, 4), np.uint8), 0) == 1
    halves = np.zeros((4, 4, 4), np.uint8)
    halves[2:] = 1
    assert seam_mismatch(halves, 1) == 1
    assert seam_mismatch(halves, 0) == 3


# ---------------------------------------------------------------------- convergence


def test_a_parallel_laminate_is_converged_at_every_size():
    def make(side, _seed):
        return np.broadcast_to(np.arange(side) % 8 < 2, (side, side, side)).astype(np.uint8)

    found = convergence(make, (8, 16), (0,), 1, 0, **EXACT)
    assert found.bulk == pytest.approx(0.25, abs=1e-6)
    assert found.needed("mirror") == found.needed("periodic") == 8


def test_what_mirror_sides_cost_halves_when_the_side_doubles():
    def make(side, _seed):
        grid = np.ogrid[(slice(0, side),) * 3]
        # Insulating balls on a lattice that the faces cut at different places.
        return (sum(((c + 2) % 8 - 3.5) ** 2 for c in grid) > 3.3**2).astype(np.uint8)

    found = convergence(make, (8, 16, 32), (0,), 1, 0, tolerance=1e-6)
    gains = [size.periodic[0] / size.mirror[0] - 1 for size in found.sizes]
    assert gains[0] > 0.01
    assert np.divide(gains[1:], gains[:-1]) == pytest.approx(0.5, abs=0.01)


def test_inclined_plates_need_joined_sides():
    def make(side, _seed):
        z, y, _ = np.ogrid[:side, :side, :side]
        return np.broadcast_to((y - z + 6) % 16 < 8, (side, side, side)).astype(np.uint8)

    found = convergence(make, (16, 32, 48), (0,), 1, 0, tolerance=1e-5)
    assert found.needed("periodic") == 32
    assert found.needed("mirror") is None
    assert found.sizes[-1].mirror[0] < 0.5 * found.bulk


def test_the_side_that_is_needed_is_the_first_after_which_all_are_close():
    means = ((16, 0.10, 0.20), (32, 0.21, 0.15), (48, 0.17, 0.199), (64, 0.195, 0.2))
    found = Convergence(tuple(Size(n, (m,), (p,)) for n, m, p in means))
    assert found.needed("periodic") == 48  # 16 was close by chance
    assert found.needed("mirror") == 64
    assert found.needed("mirror", within=0.01) is None
    assert np.isnan(Convergence(()).bulk)


def test_sizes_are_told_as_soon_as_they_are_finished():
    news = list(convergence_steps(blobs, (8, 12), (0, 1), 1, 0))
    shares = [share for share, _, _ in news]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert {len(found.sizes) for _, _, found in news} == {0, 1, 2}
    assert "12^3 voxels" in news[-1][1]
