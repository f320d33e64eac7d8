"""Judge a DC-GAN as its paper does (tables 3 and 4): means and standard deviations over cubes.

    python benchmarks/dcgan.py electrode [--model MODEL] [--preset quick] [--steps N | --minutes M]
        [--set KEY=VALUE]... [--crop N] [--volumes 8] [--cube 64] [--convergence PHASE]
        [--figures DIR] [--save MODEL] [--json OUT.json]
    python benchmarks/dcgan.py VOLUME.tif ...
    python benchmarks/dcgan.py --speed

The sample's volume is trained on, and fresh volumes of the same process are the truth; of a TIFF
there is no more than itself. Generated and real volumes are cut into cubes alike. --convergence
adds how D_rel of a phase converges with the volume's side with mirror and with periodic sides,
--figures draws D_rel over volume fraction (figures S2 and S3) and sections, and --speed takes a
few steps of every preset instead. One thread is used.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

from napari_microgen.methods import get_method, load_model
from napari_microgen.metrics.periodicity import both_sides, convergence, seam_mismatch
from napari_microgen.metrics.spread import (
    compare_cubes,
    d_rel_by_fraction,
    disjoint_cubes,
    over_axes,
)
from napari_microgen.phases import PhaseImage, to_indices
from napari_microgen.sample_data import SAMPLES, sample_image

FRESH = 100
"""Seed of the first volume that the training did not see, and of the first generated one."""

COLUMNS = {"volume_fraction": "volume fraction", "ssa": "surface", "d_rel": "D_rel"}
SIDES = (32, 64, 96, 128)
SEEDS = range(8)
SPEED_STEPS = 4


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    gpu = "a" if torch.cuda.is_available() else "no"
    print(f"one thread, {platform.machine()}, {gpu} GPU, {datetime.date.today()}")
    if arguments.speed:
        print_speed()
        return
    image = source_image(arguments.source)
    if arguments.crop:
        image = image.crop(*(slice(0, arguments.crop),) * 3)
    told = {"source": arguments.source}
    if arguments.model:
        model = load_model(arguments.model)
    else:
        model, told["training"] = train(image, arguments)
    if arguments.save:
        model.save(arguments.save)
    real = real_volumes(arguments, image)
    generated = [generate(model, arguments.side, FRESH + i) for i in range(arguments.volumes)]
    told["cubes"] = judge(model, real, generated, arguments)
    if arguments.convergence is not None:
        told["convergence"] = converge(model, arguments.convergence)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(told, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default="electrode")
    parser.add_argument("--model")
    parser.add_argument("--save")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--steps", type=int, default=0, help="instead of --minutes")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--crop", type=int, help="train on so many voxels along each axis only")
    parser.add_argument("--volumes", type=int, default=8)
    parser.add_argument("--side", type=int, default=128, help="of the volumes that are cut")
    parser.add_argument("--cube", type=int, default=64, help="side of the cubes")
    parser.add_argument("--convergence", type=int, metavar="PHASE", help="index of a phase")
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--json")
    parser.add_argument("--speed", action="store_true")
    return parser.parse_args()


# ---------------------------------------------------------------------- training


def train(image, arguments):
    method = get_method("dcgan")
    changes = dict(item.split("=", 1) for item in arguments.set)
    config = method.config_class.from_preset(
        arguments.preset, minutes=1000 if arguments.steps else arguments.minutes,
        steps=arguments.steps, preview_seconds=0, **{"threads": 1, **changes},
    )  # fmt: skip
    for warning in method.check([image], config):
        print(f"warning: {warning}")
    cpu, model, steps, start = time.process_time(), None, 0, None
    for progress in method.train([image], config):
        model, steps = progress.model or model, progress.step
        start = start or progress.fidelity
        if progress.fidelity:
            ratios = {k: round(v, 2) for k, v in progress.fidelity.items()}
            print(steps, round(time.process_time() - cpu), ratios, file=sys.stderr, flush=True)
    cpu = time.process_time() - cpu
    kept = model.origin
    fidelity = ", ".join(f"{k} {v:.2f}" for k, v in kept.fidelity.items() if k != "selection")
    print(f"{steps} steps in {cpu:.0f} CPU s; step {kept.steps} is kept: {fidelity}")
    print(f"at the start: mean {start['mean']:.2f}")
    return model, {"steps": steps, "kept": kept.steps, "cpu_seconds": round(cpu),
                   "fidelity": dict(kept.fidelity), "start": dict(start)}  # fmt: skip


def print_speed() -> None:
    """Take a few steps of every preset on the electrode."""
    method, image = get_method("dcgan"), sample_image("electrode", "volume")
    for preset in method.config_class.presets:
        config = method.config_class.from_preset(
            preset, minutes=1000, steps=SPEED_STEPS, threads=1, preview_seconds=0,
            smooth_start=False, warm_up=0, fidelity_every=10**6, measured_side=64,
        )  # fmt: skip
        marks = []
        for progress in method.train([image], config):
            marks.append((progress.step, time.process_time()))
        first = next(t for step, t in marks if step == 1)
        last = next(t for step, t in marks if step == SPEED_STEPS)
        print(f"{preset}: {(last - first) / (SPEED_STEPS - 1):.2f} CPU s per step")


# ---------------------------------------------------------------------- cubes


def source_image(source) -> PhaseImage:
    if source in SAMPLES:
        return sample_image(source, "volume")
    return PhaseImage.from_tiff(source)


def real_volumes(arguments, image):
    if arguments.source not in SAMPLES:
        return [image.data]
    (part,) = (p for p in SAMPLES[arguments.source].parts if p.name == "volume")
    made = [part.make((arguments.side,) * 3, FRESH + i) for i in range(arguments.volumes)]
    return [to_indices(v, image.phases) for v in made]


def generate(model, side, seed, **options):
    sample = model.generate((side,) * 3, seed=seed, **options)
    return to_indices(sample.data, model.origin.phases)


def judge(model, real, generated, arguments):
    """Print tables in the form of the paper's, and return the numbers."""
    phases = model.origin.phases
    cubes = [[cube for volume in volumes for cube in disjoint_cubes(volume, arguments.cube)]
             for volumes in (real, generated)]  # fmt: skip
    print(f"\n{len(cubes[0])} real and {len(cubes[1])} generated cubes of {arguments.cube}^3, "
          "lengths in voxels, D_rel as the mean over the axes\n")  # fmt: skip
    cpu = time.process_time()
    found = compare_cubes(*cubes, len(phases))
    rows = {row.key: row for row in over_axes(found)}
    print("| side | phase | " + " | ".join(COLUMNS.values()) + " | TPB |\n|---|---|" + "---|" * 4)
    by_name = {(key.metric, key.phases): row for key, row in rows.items()}
    for side, k in itertools.product(("real", "generated", "ratio"), range(len(phases))):
        cells = [told(by_name[name, (k,)], side) for name in COLUMNS]
        tpb = told(by_name["tpb_density", ()], side) if k == 0 else ""
        print(f"| {side} | {phases[k].name} | " + " | ".join(cells) + f" | {tpb} |")
    print("\nratio: of the standard deviations, generated over real")
    print(f"measuring took {time.process_time() - cpu:.0f} CPU s")
    periodic = [generate(model, 64, FRESH + i, periodic=(True,) * 3) for i in SEEDS]
    seams = [seam_mismatch(volume, axis) for volume in periodic for axis in range(3)]
    error = np.std(seams) / len(seams) ** 0.5
    print(f"across the seams of {len(periodic)} periodic volumes voxels differ "
          f"{np.mean(seams):.2f} ± {error:.2f} times as often as inside")  # fmt: skip
    if arguments.figures:
        arguments.figures.mkdir(parents=True, exist_ok=True)
        draw_d_rel(found, phases, arguments.figures / f"dcgan_d_rel_{name_of(arguments)}.png")
        draw_sections(real[0], generated, phases,
                      arguments.figures / f"dcgan_{name_of(arguments)}.png")  # fmt: skip
    return [{"metric": k.metric, "phases": list(k.phases), **row.to_dict()}
            for k, row in rows.items()]  # fmt: skip


