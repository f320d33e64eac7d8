from napari_microgen.methods.base import Progress
from napari_microgen.widgets.state import Status, TrainingState


def progress(step=1, **changes):
    return Progress(step, step / 10, float(step), **changes)


def statuses(state):
    seen = []
    state.events.status.connect(seen.append)
    return seen


def test_a_training_is_paused_goes_on_and_ends():
    state = TrainingState()
    seen = statuses(state)
    state.begin("SliceGAN of section")
    state.pause()
    state.go_on()
    state.end()
    assert seen == [Status.TRAINING, Status.PAUSED, Status.TRAINING, Status.DONE]


def test_a_cancelled_training_ends_as_stopped():
    state = TrainingState()
    state.begin("")
    state.pause()
    state.stop()
    assert state.status is Status.STOPPING
    assert state.status.running
    state.end()
    assert state.status is Status.STOPPED


def test_an_idle_training_is_neither_paused_nor_stopped():
    state = TrainingState()
    state.pause()
    state.go_on()
    state.stop()
    assert state.status is Status.IDLE


def test_losses_and_fidelity_become_curves():
    state = TrainingState()
    state.begin("")
    state.advance(progress(1, losses={"critic": 2.0}))
    state.advance(progress(2, losses={"critic": 1.0}, fidelity={"s2": 3.0, "selection": 9.0}))
    assert state.losses.points == {"critic": ([1, 2], [2.0, 1.0])}
    assert state.ratios.points == {"s2": ([2], [3.0])}
    assert state.fidelity == {"s2": 3.0}


def test_the_last_message_and_the_best_model_are_kept():
    state = TrainingState()
    state.begin("")
    model = object()
    state.advance(progress(1, message="Half way.", model=model))
    state.advance(progress(2))
    assert (state.message, state.model) == ("Half way.", model)


def test_what_was_said_while_getting_ready_goes_with_the_first_step():
    state = TrainingState()
    state.begin("")
    state.advance(progress(0, message="Looking for a good start."))
    assert state.message
    state.advance(progress(1))
    assert not state.message


def test_every_news_is_told_even_if_it_is_equal():
    state = TrainingState()
    told = []
    state.events.progress.connect(told.append)
    state.advance(progress(1))
    state.advance(progress(1))
    assert len(told) == 2


def test_a_new_training_forgets_the_one_before_but_the_same_one_remembers():
    state = TrainingState()
    state.begin("first")
    state.advance(progress(1, losses={"critic": 2.0}, model=object()))
    state.end()
    state.begin("first", again=True)
    assert state.losses.points
    assert state.model is not None
    state.begin("second")
    assert not state.losses.points
    assert state.model is None


def test_a_crash_says_why_and_keeps_the_model():
    state = TrainingState()
    state.begin("")
    state.advance(progress(1, model="model"))
    state.crash("No memory.")
    assert (state.status, state.message, state.model) == (Status.CRASHED, "No memory.", "model")
