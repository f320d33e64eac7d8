import numpy as np
import pytest
import torch
from conftest import periodic_field
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_microgen.errors import InputError, RunError
from napari_microgen.metrics import transport as transport_module
from napari_microgen.metrics.transport import percolating_cluster, transport, transport_steps


def off_centre(n: int, ndim: int) -> np.ndarray:
    """Return the distance of every voxel from the middle of a cube."""
    return np.sqrt(sum((g - (n - 1) / 2) ** 2 for g in np.ogrid[(slice(0, n),) * ndim]))


def solved_densely(mask: np.ndarray, sizes: tuple[float, ...], periodic: tuple[bool, ...]) -> float:
    """Return D_rel along axis 0 by Gaussian elimination over every voxel of the cluster."""
    places = {tuple(p): i for i, p in enumerate(np.argwhere(mask))}
    matrix, source = np.zeros((len(places),) * 2), np.zeros(len(places))
    for place, i in places.items():
        for axis, size in enumerate(sizes):
            for step in (-1, 1):
                other = list(place)
                other[axis] += step
                if axis and periodic[axis]:
                    other[axis] %= mask.shape[axis]
                j = places.get(tuple(other))
                weight = (sizes[0] / size) ** 2
                if j is not None:
                    matrix[i, i] += weight
                    matrix[i, j] -= weight
                elif axis == 0 and not 0 <= other[0] < mask.shape[0]:
                    matrix[i, i] += 2
                    source[i] += 2 * (step == -1)
    field = np.linalg.solve(matrix, source)
    flux = sum(2 * (1 - field[i]) for place, i in places.items() if place[0] == 0)
    return flux * mask.shape[0] / mask[0].size


@pytest.mark.parametrize("axis", [0, 1])
def test_parallel_laminate_conducts_its_fraction(axis):
    data = np.zeros((16, 16, 16), np.uint8)
    data[:, :, 3:8] = 1
    found = transport(data, 1, axis, tolerance=1e-8)
    assert found.d_rel == pytest.approx(5 / 16, abs=1e-6)
    assert found.tortuosity_factor == pytest.approx(1, abs=1e-6)


def test_insulating_layer_stops_everything_at_once():
    data = np.ones((16, 16, 16), np.uint8)
    data[7] = 0
    found = transport(data, 1, 0, flux=True)
    assert (found.d_rel, found.percolating, found.iterations) == (0, 0, 0)
    assert found.tortuosity_factor == float("inf")
    assert not found.flux.any()


def test_slanted_strip():
    data = np.zeros((20, 21, 21), np.uint8)
    for i in range(20):
        data[i, i : i + 2, i : i + 2] = 1
    assert transport(data, 1, 0, tolerance=1e-9).tortuosity_factor == pytest.approx(
        7.516667, abs=1e-5
    )


@pytest.mark.parametrize("tolerance", [1e-6, 1e-4])
def test_insulating_cylinders(tolerance):
    data = (off_centre(64, 2) >= 0.25 * 64).astype(np.uint8)
    assert transport(data, 1, 1, tolerance=tolerance).d_rel == pytest.approx(0.66052, abs=1e-4)
    solid = np.repeat(data[None], 3, axis=0)
    found = transport(solid, 1, 1, periodic=True, tolerance=tolerance)
    assert found.d_rel == pytest.approx(0.66052, abs=1e-4)


@pytest.mark.parametrize(("ratio", "expected"), [(0.25, 0.89828), (0.4, 0.62961)])
def test_insulating_spheres(ratio, expected):
    data = (off_centre(40, 3) >= ratio * 40).astype(np.uint8)
    assert transport(data, 1, 2, tolerance=1e-6).d_rel == pytest.approx(expected, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    arrays(bool, (5, 4, 6), elements=st.booleans()),
    st.tuples(*[st.booleans()] * 3),
    st.sampled_from([(1.0, 1.0, 1.0), (2.0, 1.0, 0.5)]),
)
def test_equals_a_direct_solution(mask, periodic, sizes):
    mask = mask | (np.arange(6) < 2)  # lets something through
    cluster = percolating_cluster(mask, 0, periodic=periodic)
    found = transport(
        mask.astype(np.uint8), 1, 0, voxel_size=sizes, periodic=periodic, tolerance=1e-10
    )
    assert found.d_rel == pytest.approx(solved_densely(cluster, sizes, periodic), rel=1e-7)


def test_many_clusters_that_touch_nowhere():
    data = np.zeros((24, 40, 40), np.uint8)
    data[:, ::2, ::2] = 1
    data[5, ::2, 1::4] = 1  # some of them joined
    found = transport(data, 1, 0, tolerance=1e-8)
    # Where joined, both rods have the same field, so that nothing flows across.
    assert found.d_rel == pytest.approx(0.25, abs=1e-6)


