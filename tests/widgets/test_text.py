import logging

import pytest
import torch

from napari_microgen.errors import RunError
from napari_microgen.widgets.text import duration, sentence, speed, words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.2, "4 s"), (200, "3 min 20 s"), (7260, "2 h 1 min"), (float("inf"), "?")],
)
def test_durations_have_at_most_two_units(seconds, text):
    assert duration(seconds) == text


def test_slow_steps_are_told_in_seconds_per_step():
    assert speed(12.34) == "12.3 steps/s"
    assert speed(0.05) == "20.0 s per step"
    assert speed(0) == "0.0 steps/s"


def test_measures_are_told_in_the_terms_of_the_field():
    assert words("s2") == "two-point correlation"
    assert words("volume_fraction") == "volume fraction"


def test_errors_meant_for_the_user_are_told_as_they_are():
    assert sentence(RunError("The loss exploded; lower the rate."), "The training") == (
        "The loss exploded; lower the rate."
    )


def test_an_unexpected_error_is_one_sentence_and_its_details_are_logged(caplog):
    error = ValueError("bad\nTraceback ...")
    with caplog.at_level(logging.ERROR, "napari_microgen"):
        told = sentence(error, "The training")
    assert told == "The training failed unexpectedly (ValueError: bad); the log has the details."
    assert caplog.records[0].exc_info[1] is error


def test_running_out_of_memory_says_what_to_do():
    assert "ask for less" in sentence(RuntimeError("CUDA out of memory. Tried"), "Generating")
    assert "ask for less" in sentence(MemoryError(), "Generating")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**16)
    assert "ask for less" in sentence(caught.value, "Generating")
