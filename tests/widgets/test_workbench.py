import time

import pytest

from napari_microgen.errors import InputError
from napari_microgen.widgets.workbench import Workbench, stoppable

WAIT = 10_000


class Bench(Workbench):
    """Counts, and keeps what it hears on the way."""

    def __init__(self, viewer):
        super().__init__(viewer)
        self.heard = []

    def count(self, steps):
        self._run("Counting", "Counting", lambda stopping: stoppable(steps, stopping), str)

    def _on_news(self, news):
        self.heard.append(news)


@pytest.fixture
def bench(viewer):
    return Bench.of(viewer)


@pytest.fixture
def until(qtbot, bench):
    def wait(condition):
        qtbot.waitUntil(condition, timeout=WAIT)

    return wait


def counting(n):
    for i in range(n):
        time.sleep(0.002)
        yield i / n, f"step {i}", i
    return n


def failing():
    yield 0.5, "half way"
    raise InputError("The volume is too small.")


def test_news_and_the_result_arrive(bench, until):
    told = []
    bench.work_changed.connect(lambda: told.append(bench.work))
    bench.count(counting(5))
    assert bench.work.running
    until(lambda: not bench.work.running)
    assert bench.heard == [0, 1, 2, 3, 4]
    assert bench.work.message == "5" and not bench.work.failed
    assert "Step 3" in [work.message for work in told]


def test_one_thing_at_a_time(bench, until):
    bench.count(counting(50))
    bench.count(counting(1))
    until(lambda: not bench.work.running)
    assert bench.work.message == "50"


def test_cancelled_work_has_no_result(bench, until):
    bench.count(counting(10**6))
    until(lambda: bool(bench.heard))
    bench.cancel()
    until(lambda: not bench.work.running)
    assert bench.work.message == "Cancelled; nothing was changed."


def test_a_failure_is_told_in_a_sentence(bench, until):
    bench.count(failing())
    until(lambda: bench.work.failed)
    assert bench.work.message == "The volume is too small."


def test_what_fails_at_the_very_end_is_told_and_ends_the_work(bench, until):
    bench._run(
        "Adding", "Adding the layer", lambda _: counting(2), lambda value: str(1 / (value - 2))
    )
    until(lambda: bench.work.failed)
    assert "Adding the layer failed" in bench.work.message
    bench.count(counting(1))
    until(lambda: bench.work.message == "1")


def test_a_viewer_has_one_bench_of_a_kind(bench, viewer):
    assert Bench.of(viewer) is bench
    assert Workbench.of(viewer) is not bench
