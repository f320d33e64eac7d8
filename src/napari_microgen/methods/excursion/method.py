"""Excursion sets as a method: what it asks for, what it checks, and how it is calibrated."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, Input, Method, Origin, Progress
from napari_microgen.methods.excursion.assessment import Misfit, assess, choose
from napari_microgen.methods.excursion.calibration import Candidate, Fit, calibrate, candidates
from napari_microgen.methods.excursion.config import ExcursionConfig
from napari_microgen.methods.excursion.estimator import (
    CoverageTarget,
    check_side,
    estimate_coverage,
)
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.models import Scalars
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.training.checkpoint import load_checkpoint, save_checkpoint
from napari_microgen.training.device import choose_device, memory_in_use, spare_threads

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

SMALL_PHASE = 0.005
LONGEST = 40
"""Correlation length in voxels above which the image is coarsened."""

ANISOTROPIC = 0.1
REPORT_SECONDS = 0.25
SMALLEST_REFERENCE = 32
MEASURED_SIDE = 128
MEASURED_VOLUMES = 3
"""Several, as a field's long waves change the volume fractions of a small volume."""

PREVIEW_SIDE = 96
UNSUITABLE = {"s2_rmse": 0.01, "surface": 0.1}
"""Errors above which the kind of model does not suit the material."""


