import numpy as np
import pytest
import torch
from conftest import known_fit
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import (
    binary_dilation,
    gaussian_filter,
    generate_binary_structure,
    maximum_filter,
)
from scipy.optimize import root

from napari_microgen.methods.excursion.assessment import draw_section
from napari_microgen.methods.fieldgan.networks import (
    indicators,
    sharp,
    straight_through,
)
from napari_microgen.methods.fieldgan.refiner import answered, balance, held
from napari_microgen.methods.fieldgan.sections import cut_sections, one_hot
from napari_microgen.methods.fieldgan.statistics import (
    APART,
    PATHS,
    SQUARES,
    RandomFilters,
    Target,
    chord_statistics,
    descriptions,
    erosion_statistics,
    path_statistics,
)


@pytest.fixture(scope="module")
def sections():
    drawn = (one_hot(draw_section(known_fit(), (512, 512), seed), 3) for seed in range(5))
    return torch.cat([cut_sections(d[:, None], 0, 1) for d in drawn])


def test_erosions_are_those_of_scikit_image(sections):
    """In the middle of a section so large that it does not matter where its border lies."""
    from skimage.measure import euler_number

    random = np.random.default_rng(0)
    for phase in random.permutation(sections[:, 0].numpy().astype(bool))[:3]:
        section = np.pad(phase[:30, :30], 600)
        found = erosion_statistics(torch.from_numpy(section[None, None].astype(float)))[0]
        pixels = section.size
        assert found[0] * pixels == pytest.approx(euler_number(section, connectivity=1), abs=0.2)
        for index, side in enumerate(SQUARES[1:]):
            eroded = sliding_window_view(section, (side, side)).all((2, 3))
            euler, area = found[1 + 2 * index : 3 + 2 * index] * eroded.size
            assert area == pytest.approx(eroded.sum(), abs=1e-2)
            assert euler == pytest.approx(euler_number(eroded, connectivity=1), abs=0.3)


def test_segments_end_within_a_phase_as_often_as_counted():
    stripes = torch.zeros(1, 2, 64, 64)
    stripes[:, 0] = (torch.arange(64) % 8 < 5).float()
    stripes[:, 1] = 1 - stripes[:, 0]
    found = chord_statistics(stripes)[0].reshape(2, 10, 2)
    across, along = found[1, :, 0], found[0, :, 0]
    np.testing.assert_allclose(along, [5 / 8] + 9 * [0], atol=1e-6)
    # Of every 8 places along x, 5, 4, 3, 2 start a segment of 1, 2, 3, 4 voxels, and none one of 6.
    starts = [np.mean([i % 8 + n <= 5 for i in range(64 - n + 1)]) for n in (1, 2, 3, 4, 6)]
    np.testing.assert_allclose(across[:5], [starts[0], *-np.diff(starts)], atol=1e-6)
    assert across[5:].abs().max() == 0


