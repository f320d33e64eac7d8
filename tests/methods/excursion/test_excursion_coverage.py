import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import j0
from scipy.stats import multivariate_normal, ncx2, norm

from napari_microgen.methods.excursion.covariances import (
    bump_weights,
    convolution_kernel,
    curvature,
    low_parametric,
    section_density,
    shell_basis,
    shell_volumes,
    space_density,
)
from napari_microgen.methods.excursion.coverage import (
    chi2_coverage,
    chi2_surface,
    chi2_tail,
    gaussian_coverage,
    gaussian_surface,
    pair_rows,
    upper_tail,
)
from napari_microgen.methods.excursion.models import (
    MODELS,
    Correlated,
    GaussianChiSquare,
    Independent,
    Scalars,
)


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def scalars(levels, share=0.3, scales=(1.0, 1.5)):
    return Scalars(numbers(*levels), numbers(share)[0], numbers(*scales))


def correlations(n_fields, h=(1.0, 3.0, 9.0)):
    basis = shell_basis(numbers(*h), 60)
    return torch.stack([basis @ bump_weights(4.0 + i, 60) for i in range(n_fields)])


# ---------------------------------------------------------------------- correlation functions


def test_any_mixture_of_shells_is_one_at_zero():
    weights = torch.softmax(torch.randn(80, dtype=torch.float64), 0)
    assert float(shell_basis(numbers(0.0), 80)[0] @ weights) == pytest.approx(1, abs=1e-12)


def test_basis_is_smooth_across_its_series():
    below, above = shell_basis(numbers(0.00999 / math.pi, 0.01001 / math.pi), 1)[:, 0]
    assert float(below - above) == pytest.approx(2e-5 / math.pi * 0.01 / 5 * math.pi, abs=1e-8)


def test_hankel_transform_of_the_section_spectrum_is_the_correlation():
    weights = bump_weights(5.0, 60)

    def found(h):
        def integrand(k):
            return 2 * np.pi * k * j0(k * h) * float(section_density(numbers(k), weights))

        return quad(integrand, 0, np.pi, limit=400, points=[0.2, 0.5, 1.0])[0]

    for h in (0.0, 2.0, 7.0):
        assert found(h) == pytest.approx(float(shell_basis(numbers(h), 60)[0] @ weights), abs=1e-5)


def test_kernel_convolved_with_itself_is_the_correlation():
    weights = bump_weights(6.0, 60)
    axis = torch.arange(-24, 24, dtype=torch.float64)
    distance = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    kernel = convolution_kernel(distance.ravel(), weights).reshape(distance.shape)
    found = torch.fft.irfftn(torch.fft.rfftn(kernel).abs() ** 2, s=kernel.shape)[0, 0, :12]
    wanted = shell_basis(torch.arange(12, dtype=torch.float64), 60) @ weights
    np.testing.assert_allclose(found / found[0], wanted, atol=1e-3)


def test_space_spectrum_integrates_to_one_and_ends_at_pi():
    weights = bump_weights(5.0, 60)
    middle = (torch.arange(60, dtype=torch.float64) + 0.5) * math.pi / 60
    assert float(space_density(middle, weights) @ shell_volumes(60)) == pytest.approx(1)
    assert float(space_density(numbers(3.2), weights)) == 0


def test_low_parametric_correlation_is_its_factors():
    values = numbers(1.0, 4.0, 2.0, 1.0, 1.0, 0.0)
    np.testing.assert_allclose(low_parametric(numbers(2.0), values), math.exp(-0.25))
    cauchy = numbers(0.0, 4.0, 2.0, 3.0, 0.5, math.pi / 2)
    expected = (1 + 1 / 9) ** -0.5 * math.sin(math.pi / 2) / (math.pi / 2)
    np.testing.assert_allclose(low_parametric(numbers(1.0), cauchy), expected)


# ---------------------------------------------------------------------- two variables


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.2, 0.7, 0.99])
@pytest.mark.parametrize("level", [-1.0, 0.1, 1.5])
def test_gaussian_coverage_is_the_bivariate_normal_integral(rho, level):
    found = float(gaussian_coverage(*numbers(level, level, rho), nodes=16))

    def conditional(x):
        return norm.pdf(x) * norm.sf((level - rho * x) / math.sqrt(1 - rho**2))

    wanted = quad(conditional, level, 40, epsabs=1e-12, limit=200)[0]
    assert found == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize("nodes, tolerance", [(12, 1e-6), (24, 1e-8)])
def test_gaussian_coverage_of_unequal_levels(nodes, tolerance):
    for u, v, rho in ((0.5, -0.2, 0.6), (1.0, 0.3, -0.5), (-1, 1, 0.9), (0.2, 0.1, 0.97)):

        def conditional(x, v=v, rho=rho):
            return norm.pdf(x) * norm.sf((v - rho * x) / math.sqrt(1 - rho**2))

        wanted = quad(conditional, u, 40, epsabs=1e-13, limit=400, points=[v / rho])[0]
        found = float(gaussian_coverage(*numbers(u, v, rho), nodes=nodes))
        assert found == pytest.approx(wanted, abs=tolerance)


def test_gradients_of_the_gaussian_coverage_are_the_finite_differences():
    inputs = [numbers(*x).requires_grad_() for x in ((0.3, -1), (0.5, 0.2), (0.4, -0.6))]
    assert torch.autograd.gradcheck(lambda *x: gaussian_coverage(*x, nodes=32), inputs)


