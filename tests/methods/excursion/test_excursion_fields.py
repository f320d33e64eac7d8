import numpy as np
import pytest
import torch

from napari_microgen.errors import InputError
from napari_microgen.methods.excursion.assessment import cut_phases, draw_section
from napari_microgen.methods.excursion.calibration import Candidate, Fit
from napari_microgen.methods.excursion.covariances import bump_weights, shell_basis
from napari_microgen.methods.excursion.coverage import pair_rows
from napari_microgen.methods.excursion.estimator import estimate_coverage
from napari_microgen.methods.excursion.fields import (
    WindowedKernels,
    periodic_fields,
    section_fields,
)
from napari_microgen.methods.excursion.models import MODELS, Scalars
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.phases import PhaseImage

LEVELS = {"gaussian": (0.3,), "chi2": (1.5,), "independent": (0.3, -0.1),
          "correlated": (0.3, -0.1), "gaussian+chi2": (2.5, 2.0)}  # fmt: skip


def known(name, lengths=(5.0, 8.0, 6.0, 5.0, 7.0), share=0.3):
    model = MODELS[name]
    weights = torch.stack([bump_weights(x, 60) for x in lengths[: model.n_fields]])
    values = Scalars(
        torch.tensor(LEVELS[name], dtype=torch.float64),
        torch.tensor(share, dtype=torch.float64),
        torch.tensor([1.0, 1.5], dtype=torch.float64),
    )
    return Fit(Candidate(name, tuple(range(model.n_phases))), weights, values, 0.0, 0.0)


@pytest.mark.parametrize("name", MODELS)
def test_drawn_sections_have_the_closed_form_coverage(name):
    fit = known(name)
    model = fit.candidate.build()
    lags = [1, 3, 8]
    rho = fit.weights @ shell_basis(torch.tensor(lags, dtype=torch.float64), 60).T
    exact = model.coverage(fit.scalars, rho, -1).numpy()
    drawn = [draw_section(fit, (1024, 1024), seed) for seed in range(12)]
    found = np.array([[[pairs(section, i, j, lag) for lag in lags]
                       for i, j in pair_rows(model.n_phases)] for section in drawn])  # fmt: skip
    error = found.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    # One set of quasi-random points is right to about a hundredth.
    error = np.hypot(error, 0.01 * exact if model.random_points else 0)
    assert np.abs((found.mean(axis=0) - exact) / error).max() < 4


def pairs(section, first, second, lag):
    """Return the share of pairs of pixels along the axes of a periodic section."""
    here, there = section == first, section == second
    return np.mean([here & np.roll(there, -lag, axis) for axis in (0, 1)])


def test_fields_have_unit_variance_and_their_correlation():
    weights = bump_weights(5.0, 60)[None]
    (section,) = section_fields(weights, (0,), (768, 768), 0)
    (volume,) = periodic_fields(weights, (0,), (96, 96, 96), 0)
    wanted = shell_basis(torch.arange(12, dtype=torch.float64), 60) @ weights[0]
    for field, tolerance in ((section, 0.04), (volume, 0.04)):
        found = [float((field * field.roll(h, -1)).mean()) for h in range(12)]
        np.testing.assert_allclose(found, wanted, atol=tolerance)


def test_sections_of_a_volume_have_the_surface_of_drawn_sections_along_every_axis():
    fit = known("independent")
    model = fit.candidate.build()
    fields = periodic_fields(fit.weights, model.noises, (128, 128, 128), 3)
    volume = cut_phases(model.functions(fit.scalars, fields).numpy(), fit.candidate)
    flat = np.mean([ssa(draw_section(fit, (512, 512), s), 3) for s in range(3)], axis=0)
    axes = [ssa(np.moveaxis(volume, axis, 0), 3, stacked=True) for axis in range(3)]
    np.testing.assert_allclose(axes, np.broadcast_to(flat, (3, 3)), rtol=0.06)


def test_windowed_kernels_keep_the_correlation_to_the_stated_error():
    weights = torch.stack([bump_weights(x, 80) for x in (4.0, 9.0)])
    kernels = WindowedKernels(weights)
    assert kernels.error <= 0.02
    for kernel, w in zip(kernels.kernels(), weights, strict=True):
        padded = [2 * n for n in kernel.shape]
        power = torch.fft.rfftn(kernel, s=padded).abs() ** 2
        found = torch.fft.irfftn(power, s=padded)[0, 0, : kernels.reach]
        wanted = shell_basis(torch.arange(kernels.reach, dtype=torch.float64), 80) @ w
        assert float(found[0]) == pytest.approx(1)
        np.testing.assert_allclose(found, wanted, atol=0.025)


