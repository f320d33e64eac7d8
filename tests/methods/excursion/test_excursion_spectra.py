import math

import numpy as np
import pytest
import torch

from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.excursion.assessment import draw_section
from napari_microgen.methods.excursion.calibration import Candidate, Fit, Problem, calibrate
from napari_microgen.methods.excursion.covariances import (
    bump_weights,
    low_parametric,
    shell_basis,
    shell_edges,
)
from napari_microgen.methods.excursion.estimator import estimate_coverage
from napari_microgen.methods.excursion.models import Scalars
from napari_microgen.methods.excursion.spectra import (
    KERNEL_LENGTH,
    SPECTRA,
    LowParametric,
    RadialKernels,
)
from napari_microgen.phases import PhaseImage

METHOD = get_method("excursion")
COUNT = 80
H = torch.tensor([1.0, 2.0, 5.0, 9.0, 15.0, 30.0], dtype=torch.float64)

# Smooth functions, with hardly any mass beyond pi: q, a, b, c, d, kappa.
SMOOTH = torch.tensor(
    [[0.99, 5.0, 2.0, 5.0, 2.0, 0.01], [0.6, 7.0, 1.95, 6.0, 1.5, 0.3], [0.1, 5, 1.9, 4, 1, 0.15]],
    dtype=torch.float64,
)


def correlations(weights, h=H):
    return weights @ shell_basis(h, weights.shape[-1]).T


@pytest.mark.parametrize("name", SPECTRA)
def test_values_of_any_spectrum_are_admissible_shells(name):
    spectrum = SPECTRA[name](COUNT)
    random = torch.Generator().manual_seed(0)
    parameters = spectrum.parameters(spectrum.start([3.0, 9.0])).clone()
    parameters += 0.5 * torch.randn(parameters.shape, generator=random, dtype=torch.float64)
    weights = spectrum.weights(spectrum.values(parameters))
    assert weights.shape == (2, COUNT) and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    again = spectrum.weights(spectrum.values(spectrum.parameters(spectrum.values(parameters))))
    np.testing.assert_allclose(again, weights, atol=1e-6)


@pytest.mark.parametrize("name", SPECTRA)
def test_all_spectra_start_from_the_same_correlations(name):
    spectrum = SPECTRA[name](COUNT)
    weights = spectrum.weights(spectrum.start([4.0, 6.0]))
    wanted = correlations(torch.stack([bump_weights(x, COUNT) for x in (4.0, 6.0)]))
    np.testing.assert_allclose(correlations(weights), wanted, atol=0.12)


def test_shells_of_six_numbers_have_the_correlation_they_stand_for():
    found = correlations(LowParametric(COUNT).weights(SMOOTH))
    np.testing.assert_allclose(found, low_parametric(H, SMOOTH), atol=6e-3)


def test_gaussian_correlation_has_the_gaussian_spectrum():
    length = 4.0
    values = torch.tensor([[1 - 1e-9, length, 2.0, 1.0, 1.0, 1e-6]], dtype=torch.float64)
    found = LowParametric(COUNT).weights(values)[0]
    # exp(-h^2/a^2) in space: the wave number is Maxwell distributed.
    x = shell_edges(COUNT) * length / 2
    below = torch.erf(x) - 2 / math.sqrt(math.pi) * x * torch.exp(-(x**2))
    np.testing.assert_allclose(found, below.diff(), atol=1e-4)


def test_cardinal_sine_is_a_single_shell():
    kappa = 0.7
    values = torch.tensor([[1 - 1e-9, 1e4, 2.0, 1.0, 1.0, kappa]], dtype=torch.float64)
    found = LowParametric(COUNT).weights(values)[0]
    inside = int(kappa / math.pi * COUNT)
    assert float(found[inside - 1 : inside + 2].sum()) > 0.99


def test_kernel_of_a_ball_gives_the_covariance_of_the_ball_and_not_of_the_disc():
    radius = 12.0
    values = (torch.arange(KERNEL_LENGTH + 1, dtype=torch.float64) <= radius).double()[None]
    weights = RadialKernels(COUNT).weights(values)
    # The kernel is linear between 12, where it is 1, and 13, where it is 0.
    (at_radius,) = correlations(weights, torch.tensor([radius + 0.5], dtype=torch.float64))[0]
    assert float(at_radius) == pytest.approx(0.3125, abs=0.01)


