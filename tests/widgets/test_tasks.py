import threading
import time

import pytest

from napari_microgen.widgets.tasks import Task


def endless(stopping):
    while not stopping():
        time.sleep(0.005)
        yield threading.current_thread()
    return "stopped"


def fails(stopping):
    yield 1
    raise RuntimeError("CUDA out of memory")


def fails_at_once(stopping):
    raise RuntimeError("no data")


@pytest.fixture
def run(qtbot):
    tasks = []

    def start(make):
        task = Task("a test", make)
        task.news, task.end = [], []
        task.yielded.connect(task.news.append)
        task.ended.connect(task.end.append)
        tasks.append(task)
        task.start()
        return task

    yield start
    for task in tasks:
        task.stop()
        assert task.wait(5)


def test_items_come_from_another_thread_and_the_result_at_the_end(run, qtbot):
    task = run(endless)
    qtbot.waitUntil(lambda: len(task.news) > 3)
    assert threading.main_thread() not in task.news
    task.stop()
    qtbot.waitUntil(lambda: bool(task.end))
    assert task.end[0].value == "stopped"


@pytest.mark.parametrize("make", [fails, fails_at_once])
def test_a_runtime_error_arrives(run, qtbot, make):
    task = run(make)
    qtbot.waitUntil(lambda: bool(task.end))
    assert isinstance(task.end[0].error, RuntimeError)


def test_a_paused_task_waits_and_goes_on(run, qtbot):
    task = run(endless)
    qtbot.waitUntil(lambda: bool(task.news))
    task.pause()
    qtbot.wait(60)
    before = len(task.news)
    qtbot.wait(100)
    assert len(task.news) == before
    task.go_on()
    qtbot.waitUntil(lambda: len(task.news) > before)


def test_a_paused_task_can_be_stopped(run, qtbot):
    task = run(endless)
    qtbot.waitUntil(lambda: bool(task.news))
    task.pause()
    qtbot.wait(60)
    task.stop()
    qtbot.waitUntil(lambda: bool(task.end))
    assert task.end[0].error is None


def test_waiting_ends_with_the_thread(run, qtbot):
    task = run(endless)
    qtbot.waitUntil(lambda: bool(task.news))
    assert not task.wait(0.05)
    task.stop()
    assert task.wait(5)


def test_long_tasks_do_not_block_other_workers(run, qtbot):
    running = [run(endless) for _ in range(6)]
    qtbot.waitUntil(lambda: all(task.news for task in running))
