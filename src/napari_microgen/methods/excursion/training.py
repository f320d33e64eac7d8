"""A calibration from its images to a judged model: every fit in turn, and the best of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.methods.base import Origin, Progress
from napari_microgen.methods.excursion.adversarial import Adversarial, Combined
from napari_microgen.methods.excursion.assessment import Misfit, assess, choose
from napari_microgen.methods.excursion.calibration import Fit, Problem, calibrate
from napari_microgen.methods.excursion.ladder import count_steps, next_job
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.simulation import Descent, Simulation
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.training.checkpoint import load_checkpoint, save_checkpoint
from napari_microgen.training.device import choose_device, memory_in_use, spare_threads

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.methods.excursion.config import ExcursionConfig
    from napari_microgen.methods.excursion.ladder import Job
    from napari_microgen.methods.excursion.preparation import Preparation
    from napari_microgen.phases import PhaseImage

REPORT_SECONDS = 0.25
CHECKPOINT_SECONDS = 60.0
SMALLEST_REFERENCE = 32
MEASURED_SIDE = 128
MEASURED_VOLUMES = 3
"""Several, as a field's long waves change the volume fractions of a small volume."""

PREVIEW_SIDE = 96
UNSUITABLE = {"s2_rmse": 0.01, "surface": 0.1, "shape": 0.1}
"""Errors above which the kind of model does not suit the material."""