def test_paths_reach_what_a_geodesic_dilation_does(sections):
    starts = np.zeros((64, 64), bool)
    starts[APART // 2 :: APART, APART // 2 :: APART] = True
    for section in sections[:5]:
        found = path_statistics(section[None].double())[0].reshape(len(PATHS), 3)
        for phase, reached in zip(section.numpy().astype(bool), found.T, strict=True):
            grown = [binary_dilation(starts & phase, None, n, phase) for n in PATHS]
            areas = [np.mean(starts & phase), *(g.mean() for g in grown)]
            np.testing.assert_allclose(reached, np.diff(areas), atol=1e-12)


def test_paths_go_through_a_phase_as_far_as_it_is_one():
    """Of values between 0 and 1: every pixel gets its value times the best neighbour's."""
    section = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    reached = np.zeros((64, 64))
    reached[APART // 2 :: APART, APART // 2 :: APART] = 1
    values, areas = section[0, 0].numpy(), []
    reached *= values
    areas.append(reached.mean())
    for step in range(1, PATHS[-1] + 1):
        reached = values * maximum_filter(reached, footprint=generate_binary_structure(2, 1))
        if step in PATHS:
            areas.append(reached.mean())
    np.testing.assert_allclose(path_statistics(section)[0], np.diff(areas), atol=1e-6)


def test_a_bridge_counts_for_all_that_lies_behind_it():
    phase = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    phase[..., 16, 16:20] = 1  # from a point of the lattice over a bridge
    phase[..., 14:19, 20:25] = 1
    phase.requires_grad_()
    path_statistics(phase).sum().backward()
    bridge = phase.grad[0, 0, 16, 17:20]
    assert bridge.min() > 2 * phase.grad[0, 0, 14:19, 20:25].mean() > 0
    assert phase.grad[0, 0, 22:45].abs().max() == 0


def test_the_same_material_is_one_noise_away_and_another_one_is_farther(sections):
    def drawn(fit, seed):
        return cut_sections(one_hot(draw_section(fit, (512, 512), seed), 3)[:, None], 0, 1)

    real = drawn(known_fit(), 7)
    other = known_fit(lengths=(4.0, 3.0, 7.0))
    for name, description in descriptions(real, sections, 64, 1, paths=True).items():
        describe, target = description.describe, description.target
        misfits = [target.misfit(describe(drawn(known_fit(), s)).mean(0)) for s in (11, 12, 13)]
        # Both sides are as large, so the distance is that of two noises.
        assert 0.4 < np.mean(misfits) / 2**0.5 < 1.6, name
        if name != "paths":  # of few points, and so less keen
            assert target.misfit(describe(drawn(other, 11)).mean(0)) > 2 * np.mean(misfits), name


def test_statistics_that_never_vary_do_not_count_without_end():
    scatter = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    scatter[:, 1] = 0
    target = Target(torch.zeros(2), scatter, 50)
    assert target.misfit(torch.tensor([0.0, 0.01])) < 20


def test_gradients_point_where_finite_differences_do(sections):
    """Moving interfaces by a random smooth field, statistics change as the gradient says."""
    random = np.random.default_rng(0)
    smooth = gaussian_filter(random.normal(size=(8, 3, 64, 64)), (0, 0, 3, 3), mode="wrap")
    logits = torch.from_numpy(4 * smooth / smooth.std()).float()
    push = gaussian_filter(random.normal(size=(6, 8, 3, 64, 64)), (0, 0, 0, 2, 2), mode="wrap")
    pushes = torch.from_numpy(push / push.std()).float()
    describe = RandomFilters(sections, 0)

    def gradients(of):
        weights = torch.zeros(6, requires_grad=True)
        moved = logits + torch.einsum("k,kbchw->bchw", weights, pushes)
        total = describe(of(moved)).mean(0)
        rows = [torch.autograd.grad(t, weights, retain_graph=True)[0] for t in total[::31]]
        return torch.stack(rows).flatten()

    step = 0.2
    differences = torch.stack([
        describe(sharp(logits + step * p)).mean(0) - describe(sharp(logits - step * p)).mean(0)
        for p in pushes
    ], 1)[::31].flatten() / (2 * step)  # fmt: skip
    cosines = [
        float(torch.cosine_similarity(gradients(of), differences, 0))
        for of in (indicators, straight_through)
    ]
    assert cosines[0] > 0.9 and cosines[1] > 0.7


@pytest.mark.parametrize("size", [1, 100])
def test_balance_restores_what_every_phase_filled(size):
    """Of logits of any size: softmax alone would lose those beyond a hundred."""
    random = torch.Generator().manual_seed(0)
    before = torch.randn(2, 3, 20, 20, 20, generator=random)
    after = before + torch.tensor([0.5, -0.2, 0.0])[:, None, None, None]
    after = size * (after + 0.3 * torch.randn(before.shape, generator=random))
    shift = balance(after, before)
    counts = [
        torch.bincount(v.argmax(1).flatten(), minlength=3) / 16000
        for v in (before, after + shift[:, None, None, None])
    ]
    torch.testing.assert_close(*counts, atol=2e-3, rtol=0)
    assert torch.equal(balance(before, before), torch.zeros(3))


def test_a_network_that_drifts_far_keeps_every_phase():
    random = torch.Generator().manual_seed(0)
    before = torch.randn(8, 3, 64, 64, generator=random)
    drifted = 30 * (before + 0.3 * torch.randn(before.shape, generator=random))
    drifted += torch.tensor([-40.0, 25.0, 15.0])[:, None, None]
    counts = [
        torch.bincount(v.argmax(1).flatten(), minlength=3) for v in (before, held(drifted, before))
    ]
    torch.testing.assert_close(*counts, atol=40, rtol=0)  # of 32768


def test_a_phase_that_is_not_there_gets_no_gradient_of_the_others():
    random = torch.Generator().manual_seed(0)
    before = torch.randn(8, 3, 64, 64, generator=random)
    before[:, 2] -= 20
    after = (before + 0.3 * torch.randn(before.shape, generator=random)).requires_grad_()
    weights = torch.randn(before.shape, generator=random)
    weights += torch.tensor([1.0, 0.0, -1.0])[:, None, None]

    def largest(logits):
        (straight_through(logits) * weights).sum().backward()
        found, after.grad = after.grad.abs().max(), None
        return found

    assert largest(held(after, before)) < 5 * largest(after)


def test_what_moves_all_voxels_alike_moves_nothing_where_fractions_are_held():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 30, 30, generator=random)
    assert torch.equal(answered(logits), logits)
    push = torch.randn(4, 3, 30, 30, generator=random)

    def gradient(hold, direction):
        amount = torch.zeros(3, requires_grad=True)
        moved = hold(logits + amount[:, None, None] * direction)
        (indicators(moved) * push).sum().backward()
        return amount.grad

    together = torch.ones(3, 1, 1)
    assert (
        gradient(answered, together).abs().max()
        < 1e-3 * gradient(lambda v: v, together).abs().max()
    )
    assert gradient(answered, push).abs().min() > 1


def test_gradients_with_held_fractions_are_those_of_finite_differences():
    """A push changes the fractions; a shift of all voxels, found by root finding, restores them."""
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 40, 40, generator=random, dtype=torch.float64) / 3
    push, weights = (torch.randn(logits.shape, generator=random).double() for _ in "ab")
    shares = indicators(logits).mean((0, 2, 3))

    def restored(values):
        def excess(shift):
            moved = values + torch.tensor([*shift, 0.0])[:, None, None]
            return (indicators(moved).mean((0, 2, 3)) - shares)[:2].numpy()

        found = root(excess, [0.0, 0.0], tol=1e-12).x
        return float(
            (indicators(values + torch.tensor([*found, 0.0])[:, None, None]) * weights).sum()
        )

    step = 1e-4
    difference = (restored(logits + step * push) - restored(logits - step * push)) / (2 * step)
    amount = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (indicators(answered(logits + amount * push)) * weights).sum().backward()
    assert float(amount.grad) == pytest.approx(difference, rel=1e-3)
