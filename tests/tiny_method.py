"""A real, if simple, method: it learns volume fractions and draws every voxel on its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from napari_microgen.errors import InputError, RunError
from napari_microgen.methods.base import (
    Block,
    Config,
    Input,
    Method,
    Model,
    Origin,
    Progress,
    setting,
)


@dataclass(frozen=True)
class TinyConfig(Config):
    presets: ClassVar = {"quick": {"steps": 5}, "standard": {"steps": 20, "rate": 0.5}}

    rate: float = setting(0.25, "Share of the error that a step mends.", minimum=0, maximum=1)
    fail_at: int = setting(0, "Step at which the training fails; 0 for never.", minimum=0)
    loud: bool = setting(False, "Whether to print.")


class TinyModel(Model):
    def __init__(self, origin, fractions):
        super().__init__(origin)
        self.fractions = np.asarray(fractions, np.float32)

    def tensors(self):
        return {"fractions": self.fractions}

    @classmethod
    def from_tensors(cls, origin, tensors):
        if set(tensors) != {"fractions"} or tensors["fractions"].ndim != 1:
            raise InputError("The weights do not fit.")
        return cls(origin, tensors["fractions"])

    def count_blocks(self, shape, offset=(0, 0, 0), periodic=(False, False, False)):
        return shape[0]

    def blocks(
        self,
        shape,
        seed=0,
        offset=(0, 0, 0),
        periodic=(False, False, False),
        device="auto",
    ):
        for z in range(shape[0]):
            random = np.random.default_rng([seed, z])
            values = random.random((len(self.fractions), 1, *shape[1:]), np.float32)
            if self.origin.kind == "labels":
                values = values ** (1 / np.maximum(self.fractions, 1e-3))[:, None, None, None]
                values /= values.sum(axis=0)
            yield Block((slice(z, z + 1), slice(None), slice(None)), values)


class TinyMethod(Method):
    name = "tiny"
    title = "Tiny"
    paper = "none"
    config_class = TinyConfig
    model_class = TinyModel
    inputs = (
        Input("image", "Image", "Any image.", ("labels", "grey", "colour")),
        Input("second", "Second image", "Any other image.", optional=True),
    )
    budget = ("preset", "minutes", "steps")

    def check(self, data, config):
        self.check_inputs(data)
        return ["The image is small."] if min(data[0].shape) < 16 else []

    def memory_needed(self, data, config):
        return 1000

    def train(self, data, config, *, checkpoint=None, resume=False):
        image, step, learnt = data[0], 0, None
        goal = image.fractions if image.kind == "labels" else np.zeros(image.channels)
        learnt = np.full(len(goal), 1 / len(goal))
        if resume:
            if checkpoint is None or not checkpoint.is_file():
                raise InputError("There is no checkpoint to go on from.")
            stored = json.loads(checkpoint.read_text())
            step, learnt = stored["step"], np.array(stored["learnt"])
        try:
            while step < config.steps:
                if step + 1 == config.fail_at:
                    raise RunError("The loss is no longer finite.")
                if config.loud:
                    print("a library prints this")
                learnt = learnt + config.rate * (goal - learnt)
                step += 1
                origin = self.origin(image, config, step)
                yield Progress(
                    step, step / config.steps, step * 0.1, 10, {"error": 0.5}, device="here",
                    model=TinyModel(origin, learnt),
                )  # fmt: skip
        finally:
            if checkpoint is not None:
                checkpoint.write_text(json.dumps({"step": step, "learnt": learnt.tolist()}))

    def origin(self, image, config, steps):
        return Origin(
            "tiny", config.to_dict(), image.kind, image.phases,
            tuple([*image.voxel_size, image.voxel_size[-1]][:3]), image.unit, image.value_range,
            steps=steps, fidelity={"mean": 1.5, "s2": float("nan")},
        )  # fmt: skip
