import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tifffile
from tiny_method import TinyMethod

from napari_microgen.cli import main
from napari_microgen.io.tiff import read_tiff, write_tiff
from napari_microgen.methods import METHODS, load_model


@pytest.fixture
def section(tmp_path, three_phases):
    """A TIFF of three phases with names, colours and a voxel size of 25 nm."""
    return write_tiff(
        tmp_path / "section.tif", three_phases.to_values(three_phases.data),
        voxel_size=(25, 25), unit="nm", phases=three_phases.phases,
    )  # fmt: skip


@pytest.fixture
def model(tmp_path, train_tiny, three_phases):
    return train_tiny(three_phases).save(tmp_path / "model.safetensors")


@pytest.fixture
def run(capsys, tiny_method):
    """Returns a function that runs a command and gives exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def document(out):
    """The one JSON document that standard output holds, by the strict rules of JSON."""
    assert out.count("\n") == 1
    return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def refused(answer, *words, code=2):
    """Whether it was refused in one line on standard error that says what is wrong."""
    exit_code, out, err = answer
    assert exit_code == code
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("napari-microgen: ")
    for word in words:
        assert word in lines[0]


# ---------------------------------------------------------------------- train


def test_train_writes_a_model_and_tells_what_scripts_rely_on(run, section, tmp_path):
    out = tmp_path / "m.safetensors"
    code, stdout, _ = run("train", "tiny", section, "--out", out, "--json")
    assert code == 0
    result = document(stdout)
    assert set(result) >= {"model", "method", "steps", "seconds", "device", "fidelity"}
    assert (result["model"], result["method"], result["steps"]) == (str(out), "tiny", 5)
    assert result["fidelity"] == {"mean": 1.5, "s2": None}
    origin = load_model(out).origin
    assert [p.name for p in origin.phases] == ["pore", "nickel", "phase 200"]
    assert (origin.voxel_size, origin.unit) == ((25, 25, 25), "nm")


def test_settings_come_from_preset_options_and_set_in_this_order(run, section, tmp_path):
    run(
        "train", "tiny", section, "--out", tmp_path / "m", "--preset", "standard",
        "--steps", 3, "--seed", 8, "--minutes", 2, "--device", "cpu", "--set", "rate=0.125",
        "--set", "loud=yes",
    )  # fmt: skip
    config = load_model(tmp_path / "m.safetensors").origin.config
    assert config == {
        "preset": "standard", "minutes": 2.0, "steps": 3, "seed": 8, "device": "cpu",
        "rate": 0.125, "fail_at": 0, "loud": True,
    }  # fmt: skip


def test_only_the_document_goes_to_standard_output_even_if_libraries_print(run, section, tmp_path):
    arguments = ("train", "tiny", section, "--out", tmp_path / "m", "--set", "loud=yes")
    _, out, err = run(*arguments, "--json")
    document(out)
    assert "a library prints this" in err


def test_progress_and_warnings_go_to_standard_error(run, tmp_path):
    small = write_tiff(tmp_path / "small.tif", np.eye(9, dtype=np.uint8))
    _, out, err = run("train", "tiny", small, "--out", tmp_path / "m")
    assert "warning: The image is small." in err
    assert "left" in err
    assert "100 %" in err
    assert "steps: 5" in out


def test_a_checkpoint_stays_and_resuming_goes_on_with_a_larger_budget(run, section, tmp_path):
    out = tmp_path / "m.safetensors"
    run("train", "tiny", section, "--out", out, "--steps", 3)
    assert (tmp_path / "m.checkpoint").is_file()
    _, stdout, _ = run("train", "tiny", section, "--out", out, "--steps", 9, "--resume", "--json")
    assert document(stdout)["steps"] == 9
    resumed = load_model(out).tensors()["fractions"]
    run("train", "tiny", section, "--out", tmp_path / "n", "--steps", 9)
    assert np.array_equal(resumed, load_model(tmp_path / "n.safetensors").tensors()["fractions"])


def test_resuming_without_a_checkpoint_is_refused(run, section, tmp_path):
    answer = run("train", "tiny", section, "--out", tmp_path / "m", "--resume")
    assert answer[0] == 2
    assert "no checkpoint" in answer[2]


def test_a_failing_run_keeps_the_best_model_and_exits_with_one(run, section, tmp_path):
    code, out, err = run(
        "train", "tiny", section, "--out", tmp_path / "m", "--set", "fail_at=3", "--json"
    )
    assert (code, out) == (1, "")
    assert "no longer finite" in err.splitlines()[-1]
    assert "best model so far" in err.splitlines()[-1]
    assert load_model(tmp_path / "m.safetensors").origin.steps == 2


def test_ctrl_c_keeps_the_checkpoint_and_the_best_model(run, section, tmp_path, monkeypatch):
    whole, before = TinyMethod.train, signal.getsignal(signal.SIGINT)

    def interrupted(self, *arguments, **options):
        for progress in whole(self, *arguments, **options):
            if progress.step == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield progress

    monkeypatch.setattr(TinyMethod, "train", interrupted)
    code, out, err = run("train", "tiny", section, "--out", tmp_path / "m", "--json")
    assert (code, out) == (130, "")
    assert "--resume" in err.splitlines()[-1]
    assert load_model(tmp_path / "m.safetensors").origin.steps == 2
    monkeypatch.setattr(TinyMethod, "train", whole)
    _, out, _ = run("train", "tiny", section, "--out", tmp_path / "m", "--resume", "--json")
    assert document(out)["steps"] == 5
    assert signal.getsignal(signal.SIGINT) is before


def test_kinds_and_the_meaning_of_zero_can_be_said(run, section, tmp_path):
    run("train", "tiny", section, "--out", tmp_path / "m", "--zero", "unlabelled")
    assert [p.value for p in load_model(tmp_path / "m.safetensors").origin.phases] == [3, 200]
    run("train", "tiny", section, "--out", tmp_path / "m", "--kind", "grey")
    assert load_model(tmp_path / "m.safetensors").origin.kind == "grey"


def test_two_images_are_handed_on_in_order(run, section, tmp_path):
    code, _, _ = run("train", "tiny", section, section, "--out", tmp_path / "m")
    assert code == 0
    refused(run("train", "tiny", *[section] * 3, "--out", tmp_path / "m"), "1 to 2 images, not 3")


BAD_TRAININGS = {
    "no method": (["train"], ["required", "--help"]),
    "unknown method": (["train", "gan", "SECTION", "--out", "m"], ["no method 'gan'", "slicegan"]),
    "no input": (["train", "tiny", "--out", "m"], ["required"]),
    "no out": (["train", "tiny", "SECTION"], ["--out"]),
    "unknown option": (["train", "tiny", "SECTION", "--out", "m", "--fast"], ["--fast"]),
    "missing file": (["train", "tiny", "none.tif", "--out", "m"], ["no file 'none.tif'"]),
    "no TIFF": (["train", "tiny", __file__, "--out", "m"], ["no TIFF"]),
    "preset": (["train", "tiny", "SECTION", "--out", "m", "--preset", "best"], ["'best'", "quick"]),
    "minutes": (["train", "tiny", "SECTION", "--out", "m", "--minutes", "soon"], ["soon"]),
    "no minutes": (["train", "tiny", "SECTION", "--out", "m", "--minutes", "0"], ["at least"]),
    "steps": (["train", "tiny", "SECTION", "--out", "m", "--steps", "1.5"], ["1.5"]),
    "seed": (["train", "tiny", "SECTION", "--out", "m", "--seed", "-1"], ["'seed'"]),
    "device": (["train", "tiny", "SECTION", "--out", "m", "--device", "tpu"], ["--device", "cpu"]),
    "set": (["train", "tiny", "SECTION", "--out", "m", "--set", "rate"], ["KEY=VALUE"]),
    "setting": (["train", "tiny", "SECTION", "--out", "m", "--set", "cls=1"], ["no setting 'cls'"]),
    "value": (["train", "tiny", "SECTION", "--out", "m", "--set", "rate=x"], ["'rate'", "number"]),
    "folder": (["train", "tiny", "SECTION", "--out", "nowhere/m"], ["no folder"]),
    "kind": (["train", "tiny", "SECTION", "--out", "m", "--kind", "sound"], ["sound", "grey"]),
    "wrong kind": (["train", "tiny", "SECTION", "--out", "m", "--kind", "colour"], ["colour"]),
    "no command": ([], ["required", "--help"]),
    "unknown command": (["paint"], ["paint", "train"]),
}


@pytest.mark.parametrize("case", BAD_TRAININGS)
def test_wrong_arguments_get_one_line_and_change_nothing(run, section, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    arguments, words = BAD_TRAININGS[case]
    refused(run(*[section if a == "SECTION" else a for a in arguments]), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["section.tif"]


def test_a_preset_given_through_set_is_the_preset(run, section, tmp_path):
    run("train", "tiny", section, "--out", tmp_path / "m", "--set", "preset=standard")
    assert load_model(tmp_path / "m.safetensors").origin.config["rate"] == 0.5


def test_too_little_memory_for_training_is_said_before_the_start(
    run, section, tmp_path, monkeypatch
):
    monkeypatch.setattr(TinyMethod, "memory_needed", lambda *_: 10**15)
    refused(run("train", "tiny", section, "--out", tmp_path / "m"), "1 PB", "are free")


def test_an_unforeseen_failure_is_one_line_too(run, section, tmp_path, monkeypatch):
    monkeypatch.setattr(TinyMethod, "check", lambda *_: 1 / 0)
    answer = run("train", "tiny", section, "--out", tmp_path / "m")
    refused(answer, "unexpectedly", "ZeroDivisionError", code=1)


# ---------------------------------------------------------------------- generate


def test_generate_writes_the_volume_and_tells_what_scripts_rely_on(run, model, tmp_path):
    out, confidence = tmp_path / "v.tif", tmp_path / "c.tif"
    code, stdout, _ = run(
        "generate", model, "--shape", 6, 7, 8, "--out", out, "--confidence", confidence,
        "--seed", 5, "--json",
    )  # fmt: skip
    assert code == 0
    result = document(stdout)
    assert set(result) == {
        "out", "shape", "seconds", "voxels_per_second", "peak_memory_bytes", "seed",
    }  # fmt: skip
    assert (result["out"], result["shape"], result["seed"]) == (str(out), [6, 7, 8], 5)
    assert result["voxels_per_second"] > 0
    assert 10**7 < result["peak_memory_bytes"] < 10**11
    sample = load_model(model).generate((6, 7, 8), seed=5)
    stored = read_tiff(out)
    assert np.array_equal(stored.data, sample.data)
    assert (stored.voxel_size, stored.unit) == ((25, 25, 25), "nm")
    assert stored.names[0] == "pore"
    assert stored.metadata["seed"] == 5
    assert np.array_equal(read_tiff(confidence).data, sample.confidence)


def test_periodic_axes_are_named_by_letters(run, model, tmp_path):
    run("generate", model, "--shape", 4, 5, 6, "--out", tmp_path / "v.tif", "--periodic", "xz")
    assert read_tiff(tmp_path / "v.tif").metadata["periodic"] == [True, False, True]


BAD_GENERATIONS = {
    "no model": (["none.safetensors"], ["no file"]),
    "damaged model": (["DAMAGED"], ["damaged"]),
    "foreign model": (["PICKLE"], ["run code"]),
    "two lengths": (["MODEL", "--shape", "4", "5"], ["--shape"]),
    "no number": (["MODEL", "--shape", "4", "5", "six"], ["six"]),
    "nothing": (["MODEL", "--shape", "4", "5", "0"], ["three positive numbers"]),
    "negative": (["MODEL", "--shape", "4", "5", "-6"], ["three positive numbers"]),
    "axes": (["MODEL", "--periodic", "abc"], ["z, y and x"]),
    "seed": (["MODEL", "--seed", "-1"], ["whole number"]),
    "huge seed": (["MODEL", "--seed", "9999999999999"], ["whole number"]),
    "zarr": (["MODEL", "--out", "v.ome.zarr"], ["not available yet", ".tif"]),
    "cluster": (["MODEL", "--scheduler", "tcp://host"], ["not available yet"]),
    "suffix": (["MODEL", "--out", "v.png"], [".tif"]),
    "folder": (["MODEL", "--out", "nowhere/v.tif"], ["no folder"]),
    "a folder as file": (["MODEL", "--out", "FOLDER.tif"], ["is a folder"]),
    "device": (["MODEL", "--device", "tpu"], ["--device", "cpu"]),
    "one file for both": (["MODEL", "--confidence", "v.tif"], ["same file"]),
    "confidence suffix": (["MODEL", "--confidence", "c.npy"], [".tif"]),
}


@pytest.mark.parametrize("case", BAD_GENERATIONS)
def test_wrong_generations_get_one_line_and_change_nothing(run, model, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER.tif").mkdir()
    damaged, pickled = tmp_path / "damaged.safetensors", tmp_path / "model.pt"
    damaged.write_bytes(model.read_bytes()[:-1])
    pickled.write_bytes(b"\x80\x05" + bytes(20))
    before = set(tmp_path.iterdir())
    arguments, words = BAD_GENERATIONS[case]
    files = {"MODEL": model, "DAMAGED": damaged, "PICKLE": pickled}
    arguments = [files.get(a, a) for a in arguments]
    if "--shape" not in arguments:
        arguments += ["--shape", 4, 5, 6]
    if "--out" not in arguments:
        arguments += ["--out", "v.tif"]
    refused(run("generate", *arguments), *words)
    assert set(tmp_path.iterdir()) == before


def test_too_large_for_the_disk_is_said_before_the_start(run, model, tmp_path):
    huge = ("generate", model, "--shape", 10**5, 10**5, 10**5, "--out", tmp_path / "v.tif")
    refused(run(*huge), "1 PB", "of disk", "are free")


def test_too_large_for_the_memory_is_said_before_the_start(run, model, tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    answer = run("generate", model, "--shape", 30, 30, 30, "--out", tmp_path / "v.tif")
    refused(answer, "135 kB", "of memory", "1 kB are free")


def test_the_confidence_map_counts_for_the_disk_too(run, model, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=60_000))
    arguments = ("generate", model, "--shape", 30, 30, 30, "--out", tmp_path / "v.tif")
    refused(run(*arguments, "--confidence", tmp_path / "c.tif"), "135 kB", "c.tif")
    assert run(*arguments)[0] == 0


def test_grey_models_give_no_confidence(run, train_tiny, tmp_path):
    from napari_microgen.phases import PhaseImage

    image = PhaseImage.from_grey(np.random.default_rng(0).random((20, 20)))
    grey = train_tiny(image).save(tmp_path / "grey")
    shape = ("--shape", 4, 5, 6)
    answer = run("generate", grey, *shape, "--out", tmp_path / "v.tif", "--confidence", "c.tif")
    refused(answer, "neither confidence")
    assert run("generate", grey, *shape, "--out", tmp_path / "v.tif")[0] == 0
    assert read_tiff(tmp_path / "v.tif").data.dtype == np.float32


# ---------------------------------------------------------------------- measure

SIDE = {
    "voxel_size", "unit", "phases", "interphase_area", "tpb_density", "tpb_fraction", "s2",
    "warnings",
}  # fmt: skip


def blobs(seed, shape):
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(seed).random(shape), 2, mode="wrap")
    return (field > np.median(field)).astype(np.uint8)


@pytest.fixture
def images(tmp_path):
    real, generated = tmp_path / "real.tif", tmp_path / "generated.tif"
    tifffile.imwrite(real, blobs(0, (96, 96)))
    tifffile.imwrite(generated, blobs(1, (32, 32, 32)), photometric="minisblack")
    return real, generated


def test_measure_one_image(run, images, tmp_path):
    table = tmp_path / "table.csv"
    code, out, _ = run("measure", images[0], "--voxel-size", 50, "--out", table, "--json")
    assert code == 0
    result = document(out)
    assert result["generated"] is None
    assert result["fidelity"] is None
    side = result["real"]
    assert set(side) >= SIDE
    assert (side["voxel_size"], side["unit"]) == ([50, 50], "nm")
    assert side["phases"]["0"]["volume_fraction"] == pytest.approx(0.5, abs=1e-3)
    assert "volume_fraction" in table.read_text()


def test_compare_two_images(run, images, tmp_path):
    table, page = tmp_path / "table.csv", tmp_path / "page.png"
    code, out, _ = run("measure", *images, "--out", table, "--figure", page, "--json")
    assert code == 0
    result = document(out)
    for side in ("real", "generated"):
        assert set(result[side]) >= SIDE
        assert result[side]["unit"] == "pixel"
    assert set(result["fidelity"]) >= {
        "volume_fraction", "s2", "ssa", "chord", "ripple", "isotropy", "mean",
    }  # fmt: skip
    assert len(result["generated"]["phases"]["1"]["d_rel"]) == 3
    assert table.stat().st_size > 100
    assert page.read_bytes().startswith(b"\x89PNG")


def test_measurements_are_printed_for_people_without_json(run, images):
    _, out, _ = run("measure", images[0])
    assert "volume fraction: 0.5" in out
    assert "{" not in out


BAD_MEASUREMENTS = {
    "missing": (["none.tif"], ["no file"]),
    "single phase": (["FLAT"], ["single phase"]),
    "voxel size": (["REAL", "--voxel-size", "0"], ["positive length"]),
    "voxel size in words": (["REAL", "--voxel-size", "small"], ["positive length"]),
    "figure of one": (["REAL", "--figure", "page.png"], ["GENERATED"]),
    "figure suffix": (["REAL", "GENERATED", "--figure", "page.tif"], [".png"]),
    "table suffix": (["REAL", "--out", "table.xlsx"], [".csv"]),
    "table folder": (["REAL", "--out", "nowhere/table.csv"], ["no folder"]),
    "other phases": (["REAL", "OTHER"], ["same labels"]),
    "volume and section": (["GENERATED", "REAL"], ["volume"]),
    "sections": (["REAL", "--sections", "ab"], ["z, y and x"]),
}


@pytest.mark.parametrize("case", BAD_MEASUREMENTS)
def test_wrong_measurements_get_one_line(run, images, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    flat = write_tiff(tmp_path / "flat.tif", np.ones((32, 32), np.uint8))
    other = write_tiff(tmp_path / "other.tif", 5 + blobs(2, (32, 32)))
    arguments, words = BAD_MEASUREMENTS[case]
    files = {"REAL": images[0], "GENERATED": images[1], "FLAT": flat, "OTHER": other}
    code, out, err = run("measure", *[files.get(a, a) for a in arguments])
    assert (code, out) == (2, "")
    line = err.strip().splitlines()[-1]
    for word in words:
        assert word in line


# ---------------------------------------------------------------------- the process


def test_damaged_tiffs_add_no_lines_of_the_libraries(section, tmp_path):
    section.write_bytes(section.read_bytes()[:-40])
    answer = subprocess.run(
        [sys.executable, "-c", "import sys; from napari_microgen.cli import main; sys.exit(main())",
         "measure", str(section)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    refused((answer.returncode, answer.stdout, answer.stderr), "damaged")


def test_version_and_help_exit_with_zero(capsys):
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as ended:
            main([option])
        assert ended.value.code == 0
    assert "train" in capsys.readouterr().out


# ---------------------------------------------------------------------- demo


def test_demo_trains_generates_measures_and_draws(run, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_microgen.demo.SHAPE", (40, 40, 40))
    monkeypatch.setitem(METHODS, "slicegan", METHODS["tiny"])  # SliceGAN takes minutes
    folder = tmp_path / "new" / "demo"
    code, out, _ = run("demo", "--out", folder, "--json")
    assert code == 0
    result = document(out)
    written = {name: result[name] for name in result if name != "fidelity"}
    assert {str(path) for path in folder.iterdir()} == {
        *written.values(), str(folder / "model.checkpoint"),
    }  # fmt: skip
    volume = read_tiff(written["volume"])
    assert volume.data.shape == (40, 40, 40)
    assert (volume.voxel_size, volume.unit) == ((50, 50, 50), "nm")
    assert volume.names == {0: "pore", 1: "particle", 2: "binder"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["fidelity"] == result["fidelity"]


def test_demo_into_a_file_is_refused(run, section):
    refused(run("demo", "--out", section), "cannot be made")
    refused(run("demo", "--out", section.parent / "demo", "--minutes", 0), "'minutes'")
