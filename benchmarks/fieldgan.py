"""Train Field-GAN and hold its volumes against what it has not seen; print tables.

    python benchmarks/fieldgan.py IMAGE_OR_SAMPLE... [--refine filter] [--seeds 0 1 2]
        [--way product] [--set KEY=VALUE]... [--json RUNS.json] [--montage OUT.png]

Of an image the left half is trained on and the right half judges. Of a sample with a true volume
(`spheres`, `electrode`) the section is trained on, another section judges, and relative
diffusivities and numbers of pieces are compared with those of true volumes. Volumes are judged that
repeat, and those that do not. Processor seconds are those of training, judging left out. Runs are
kept in the JSON file, so that they can be done in pieces; without an image those it holds are
printed.

With --way one thing is done as in the prototype, to see what it is good for: see `ABLATIONS`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from fieldgan_ablations import ABLATIONS, modulation
from judging import (
    FIRST_SEED,
    SIDE,
    Stopwatch,
    changes,
    drawn,
    halves,
    isotropic,
    machine,
    told,
)
from scipy.ndimage import label

from napari_microgen.methods import get_method
from napari_microgen.metrics.transport import transport
from napari_microgen.phases import PhaseImage, to_indices
from napari_microgen.sample_data import SAMPLES, sample_image

METHOD = get_method("fieldgan")
PARTS = ("volume_fraction", "s2", "ssa", "chord")
VOLUMES = 4
OPEN = ", not repeating"


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    kept = Path(arguments.json) if arguments.json else None
    rows = json.loads(kept.read_text()) if kept and kept.exists() else []
    for name in arguments.images:
        train, judge = material(name)
        new = [] if known(rows, name) else true_rows(name, train, judge)
        for seed in arguments.seeds:
            new += trained_rows(name, train, judge, seed, arguments)
            done = {key(row) for row in new}
            rows = [row for row in rows if key(row) not in done] + new
            if kept:
                kept.write_text(json.dumps(rows, indent=1))
    print(f"{machine('cpu')}; {VOLUMES} volumes of {SIDE}^3")
    print_fidelity(rows)
    print_truth(rows)
    print_ablations(rows)
    print_speed(rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*")
    parser.add_argument("--refine", default="filter", choices=("none", "filter", "adversarial"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--way", default="product", choices=list(ABLATIONS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json")
    parser.add_argument("--montage")
    return parser.parse_args()


def material(name):
    """Return what is trained on and what judges."""
    if name in SAMPLES:
        return sample_image(name), sample_image(name, seed=1)
    left, right = halves([PhaseImage.from_tiff(name)])
    return left[0], right[0]


def key(row):
    return row["image"], row["what"], row["seed"], row["way"]


def known(rows, name) -> bool:
    last = "together" if name in SAMPLES else "itself"
    return any(row["image"] == Path(name).stem and row["what"] == last for row in rows)


# ---------------------------------------------------------------------- measuring


def true_rows(name, train, judge):
    """Return what the image that is trained on scores itself, and what true volumes are like."""
    common = {"image": Path(name).stem, "way": "product"}
    scores = isotropic(judge).score_image(train)
    rows = [{**common, "what": "itself", "seed": 0, **scores}]
    if name in SAMPLES:
        images = [sample_image(name, "volume", seed) for seed in range(VOLUMES)]
        volumes = [image.data for image in images]
        scores = compared(isotropic(judge), volumes, train)
        rows.append({**common, "what": "together", "seed": 0, **scores})
        for seed, volume in enumerate(volumes):
            rows.append({**common, "what": "truth", "seed": seed, **measured([volume], train)})
    return rows


def trained_rows(name, train, judge, seed, arguments):
    """Train, and return rows of the calibrated set and of the refined one."""
    config = METHOD.config_class.from_preset(
        "quick",
        **{"refine": arguments.refine, "minutes": 10_000, "seed": seed, "threads": 1},
        **{"preview_seconds": 0, **changes(arguments.set)},
    )
    common = {"image": Path(name).stem, "seed": seed, "way": arguments.way}
    reference = isotropic(judge)
    measure = {"has_truth": name in SAMPLES, "open_too": arguments.way == "product"}
    rows, model = [], None
    with ABLATIONS[arguments.way]():
        watch = Stopwatch("cpu")
        for progress in METHOD.train([train], config):
            model = progress.model or model
            if model is not None and not rows:
                with watch:
                    rows += judged_rows(model, "calibrated", reference, train, **measure)
                rows = [{**common, **row, "cpu": watch.seconds()} for row in rows]
        seconds = watch.seconds()
        last = judged_rows(model, arguments.refine, reference, train, **measure)
        last[0]["speed"] = speeds(model)
    if arguments.montage:
        montage(arguments.montage, train, model)
    return [*rows, *({**common, "cpu": seconds, "kept": model.origin.steps, **r} for r in last)]


def judged_rows(model, what, reference, image, has_truth, open_too):
    """Return what is found in volumes that repeat and, if asked for, in those that do not."""
    endings = {"": True, OPEN: False} if open_too else {"": True}
    return [
        {"what": what + ending, **judged(model, reference, image, has_truth, repeating)}
        for ending, repeating in endings.items()
    ]


def speeds(model):
    """Return voxels per processor second of volumes that repeat, and of those that do not."""
    found = []
    for repeats in (True, False):
        began = time.process_time()
        model.generate((SIDE,) * 3, FIRST_SEED, periodic=(repeats,) * 3)
        found.append(SIDE**3 / (time.process_time() - began))
    return found


def judged(model, reference, image, has_truth, repeating):
    volumes = drawn(model, VOLUMES, repeating=repeating)
    row = compared(reference, volumes, image)
    return {**row, **measured(volumes, image)} if has_truth else row


def compared(reference, volumes, image):
    """Return how far volumes are from the reference, and how even they are."""
    fidelity = reference.score(volumes)
    details = fidelity.details
    return {
        **fidelity.to_dict(), "axes": details["isotropy_deviation"],
        "ripples": [np.mean(details["ripple_generated"]), np.mean(details["ripple_real"])],
        "off": float(np.abs(np.mean([shares(v, image) for v in volumes], 0)
                            - image.fractions).max()),
        "modulation": modulation(volumes),
    }  # fmt: skip


def shares(volume, image):
    return np.bincount(volume.ravel(), minlength=image.n_phases) / volume.size


def measured(volumes, image):
    """Return relative diffusivities and pieces per 10^5 voxels of every phase."""
    phases = range(image.n_phases)
    return {
        "d_rel": [
            np.mean([transport(v, p, axis, tolerance=1e-3).d_rel
                     for v in volumes for axis in range(3)]) for p in phases
        ],
        "pieces": [np.mean([1e5 * label(v == p)[1] / v.size for v in volumes]) for p in phases],
    }  # fmt: skip


# ---------------------------------------------------------------------- printing


def together(rows, *names):
    """Return rows that agree in some entries, by those entries."""
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


TITLES = {
    "itself": "the image that is trained on", "calibrated": "calibrated set", "filter": "filter",
    "adversarial": "adversarial", "truth": "true volumes",
    "together": "true volumes",
}  # fmt: skip
TITLES |= {what + OPEN: title + OPEN for what, title in TITLES.items()}


def print_fidelity(rows) -> None:
    print("\n| image | | seeds | CPU s | mean | fractions | S2 | surface | chords "
          "| ripple | real ripple | axes |")  # fmt: skip
    print("|---" * 12 + "|")
    rows = [row for row in rows if row["way"] == "product" and row["what"] != "truth"]
    for (image, what), same in together(rows, "image", "what").items():
        cells = [image, TITLES[what], str(len({row["seed"] for row in same}))]
        cells.append(told([row["cpu"] for row in same], ".0f") if "cpu" in same[0] else "")
        cells.append(told([row["mean"] for row in same]))
        cells += [told([np.mean([row[part] for row in same])]) for part in PARTS]
        if what == "itself":
            cells += ["", "", ""]
        else:
            cells += [f"{v:.4f}" for v in np.mean([row["ripples"] for row in same], 0)]
            cells.append(f"{100 * max(row['axes'] for row in same):.1f} %")
        print("| " + " | ".join(cells) + " |")


def print_truth(rows) -> None:
    rows = [row for row in rows if "d_rel" in row and row["way"] == "product"]
    for (image,), same in together(rows, "image").items():
        names = [phase.name for phase in SAMPLES[image].phases]
        heads = [f"D_rel {n}" for n in names] + [f"pieces of {n} per 10^5 voxels" for n in names]
        print(f"\n| {image} | " + " | ".join(heads) + " |")
        print("|---" * (1 + 2 * len(names)) + "|")
        for (what,), group in together(same, "what").items():
            cells = [TITLES[what]]
            for entry, form in (("d_rel", ".3f"), ("pieces", ".1f")):
                cells += [
                    told(column, form) for column in zip(*(r[entry] for r in group), strict=True)
                ]
            print("| " + " | ".join(cells) + " |")


def print_ablations(rows) -> None:
    ways = {row["image"] for row in rows if row["way"] != "product"}
    for image in sorted(ways):
        print(f"\n| {image} | CPU s | mean | axes | modulation | fractions off by "
              "| D_rel of every phase | pieces of every phase |")  # fmt: skip
        print("|---" * 8 + "|")
        shown = [r for r in rows if r["image"] == image and r["what"] in ("filter", "adversarial")]
        for (way, what), same in together(shown, "way", "what").items():
            cells = [f"{what}, {way}"]
            cells.append(told([row["cpu"] for row in same], ".0f"))
            cells.append(told([row["mean"] for row in same]))
            cells += [
                told([100 * r[e] for r in same], ".1f") + " %" for e in ("axes", "modulation")
            ]
            cells.append(told([row["off"] for row in same], ".3f"))
            for entry, form in (("d_rel", ".3f"), ("pieces", ".1f")):
                values = [row[entry] for row in same if entry in row]
                cells.append(" ".join(f"{v:{form}}" for v in np.mean(values, 0)) if values else "")
            print("| " + " | ".join(cells) + " |")


def print_speed(rows) -> None:
    rows = [row for row in rows if row["way"] == "product" and "speed" in row]
    if rows:
        print("\n| image | | repeating, 10^6 voxels / CPU s | not repeating |")
        print("|---" * 4 + "|")
    for (image, what), same in together(rows, "image", "what").items():
        columns = np.array([row["speed"] for row in same]).T / 1e6
        print("| " + " | ".join([image, TITLES[what], *(told(list(c)) for c in columns)]) + " |")


def montage(path, image, model) -> None:
    """The image, the calibrated set and what became of it at the same place, at one scale."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    side = min(SIDE, *image.shape[-2:])
    real = image.data if image.ndim == 2 else image.data[0]
    shown = {"image": real[:side, :side]}
    for name, drawing in (("calibrated set", model.calibrated), ("refined", model)):
        sample = drawing.generate((SIDE,) * 3, FIRST_SEED, periodic=(True,) * 3)
        shown[name] = to_indices(sample.data[SIDE // 2, :side, :side], image.phases)
    colours = np.array([matplotlib.colors.to_rgb(phase.color) for phase in image.phases])
    figure, plots = plt.subplots(1, 3, figsize=(7.8, 2.9), layout="constrained")
    for plot, (name, section) in zip(plots, shown.items(), strict=True):
        plot.imshow(colours[section], interpolation="nearest")
        plot.set_title(name, fontsize=9)
        plot.set_axis_off()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
