import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "qtpy", "PyQt6", "PySide6", "napari", "scipy", "skimage", "matplotlib")


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True
    ).stdout


def seconds(code):
    started = time.perf_counter()
    run(code)
    return time.perf_counter() - started


@pytest.mark.parametrize(
    "module",
    [
        "napari_microgen",
        "napari_microgen.phases",
        "napari_microgen.methods",
        "napari_microgen.methods.base",
        "napari_microgen.io.readers",
        "napari_microgen.io.writers",
        "napari_microgen.io.layers",
        "napari_microgen.io.model_file",
        "napari_microgen.io.tiff",
        "napari_microgen.sample_data",
        "napari_microgen.cli",
    ],
)
def test_importing_loads_neither_torch_nor_qt(module):
    loaded = run(f"import sys, {module}; print(*sys.modules)").split()
    assert module in loaded
    assert not {m.partition(".")[0] for m in loaded} & set(HEAVY)


def test_importing_the_package_takes_less_than_a_third_of_a_second():
    empty = min(seconds("") for _ in range(3))
    assert min(seconds("import napari_microgen") for _ in range(3)) - empty < 0.3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["train"],
        ["train", "nothing", "a.tif", "--out", "m"],
        ["generate", "missing.safetensors", "--shape", "1", "2", "3", "--out", "v.tif"],
        ["generate", "m", "--shape", "1", "2", "x", "--out", "v.tif"],
        ["measure", "a.tif", "--voxel-size", "0"],
    ],
)
def test_help_and_wrong_arguments_are_answered_without_torch(arguments):
    loaded = run(
        "import sys\n"
        "from napari_microgen.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "print(*sys.modules)"
    )
    assert not set(loaded.splitlines()[-1].split()) & {"torch", "napari", "qtpy"}
