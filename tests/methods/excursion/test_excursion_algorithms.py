import itertools

import numpy as np
import pytest
import torch

from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.excursion.adversarial import Adversarial, Combined
from napari_microgen.methods.excursion.assessment import assess, cut_phases, draw_section
from napari_microgen.methods.excursion.calibration import Candidate, Fit, Problem, calibrate
from napari_microgen.methods.excursion.covariances import bump_weights
from napari_microgen.methods.excursion.coverage import pair_rows
from napari_microgen.methods.excursion.estimator import estimate_coverage
from napari_microgen.methods.excursion.models import MODELS, Scalars
from napari_microgen.methods.excursion.simulation import (
    FIRST_STOP,
    JUDGED_EVERY,
    PeriodicCoverage,
    SimulatedSections,
    Simulation,
    indicators,
    relaxed,
)
from napari_microgen.metrics.correlations import two_point_map
from napari_microgen.phases import PhaseImage

METHOD = get_method("excursion")
CPU = torch.device("cpu")
LEVELS = {"gaussian": (0.3,), "chi2": (1.5,), "independent": (0.3, -0.1),
          "correlated": (0.3, -0.1), "gaussian+chi2": (2.5, 2.0)}  # fmt: skip


def known(name, lengths=(4.0, 6.0, 5.0, 4.0, 6.0), roles=None):
    model = MODELS[name]
    weights = torch.stack([bump_weights(x, 60) for x in lengths[: model.n_fields]])
    scalars = Scalars(
        torch.tensor(LEVELS[name], dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64),
        torch.tensor([1.0, 1.5], dtype=torch.float64),
    )  # fmt: skip
    return Fit(Candidate(name, roles or tuple(range(model.n_phases))), weights, scalars, 0.0, 0.0)


@pytest.fixture(scope="module")
def image():
    return PhaseImage.from_labels(draw_section(known("gaussian"), (256, 256), 3), name="known")


@pytest.fixture(scope="module")
def target(image):
    return estimate_coverage(image)


@pytest.fixture(scope="module")
def problem(target):
    return Problem(target, Candidate("gaussian", (0, 1)))


def fitted(run):
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


@pytest.fixture(scope="module")
def exact(target, problem):
    return fitted(calibrate(target, problem.candidate, 80))


def descent(kind, problem, start, image, epochs=50, patience=1000, seed=0):
    extra = {"image": image} if issubclass(kind, Adversarial) else {}
    return kind(problem, start, epochs, patience, seed, CPU, **extra)


# ---------------------------------------------------------------------- simulated sections


def test_simulated_phases_have_the_volume_fractions_of_the_model():
    # Differentiable sections are drawn in another way than those that are shown.
    for name in MODELS:
        fit = known(name)
        image = PhaseImage.from_labels(draw_section(fit, (256, 256), 0))
        problem = Problem(estimate_coverage(image), fit.candidate)
        shells = problem.target.shells
        fit = Fit(**{**vars(fit), "weights": torch.stack([
            bump_weights(x, shells) for x in (4.0, 6.0, 5.0, 4.0, 6.0)[: len(fit.weights)]
        ])})  # fmt: skip
        sections = SimulatedSections(problem, 512, CPU)
        with torch.no_grad():
            functions = sections.functions(problem.start(fit), torch.Generator().manual_seed(1))
        found = indicators(functions).mean((1, 2))
        wanted = fit.candidate.build().fractions(fit.scalars)
        np.testing.assert_allclose(found, wanted, atol=0.03)
        cut = cut_phases(functions.numpy(), fit.candidate)
        np.testing.assert_array_equal(indicators(functions).argmax(0), cut)


def test_relaxed_phases_sum_to_one_and_become_sharp():
    functions = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    soft = relaxed(functions, 5.0)
    np.testing.assert_allclose(soft.sum(0), 1, atol=1e-6)
    assert float((relaxed(functions, 1e6) - indicators(functions)).abs().max()) < 1e-3


def test_periodic_coverage_is_that_of_counted_pairs(target):
    drawn = draw_section(known("gaussian"), (256, 256), 7)
    found = PeriodicCoverage(target, 256, CPU)(
        torch.as_tensor(np.stack([drawn == 0, drawn == 1])).float()
    )
    for row, (i, j) in zip(found, pair_rows(2), strict=True):
        counted = two_point_map(drawn, i, j, max_lag=4, periodic=True)
        assert float(row[0]) == pytest.approx(counted[4, 4], abs=1e-5)
        # Around a distance of 3 the mean is over 3, sqrt 8 and sqrt 10 on either side.
        near = (counted[4, 7] + counted[7, 4] + counted[6, 6] + counted[4, 1]) / 4
        assert float(row[3]) == pytest.approx(near, abs=0.01)


