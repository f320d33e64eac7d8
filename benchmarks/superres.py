"""Judge SuperRes by a fine volume that it did not see, and by the image that it did.

    python benchmarks/superres.py cathode [--preset quick] [--steps N | --minutes M] [--seeds 3]
        [--set KEY=VALUE]... [--train-seed 0] [--model MODEL] [--save MODEL] [--figures DIR]
        [--json OUT.json]
    python benchmarks/superres.py HIGH2D LOW3D [--truth HIGH3D] [--voxel-sizes HIGH LOW] ...
    python benchmarks/superres.py HIGH_Z HIGH_Y HIGH_X LOW3D ...

The sample brings its own truth. Everything is measured on the whole volumes but their border, one
coarse voxel wide; figures of the result are means over the seeds. One thread is used.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_microgen.generation.ensemble import ensemble_steps
from napari_microgen.methods import get_method, load_model
from napari_microgen.metrics._steps import finish
from napari_microgen.metrics.correlations import fft_profile
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.metrics.surfaces import interphase_areas, triple_phase_boundary
from napari_microgen.metrics.transport import transport
from napari_microgen.phases import PhaseImage, to_indices
from napari_microgen.sample_data import sample_image
from napari_microgen.training.orientations import find_orientations

RATIOS = ("volume_fraction", "s2", "ssa", "chord", "ripple", "isotropy", "mean")


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    data, truth = sources(arguments)
    model, training = trained(arguments, data)
    shape = model.fitting_shape()
    begun = time.process_time()
    samples = [model.generate(shape, seed=100 + i) for i in range(arguments.seeds)]
    seconds = (time.process_time() - begun) / len(samples)
    found = {
        "machine": f"one thread, {platform.machine()}, {datetime.date.today()}",
        "training": training,
        "seconds_per_volume": seconds,
        "shape": shape,
        "phases": [p.name for p in model.origin.phases],
        "disagreement": [model.disagreement(s).share for s in samples],
        "entropy": finish(ensemble_steps(model, shape, 8)).mean_entropy,
        "sides": sides(model, data, truth, samples),
        "fidelity": fidelity(model, data, samples),
        "in_painted": None if truth is None else in_painted(model, truth, samples),
    }
    print_tables(found)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1))
    if arguments.figures:
        from superres_figures import draw

        fine = None if truth is None else without_border(model, truth)
        profiles = spectra(model, data, fine, samples[0])
        folder = Path(arguments.figures)
        draw(folder, arguments.name, model, data, fine, samples[0], profiles)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--truth")
    parser.add_argument("--voxel-sizes", type=float, nargs=2, metavar=("HIGH", "LOW"))
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--steps", type=int, default=0, help="instead of --minutes")
    parser.add_argument("--train-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3, help="volumes that are generated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--model", help="instead of training one")
    parser.add_argument("--save")
    parser.add_argument("--figures", metavar="DIR")
    parser.add_argument("--name", default="cathode", help="what the figures are named by")
    parser.add_argument("--json")
    return parser.parse_args()


def sources(arguments):
    """Return images and volume, and the true fine volume as phase indices if it is known."""
    if arguments.sources == ["cathode"]:
        parts = ("fine section", "coarse volume", "true fine volume")
        section, coarse, truth = (sample_image("cathode", part) for part in parts)
        return [section, coarse], truth.data
    data = [PhaseImage.from_tiff(path, kind="labels") for path in arguments.sources]
    if arguments.voxel_sizes:
        fine, coarse = arguments.voxel_sizes
        sizes = [fine] * (len(data) - 1) + [coarse]
        data = [
            replace(image, voxel_size=(size,) * image.ndim, unit="nm")
            for image, size in zip(data, sizes, strict=True)
        ]
    truth = PhaseImage.from_tiff(arguments.truth, kind="labels").data if arguments.truth else None
    return data, truth


def trained(arguments, data):
    if arguments.model:
        model = load_model(arguments.model)
        return model, {"steps": model.origin.steps, "kept": model.origin.steps}
    method = get_method("superres")
    config = method.config_class.from_preset(
        arguments.preset,
        minutes=10_000 if arguments.steps else arguments.minutes,
        steps=arguments.steps,
        seed=arguments.train_seed,
        preview_seconds=0,
        threads=1,
        **dict(item.split("=", 1) for item in arguments.set),
    )
    for line in (*method.check(data, config), *method.notes(data, config)):
        print(line)
    begun, last = time.process_time(), None
    for progress in method.train(data, config):
        last = progress
    model = last.model
    if arguments.save:
        model.save(arguments.save)
    cpu = time.process_time() - begun
    return model, {"steps": last.step, "kept": model.origin.steps, "cpu_seconds": cpu}


# ---------------------------------------------------------------------- measuring


def as_indices(model, sample):
    return to_indices(sample.data, model.origin.phases)


def without_border(model, data):
    """Cut off what is cropped from the result."""
    crop, shape = model.crop, model.fitting_shape()
    return data[tuple(slice(crop, crop + n) for n in shape)]


def sides(model, data, truth, samples):
    """Measure image, truth and every result by what their dimensions allow."""
    count = len(model.origin.phases)
    measured = {"image": merge([measure(image.data, count, 2) for image in data[:-1]])}
    if truth is not None:
        measured["truth"] = merge([measure(without_border(model, truth), count, 3)])
    measured["result"] = merge([measure(as_indices(model, s), count, 3) for s in samples])
    return measured


def measure(data, count, ndim):
    """Return volume fractions, shares of faces and edges, and D_rel over the axes."""
    stacked = ndim == 2 and data.ndim == 3
    sections = data if stacked else data[None]
    found = {"fraction": [float(np.mean(data == i)) for i in range(count)]}
    pairs = list(itertools.combinations(range(count), 2))
    if ndim == 2:
        areas = np.mean([interphase_areas(s, count, per="face") for s in sections], axis=0)
    else:
        areas = interphase_areas(data, count, per="face")
        found["tpb"] = float(triple_phase_boundary(data).fraction) if count > 2 else None
        found["d_rel"] = [
            [transport(data, i, axis, tolerance=1e-3).d_rel for axis in range(3)]
            for i in range(count)
        ]
    found["faces"] = [float(areas[i, j]) for i, j in pairs]
    return found


def merge(measured):
    """Average the numbers of several sides alike."""
    return {
        name: None if value is None else np.mean([m[name] for m in measured], axis=0).tolist()
        for name, value in measured[0].items()
    }


def fidelity(model, data, samples):
    """Compare the results with the images, in units of the images' own noise."""
    orientations = find_orientations(data[:-1], model.config)
    reference = Reference({a: o.image for o in orientations for a in o.axes})
    scores = reference.score([as_indices(model, s) for s in samples]).to_dict()
    return {name: scores[name] for name in RATIOS}


