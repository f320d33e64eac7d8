"""The main job from end to end on built-in data: train, generate, measure, draw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_microgen.errors import InputError, RunError

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (128, 128, 128)


def run_demo(folder: Path, minutes: float) -> dict[str, Any]:
    """Train the quick SliceGAN on a battery electrode and show how far to trust the result.

    Parameters
    ----------
    folder : Path
        Where to write; made if it is not there.
    minutes : float
        Training time. Generating and measuring take one or two minutes more.

    Returns
    -------
    dict
        The files that were written, by what they are, and ``"fidelity"``: errors over the real
        image's own sampling noise.

    Raises
    ------
    InputError
        If the folder cannot be used, or `minutes` is out of range.
    RunError
        If training or writing fails.
    """
    from napari_microgen.io.tiff import write_confidence, write_sample
    from napari_microgen.methods import get_method
    from napari_microgen.metrics.report import compare_steps
    from napari_microgen.phases import PhaseImage
    from napari_microgen.runs import follow, generate_sample, make_config, say, train_model
    from napari_microgen.sample_data import sample_image

    method = get_method("slicegan")
    config = make_config(method, "quick", {"minutes": minutes})
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be made: {error.strerror}.") from None
    files = {
        "model": folder / "model.safetensors",
        "volume": folder / "volume.tif",
        "confidence": folder / "confidence.tif",
        "metrics": folder / "metrics.json",
        "table": folder / "metrics.csv",
        "figure": folder / "real_and_generated.png",
    }
    real = sample_image("electrode")
    say(f"1/3 Training on '{real.name}', {' x '.join(map(str, real.shape))} pixels.")
    model, _ = train_model(method, [real], config, files["model"])
    say(f"2/3 Generating {' x '.join(map(str, SHAPE))} voxels.")
    sample, _ = generate_sample(model, SHAPE)
    write_sample(files["volume"], sample)
    write_confidence(files["confidence"], sample)
    say("3/3 Measuring both.")
    report = follow(compare_steps(real, PhaseImage.from_tiff(files["volume"])), "Measuring")
    result = report.to_dict()
    try:
        files["metrics"].write_text(json.dumps(result, indent=1))
    except OSError as error:
        raise RunError(f"'{files['metrics']}' cannot be written: {error.strerror}.") from None
    report.to_csv(files["table"])
    report.figure(files["figure"])
    return {name: str(path) for name, path in files.items()} | {"fidelity": result["fidelity"]}
