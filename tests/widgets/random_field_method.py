"""A small method that is trained in no time: smoothed noise cut at the image's fractions.

It keeps the contract of `napari_microgen.methods.base` in every respect, so that the widgets
can be tested without waiting for a network.
"""

from __future__ import annotations

import dataclasses
import json
import time
from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_microgen.errors import InputError
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

PERIOD = 8


@dataclasses.dataclass(frozen=True)
class RandomFieldConfig(Config):
    presets: ClassVar = {"quick": {}, "long": {"minutes": 60.0, "width": 3.0}}

    width: float = setting(2.0, "Width of the smoothing.", minimum=0.5, maximum=9, unit="voxel")
    patch: int = setting(16, "Side of a patch.", minimum=4, maximum=64)
    pause: float = setting(
        0.01, "Time that a step takes.", minimum=0, maximum=1, unit="s", advanced=True
    )
    fail_at: int = setting(
        0, "Step at which torch fails; 0 for never.", minimum=0, maximum=10**6, advanced=True
    )


class RandomFieldModel(Model):
    def __init__(self, origin, fractions):
        super().__init__(origin)
        self.fractions = np.asarray(fractions, float)

    def tensors(self):
        return {"fractions": self.fractions}

    @classmethod
    def from_tensors(cls, origin, tensors):
        return cls(origin, tensors["fractions"])

    def check_shape(self, shape, periodic):
        super().check_shape(shape, periodic)
        if any(wraps and n % PERIOD for n, wraps in zip(shape, periodic, strict=True)):
            raise InputError(f"A periodic side must be a multiple of {PERIOD}.")

    def count_blocks(self, shape, offset=(0, 0, 0), periodic=(False,) * 3):
        return shape[0]

    def blocks(self, shape, seed=0, offset=(0, 0, 0), periodic=(False,) * 3, device="auto"):
        noise = np.random.default_rng(seed).normal(size=shape)
        field = gaussian_filter(noise, self.origin.config["width"], mode="wrap")
        cuts = np.quantile(field, np.clip(np.cumsum(self.fractions)[:-1], 0, 1))
        phase = np.digitize(field, cuts)
        for z in range(shape[0]):
            where = (slice(z, z + 1), slice(0, shape[1]), slice(0, shape[2]))
            one_hot = phase[where] == np.arange(len(self.fractions))[:, None, None, None]
            yield Block(where, one_hot.astype(np.float32))


class RandomField(Method):
    name = "field"
    title = "Random field"
    paper = "none"
    config_class = RandomFieldConfig
    model_class = RandomFieldModel
    inputs = (
        Input("image", "Image", "The image."),
        Input("image_y", "Second image", "Another one.", optional=True),
    )

    def check(self, data, config):
        self.check_inputs(data)
        if min(data[0].shape) < config.patch:
            raise InputError(f"'{data[0].name}' is smaller than a patch of {config.patch} pixels.")
        small = [p.name for p, f in zip(data[0].phases, data[0].fractions, strict=True) if f < 0.05]
        return [f"'{name}' is rare." for name in small]

    def memory_needed(self, data, config):
        return 10**6

    def train(self, data, config, *, checkpoint=None, resume=False):
        self.check(data, config)
        state = {"step": 0, "seconds": 0.0, "fractions": [0.0] * data[0].n_phases}
        if resume:
            state = json.loads(checkpoint.read_text())
        return self._run(data[0], config, state, checkpoint)

    def _run(self, image, config, state, checkpoint):
        started = time.perf_counter() - state["seconds"]
        model = None
        try:
            while True:
                state["seconds"] = time.perf_counter() - started
                used = state["seconds"] / 60 / config.minutes
                if config.steps:
                    used = max(used, state["step"] / config.steps)
                if used >= 1:
                    break
                error = self._step(image, config, state)
                measured = state["step"] % 10 == 1
                model = self._model(image, config, state)
                yield Progress(
                    state["step"], used, state["seconds"],
                    steps_per_second=state["step"] / (state["seconds"] + 1e-9),
                    losses={"fraction": error},
                    fidelity={"volume_fraction": 100 * error + 0.1} if measured else None,
                    preview=model.generate((24, 24, 24)) if measured else None,
                    device="CPU, as chosen", memory_bytes=10**8,
                    message="Half way." if used > 0.5 else "",
                    model=model,
                )  # fmt: skip
        finally:
            if checkpoint is not None:
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                checkpoint.write_text(json.dumps(state))
        yield Progress(state["step"], 1.0, state["seconds"], model=model)

    def _step(self, image, config, state):
        """Move the running fractions towards those of a random patch."""
        state["step"] += 1
        if state["step"] == config.fail_at:
            raise RuntimeError("CUDA error: device-side assert triggered\nmore lines")
        time.sleep(config.pause)
        random = np.random.default_rng((config.seed, state["step"]))
        corner = [random.integers(n - config.patch + 1) for n in image.shape]
        patch = image.data[tuple(slice(c, c + config.patch) for c in corner)]
        seen = np.bincount(patch.ravel(), minlength=image.n_phases)[: image.n_phases] / patch.size
        old = np.array(state["fractions"])
        new = old + (seen - old) / state["step"]
        state["fractions"] = new.tolist()
        return float(np.abs(new - image.fractions).max())

    def _model(self, image, config, state):
        size = image.voxel_size[-1]
        origin = Origin(
            "field", config.to_dict(), "labels", image.phases, (size,) * 3, image.unit,
            data=({"name": image.name, "shape": list(image.shape), "sha256": image.digest},),
            steps=state["step"],
        )  # fmt: skip
        return RandomFieldModel(origin, state["fractions"])
