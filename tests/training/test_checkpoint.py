import subprocess
import sys

import pytest
import torch

from napari_microgen.training.checkpoint import load_checkpoint, save_checkpoint

STATE = {"signature": "ours", "weights": torch.zeros(1000)}

# In a process of its own: the limit would hold for the tests' own log too.
FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from napari_microgen.training.checkpoint import save_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
try:
    save_checkpoint(Path(sys.argv[1]), {"signature": "ours", "weights": torch.zeros(1000)})
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""

LITTLE_MEMORY = """
import psutil, resource, sys, torch
from pathlib import Path
from napari_microgen.errors import ran_out_of_memory
from napari_microgen.training.checkpoint import load_checkpoint
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + 2**25, resource.RLIM_INFINITY))
try:
    load_checkpoint(Path(sys.argv[1]), "ours")
except Exception as error:
    print(ran_out_of_memory(error), "damaged" in str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_one_plain_sentence(tmp_path):
    path = tmp_path / "run"
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == (
        f"RunError: The checkpoint '{path}' cannot be written (the disk is probably full); make "
        "room on the disk."
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what is asked for")
def test_a_checkpoint_larger_than_the_memory_is_not_called_damaged(tmp_path):
    path = tmp_path / "run"
    save_checkpoint(path, {**STATE, "weights": torch.zeros(2**25)})
    run = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "True False"


def test_what_is_saved_is_loaded(tmp_path):
    save_checkpoint(tmp_path / "new" / "run", STATE)
    assert load_checkpoint(tmp_path / "new" / "run", "ours")["signature"] == "ours"