def test_windowed_fields_equal_the_convolution_they_stand_for():
    weights = bump_weights(2.0, 60)[None]
    kernels = WindowedKernels(weights)
    (field,) = kernels.fields((0,), (0, 0, 0), (12, 12, 12), seed=1)
    (shifted,) = kernels.fields((0,), (4, -3, 2), (12, 12, 12), seed=1)
    torch.testing.assert_close(field[4:, :9, 2:], shifted[:8, 3:, :10], atol=1e-5, rtol=0)


@pytest.mark.parametrize("stretch", [0.7, 1.4])
def test_stretched_fields_are_longer_along_z(stretch):
    weights = bump_weights(7.0, 60)[None]
    wanted = shell_basis(torch.tensor([5.0], dtype=torch.float64), 60) @ weights[0]
    at = 5 * stretch
    (periodic,) = periodic_fields(weights, (0,), (120, 120, 120), 0, stretch=stretch)
    (windowed,) = WindowedKernels(weights, stretch).fields((0,), (0, 0, 0), (100,) * 3, 0)
    for field in (periodic, windowed):
        by_lag = [float((field[: -h or None] * field[h:]).mean()) for h in range(10)]
        assert np.interp(at, range(10), by_lag) == pytest.approx(float(wanted), abs=0.06)
        across = float((field[..., :-5] * field[..., 5:]).mean())
        assert across == pytest.approx(float(wanted), abs=0.06)


# ---------------------------------------------------------------------- the estimator


def test_masked_images_give_the_curves_of_whole_ones():
    section = draw_section(known("independent"), (512, 512), 0)
    whole = estimate_coverage(PhaseImage.from_labels(section))
    masked = section + 1
    hole = np.random.default_rng(0).random((32, 32)) < 0.15
    masked[np.kron(hole, np.ones((16, 16), bool))] = 0
    found = estimate_coverage(PhaseImage.from_labels(masked, zero="unlabelled"))
    n = min(len(whole.lags), len(found.lags))
    assert np.abs(whole.curves[..., :n] - found.curves[..., :n]).max() < 6e-3


def test_curves_start_at_the_fractions_and_sum_to_one():
    section = draw_section(known("independent"), (256, 256), 0)
    target = estimate_coverage(PhaseImage.from_labels(section))
    np.testing.assert_allclose(target.curves[..., 0], np.diag(target.fractions), atol=1e-12)
    np.testing.assert_allclose(target.curves.sum((0, 1)), 1, atol=1e-9)
    np.testing.assert_allclose(target.smoothing.sum(1), 1, atol=1e-9)
    assert target.shells > target.lags[-1] / 2


def test_model_and_image_are_smoothed_alike():
    fit = known("gaussian")
    sections = [draw_section(fit, (512, 512), s) for s in range(6)]
    targets = [estimate_coverage(PhaseImage.from_labels(s)) for s in sections]
    first = targets[0]
    rho = fit.weights @ shell_basis(torch.as_tensor(first.nodes), 60).T
    model = fit.candidate.build()
    fractions = model.fractions(fit.scalars)
    at_zero = torch.stack([fractions[0], torch.zeros((), dtype=torch.float64), fractions[1]])
    curves = first.smooth(at_zero, model.coverage(fit.scalars, rho))[0].numpy()
    # Phase 1 of the model is drawn as index 0.
    n = min(len(t.lags) for t in targets)
    found = np.mean([t.curves[0, 0, :n] for t in targets], axis=0)
    assert np.abs(found - curves[:n])[:8].max() < 6e-3


def test_repeating_fields_have_no_mean_so_that_every_volume_fills_what_the_material_does():
    coarse = bump_weights(20.0, 100)[None]
    for seed in range(3):
        (volume,) = periodic_fields(coarse, (0,), (48, 40, 44), seed)
        assert abs(float(volume.double().mean())) < 1e-5
        assert float(volume.var()) == pytest.approx(1, abs=0.7)


def test_a_repeating_volume_that_holds_no_wave_is_refused():
    with pytest.raises(InputError, match="1 x 1 x 1 voxels is too small"):
        periodic_fields(bump_weights(5.0, 60)[None], (0,), (1, 1, 1), 0)