class ExcursionSets(Method):
    """One image to a parametric model: phases cut out of random fields (paper 002)."""

    name = "excursion"
    title = "Excursion sets"
    paper = "Generative adversarial framework to calibrate excursion set models (paper 002)"
    config_class = ExcursionConfig
    model_class = ExcursionModel
    budget = ("preset", "minutes", "steps", "preview_seconds", "threads")
    inputs = (
        Input("image", "Image", "One image, or a 3D volume, of an isotropic material of two or "
              "three phases."),
    )  # fmt: skip

    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check images and settings; see `Method.check`."""
        _own(config)
        image = self._image(data)
        target = estimate_coverage(image)
        return [*phase_warnings(image), *length_warnings(image, target)]

    def _image(self, data: Sequence[PhaseImage]) -> PhaseImage:
        self.check_inputs(data)
        if data[0].n_phases > 3:
            raise InputError(
                f"'{data[0].name}' has {data[0].n_phases} phases, and the coverage functions of "
                "excursion sets are known for two and three; merge phases, or use SliceGAN."
            )
        check_side(data[0])
        return data[0]

    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate the memory of the transforms of the image and of the measured volume."""
        _own(config)
        pixels = max(int(np.prod(image.shape)) for image in data)
        return int(400e6 + 80 * pixels + 250 * MEASURED_SIDE**3)

    def train(
        self,
        data: Sequence[PhaseImage],
        config: Config,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> Iterator[Progress]:
        """Calibrate; see `Method.train`. A checkpoint holds the fits that are complete."""
        settings = _own(config)
        image = self._image(data)
        signature = self.signature(data, settings)
        return _Calibration(image, settings, signature, checkpoint).run(resume)


class _Calibration:
    """All fits of one image, one after the other, and the best of them."""

    def __init__(
        self, image: PhaseImage, config: ExcursionConfig, signature: str, checkpoint: Path | None
    ) -> None:
        self.config, self.signature, self.checkpoint = config, signature, checkpoint
        self.image, self.source = image, image
        self.fits: list[Fit] = []
        self.misfits: list[Misfit] = []
        self.step, self.before = 0, 0.0
        self.started = time.perf_counter()
        self._reported = self.started

    def run(self, resume: bool) -> Iterator[Progress]:
        spare_threads(self.config.threads)
        self.device, self.reason = choose_device(self.config.device)
        self.target = estimate_coverage(self.image)
        factor = coarsening(self.target)
        if factor > 1:
            self.image = coarsened(self.source, factor)
            self.target = estimate_coverage(self.image)
        if resume:
            self._restore()
        while (candidate := next_candidate(self.config, self._n_phases, self.misfits)) is not None:
            fit = yield from self._fitted(candidate)
            if fit is None:
                break
            improved = self._take(fit)
            self._save()
            yield self._progress({"s2_rmse": fit.rmse}, preview=improved, model=improved)
        yield self._finished()

    @property
    def _n_phases(self) -> int:
        return self.image.n_phases

    def _fitted(self, candidate: Candidate) -> Generator[Progress, None, Fit | None]:
        """Fit one candidate; None if the budget ends before it is done and there is another."""
        steps = calibrate(self.target, candidate, self.config.fit_steps, self.config.seed)
        while True:
            try:
                loss = next(steps)
            except StopIteration as end:
                fit: Fit = end.value
                return fit
            self.step += 1
            if time.perf_counter() - self._reported > REPORT_SECONDS:
                yield self._progress({"loss": loss})
            if self.fits and self._budget_used() >= 1:
                return None

    def _take(self, fit: Fit) -> bool:
        """Judge a fit; return whether it is the best so far."""
        before = choose(self.misfits) if self.misfits else None
        self.fits.append(fit)
        self.misfits.append(assess(fit, self.target, self.image.data))
        return choose(self.misfits) != before

    def _model(self, fidelity: dict[str, float] | None = None) -> ExcursionModel:
        origin = replace(
            Origin.of_training(
                "excursion", self.config, [self.source], self.device, like=self.image
            ),
            steps=self.step, seconds=self._seconds(), fidelity=fidelity or {},
        )  # fmt: skip
        best = self.fits[choose(self.misfits)]
        return ExcursionModel(origin, best, self.misfits, self.config.stretch)

    def _finished(self) -> Progress:
        model = self._model()
        fidelity = None
        if min(self.image.shape) >= SMALLEST_REFERENCE:
            volumes = [self._measured(model, i) for i in range(MEASURED_VOLUMES)]
            fidelity = Reference(dict.fromkeys(range(3), self.image)).score(volumes).to_dict()
        best = self.misfits[choose(self.misfits)]
        return replace(
            self._progress({"s2_rmse": best.s2_rmse, "surface": best.surface}, preview=True),
            fraction=1.0, fidelity=fidelity, model=self._model(fidelity), message=verdict(best),
        )  # fmt: skip

    def _measured(self, model: ExcursionModel, index: int) -> NDArray[np.uint8]:
        """Return a volume as phase indices."""
        side = (MEASURED_SIDE,) * 3
        seed = MEASURED_VOLUMES * self.config.seed + index
        (block,) = model.blocks(side, seed, (0, 0, 0), (True,) * 3, self.device.type)  # type: ignore[arg-type]
        return np.asarray(block.values.argmax(axis=0), np.uint8)

    def _progress(
        self, losses: dict[str, float], preview: bool = False, model: bool = False
    ) -> Progress:
        self._reported = time.perf_counter()
        seconds = self._seconds()
        made = self._model() if model or (preview and self.config.preview_seconds) else None
        shown = None
        if preview and made is not None and self.config.preview_seconds:
            shown = made.generate((PREVIEW_SIDE,) * 3, self.config.seed, periodic=(True,) * 3)
        return Progress(
            self.step, min(self._fraction(), 0.99), seconds, self.step / max(seconds, 1e-9),
            losses, None, shown, self.reason, memory_in_use(self.device), "",
            made if model else None,
        )  # fmt: skip

    def _seconds(self) -> float:
        return self.before + time.perf_counter() - self.started

    def _budget_used(self) -> float:
        used = self._seconds() / (60 * self.config.minutes)
        return max(used, self.step / self.config.steps) if self.config.steps else used

    def _fraction(self) -> float:
        total = self.config.fit_steps * count_candidates(self.config, self._n_phases)
        return max(self.step / total, self._budget_used())

    # ------------------------------------------------------------------ checkpoint

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        fits = [
            {"candidate": [f.candidate.model, list(f.candidate.roles), f.candidate.sign,
                           f.candidate.freedom],
             "weights": f.weights, **vars(f.scalars), "errors": [f.rmse, f.start_rmse]}
            for f in self.fits
        ]  # fmt: skip
        state = {"signature": self.signature, "step": self.step, "seconds": self._seconds()}
        save_checkpoint(self.checkpoint, {**state, "fits": fits})

    def _restore(self) -> None:
        stored = load_checkpoint(self.checkpoint, self.signature)
        self.step, self.before = stored["step"], stored["seconds"]
        for item in stored["fits"]:
            model, roles, sign, freedom = item["candidate"]
            candidate = Candidate(model, tuple(roles), sign, freedom)
            scalars = Scalars(item["levels"], item["share"], item["scales"])
            self._take(Fit(candidate, item["weights"], scalars, *item["errors"]))


# ---------------------------------------------------------------------- which models, in what order


def next_candidate(
    config: ExcursionConfig, n_phases: int, misfits: Sequence[Misfit]
) -> Candidate | None:
    """Return what to fit next, given what has been fitted; None at the end."""
    tried = {(m.model, m.roles, m.sign) for m in misfits}
    for name in _ladder(config, n_phases):
        options = candidates(name, n_phases, config.freedom)
        simplest = [m for m in misfits if m.model == "independent"]
        if config.orders == "best" and simplest and name != "independent":
            best = min(simplest, key=lambda m: m.s2_rmse)
            options = [c for c in options if c.roles[0] == best.roles[0]]
        for candidate in options:
            if (candidate.model, candidate.roles, candidate.sign) not in tried:
                return candidate
    return None


def count_candidates(config: ExcursionConfig, n_phases: int) -> int:
    """Return how many fits there will be."""
    sizes = {n: len(candidates(n, n_phases)) for n in _ladder(config, n_phases)}
    if config.orders == "best" and "independent" in sizes:
        return sum(n if name == "independent" else n // 3 for name, n in sizes.items())
    return sum(sizes.values())


def _ladder(config: ExcursionConfig, n_phases: int) -> tuple[str, ...]:
    if n_phases == 2:
        ladder = {"auto": ("gaussian", "chi2"), "plurigaussian": ("gaussian",), "chi2": ("chi2",)}
        return ladder[config.model]
    if config.model == "chi2":
        return ("gaussian+chi2",)
    if config.model == "plurigaussian":
        return ("independent", "correlated")
    middle = ("correlated",) if config.orders == "all" else ()
    return ("independent", *middle, "gaussian+chi2")


# ---------------------------------------------------------------------- what the user is told


def verdict(misfit: Misfit) -> str:
    """Say in one sentence how well the best model fits."""
    fits = f"S2 within {misfit.s2_rmse:.4f} and surface areas within {100 * misfit.surface:.0f} %"
    if all(getattr(misfit, name) <= limit for name, limit in UNSUITABLE.items()):
        return f"The best model is '{misfit.model}': {fits} of the image."
    return (
        f"Excursion sets do not suit this material: the best model, '{misfit.model}', reaches "
        f"{fits} of the image; SliceGAN may do better."
    )


def phase_warnings(image: PhaseImage) -> list[str]:
    """Warn of phases too rare to be calibrated."""
    return [
        f"'{phase.name}' fills only {100 * fraction:.2g} % of '{image.name}'; so rare a phase "
        "cannot be calibrated well."
        for phase, fraction in zip(image.phases, image.fractions, strict=True)
        if fraction < SMALL_PHASE
    ]


def length_warnings(image: PhaseImage, target: CoverageTarget) -> list[str]:
    """Warn of images that are small or coarse for their features, or not isotropic."""
    warnings = []
    length = target.correlation_length
    if min(image.shape) < 4 * length:
        warnings.append(
            f"'{image.name}' is {min(image.shape)} voxels wide, less than four times its "
            f"correlation length of {length} voxels; the result may depend on this very section."
        )
    if target.anisotropy > ANISOTROPIC:
        warnings.append(
            f"'{image.name}' looks different along its axes (S2 differs by "
            f"{100 * target.anisotropy:.0f} % of the variance), but the model is isotropic."
        )
    factor = coarsening(target)
    if factor > 1:
        warnings.append(
            f"The correlation length is {length} voxels, more than {LONGEST}; only every "
            f"{factor}th voxel is used, and generated voxels are {factor} times as large."
        )
    return warnings


def coarsening(target: CoverageTarget) -> int:
    """Return how many voxels wide the voxels of a calibration must be."""
    return -(-target.correlation_length // LONGEST)


def coarsened(image: PhaseImage, factor: int) -> PhaseImage:
    """Return every `factor`-th voxel of an image."""
    step = (slice(None, None, factor),) * image.ndim
    size = tuple(s * factor for s in image.voxel_size)
    return replace(image, data=image.data[step], voxel_size=size, _cache={})


def _own(config: Config) -> ExcursionConfig:
    if not isinstance(config, ExcursionConfig):
        raise InputError("Excursion sets need their own settings (ExcursionConfig).")
    return config
