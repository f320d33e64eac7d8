"""Calibrate, judge, refine: what `TrainingLoop` trains."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_microgen.methods.base import Origin, Sample, Shape
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.preparation import prepare
from napari_microgen.methods.fieldgan.adversarial import AdversarialRefiner
from napari_microgen.methods.fieldgan.advice import advise
from napari_microgen.methods.fieldgan.calibrated import calibrated_sets
from napari_microgen.methods.fieldgan.filter import FilterRefiner
from napari_microgen.methods.fieldgan.inputs import FieldInputs, wrapped
from napari_microgen.methods.fieldgan.misfit import Judge
from napari_microgen.methods.fieldgan.model import FieldGANModel
from napari_microgen.methods.fieldgan.networks import cropped
from napari_microgen.methods.fieldgan.sections import SPACING, cut_sections, one_hot
from napari_microgen.methods.fieldgan.symmetry import find_symmetry
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.training.device import choose_device, spare_threads

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_microgen.methods.fieldgan.config import FieldGANConfig
    from napari_microgen.methods.fieldgan.networks import Refinement
    from napari_microgen.methods.fieldgan.refiner import Refiner
    from napari_microgen.phases import PhaseImage
    from napari_microgen.training.loop import Schedule

MEASURED_SEEDS = (0, 1)
PREVIEW: Shape = (96, 96, 96)
GLANCED = 64
"""Side of the volume that previews are settled on."""


class FieldGANTraining:
    """A calibrated set and what refines it; see `Trainable`.

    Parameters
    ----------
    data : sequence of PhaseImage
    config : FieldGANConfig
    schedule : Schedule
        Its steps are set to what the refinement plans, if that is less, and judging to its pace.
    """

    def __init__(
        self, data: Sequence[PhaseImage], config: FieldGANConfig, schedule: Schedule
    ) -> None:
        spare_threads(config.threads)
        self.config, self.schedule = config, schedule
        self.device, self.device_reason = choose_device(config.device)
        prepared = prepare(data)
        self.image, self.target = prepared.image, prepared.target
        self.symmetry = find_symmetry(prepared, config.stretch)
        self.orientations = self.symmetry.orientations
        self.origin = Origin.of_training("fieldgan", config, data, self.device, like=self.image)
        self.reference = Reference({a: o.image for o in self.orientations for a in o.axes})
        self.calibrated: ExcursionModel | None = None
        self.refiner: Refiner | None = None
        self._settled: tuple[Refinement, list[Tensor]] | None = None
        self._shown: ExcursionModel | None = None

    @cached_property
    def _judge(self) -> Judge:
        assert self.calibrated is not None
        return Judge(self.orientations, self.calibrated, self.config.seed)

    @cached_property
    def _measured(self) -> list[Tensor]:
        """Inputs of the volumes that are measured."""
        return [self._around(self.config.side, seed) for seed in MEASURED_SEEDS]

    @cached_property
    def _glanced(self) -> list[Tensor]:
        """Inputs of a smaller volume: settling previews on it takes a sixteenth of the time."""
        return [self._around(GLANCED, MEASURED_SEEDS[0])]

    def _around(self, side: int, seed: int) -> Tensor:
        """Return inputs of a volume with what the network sees around it."""
        whole = self._inputs.periodic((side,) * 3, seed, device=self.device)
        return wrapped(whole, (-self._halo,) * 3, (side + 2 * self._halo,) * 3)

    @cached_property
    def _unrefined(self) -> list[list[Tensor]]:
        """Statistics of the calibrated set in the volumes that are measured."""
        n_phases, halo = self.image.n_phases, self._halo
        own = [cropped(values[:, :n_phases], halo) for values in self._measured]
        return self._judge.describe(self._sections([_phases(values) for values in own]))

    def _sections(self, volumes: Sequence[NDArray[np.uint8]]) -> dict[int, Tensor]:
        """Return indicators of sections normal to every axis that images show."""
        whole = [one_hot(volume, self.image.n_phases) for volume in volumes]
        axes = [axis for orientation in self.orientations for axis in orientation.axes]
        return {a: torch.cat([cut_sections(v, a, SPACING) for v in whole]) for a in axes}

    # ------------------------------------------------------------------ before the first step

    def prepare(self) -> Iterator[str]:
        """Calibrate, judge what came out, and get ready to refine it; see `Trainable.prepare`."""
        fits = calibrated_sets(
            self.image, self.target, self.origin, self.symmetry.stretch, self.config.fit_steps
        )
        for fraction, model in fits:
            self.calibrated = model
            yield f"Calibrating random fields: {100 * fraction:.0f} % of the models are fitted."
        advice, reason = advise(self._judge.calibrated())
        kind = advice if self.config.refine == "auto" else self.config.refine
        yield reason if kind == advice else f"{reason} Chosen is '{kind}'."
        self._refine(kind)
        if self.refiner is not None:
            yield from self.refiner.prepare()

    def _refine(self, kind: str) -> None:
        """Make what refines, and let the schedule end with it."""
        assert self.calibrated is not None
        self.kind = kind
        length = 1
        if kind != "none":
            make = {"filter": FilterRefiner, "adversarial": AdversarialRefiner}[kind]
            self.refiner = make(
                self.calibrated, self.orientations, self.symmetry.groups, self.config, self.device
            )
            length = self.refiner.length
            self.schedule.fidelity_every = self.refiner.judged_every
        asked = self.config.steps or length
        self.schedule.steps = min(asked, length)

    @property
    def _inputs(self) -> FieldInputs:
        assert self.calibrated is not None
        return self.refiner.inputs if self.refiner is not None else FieldInputs(self.calibrated)

    @property
    def _halo(self) -> int:
        return self.refiner.network.radius if self.refiner is not None else 0

    # ------------------------------------------------------------------ learning and judging

    def step(self, index: int) -> Generator[None, None, dict[str, float]]:
        """Learn one step; see `Trainable.step`."""
        yield from ()
        self._settled = None
        return self.refiner.step(index) if self.refiner is not None else {}

    def score(self) -> dict[str, float]:
        """Measure the averaged network; see `Trainable.score`."""
        logits = self._settle(self.refiner)[1] if self.refiner is not None else self._measured
        volumes = [_phases(values) for values in logits]
        ratios = self.reference.score(volumes).to_dict()
        misfit = self._judge.refined(self._sections(volumes), self._unrefined)
        chosen_by = selection({**ratios, **misfit._asdict()})
        return {
            **ratios, "euler": misfit.euler, "pattern": misfit.pattern, "selection": chosen_by,
        }  # fmt: skip

    def _settle(self, refiner: Refiner) -> tuple[Refinement, list[Tensor]]:
        """Return the averaged network and what it makes of the volumes that are measured."""
        if self._settled is None:
            self._settled = refiner.settled(self._measured)
        return self._settled

    def _model(self, origin: Origin, network: Refinement | None) -> FieldGANModel:
        assert self.calibrated is not None
        calibrated = ExcursionModel.from_tensors(origin, self.calibrated.tensors())
        return FieldGANModel(origin, calibrated, network.cpu() if network is not None else None)

    def snapshot(self, steps: int, seconds: float, fidelity: Mapping[str, float]) -> FieldGANModel:
        """Return the averaged network as a model; see `Trainable.snapshot`."""
        origin = replace(self.origin, steps=steps, seconds=seconds, fidelity=dict(fidelity))
        network = copy.deepcopy(self._settle(self.refiner)[0]) if self.refiner else None
        return self._model(origin, network)

    def rebuild(self, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> FieldGANModel:
        """Return the model that an earlier `snapshot` was."""
        return FieldGANModel.from_tensors(origin, tensors)

    def preview(self) -> Sample:
        """Generate a volume with the averaged network, or the calibrated set so far."""
        network = self.refiner.settled(self._glanced)[0] if self.refiner else None
        return self._model(self.origin, network).generate(
            PREVIEW, self.config.seed, periodic=(True,) * 3, device=self.device.type
        )

    def first_look(self) -> Sample | None:
        """Return a volume of the calibrated set whenever it became a better one."""
        if self.calibrated is None or self.calibrated is self._shown or self.refiner is not None:
            return None
        self._shown = self.calibrated
        return self.preview()

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Return the calibrated set and what the refinement needs; see `Trainable.state`."""
        assert self.calibrated is not None
        calibrated = {k: torch.from_numpy(v) for k, v in self.calibrated.tensors().items()}
        refiner = self.refiner.state() if self.refiner is not None else {}
        return {"calibrated": calibrated, "kind": self.kind, "refiner": refiner}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        stored = {k: v.numpy() for k, v in state["calibrated"].items()}
        self.calibrated = ExcursionModel.from_tensors(self.origin, stored)
        self._refine(state["kind"])
        if self.refiner is not None:
            for _ in self.refiner.prepare():
                pass
            self.refiner.load_state(state["refiner"])


def selection(ratios: Mapping[str, float]) -> float:
    """What the best model has least of: the geometric mean of what can be told from the image.

    Ratios below 1 are no better than 1. Ripple does not count: where all places are treated alike
    it is chance.
    """
    values = [max(v, 1.0) for name, v in ratios.items() if name not in ("mean", "ripple")]
    return float(np.prod(values) ** (1 / len(values)))


def _phases(logits: Tensor) -> NDArray[np.uint8]:
    """Return the phase indices of one volume's logits, shape ``(1, n_phases, z, y, x)``."""
    return np.asarray(logits[0].argmax(0).to("cpu", torch.uint8).numpy())