def test_badly_connected_phase_converges_in_a_few_iterations(gaussian_fields):
    field = gaussian_fields[0][:48, :48, :48]
    data = (field > np.quantile(field, 0.78)).astype(np.uint8)
    found = transport(data, 1, 0, tolerance=1e-3)
    exact = transport(data, 1, 0, tolerance=1e-9)
    assert 0 < exact.d_rel < 0.05
    assert found.iterations < 40
    # The energy falls towards its minimum, and the estimate bounds what is left of it.
    assert 0 <= found.d_rel / exact.d_rel - 1 < found.error < 1e-3
    finer = transport(data, 1, 0, tolerance=1e-4)  # in single precision still
    assert 0 <= finer.d_rel / exact.d_rel - 1 < 1e-4


def test_flux_is_conserved_and_gives_the_diffusivity(volume):
    found = transport(volume.data, 0, 1, tolerance=1e-8, flux=True)
    assert found.flux.shape == volume.data.shape
    assert not found.flux[volume.data != 0].any()
    cluster = percolating_cluster(volume.data == 0, 1)
    assert not found.flux[~cluster].any()
    straight = np.zeros((8, 8, 8), np.uint8)
    straight[2:4] = 1
    flow = transport(straight, 1, 2, tolerance=1e-8, flux=True)
    assert flow.flux[2:4] == pytest.approx(1, abs=1e-5)
    assert flow.flux.mean() == pytest.approx(flow.d_rel, abs=1e-6)


def test_flux_map_crowds_in_a_neck():
    data = np.zeros((12, 9, 9), np.uint8)
    data[:, 1:8, 1:8] = 1
    data[5:7] = 0
    data[5:7, 4, 4] = 1
    found = transport(data, 1, 0, tolerance=1e-8, flux=True)
    # All of it passes the single voxel: its flux is that of the whole cross section.
    assert found.flux[5, 4, 4] == pytest.approx(81 * found.d_rel, rel=1e-5)
    assert found.flux.argmax() in (
        np.ravel_multi_index((5, 4, 4), data.shape), np.ravel_multi_index((6, 4, 4), data.shape)
    )  # fmt: skip


def test_only_the_ratios_of_the_voxel_size_matter(volume):
    data = volume.data[:24, :32, :32]
    once = transport(data, 0, 0, voxel_size=(1, 2, 3), tolerance=1e-8)
    twice = transport(data, 0, 0, voxel_size=(2, 4, 6), tolerance=1e-8)
    assert once.d_rel == pytest.approx(twice.d_rel, rel=1e-9)
    moved = transport(np.moveaxis(data, 0, 2), 0, 2, voxel_size=(2, 3, 1), tolerance=1e-8)
    assert moved.d_rel == pytest.approx(once.d_rel, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(arrays(bool, (6, 5, 4), elements=st.booleans()), st.integers(0, 2))
def test_percolating_cluster_is_what_labelling_finds(mask, axis):
    labels, _ = ndimage.label(mask)
    both = set(np.take(labels, 0, axis).ravel()) & set(np.take(labels, -1, axis).ravel()) - {0}
    assert np.array_equal(percolating_cluster(mask, axis), np.isin(labels, list(both)))


def test_clusters_join_across_periodic_sides():
    mask = np.zeros((4, 1, 6), bool)
    mask[:2, 0, 0] = mask[1:, 0, 5] = True
    assert not percolating_cluster(mask, 0).any()
    assert np.array_equal(percolating_cluster(mask, 0, periodic=(False, False, True)), mask)
    assert transport(mask.astype(np.uint8), 1, 0, periodic=True).d_rel > 0


def test_an_absent_phase_does_not_conduct():
    assert transport(np.zeros((4, 4, 4), np.uint8), 3, 0).d_rel == 0


def test_unlabelled_voxels_block():
    data = np.zeros((8, 8, 8), np.uint8)
    data[4] = 255
    assert transport(data, 0, 0).d_rel == 0
    assert transport(data, 0, 1).d_rel == pytest.approx(7 / 8)


def test_says_so_if_it_does_not_converge(volume, monkeypatch):
    monkeypatch.setattr(transport_module, "MAX_ITERATIONS", 2)
    with pytest.raises(RunError, match="did not converge"):
        transport(volume.data, 0, 0, tolerance=1e-8)


def test_refuses_an_axis_that_is_not_there():
    with pytest.raises(InputError, match="no axis 2"):
        transport(np.ones((4, 4), np.uint8), 1, 2)


def test_progress_rises_in_steps_that_can_be_interrupted():
    mask = (periodic_field((24, 24, 24), 2.0, 1) > 0).astype(np.uint8)
    shares = [share for share, _ in transport_steps(mask, 1, 0)]
    assert len(shares) > 4
    assert shares == sorted(shares)
    assert shares[-1] < 1
    threads = torch.get_num_threads()
    steps = transport_steps(mask, 1, 0)
    for _ in range(3):
        next(steps)
    steps.close()
    assert torch.get_num_threads() == threads
