import pytest
import torch

from napari_microgen.errors import RunError
from napari_microgen.training.checkpoint import load_checkpoint, save_checkpoint

STATE = {"signature": "ours", "weights": torch.zeros(1000)}


@pytest.fixture
def small_files():
    """No file may grow beyond a kilobyte, as on a disk that is full."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_plain_sentence(tmp_path, small_files):
    path = tmp_path / "run"
    with pytest.raises(RunError) as caught:
        save_checkpoint(path, STATE)
    assert str(caught.value) == (
        f"The checkpoint '{path}' cannot be written (the disk is probably full); make room on "
        "the disk."
    )
    assert not list(tmp_path.iterdir())


def test_what_is_saved_is_loaded(tmp_path):
    save_checkpoint(tmp_path / "new" / "run", STATE)
    assert load_checkpoint(tmp_path / "new" / "run")["signature"] == "ours"