def test_gradients_reach_every_parameter():
    for name in ("independent", "correlated", "gaussian+chi2"):
        fit = known(name)
        image = PhaseImage.from_labels(draw_section(fit, (192, 192), 0))
        problem = Problem(estimate_coverage(image), fit.candidate)
        parameters = problem.start()
        sections = SimulatedSections(problem, 128, CPU)
        functions = sections.functions(parameters, torch.Generator().manual_seed(0))
        coverage = PeriodicCoverage(problem.target, 128, CPU)
        coverage(relaxed(functions, 50.0))[:, 5].square().sum().backward()
        for value in parameters.values():
            assert torch.isfinite(value.grad).all() and float(value.grad.abs().max()) > 0


# ---------------------------------------------------------------------- the algorithms


@pytest.mark.parametrize("kind", [Simulation, Adversarial])
def test_algorithms_come_nearer_to_the_image(kind, problem, image):
    run = descent(kind, problem, None, image, epochs=50)
    found = fitted(run.run())
    assert run.best_error < 0.8 * run.error(run.first)
    assert found.algorithm == kind.name and found.start_rmse == run.first.rmse
    if kind is Simulation:
        assert found.rmse < 0.8 * found.start_rmse


def test_a_result_is_never_worse_than_its_start(problem, image, target, exact):
    run = descent(Combined, problem, exact, image, epochs=JUDGED_EVERY)
    found = fitted(run.run())
    assert run.best_error <= run.error(run.first)
    scores = [assess(fit, target, image.data).score for fit in (found, run.first)]
    assert scores[0] <= scores[1]


class Still(Simulation):
    """A descent that stays where it is."""

    def step(self):
        return {"loss": 0.0}


def test_descents_stop_when_nothing_improves_but_never_before_a_hundred(problem, exact, image):
    run = descent(Still, problem, exact, image, epochs=1000, patience=JUDGED_EVERY)
    found = fitted(run.run())
    assert run.epoch == FIRST_STOP + 1
    torch.testing.assert_close(found.weights, exact.weights)


@pytest.mark.parametrize("kind", [Simulation, Adversarial, Combined])
def test_a_resumed_descent_ends_where_an_unbroken_one_does(kind, problem, image, exact):
    start = exact if kind is Combined else None
    whole = descent(kind, problem, start, image, epochs=JUDGED_EVERY + 2)
    fitted(whole.run())
    broken = descent(kind, problem, start, image, epochs=JUDGED_EVERY + 2)
    list(itertools.islice(broken.run(), JUDGED_EVERY + 1))
    resumed = descent(kind, problem, start, image, epochs=JUDGED_EVERY + 2)
    resumed.load_state(broken.state())
    fitted(resumed.run())
    for name, value in whole.parameters.items():
        torch.testing.assert_close(resumed.parameters[name], value, rtol=0, atol=0)
    assert resumed.best_error == whole.best_error


# ---------------------------------------------------------------------- as a training


def config(**changes):
    changes = {"model": "plurigaussian", "fit_steps": 30, "threads": 1, "epochs": 30, **changes}
    return METHOD.config_class(preview_seconds=0, **changes)


@pytest.mark.parametrize("algorithm", ["1", "2", "3"])
def test_algorithms_are_trained_beside_the_exact_fit(algorithm, image, tmp_path):
    *_, last = METHOD.train([image], config(algorithm=algorithm, epochs=5))
    table = last.model.table()
    assert [row["algorithm"] for row in table] == [algorithm, "exact"]
    assert last.model.fit.algorithm == algorithm
    assert f"Algorithm {algorithm}" in last.message and "best model" in last.message
    assert last.step == 35
    loaded = load_model(last.model.save(tmp_path / "model.safetensors"))
    assert loaded.fit.algorithm == algorithm and loaded.table() == table


def test_a_cancelled_algorithm_goes_on_where_it_stood(image, tmp_path):
    settings = config(algorithm="2", epochs=JUDGED_EVERY + 3)
    whole = list(METHOD.train([image], settings))[-1].model
    path = tmp_path / "run"
    # Stopped by its budget of steps at first, then by the user, then left to end.
    short = config(algorithm="2", epochs=JUDGED_EVERY + 3, steps=36)
    stopped = list(METHOD.train([image], short, checkpoint=path))[-1]
    assert stopped.step == 36 and stopped.fraction == 1
    run = METHOD.train([image], settings, checkpoint=path, resume=True)
    for progress in run:
        if progress.step > 40:
            break
    run.close()
    resumed = list(METHOD.train([image], settings, checkpoint=path, resume=True))[-1].model
    for name, value in whole.tensors().items():
        np.testing.assert_array_equal(resumed.tensors()[name], value)
