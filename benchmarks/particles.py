"""Measure shells and grains against the samples' known truth; print tables and JSON.

    python benchmarks/particles.py shells [--sets 5] [--json OUT.json]
    python benchmarks/particles.py grains [--preset quick] [--steps N] [--seeds 0] [--sections 6]
        [--fresh 12] [--balls 2] [--set KEY=VALUE]... [--model MODEL] [--save MODEL]
        [--json OUT.json]

``shells`` fits the numbered particles of the sample, and those that the segmentation finds in its
CT volume: how well a shell gives back its particle (intersection over union on the voxels, the
random rotation included), and sets of 200 generated particles against the data, both measured on
voxels. ``grains`` trains on sections of the sample, by default all six, and compares with what the
training never saw: fresh sections of the same process, and the grains of true balls in 3D.
One thread is used.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import time
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from napari_microgen.methods import get_method, load_model
from napari_microgen.methods.particles.harmonics import random_rotation, real_harmonics
from napari_microgen.methods.particles.sections import grains_per_area, pooled
from napari_microgen.methods.particles.shell import fit_shell
from napari_microgen.methods.particles.shell_method import particles_of
from napari_microgen.metrics.grains import section_descriptors, volume_descriptors
from napari_microgen.metrics.ks import sample_distances
from napari_microgen.metrics.particles import measure_particles
from napari_microgen.phases import PhaseImage
from napari_microgen.sample_particles import (
    CT_VOXEL,
    GRAIN_PIXEL,
    SECTION_SHAPE,
    TRUTH_RADIUS,
    ct_scan,
    grain_section,
    grain_volume,
    particle_image,
    section_images,
)

SHELLS, LARGE = 200, 8
FRESH = 1000
"""First seed of the true sections and volumes that the training did not see."""

CENTRE = (SECTION_SHAPE[0] // 2, SECTION_SHAPE[1] // 2)
WHOLE = 0.99
"""Grains whose largest part holds less than this share are in pieces."""


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    gpu = "a" if torch.cuda.is_available() else "no"
    print(f"one thread, {platform.machine()}, {gpu} GPU, {datetime.date.today()}")
    result = measure_all_shells(arguments) if arguments.what == "shells" else grains(arguments)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("shells", "grains"))
    parser.add_argument("--sets", type=int, default=5, help="sets of 200 generated shells")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--sections", type=int, default=6, help="sections to train on")
    parser.add_argument("--fresh", type=int, default=12, help="true and generated sections")
    parser.add_argument("--balls", type=int, default=2, help="true and generated volumes")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--model", help="judge this model, and train none")
    parser.add_argument("--save")
    parser.add_argument("--json")
    return parser.parse_args()


# ---------------------------------------------------------------------- shells


def measure_all_shells(arguments):
    scan = PhaseImage.from_grey(ct_scan(), voxel_size=(CT_VOXEL,) * 3, unit="um", name="CT")
    rows = []
    for name, image in (("numbered", particle_image()), ("from CT", scan)):
        row = measure_shells(image, arguments.sets)
        rows.append({"particles": name, **row})
        print(
            f"\n{name}: {row['count']} particles; round trip IoU mean {np.mean(row['iou']):.3f}, "
            f"{np.mean(row['iou_large']):.3f} for the {len(row['iou_large'])} with a radius of at "
            f"least {LARGE} voxels, least {np.min(row['iou']):.3f}; "
            f"{100 * row['rejected']:.1f} % of the shells drawn are impossible; "
            f"fit {row['cpu_seconds']:.1f} CPU s"
        )
        print("generated   KS volume    p      KS sphericity    p")
        for i, told in enumerate(row["sets"]):
            v, s = told["volume"], told["sphericity"]
            seeds = f"{SHELLS * i}-{SHELLS * (i + 1) - 1}"
            print(f"{seeds:>9}   {v['ks']:9.3f}   {v['p']:.2f}   {s['ks']:13.3f}   {s['p']:.2f}")
    return rows


def measure_shells(image, sets):
    method = get_method("shell")
    config = method.config_class()
    started = time.process_time()
    last = list(method.train([image], config))[-1]
    seconds = time.process_time() - started
    numbered = particles_of(image, config)
    real = measure_particles(numbered)
    data = {"volume": real.volumes, "sphericity": real.sphericities}
    told = []
    for i in range(sets):
        made = generated_shells(last.model, range(SHELLS * i, SHELLS * (i + 1)))
        distances = sample_distances(data, made)
        told.append({k: {"ks": d.ks, "p": d.p} for k, d in distances.items()})
    iou = np.array(round_trips(numbered))
    large = real.volumes >= 4 / 3 * np.pi * LARGE**3
    return {
        "count": len(iou), "iou": list(iou), "iou_large": list(iou[large]), "cpu_seconds": seconds,
        "rejected": last.model.rejection_rate, "sets": told, "message": last.message,
    }  # fmt: skip


def generated_shells(model, seeds):
    """Return volumes and sphericities of generated particles, measured on their voxels."""
    made = [measure_particles(model.generate(model.fitting_shape(s), s).data) for s in seeds]
    return {
        "volume": np.concatenate([m.volumes for m in made]),
        "sphericity": np.concatenate([m.sphericities for m in made]),
    }


def round_trips(numbered):
    """Return the intersection over union of every particle and its fitted shell."""
    found = []
    for number, box in enumerate(ndimage.find_objects(numbered), 1):
        inside = np.pad(numbered[box] == number, 3)
        coefficients, _ = fit_shell(inside, (1.0,) * 3, np.random.default_rng((0, number)))
        turn = random_rotation(np.random.default_rng((0, number)))
        points = np.stack(np.indices(inside.shape), -1) - np.argwhere(inside).mean(0)
        distance = np.linalg.norm(points, axis=-1)
        directions = (points / np.maximum(distance, 1e-9)[..., None]).reshape(-1, 3)
        radii = (real_harmonics(directions @ turn) @ coefficients).reshape(distance.shape)
        again = distance <= radii
        found.append(float(np.sum(again & inside) / np.sum(again | inside)))
    return found


# ---------------------------------------------------------------------- grains


def grains(arguments):
    truth = true_sections(range(FRESH, FRESH + arguments.fresh))
    balls = [grain_volume(FRESH + i) for i in range(arguments.balls)]
    solid = described_volumes(balls)
    rows = []
    for seed in arguments.seeds:
        model, told = train(arguments, seed)
        rows.append(judge(model, truth, solid, arguments) | told)
        show(rows[-1], seed)
    return rows


def true_sections(seeds):
    """Return fresh sections without unindexed pixels."""
    return [grain_section(seed, unindexed=False) for seed in seeds]


def train(arguments, seed):
    if arguments.model:
        return load_model(arguments.model), {"steps": 0, "cpu_seconds": 0.0}
    method = get_method("grains")
    changes = dict(item.split("=", 1) for item in arguments.set)
    steps = {} if arguments.steps is None else {"steps": arguments.steps}
    config = method.config_class.from_preset(
        arguments.preset, minutes=1000, seed=seed, threads=1, preview_seconds=0,
        centres="; ".join(["{} {}".format(*CENTRE)] * arguments.sections), **steps, **changes,
    )  # fmt: skip
    started = time.process_time()
    for progress in method.train(section_images(arguments.sections), config):
        if progress.fidelity:
            print(progress.step, {k: round(v, 2) for k, v in progress.fidelity.items()},
                  f"{time.process_time() - started:.0f} s", flush=True)  # fmt: skip
    seconds = time.process_time() - started
    if arguments.save:
        progress.model.save(arguments.save)
    kept = progress.model.origin.steps
    return progress.model, {"steps": progress.step, "kept": kept, "cpu_seconds": seconds}


def judge(model, truth, solid, arguments):
    """Compare generated sections and balls with the true ones."""
    made = [model.generate((1, *SECTION_SHAPE), FRESH + i).data[0] for i in range(len(truth))]
    # Generated grains fill a ball of the sections' mean radius: look at what both sides show.
    both = [(a > 0) & (b > 0) for a, b in zip(truth, made, strict=True)]
    truth, made = (
        [np.where(b, n, 0) for b, n in zip(both, side, strict=True)] for side in (truth, made)
    )
    sections = sample_distances(described(truth), described(made))
    diagonals = model.diagram(FRESH).diagonals
    sides = (2 * TRUTH_RADIUS + 1,) * 3
    balls = [cut_ball(model.generate(sides, FRESH + i).data) for i in range(arguments.balls)]
    volumes = described_volumes(balls)
    return {
        "sections": {k: vars(d) for k, d in sections.items()},
        "grains": [len(described(s)["area"]) for s in (truth, made)],
        "diagonals": list(diagonals.mean(axis=0)),
        "flatness": float(np.mean(np.log(diagonals[:, 1] / diagonals[:, 2]) ** 2)),
        "intensity": grains_per_area(made) / grains_per_area(truth),
        "volumes": {k: vars(d) for k, d in sample_distances(solid, volumes).items()},
        "grains_3d": [len(solid["volume"]), len(volumes["volume"])],
        "in_pieces": [float(np.mean(d["largest share"] < WHOLE)) for d in (solid, volumes)],
    }


def described(sections):
    return pooled([section_descriptors(s, CENTRE, GRAIN_PIXEL) for s in sections])


def described_volumes(balls):
    centre = (TRUTH_RADIUS,) * 3
    return pooled([volume_descriptors(ball, centre, GRAIN_PIXEL) for ball in balls])


def cut_ball(numbers):
    z, y, x = np.indices(numbers.shape) - TRUTH_RADIUS
    return np.where(z * z + y * y + x * x <= TRUTH_RADIUS**2, numbers, 0)


def show(row, seed):
    print(f"\nseed {seed}: {row['steps']} steps, {row['cpu_seconds']:.0f} CPU s"
          + (f", kept step {row['kept']}" if row.get("kept") else ""))  # fmt: skip
    print(f"{'':22}{'KS':>7}{'p':>8}{'true mean':>12}{'generated':>12}{'ratio':>8}")
    for where in ("sections", "volumes"):
        for name, d in row[where].items():
            if name == "largest share":
                continue
            ratio = d["generated_mean"] / d["real_mean"]
            print(f"{where + ', ' + name:22}{d['ks']:7.3f}{d['p']:8.2g}{d['real_mean']:12.4g}"
                  f"{d['generated_mean']:12.4g}{ratio:8.3f}")  # fmt: skip
    floor = sqrt(sum(1 / n for n in row["grains"])) * 0.87
    print(f"grains per area, generated over true: {row['intensity']:.3f}; grains compared: "
          f"{row['grains'][0]} and {row['grains'][1]} in sections (KS by chance {floor:.3f}), "
          f"{row['grains_3d'][0]} and {row['grains_3d'][1]} in 3D; in pieces: "
          f"{100 * row['in_pieces'][0]:.1f} % true, {100 * row['in_pieces'][1]:.1f} % generated; "
          f"mean D {np.round(row['diagonals'], 1)}, mean log(D2 / D3)^2 {row['flatness']:.2f}",
          flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
