import math
import time

import numpy as np
import pytest
import torch
from tiny_method import TinyConfig, TinyModel

from napari_microgen.errors import InputError, RunError
from napari_microgen.methods.base import Origin
from napari_microgen.phases import PhaseImage
from napari_microgen.training.loop import Schedule, TrainingLoop

PREPARING = 0.4


class SlowToStart:
    """A training that is long made ready and then done in no time."""

    device = torch.device("cpu")
    device_reason = ""

    def prepare(self):
        time.sleep(PREPARING)
        yield "Ready."

    def step(self, index):
        yield
        return {"loss": 0.0}

    def state(self):
        return {}

    def load_state(self, state):
        pass

    def score(self):
        return {"mean": 1.0, "selection": 1.0}

    def snapshot(self, steps, seconds, fidelity):
        image = PhaseImage.from_labels(np.eye(8, dtype=np.uint8))
        origin = Origin.of_training("tiny", TinyConfig(), [image], self.device)
        return TinyModel(origin, image.fractions)

    def rebuild(self, origin, tensors):
        return TinyModel.from_tensors(origin, tensors)


@pytest.mark.parametrize("kept", [False, True])
def test_making_ready_counts_once(tmp_path, kept):
    checkpoint = tmp_path / "run" if kept else None
    loop = TrainingLoop(SlowToStart, Schedule(60, 2, 1, 0, 0), "same", checkpoint)
    began = time.perf_counter()
    *_, last = loop.run(resume=False)
    assert last.step == 2
    assert PREPARING <= last.seconds <= time.perf_counter() - began


def test_no_time_left_is_told_before_there_is_a_pace():
    first, *others, last = TrainingLoop(SlowToStart, Schedule(60, 2, 1, 0, 0), "same", None).run(
        False
    )
    assert first.step == 0 and first.fraction == 0 and math.isinf(first.seconds_left)
    assert others[-1].fraction >= 0.5 and last.fraction == 1 and last.seconds_left == 0


def test_a_budget_used_up_by_getting_ready_is_no_early_stop(tmp_path):
    schedule = Schedule(PREPARING / 120, 2, 1, 0, 0)
    *_, last = TrainingLoop(SlowToStart, schedule, "same", tmp_path / "run").run(False)
    assert last.step == 0 and last.fraction == 1 and not last.message


class OtherNetwork(SlowToStart):
    """The same training of another version, whose network had other weights."""

    def load_state(self, state):
        torch.nn.Linear(2, 3).load_state_dict(torch.nn.Linear(3, 3).state_dict())


class NoMemory(SlowToStart):
    """A training that does not fit into this machine."""

    def load_state(self, state):
        torch.empty(10**16)


def test_a_checkpoint_that_memory_is_too_small_for_is_not_blamed(tmp_path):
    checkpoint = tmp_path / "run"
    for _ in TrainingLoop(SlowToStart, Schedule(60, 1, 1, 0, 0), "same", checkpoint).run(False):
        pass
    with pytest.raises(RunError, match="memory ran out"):
        next(TrainingLoop(NoMemory, Schedule(60, 2, 1, 0, 0), "same", checkpoint).run(True))


def test_a_checkpoint_of_another_version_is_refused_and_stays(tmp_path):
    checkpoint = tmp_path / "run"
    for _ in TrainingLoop(SlowToStart, Schedule(60, 1, 1, 0, 0), "same", checkpoint).run(False):
        pass
    before = checkpoint.read_bytes()
    with pytest.raises(InputError, match="written by another version"):
        list(TrainingLoop(OtherNetwork, Schedule(60, 2, 1, 0, 0), "same", checkpoint).run(True))
    assert checkpoint.read_bytes() == before


class SlowToShow(SlowToStart):
    """A training whose previews take many times as long as its steps."""

    def prepare(self):
        yield "Ready."

    def step(self, index):
        yield
        time.sleep(0.001)
        return {"loss": 0.0}

    def preview(self):
        time.sleep(0.05)
        return "a volume"


def test_slow_previews_leave_most_of_the_time_to_the_steps():
    # A preview a millisecond is asked for; each takes as long as some fifty steps.
    schedule = Schedule(60, 400, 1000, 0, 1e-3)
    loop = TrainingLoop(SlowToShow, schedule, "same", None)
    shown = [item for item in loop.run(False) if item.preview]
    assert shown[-1].step == 400
    # The first and the last are shown anyway.
    assert 3 <= len(shown) <= 3 + shown[-1].seconds / (5 * 0.05)
