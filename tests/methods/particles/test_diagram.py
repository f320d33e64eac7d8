import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from napari_microgen.methods.particles.diagram import (
    Diagram,
    expanded_potentials,
    metrics,
    potentials,
    quadratic_monomials,
    radial_bases,
    softmax_tessellation,
)
from napari_microgen.methods.particles.seeds import poisson_seeds
from napari_microgen.metrics.grains import grains_inside, measure_grains
from napari_microgen.sample_particles import true_grains


def random_diagram(n=60, seed=0, reach=12.0, exponent=2):
    """Seeds in a cube with radial bases and random markers, in double precision."""
    random = np.random.default_rng(seed)
    points = torch.from_numpy(random.uniform(-reach, reach, (n, 3)))
    bases = radial_bases(points, torch.from_numpy(random.uniform(0, np.pi, n)))
    diagonals = torch.from_numpy(random.uniform(1, 10, (n, 3)))
    offsets = torch.from_numpy(random.uniform(0, 50 if exponent == 2 else 5, n))
    return points, diagonals, metrics(bases, diagonals), offsets


def as_diagram(points, diagonals, matrices, offsets, exponent=2):
    return Diagram(points.numpy(), diagonals.numpy(), matrices.numpy(), offsets.numpy(), exponent)


def cube(side, step=1.0):
    axis = (np.arange(side) - side // 2) * step
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return torch.from_numpy(grid)


# ---------------------------------------------------------------------- bases


def test_bases_take_the_direction_of_the_seed_to_the_first_axis():
    random = np.random.default_rng(0)
    points = torch.from_numpy(random.normal(size=(200, 3)))
    bases = radial_bases(points, torch.from_numpy(random.uniform(0, np.pi, 200)))
    turned = torch.einsum("nij,nj->ni", bases, points / points.norm(dim=1, keepdim=True))
    np.testing.assert_allclose(turned, np.tile([1.0, 0, 0], (200, 1)), atol=1e-6)
    np.testing.assert_allclose(torch.linalg.det(bases), 1, atol=1e-9)
    np.testing.assert_allclose(bases @ bases.transpose(1, 2), np.tile(np.eye(3), (200, 1, 1)),
                               atol=1e-9)  # fmt: skip


def test_a_seed_opposite_to_the_first_axis_has_a_basis_too():
    points = torch.tensor([[-3.0, 0, 0], [2.0, 0, 0]], dtype=torch.float64)
    bases = radial_bases(points, torch.tensor([0.3, 0.0], dtype=torch.float64))
    np.testing.assert_allclose(bases[0] @ (points[0] / 3), [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(bases[1], np.diag([1, -1, -1]), atol=1e-9)  # the half turn
    assert torch.linalg.det(bases[0]) == pytest.approx(1)


# ---------------------------------------------------------------------- the partition


def test_equal_markers_are_a_voronoi_diagram():
    points, _, _, _ = random_diagram()
    same = torch.full((len(points), 3), 2.5, dtype=torch.float64)
    matrices = metrics(radial_bases(points, torch.zeros(len(points)).double()), same)
    grid = cube(9)
    owner = potentials(grid, points, matrices, torch.ones(len(points)).double()).argmin(1)
    _, nearest = cKDTree(points).query(grid)
    np.testing.assert_array_equal(owner, nearest)


def test_the_boundary_of_two_seeds_moves_with_their_offsets():
    m, apart, difference = 3.0, 10.0, 12.0
    seeds = torch.tensor([[0.0, 0, 0], [apart, 0, 0]], dtype=torch.float64)
    matrices = m * torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    offsets = torch.tensor([difference, 0.0], dtype=torch.float64)
    line = torch.zeros(4001, 3, dtype=torch.float64)
    line[:, 0] = torch.linspace(0, apart, 4001)
    owner = potentials(line, seeds, matrices, offsets).argmin(1)
    boundary = float(line[owner == 0, 0].max())
    assert boundary == pytest.approx(apart / 2 + difference / (2 * m * apart), abs=0.005)


@pytest.mark.parametrize("exponent", [1, 2])
def test_fast_and_plain_formulas_agree(exponent):
    points, _, matrices, offsets = random_diagram(exponent=exponent)
    grid = cube(13)
    plain = potentials(grid, points, matrices, offsets, exponent)
    fast = expanded_potentials(
        quadratic_monomials(grid.float()), points.float(), matrices.float(), offsets.float(),
        exponent,
    )  # fmt: skip
    assert (fast.argmin(1) == plain.argmin(1)).double().mean() > 0.999
    np.testing.assert_allclose(fast, plain, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("exponent", [1, 2])
def test_owners_of_a_grid_are_those_of_the_formula(exponent):
    parts = random_diagram(n=300, reach=20, exponent=exponent)
    grid = cube(21, 0.7)
    expected = potentials(grid, *parts[:1], parts[2], parts[3], exponent).argmin(1)
    found = as_diagram(*parts, exponent).owners((-7.0,) * 3, (21, 21, 21), 0.7)
    np.testing.assert_array_equal(found.ravel(), expected)


def test_blocks_are_parts_of_the_whole():
    diagram = true_grains(3, 32)
    whole = diagram.owners((-16, -16, -16), (33, 33, 33), 1.0)
    part = diagram.owners((-16 + 7, -16, -16 + 13), (10, 33, 5), 1.0)
    np.testing.assert_array_equal(part, whole[7:17, :, 13:18])


def test_multiplying_all_markers_or_raising_all_offsets_changes_nothing():
    points, diagonals, matrices, offsets = random_diagram(n=200, reach=16)
    plain = as_diagram(points, diagonals, matrices, offsets)
    scaled = as_diagram(points, 3 * diagonals, 3 * matrices, 3 * offsets)
    raised = as_diagram(points, diagonals, matrices, offsets + 7)
    expected = plain.owners((-8,) * 3, (17,) * 3, 1.0)
    for other in (scaled, raised):
        np.testing.assert_array_equal(other.owners((-8,) * 3, (17,) * 3, 1.0), expected)


def test_turning_space_turns_the_partition():
    from scipy.spatial.transform import Rotation

    points, _, matrices, offsets = random_diagram()
    turn = torch.from_numpy(Rotation.random(random_state=4).as_matrix())
    grid = cube(11)
    before = potentials(grid, points, matrices, offsets).argmin(1)
    after = potentials(grid @ turn.T, points @ turn.T, turn @ matrices @ turn.T, offsets).argmin(1)
    np.testing.assert_array_equal(before, after)


# ---------------------------------------------------------------------- gradients


@pytest.mark.parametrize("exponent", [1, 2])
def test_gradients_through_the_tessellation_are_those_of_finite_differences(exponent):
    points, diagonals, _, offsets = random_diagram(n=6, reach=3.0, exponent=exponent)
    bases = radial_bases(points, torch.zeros(6).double())
    monomials = quadratic_monomials(cube(4))
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 6)))

    def weighed(d, r):
        value = expanded_potentials(monomials, points, metrics(bases, d), r, exponent)
        return (weights * softmax_tessellation(0.05 * value)).sum()

    inputs = (diagonals.requires_grad_(True), offsets.requires_grad_(True))
    assert torch.autograd.gradcheck(weighed, inputs, eps=1e-6, atol=1e-7)


# ---------------------------------------------------------------------- known numbers


def voronoi_section(diagonal, size=140.0, intensity=0.004, step=0.5, seed=0):
    """Grains per area in a section of a Poisson process with one metric everywhere."""
    random = np.random.default_rng(seed)
    low = np.array([-18.0, 0, 0]) - [0, 18, 18]
    high = np.array([18.0, size + 18, size + 18])
    count = random.poisson(intensity * np.prod(high - low))
    points = random.uniform(low, high, (count, 3))
    matrix = np.diag(diagonal).astype(float)
    diagram = Diagram(
        points, np.tile(np.array(diagonal, float), (count, 1)), np.tile(matrix, (count, 1, 1)),
        np.zeros(count),
    )  # fmt: skip
    n = int(size / step)
    owner = diagram.owners((0, 0, 0), (1, n, n), step)[0]
    return owner, triple_points(owner) / 2 / size**2


def triple_points(owner):
    """Corners where three or four grains meet, by two by two blocks of pixels."""
    corners = np.stack([owner[:-1, :-1], owner[:-1, 1:], owner[1:, :-1], owner[1:, 1:]])
    ordered = np.sort(corners, axis=0)
    different = 1 + (np.diff(ordered, axis=0) != 0).sum(axis=0)
    return int((different == 3).sum() + 2 * (different == 4).sum())


def test_sections_of_poisson_voronoi_cells_have_the_known_density():
    _, per_area = voronoi_section((1, 1, 1))
    assert per_area == pytest.approx(1.458 * 0.004 ** (2 / 3), rel=0.06)


def test_stretched_cells_have_the_known_density_too():
    stretched = (4.0, 1.0, 2.0)  # along z, y, x; the section is normal to z
    _, per_area = voronoi_section(stretched)
    expected = 1.458 * 0.004 ** (2 / 3) * (1.0 * 2.0) ** (1 / 6) * 4.0 ** (-1 / 3)
    assert per_area == pytest.approx(expected, rel=0.06)


def test_boundary_length_of_poisson_voronoi_sections_is_the_known_one():
    owner, _ = voronoi_section((1, 1, 1))
    step = 0.5
    crossings = np.mean([(np.diff(owner, axis=axis) != 0).mean() for axis in (0, 1)]) / step
    assert np.pi / 2 * crossings == pytest.approx(2.286 * 0.004 ** (1 / 3), rel=0.06)


def test_few_grains_of_the_default_markers_are_in_pieces():
    """Random markers over the whole default range are the worst case: about a tenth."""
    random = np.random.default_rng(0)
    seeds = poisson_seeds(0.0026, 0, 40)
    n = len(seeds)
    diagonals = torch.from_numpy(random.uniform(1, 10, (n, 3)))
    bases = radial_bases(torch.from_numpy(seeds.points), torch.from_numpy(seeds.turns))
    diagram = Diagram(
        seeds.points, diagonals.numpy(), metrics(bases, diagonals).numpy(),
        random.uniform(0, 50, n),
    )  # fmt: skip
    grains = measure_grains(diagram.owners((-24,) * 3, (49,) * 3, 1.0) + 1)
    assert np.mean(grains.largest_shares < 0.95) < 0.1


# ---------------------------------------------------------------------- seeds


def test_a_larger_reach_only_adds_seeds():
    small, large = poisson_seeds(0.003, 5, 20), poisson_seeds(0.003, 5, 60)
    for name in ("points", "noise", "turns"):
        np.testing.assert_array_equal(getattr(small, name), getattr(large, name)[: len(small)])
    assert np.abs(large.points[len(small) :]).max(axis=1).min() >= 32


def test_seeds_have_their_intensity_everywhere():
    points = poisson_seeds(0.003, 1, 64).points
    assert len(points) == pytest.approx(0.003 * 128**3, rel=0.04)
    octants = np.bincount((points > 0) @ [1, 2, 4], minlength=8)
    assert octants.min() > 0.85 * octants.max()
    inner = (np.abs(points) < 32).all(axis=1).mean()
    assert inner == pytest.approx(1 / 8, rel=0.12)


# ---------------------------------------------------------------------- 3D descriptors


def test_grains_cut_by_the_surface_are_no_whole_grains():
    numbers = np.ones((5, 30), int)
    numbers[:, 10:20], numbers[1:4, 12:14], numbers[:, 20:] = 2, 3, 0
    np.testing.assert_array_equal(grains_inside(numbers), [3])


def test_grains_are_measured_in_3d():
    numbers = np.ones((40, 40, 60), int)
    numbers[18:22, 18:22, 40:56] = 5  # along x, on the x axis through the centre
    numbers[30:34, 12:28, 28:32] = 6  # along y, above the centre
    numbers[5:7, 5:7, 5:7] = numbers[10:12, 10:12, 10:12] = 7
    found = measure_grains(numbers, origin=(19.5, 19.5, 29.5), voxel_size=0.5)
    np.testing.assert_array_equal(found.numbers, [5, 6, 7])
    np.testing.assert_allclose(found.volumes, [256 / 8, 256 / 8, 16 / 8])
    assert found.aspect_ratios[:2] == pytest.approx([4, 4])
    assert np.degrees(found.angles[:2]) == pytest.approx([0, 90], abs=1)
    assert found.largest_shares == pytest.approx([1, 1, 0.5])
    with pytest.raises(ValueError, match="volume"):
        measure_grains(numbers[0])
