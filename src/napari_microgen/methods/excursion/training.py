"""A calibration from its images to a judged model: every fit in turn, and the best of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.methods.base import Origin, Progress
from napari_microgen.methods.excursion.assessment import Misfit, assess, choose
from napari_microgen.methods.excursion.calibration import Candidate, Fit, calibrate
from napari_microgen.methods.excursion.ladder import count_steps, next_job
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.models import Scalars
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.training.checkpoint import load_checkpoint, save_checkpoint
from napari_microgen.training.device import choose_device, memory_in_use, spare_threads

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
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
UNSUITABLE = {"s2_rmse": 0.01, "surface": 0.1}
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
        self.step, self.before = 0, 0.0
        self.started = self._reported = time.perf_counter()

    def run(self, resume: bool) -> Iterator[Progress]:
        """Calibrate; with `resume` go on from the checkpoint."""
        spare_threads(self.config.threads)
        self.device, self.reason = choose_device(self.config.device)
        if resume:
            self._restore()
        while (job := next_job(self.config, self.image.n_phases, self.misfits)) is not None:
            fit = yield from self._done(job)
            if fit is None:
                break
            improved = self._take(fit)
            self._save()
            yield self._progress({"s2_rmse": fit.rmse}, preview=improved, model=improved)
        yield self._finished()

    def _done(self, job: Job) -> Generator[Progress, None, Fit | None]:
        """Calibrate one candidate; None if the budget ends before that and there is another."""
        start = None if job.from_fit is None else self.fits[job.from_fit]
        steps = calibrate(
            self.target, job.candidate, self.config.fit_steps, self.config.seed, job.spectrum, start
        )
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
            fraction=1.0, fidelity=fidelity, model=self._model(fidelity), message=verdict(best),
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
            "fits": [_stored(fit) for fit in self.fits],
        }  # fmt: skip
        save_checkpoint(self.checkpoint, state)

    def _restore(self) -> None:
        stored = load_checkpoint(self.checkpoint, self.signature)
        self.step, self.before = stored["step"], stored["seconds"]
        for item in stored["fits"]:
            self._take(_rebuilt(item))


def _stored(fit: Fit) -> dict[str, Any]:
    """Return a fit as tensors and plain types."""
    return {**vars(fit), "candidate": vars(fit.candidate), "scalars": vars(fit.scalars)}


def _rebuilt(item: dict[str, Any]) -> Fit:
    candidate = Candidate(**item["candidate"])
    return Fit(**{**item, "candidate": candidate, "scalars": Scalars(**item["scalars"])})


def verdict(misfit: Misfit) -> str:
    """Say in one sentence how well the best model fits."""
    fits = f"S2 within {misfit.s2_rmse:.4f} and surface areas within {100 * misfit.surface:.0f} %"
    if all(getattr(misfit, name) <= limit for name, limit in UNSUITABLE.items()):
        return f"The best model is {misfit.title}: {fits} of the image."
    return (
        f"Excursion sets do not suit this material: the best model, {misfit.title}, reaches "
        f"{fits} of the image; SliceGAN may do better."
    )