def in_painted(model, truth, samples):
    """How often phases that the coarse volume does not show are where the truth has them.

    Chance is the same share if the result's voxels of that phase were anywhere among those that
    look like it in the coarse volume.
    """
    low, factor = model.low, float(model.factor)
    nearest = [((np.arange(n) + 0.5) / factor).astype(int) for n in truth.shape]
    shown = without_border(model, low.data[np.ix_(*nearest)])
    truth = without_border(model, truth)
    matrix = model.degradation.merging.numpy()
    rows = {}
    for i, phase in enumerate(model.origin.phases):
        partner = int(matrix[:, i].argmax())
        if matrix[partner].sum() < 2:
            continue
        possible = shown == partner
        found = [as_indices(model, s)[possible] == i for s in samples]
        true = truth[possible] == i
        rows[phase.name] = {
            "found": float(np.mean([f[true].mean() for f in found])),
            "chance": float(np.mean([f.mean() for f in found])),
            "fraction_there": float(true.mean()),
        }
    return rows


def spectra(model, data, truth, sample):
    """Return Fourier profiles of crops of one size (paper 001, figure 18)."""
    from superres_figures import stretched

    count, image = len(model.origin.phases), data[0].data
    section = image if image.ndim == 2 else image[0]
    side = min(*model.fitting_shape(), *section.shape)
    highs = model.degradation.merging.numpy().argmax(1)  # a fine phase for every coarse one
    volumes = {
        "coarse volume": highs[stretched(model)].astype(np.uint8),
        "image": section[None],
        "result": as_indices(model, sample),
    }
    if truth is not None:
        volumes["truth"] = truth
    return {n: fft_profile(v[:, :side, :side], count) for n, v in volumes.items()}


# ---------------------------------------------------------------------- printing


def print_tables(found) -> None:
    training = found["training"]
    print(f"\n{found['machine']}; {training['steps']} steps (kept: {training['kept']})", end="")
    print(f" in {training['cpu_seconds']:.0f} CPU s" if "cpu_seconds" in training else "", end="")
    shape = " x ".join(map(str, found["shape"]))
    print(f"; {shape} voxels in {found['seconds_per_volume']:.1f} CPU s")
    shares = ", ".join(f"{100 * share:.2f} %" for share in found["disagreement"])
    print(f"disagreement {shares}; mean entropy of 8 seeds {found['entropy']:.3f}")
    ratios = ", ".join(f"{name} {value:.2f}" for name, value in found["fidelity"].items())
    print(f"error over the image's noise: {ratios}\n")
    sides, names = found["sides"], found["phases"]
    print(f"| | {' | '.join(sides)} |\n|---|{'---|' * len(sides)}")
    for i, name in enumerate(names):
        row(f"fraction of {name}", [f"{s['fraction'][i]:.3f}" for s in sides.values()])
    for k, (i, j) in enumerate(itertools.combinations(range(len(names)), 2)):
        title = f"faces between {names[i]} and {names[j]}"
        row(title, [f"{s['faces'][k]:.4f}" for s in sides.values()])
    if sides["result"]["tpb"] is not None:
        row("edges at a triple-phase boundary",
            [f"{s['tpb']:.5f}" if "tpb" in s else "–" for s in sides.values()])  # fmt: skip
    for i, name in enumerate(names):
        values = [
            ", ".join(f"{x:.3f}" for x in s["d_rel"][i]) if "d_rel" in s else "–"
            for s in sides.values()
        ]
        row(f"D<sub>rel</sub> of {name} along z, y, x", values)
    if found["in_painted"]:
        print("\n| phase that looks like another | found | by chance |\n|---|---|---|")
        for name, share in found["in_painted"].items():
            print(f"| {name} | {share['found']:.3f} | {share['chance']:.3f} |")


def row(title, values) -> None:
    print(f"| {title} | {' | '.join(values)} |")


if __name__ == "__main__":
    main()