def name_of(arguments) -> str:
    return Path(arguments.source).stem.split("_")[0].lower()


def told(row, side) -> str:
    if side == "ratio":
        return f"{row.std_ratio:.2f}"
    values = getattr(row, side)
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


# ---------------------------------------------------------------------- periodic sides


def converge(model, phase):
    """Print D_rel with either kind of sides over the side of the volume."""
    period = model.generator.stride

    def make(side, seed):
        return generate(model, side, seed, periodic=(True,) * 3)

    sides = [s for s in SIDES if s % period == 0]
    cpu = time.process_time()
    found = convergence(make, sides, SEEDS, phase, 0, tolerance=1e-3)
    name = model.origin.phases[phase].name
    print(f"\nD_rel of {name} along z, mean ± standard deviation of {len(SEEDS)} volumes\n")
    print("| side | mirror | periodic | mirror gives less by |\n|---|---|---|---|")
    for size in found.sizes:
        less = 1 - np.mean(size.mirror) / np.mean(size.periodic)
        kinds = [f"{np.mean(v):.4f} ± {np.std(v):.4f}" for v in (size.mirror, size.periodic)]
        print(f"| {size.side} | {kinds[0]} | {kinds[1]} | {100 * less:.1f} % |")
    needed = {kind: found.needed(kind) for kind in ("periodic", "mirror")}
    print(f"\nwithin 5 % of the largest from {needed}; {time.process_time() - cpu:.0f} CPU s")
    print("\n| phase | along | mirror | periodic |\n|---|---|---|---|")
    volume = make(64, 0)
    for k, axis in itertools.product(range(len(model.origin.phases)), range(3)):
        pair = both_sides(volume, k, axis, tolerance=1e-3)
        print(f"| {model.origin.phases[k].name} | {'zyx'[axis]} | {pair.mirror.d_rel:.4f} | "
              f"{pair.periodic.d_rel:.4f} |")  # fmt: skip
    return [{"side": s.side, "mirror": s.mirror, "periodic": s.periodic} for s in found.sizes]