class CalibrationRun:
    """All fits of one image, one after the other, and the best of them.

    Parameters
    ----------
    prepared : Preparation
    config : ExcursionConfig
    signature : str
        Tells whether a checkpoint belongs to these images and settings.
    checkpoint : Path or None
        Where the state is kept.
    """

    def __init__(
        self,
        prepared: Preparation,
        config: ExcursionConfig,
        signature: str,
        checkpoint: Path | None,
    ) -> None:
        self.config, self.signature, self.checkpoint = config, signature, checkpoint
        self.prepared, self.image, self.target = prepared, prepared.image, prepared.target
        self.stretch = config.stretch or prepared.stretch or 1.0
        self.fits: list[Fit] = []
        self.misfits: list[Misfit] = []
        self.descent: Descent | None = None
        """The algorithm of the paper that is under way."""

        self._stored: dict[str, Any] | None = None
        self.step, self.before = 0, 0.0
        self.started = self._reported = self._saved = time.perf_counter()

    def run(self, resume: bool) -> Iterator[Progress]:
        """Calibrate; with `resume` go on from the checkpoint."""
        spare_threads(self.config.threads)
        self.device, self.reason = choose_device(self.config.device)
        if resume:
            self._restore()
        try:
            yield from self._jobs()
        finally:
            if self.descent is not None:
                self._save()
        yield self._finished()

    def _jobs(self) -> Iterator[Progress]:
        while (job := next_job(self.config, self.image.n_phases, self.misfits)) is not None:
            fit = yield from self._fitted(job) if job.algorithm == "exact" else self._descended(job)
            if fit is None:
                break
            improved = self._take(fit)
            self.descent = None
            self._save()
            yield self._progress({"s2_rmse": fit.rmse}, preview=improved, model=improved)

    def _start(self, job: Job) -> Fit | None:
        return None if job.from_fit is None else self.fits[job.from_fit]

    def _fitted(self, job: Job) -> Generator[Progress, None, Fit | None]:
        """Calibrate in closed form; None if the budget ends before that and there is another."""
        steps = calibrate(
            self.target, job.candidate, self.config.fit_steps, self.config.seed, job.spectrum,
            self._start(job),
        )  # fmt: skip
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

    def _descended(self, job: Job) -> Generator[Progress, None, Fit | None]:
        """Calibrate by an algorithm of the paper; None if the budget ends before that.

        What it found until then is judged all the same, but the checkpoint tells where it stood.
        """
        self.descent = self._algorithm(job)
        if self._stored is not None:
            self.descent.load_state(self._stored)
            self._stored = None
        for losses in self.descent.run():
            self.step += 1
            if time.perf_counter() - self._saved > CHECKPOINT_SECONDS:
                self._save()
            if time.perf_counter() - self._reported > REPORT_SECONDS:
                yield self._progress(losses)
            if self._budget_used() >= 1 and not self.descent.finished:
                self._save()
                self._take(self.descent.result())
                self.descent = None
                return None
        return self.descent.result()

    def _algorithm(self, job: Job) -> Descent:
        problem = Problem(self.target, job.candidate, job.spectrum)
        common = (
            problem, self._start(job), self.config.epochs, self.config.patience, self.config.seed,
            self.device,
        )  # fmt: skip
        if job.algorithm == "1":
            return Simulation(*common)
        kind = Adversarial if job.algorithm == "2" else Combined
        return kind(*common, image=self.image)

    def _take(self, fit: Fit) -> bool:
        """Judge a fit; return whether it is the best so far."""
        before = choose(self.misfits) if self.misfits else None
        self.fits.append(fit)
        self.misfits.append(assess(fit, self.target, self.image.data))
        return choose(self.misfits) != before

    # ------------------------------------------------------------------ the model

    def _model(self, fidelity: dict[str, float] | None = None) -> ExcursionModel:
        data = [self.prepared.source, *self.prepared.sections]
        origin = replace(
            Origin.of_training("excursion", self.config, data, self.device, like=self.image),
            steps=self.step, seconds=self._seconds(), fidelity=fidelity or {},
        )  # fmt: skip
        best = self.fits[choose(self.misfits)]
        return ExcursionModel(origin, best, self.misfits, self.stretch)

    def _finished(self) -> Progress:
        model = self._model()
        volumes = [self._measured(model, i) for i in range(MEASURED_VOLUMES)]
        fidelity = Reference(self._references()).score(volumes).to_dict()
        best = self.misfits[choose(self.misfits)]
        return replace(
            self._progress({"s2_rmse": best.s2_rmse, "surface": best.surface}, preview=True),
            fraction=1.0, fidelity=fidelity, model=self._model(fidelity),
            message=verdict(self.misfits),
        )  # fmt: skip

    def _references(self) -> dict[int, PhaseImage]:
        """Return what sections normal to z, y and x are compared with, as far as it is known."""
        image = self.image
        if self.stretch == 1 and not self.prepared.sections:
            return dict.fromkeys(range(3), image)
        shown = {0: image.sections(0)}
        if self.prepared.sections:
            last = len(self.prepared.sections) - 1
            shown |= {axis: self.prepared.sections[min(axis - 1, last)] for axis in (1, 2)}
        elif image.ndim == 3:
            shown |= {axis: image.sections(axis) for axis in (1, 2)}
        edge = image.voxel_size[-1]
        return {
            axis: section for axis, section in shown.items()
            if min(section.shape[-2:]) >= SMALLEST_REFERENCE
            and np.allclose(section.voxel_size[-2:], edge, rtol=0.01)
        } or {0: shown[0]}  # fmt: skip

    def _measured(self, model: ExcursionModel, index: int) -> NDArray[np.uint8]:
        """Return a volume as phase indices."""
        side = (MEASURED_SIDE,) * 3
        seed = MEASURED_VOLUMES * self.config.seed + index
        (block,) = model.blocks(side, seed, (0, 0, 0), (True,) * 3, self.device.type)  # type: ignore[arg-type]
        return np.asarray(block.values.argmax(axis=0), np.uint8)

    # ------------------------------------------------------------------ progress

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
        total = count_steps(self.config, self.image.n_phases)
        return max(self.step / total, self._budget_used())

    # ------------------------------------------------------------------ checkpoint

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        state = {
            "signature": self.signature, "step": self.step, "seconds": self._seconds(),
            "fits": [fit.state() for fit in self.fits],
            "descent": None if self.descent is None else self.descent.state(),
        }  # fmt: skip
        self._saved = time.perf_counter()
        save_checkpoint(self.checkpoint, state)

    def _restore(self) -> None:
        stored = load_checkpoint(self.checkpoint, self.signature)
        self.step, self.before = stored["step"], stored["seconds"]
        self._stored = stored["descent"]
        for item in stored["fits"]:
            self._take(Fit.from_state(item))


def verdict(misfits: Sequence[Misfit]) -> str:
    """Say in one or two sentences how well the best model fits."""
    best = misfits[choose(misfits)]
    amounts = f"S2 within {best.s2_rmse:.4f} and surface areas within {100 * best.surface:.0f} %"
    if best.algorithm != "exact":
        # Whether the material suits is told by what the best way of calibrating reaches.
        exact = verdict([m for m in misfits if m.algorithm == "exact"])
        if best.s2_rmse == best.start_rmse:
            return f"{exact} Algorithm {best.algorithm} found nothing better than its start."
        return f"{exact} Algorithm {best.algorithm}, whose model this is, reaches {amounts}."
    good = {name: getattr(best, name) <= limit for name, limit in UNSUITABLE.items()}
    if all(good.values()):
        return f"The best model is {best.title}: {amounts} of the image."
    if good["s2_rmse"] and good["surface"]:
        return (
            f"Excursion sets suit this material in part: the best model, {best.title}, reaches "
            f"{amounts} of the image, but not its shapes (chord-length distributions differ by "
            f"{best.shape:.2f}); SliceGAN may do better."
        )
    return (
        f"Excursion sets do not suit this material: the best model, {best.title}, reaches only "
        f"{amounts} of the image; SliceGAN may do better."
    )