def test_chi2_coverage_is_the_noncentral_integral():
    for rho, level in ((0.3, 1.0), (0.8, 2.5), (-0.95, 4.0)):

        def conditional(y, rho=rho, level=level):
            tail = ncx2.sf(level / (1 - rho**2), 2, rho**2 * y / (1 - rho**2))
            return math.exp(-y / 2) / 2 * tail

        wanted = quad(conditional, level, 120, epsabs=1e-11, limit=400)[0]
        assert float(chi2_coverage(*numbers(level, level, rho))) == pytest.approx(wanted, abs=1e-7)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4])
def test_chi2_coverage_of_every_degree_agrees_with_simulation(freedom):
    random = np.random.default_rng(freedom)
    rho, u, v = 0.7, 1.2, 2.0
    first, second = random.normal(size=(2, freedom, 400_000))
    second = rho * first + math.sqrt(1 - rho**2) * second
    found = np.mean(((first**2).sum(0) > u) & ((second**2).sum(0) > v))
    exact = float(chi2_coverage(*numbers(u, v, rho), freedom=freedom))
    assert exact == pytest.approx(found, abs=4 * math.sqrt(found / 400_000))


def test_slopes_at_zero_are_the_surface_areas():
    weights = bump_weights(5.0, 60)
    h = numbers(0.04, 0.08)
    rho = shell_basis(h, 60) @ weights
    for level, coverage, tail, surface in (
        (0.4, gaussian_coverage, upper_tail, gaussian_surface),
        (1.7, chi2_coverage, lambda u: chi2_tail(u, 2), chi2_surface),
    ):
        u = numbers(level)
        near, far = (tail(u) - coverage(u, u, rho)) / h
        slope = (4 * near - far) / 3
        np.testing.assert_allclose(4 * slope, surface(u, curvature(weights))[0], rtol=1e-4)


# ---------------------------------------------------------------------- phases


LEVELS = {"gaussian": (0.3,), "chi2": (1.5,), "independent": (0.3, -0.1),
          "correlated": (0.3, -0.1), "gaussian+chi2": (2.5, 2.0)}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_rows_sum_to_the_volume_fractions(name):
    model = MODELS[name]()
    values = scalars(LEVELS[name])
    rows = model.coverage(values, correlations(model.n_fields), variant=-1)
    fractions = model.fractions(values, variant=-1)
    assert float(fractions.sum()) == pytest.approx(1, abs=1e-6)
    sums = torch.zeros(model.n_phases, rows.shape[1], dtype=torch.float64)
    for row, (i, j) in zip(rows, pair_rows(model.n_phases), strict=True):
        sums[i] += row
        sums[j] += row if i != j else 0
    tolerance = 2e-3 if model.random_points else 1e-6
    np.testing.assert_allclose(sums, fractions[:, None].expand_as(sums), atol=tolerance)
    np.testing.assert_allclose(sums.sum(0), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["gaussian", "chi2", "independent", "correlated"])
def test_far_apart_phases_know_nothing_of_each_other(name):
    model = MODELS[name]()
    values = scalars(LEVELS[name])
    rows = model.coverage(values, torch.zeros(model.n_fields, 1, dtype=torch.float64))[:, 0]
    v = model.fractions(values)
    products = [v[i] * v[j] for i, j in pair_rows(model.n_phases)]
    np.testing.assert_allclose(rows, torch.stack(products), atol=1e-6)


def test_correlated_fields_without_a_share_are_independent():
    rho = correlations(3)
    found = Correlated().coverage(scalars((0.3, -0.1), share=1e-12), rho)
    wanted = Independent().coverage(scalars((0.3, -0.1)), rho[:2])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("sign", [1, -1])
def test_fractions_of_correlated_fields_are_those_of_the_bivariate_normal(share, sign):
    levels = (0.3, -0.1)
    both = multivariate_normal([0, 0], [[1, sign * share], [sign * share, 1]])
    below = both.cdf(levels)
    second = norm.cdf(levels[0]) - below
    found = Correlated(sign=sign).fractions(scalars(levels, share))
    np.testing.assert_allclose(found, [norm.sf(levels[0]), second, below], atol=1e-6)


def test_exchanging_the_last_phases_is_turning_the_common_field_over():
    rho = correlations(3)
    plus = Correlated(sign=1).coverage(scalars((0.3, -0.1)), rho, variant=-1)
    minus = Correlated(sign=-1).coverage(scalars((0.3, 0.1)), rho, variant=-1)
    np.testing.assert_allclose(plus, minus[[0, 2, 1, 5, 4, 3]], atol=1e-6)


def test_levels_are_found_for_any_volume_fractions():
    for name, model in MODELS.items():
        goal = numbers(*(0.2, 0.5, 0.3)[: model.n_phases])
        goal = goal / goal.sum()
        found = model().matched(scalars(LEVELS[name]), goal)
        np.testing.assert_allclose(model().fractions(found), goal, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_finite_even_at_touching_points(name):
    model = MODELS[name]()
    rho = torch.tensor([[1.0, 0.9999999, 0.3]] * model.n_fields, dtype=torch.float64)
    rho.requires_grad_()
    parts = [v.requires_grad_() for v in vars(scalars(LEVELS[name])).values()]
    model.coverage(Scalars(*parts), rho).sum(0).square().sum().backward()
    for value in (rho, *(p for p in parts if p.grad is not None)):
        assert torch.isfinite(value.grad).all()


def test_slopes_of_summed_fields_are_those_of_their_parts():
    model = GaussianChiSquare(freedom=2)
    lam2 = numbers(0.1, 0.2, 0.3, 0.3, 0.3)
    found = model.slopes(scalars((2.5, 2.0), scales=(2.0, 1.0)), lam2)
    np.testing.assert_allclose(found**2, [4 * 0.1 + 8 * 0.3, 0.2 + 8 * 0.3])
