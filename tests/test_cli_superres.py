"""SuperRes on the command line, from two TIFFs to volumes and maps."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tifffile import imread

from napari_microgen.cli import main
from napari_microgen.io.tiff import read_tiff, write_tiff
from napari_microgen.methods.superres.degradation import coarsened

SETTINGS = {
    "widths": "4 4 6 6", "critic_widths": "8 8", "planes": 2, "real_patches": 4, "threads": 1,
    "measured_side": 64, "noise_channels": 2, "phase_map": "0:0,1:1,2:0",
}  # fmt: skip


def blobs(shape, seed):
    random = np.random.default_rng(seed)
    first, second = (gaussian_filter(random.normal(size=shape), s, mode="wrap") for s in (5, 2.5))
    solid = first > np.quantile(first, 0.55)
    binder = ~solid & (second > np.quantile(second[~solid], 0.4 / 0.55))
    return np.where(solid, 1, np.where(binder, 2, 0)).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A section and a coarse volume as TIFFs that state their voxel sizes."""
    folder = tmp_path_factory.mktemp("superres")
    write_tiff(folder / "high.tif", blobs((128, 128), 0), voxel_size=(50, 50), unit="nm")
    coarse = coarsened(blobs((64, 72, 80), 1) == 1, 4).astype(np.uint8)
    write_tiff(folder / "low.tif", coarse, voxel_size=(0.2,) * 3, unit="um")
    return folder


def run(capsys, *words):
    """Run a command; return its exit code, JSON document and standard error."""
    code = main([*map(str, words), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if code == 0 else None, said.err


@pytest.fixture
def model(folder, capsys):
    """A model of two steps, trained once."""
    path = folder / "model.safetensors"
    if not path.exists():
        words = [f"--set={key}={value}" for key, value in SETTINGS.items()]
        code, told, errors = run(
            capsys, "train", "superres", folder / "high.tif", folder / "low.tif", "--out", path,
            "--steps", 2, "--device", "cpu", *words,
        )  # fmt: skip
        assert code == 0, errors
        assert told["method"] == "superres" and told["steps"] == 2
        assert told["fidelity"]["disagreement"] < 0.5
        assert "Scale factor 4 (from the voxel sizes)" in errors
        assert "Phase map 0:0,1:1,2:0 (as set)" in errors
    return path


def test_trains_and_generates_all_there_is(model, folder, capsys):
    out, entropy, where = (folder / name for name in ("sr.tif", "entropy.tif", "where.tif"))
    code, told, errors = run(
        capsys, "generate", model, "--out", out, "--entropy", entropy, "--ensemble", 2,
        "--disagreement", where,
    )  # fmt: skip
    assert code == 0, errors
    assert told["shape"] == [56, 64, 72]
    assert told["ensemble"] == 2 and 0 < told["mean_entropy"] < 1
    stored = read_tiff(out)
    assert stored.voxel_size == pytest.approx((0.05,) * 3) and stored.unit == "um"
    assert imread(entropy).shape == (56, 64, 72)
    assert told["mean_entropy"] == pytest.approx(imread(entropy).mean(), abs=1e-6)
    assert told["disagreement"] == pytest.approx(imread(where).mean())
    assert read_tiff(where).voxel_size == pytest.approx((0.2,) * 3)


def test_another_volume_can_be_given(model, folder, capsys):
    other = folder / "other.tif"
    write_tiff(other, imread(folder / "low.tif")[:10, :9], voxel_size=(0.2,) * 3, unit="um")
    code, told, errors = run(
        capsys, "generate", model, "--low", other, "--out", folder / "other_sr.tif"
    )
    assert code == 0, errors
    assert told["shape"] == [32, 28, 72]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--low", "high.tif"], "3D volume of labels"),
        (["--ensemble", "1"], "from 2 to 255"),
        (["--periodic", "z"], "opposite faces"),
        (["--shape", "400", "30", "30"], "at most 56 x 64 x 72"),
        (["--entropy", "out.tif"], "the same file"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(model, folder, capsys, monkeypatch, words, told):
    monkeypatch.chdir(folder)
    code, _, errors = run(capsys, "generate", model, "--out", "out.tif", *words)
    assert code == 2
    assert told in errors and errors.count("\n") == 1


def test_a_result_too_small_to_be_compared_is_told(model, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    words = ("--shape", "1", "1", "1", "--disagreement", "where.tif")
    code, _, errors = run(capsys, "generate", model, "--out", "out.tif", *words)
    assert code == 2
    assert "too small to be compared" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["low.tif", "high.tif"], "is 2D; SuperRes needs 3D"),
        (["high.tif"], "2 to 4 images"),
        (["high.tif", "low.tif", "--set", "scale_factor=20"], "at most 8"),
        (["high.tif", "low.tif", "--set", "phase_map=0:0,1:1"], "without a partner"),
    ],
)
def test_wrong_pairs_are_told_in_a_sentence(folder, capsys, monkeypatch, words, told):
    monkeypatch.chdir(folder)
    code, _, errors = run(capsys, "train", "superres", *words, "--out", "wrong")
    assert code == 2
    assert told in errors and errors.count("\n") == 1
