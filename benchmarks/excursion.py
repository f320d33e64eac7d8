"""Calibrate excursion sets to images, judge drawn volumes, print tables and JSON.

    python benchmarks/excursion.py IMAGE... [--algorithms] [--seed 0] [--set KEY=VALUE]...
        [--montage OUT.png] [--json OUT.json]

For every image: every model that was tried with its misfits, the CPU time of the whole
calibration, and the perimeters per area of the sections of volumes drawn from the best one
against the image's, along all three axes. With --algorithms, the paper's Algorithms 1, 2 and 3
beside the exact fit, on the first image.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

from napari_microgen.methods import get_method
from napari_microgen.methods.excursion.estimator import estimate_coverage
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.phases import PhaseImage, to_indices

VOLUMES = 3
SIDE = 160
METHOD = get_method("excursion")
MISFITS = ("s2_rmse", "surface", "chord", "euler")


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    images = [PhaseImage.from_tiff(path) for path in arguments.images]
    print(f"One thread, {platform.processor() or platform.machine()}; seed {arguments.seed}\n")
    models, fits = zip(*(one_fit(image, arguments) for image in images), strict=True)
    result = {"fits": list(fits)}
    print_fits(fits)
    if arguments.algorithms:
        result["algorithms"] = compare_algorithms(images[0], models[0], fits[0], arguments)
        print_algorithms(result["algorithms"])
    if arguments.montage:
        montage(arguments.montage, images, models)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+")
    parser.add_argument("--algorithms", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--montage")
    parser.add_argument("--json")
    return parser.parse_args()


def calibrated(image, arguments, **changes):
    """Return the model, what the user is told, and the CPU seconds."""
    given = dict(item.split("=", 1) for item in arguments.set)
    config = METHOD.config_class(
        seed=arguments.seed, threads=1, preview_seconds=0, minutes=120, **{**changes, **given}
    )
    cpu = time.process_time()
    *_, last = METHOD.train([image], config)
    return last.model, last.message, time.process_time() - cpu


def one_fit(image, arguments):
    model, message, cpu = calibrated(image, arguments)
    began = time.process_time()
    found = section_surfaces(model)
    rate = VOLUMES * SIDE**3 / (time.process_time() - began)
    wanted = estimate_coverage(image).perimeters
    return model, {
        "image": Path(image.name).stem, "shape": list(image.shape), "cpu_seconds": cpu,
        "told": message, "table": model.table(), "fidelity": dict(model.origin.fidelity),
        "volume_surfaces": float(np.max(np.abs(found / wanted - 1))),
        "voxels_per_cpu_second": rate,
    }  # fmt: skip


def section_surfaces(model):
    """Return perimeters per area of sections along z, y, x, the mean over volumes."""
    phases, surfaces = model.origin.phases, []
    for seed in range(VOLUMES):
        drawn = model.generate((SIDE,) * 3, 1000 + seed, periodic=(True,) * 3).data
        volume = to_indices(drawn, phases)
        surfaces.append([
            ssa(np.moveaxis(volume, axis, 0), len(phases), stacked=True) for axis in range(3)
        ])  # fmt: skip
    return np.mean(surfaces, axis=0)


def print_fits(fits) -> None:
    print("| image | best model | CPU s | S2 rmse | surfaces | chords | Euler | surfaces in 3D |")
    print("|---|---|---|---|---|---|---|---|")
    for fit in fits:
        best = fit["table"][0]
        print(
            f"| {fit['image']} {' x '.join(map(str, fit['shape']))} | {best['model']} | "
            f"{fit['cpu_seconds']:.0f} | {best['s2_rmse']:.4f} | {100 * best['surface']:.1f} % | "
            f"{best['chord']:.2f} | {best['euler']:.2f} | {100 * fit['volume_surfaces']:.1f} % |"
        )
    for fit in fits:
        print(f"\n{fit['image']}: {fit['told']}")
        print(f"{fit['voxels_per_cpu_second']:.2g} voxels drawn per CPU second\n")
        print_table(fit["table"])


def print_table(table) -> None:
    print("| model | phases in order | sign | S2 rmse | surfaces | chords | Euler |")
    print("|---|---|---|---|---|---|---|")
    for row in table:
        order = " ".join(str(phase) for phase in row["roles"])
        sign = "-" if row["sign"] < 0 else "+"
        print(
            f"| {row['model']} | {order} | {sign} | {row['s2_rmse']:.4f} | "
            f"{100 * row['surface']:.1f} % | {row['chord']:.2f} | {row['euler']:.2f} |"
        )


def compare_algorithms(image, exact, fit, arguments):
    """Run each algorithm after the exact fits; its own CPU time is the difference."""
    exact_seconds = fit["cpu_seconds"]
    rows = [{**exact.table()[0], "algorithm": "exact fits, all", "cpu_seconds": exact_seconds}]
    for algorithm in ("1", "2", "3"):
        model, message, cpu = calibrated(image, arguments, algorithm=algorithm)
        rows.append({**model.table()[0], "cpu_seconds": cpu - exact_seconds, "told": message,
                     "steps": model.origin.steps})  # fmt: skip
        rows[-1]["algorithm"] = f"Algorithm {algorithm}"
    return rows


def print_algorithms(rows) -> None:
    print("\n| | model | CPU s | S2 rmse at the start | S2 rmse | surfaces | chords | Euler |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['algorithm']} | {row['model']} | {row['cpu_seconds']:.0f} | "
            f"{row['start_rmse']:.4f} | {row['s2_rmse']:.4f} | {100 * row['surface']:.1f} % | "
            f"{row['chord']:.2f} | {row['euler']:.2f} |"
        )


def montage(path, images, models) -> None:
    """Real images above drawn sections, at the same scale and in the same colours."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    side = min(min(image.shape[-2:]) for image in images)
    figure, axes = plt.subplots(
        2, len(images), figsize=(2.6 * len(images), 5.5), layout="constrained", squeeze=False
    )
    for column, image, model in zip(axes.T, images, models, strict=True):
        colours = np.array([matplotlib.colors.to_rgb(p.color) for p in image.phases])
        real = image.data if image.ndim == 2 else image.data[0]
        shown = (real[:side, :side], Path(image.name).stem), (model.section((side, side)), "drawn")
        for plot, (section, name) in zip(column, shown, strict=True):
            plot.imshow(colours[section], interpolation="nearest")
            plot.set_title(name, fontsize=9)
            plot.set_axis_off()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