# ---------------------------------------------------------------------- figures


def draw_d_rel(rows, phases, path) -> None:
    """Draw D_rel over volume fraction, real and generated, a panel per phase."""
    figure, axes = figure_of(1, len(phases), (3.4 * len(phases), 3.2))
    for k, (plot, phase) in enumerate(zip(axes, phases, strict=True)):
        points = d_rel_by_fraction(rows, k)
        for side, look in (("real", {"color": "#444444"}), ("generated", {"color": "#d55e00"})):
            plot.scatter(*points[side].T, s=14, alpha=0.7, lw=0, label=side, **look)
        plot.set_title(phase.name, fontsize=10)
        plot.set_xlabel("volume fraction")
        plot.set_ylim(bottom=0)
    axes[0].set_ylabel("relative diffusivity")
    axes[0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    print(path)


def draw_sections(real, generated, phases, path) -> None:
    """Draw sections normal to every axis: real above, generated below."""
    from matplotlib.colors import ListedColormap

    figure, axes = figure_of(2, 3, (7.5, 5.3))
    look = {"cmap": ListedColormap([p.color for p in phases]), "vmin": -0.5,
            "vmax": len(phases) - 0.5, "interpolation": "nearest"}  # fmt: skip
    shown = min(*real.shape, *generated[0].shape)
    for axis, (row, name) in itertools.product(range(3), enumerate(("real", "generated"))):
        volume = generated[axis % len(generated)] if row else real
        section = volume.take(volume.shape[axis] // 2, axis)[:shown, :shown]
        axes[3 * row + axis].imshow(section, **look)
        axes[3 * row + axis].set_title(f"{name}, normal to {'zyx'[axis]}", fontsize=9)
        axes[3 * row + axis].set_axis_off()
    figure.savefig(path, dpi=110)
    print(path)


def figure_of(rows, columns, size):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained")
    return figure, axes.ravel()


if __name__ == "__main__":
    main()