def test_six_numbers_are_found_again_from_their_shells():
    spectrum = LowParametric(COUNT)
    weights = spectrum.weights(SMOOTH)
    found = spectrum.weights(spectrum.nearest(weights))
    h = torch.arange(1.0, 40.0, dtype=torch.float64)
    np.testing.assert_allclose(correlations(found, h), correlations(weights, h), atol=0.01)


def test_kernels_nearest_to_shells_have_their_correlation():
    weights = torch.stack([bump_weights(x, COUNT) for x in (4.0, 9.0)])
    spectrum = RadialKernels(COUNT)
    found = spectrum.weights(spectrum.nearest(weights))
    np.testing.assert_allclose(correlations(found), correlations(weights), atol=0.02)


@pytest.mark.parametrize("name", SPECTRA)
def test_weights_have_finite_gradients(name):
    spectrum = SPECTRA[name](COUNT)
    parameters = spectrum.parameters(spectrum.start([5.0])).clone().requires_grad_()
    correlations(spectrum.weights(spectrum.values(parameters)))[0, 1].backward()
    assert torch.isfinite(parameters.grad).all() and parameters.grad.abs().max() > 0


# ---------------------------------------------------------------------- calibration


@pytest.fixture(scope="module")
def truth():
    """Return a model of two phases whose correlation is given by six numbers."""
    values = torch.tensor([[0.8, 7.0, 1.9, 6.0, 1.0, 0.35]], dtype=torch.float64)
    level = torch.tensor([0.4], dtype=torch.float64)
    scalars = Scalars(level, torch.zeros((), dtype=torch.float64), torch.ones(2).double())
    weights = LowParametric(COUNT).weights(values)
    return Fit(Candidate("gaussian", (0, 1)), weights, scalars, 0.0, 0.0, "lowparam", values)


@pytest.fixture(scope="module")
def image(truth):
    return PhaseImage.from_labels(draw_section(truth, (512, 512), 1), name="six numbers")


def fitted(run):
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("name", ["kernels", "lowparam"])
def test_a_known_correlation_is_recovered_from_one_image(truth, image, name):
    target = estimate_coverage(image)
    fit = fitted(calibrate(target, truth.candidate, 150, spectrum=name))
    assert fit.rmse < 0.004 and fit.rmse <= fit.start_rmse
    assert fit.spectrum == name and fit.values.shape[0] == 1
    h = torch.arange(1.0, 9.0, dtype=torch.float64)
    difference = correlations(fit.weights, h) - correlations(truth.weights, h)
    assert float(difference.abs().max()) < 0.08


def test_a_fit_goes_on_from_another(truth, image):
    target = estimate_coverage(image)
    first = Fit(**{**vars(truth), "weights": LowParametric(target.shells).weights(truth.values)})
    for name in SPECTRA:
        problem = Problem(target, truth.candidate, name)
        start = problem.fit(problem.start(first))
        h = H[:4]
        difference = correlations(start.weights, h) - correlations(truth.weights, h)
        assert float(difference.abs().max()) < 0.03
        again = problem.fit(problem.start(start))
        assert again.rmse == pytest.approx(start.rmse, abs=2e-5)


def test_low_parametric_models_are_trained_stored_and_told(image, tmp_path):
    config = METHOD.config_class(model="lowparam", fit_steps=40, threads=1)
    *_, last = METHOD.train([image], config)
    model = last.model
    assert model.fit.spectrum == "lowparam" and model.fit.values.shape == (1, 6)
    assert "low-parametric" in last.message
    table = model.table()
    assert [row["spectrum"] for row in table[:2]] == ["lowparam", "shells"]
    loaded = load_model(model.save(tmp_path / "model.safetensors"))
    assert loaded.table() == table and loaded.fit.spectrum == "lowparam"
    np.testing.assert_array_equal(loaded.fit.values, model.fit.values)
    moved = Fit(**{**vars(model.fit), "weights": bump_weights(9.0, COUNT)[None]})
    assert type(model)(model.origin, moved).fit.values is None


def test_kernels_are_a_setting(image):
    config = METHOD.config_class(model="plurigaussian", spectrum="kernels", fit_steps=60, threads=1)
    *_, last = METHOD.train([image], config)
    assert last.model.fit.values.shape == (1, KERNEL_LENGTH + 1)
    assert "radial kernels" in last.message
