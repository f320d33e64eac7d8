"""Train every way to make volumes of one image, and tell how good each is after how long.

    python benchmarks/time_to_fidelity.py IMAGE [--ways fieldgan-filter excursion ...]
        [--seconds 120] [--seeds 0 1] [--device cpu] [--set KEY=VALUE]...
        [--json RUNS.json] [--figure OUT.png]

The left half of the image is trained on. Every so often the model that a user would have if the
training stopped there, the best one so far, draws two volumes of 128^3 that are judged against the
right half; judging does not count as time. Runs are kept in the JSON file, so that they can be done
in pieces: those that it holds are printed and drawn too, and with `--ways none` they alone are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from judging import Stopwatch, changes, drawn, halves, isotropic, machine, told

from napari_microgen.methods import get_method
from napari_microgen.phases import PhaseImage

WAYS = {
    "excursion": ("excursion", "quick", {}),
    "fieldgan-filter": ("fieldgan", "quick", {"refine": "filter"}),
    "fieldgan-adversarial": ("fieldgan", "quick", {"refine": "adversarial"}),
    "slicegan-quick": ("slicegan", "quick", {}),
    "slicegan-paper": ("slicegan", "paper", {}),
}
TITLES = {
    "excursion": "excursion set", "fieldgan-filter": "Field-GAN, filter",
    "fieldgan-adversarial": "Field-GAN, adversarial", "slicegan-quick": "SliceGAN `quick`",
    "slicegan-paper": "SliceGAN `paper`",
}  # fmt: skip
PARTS = ("volume_fraction", "s2", "ssa", "chord", "ripple")
VOLUMES = 2
NEXT = 1.4
"""Factor between two times at which is judged."""

AT = (15, 30, 60, 120, 300)


def main() -> None:
    arguments = parse()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    kept = Path(arguments.json) if arguments.json else None
    runs = json.loads(kept.read_text()) if kept and kept.exists() else []
    image = PhaseImage.from_tiff(arguments.image)
    left, right = halves([image])
    reference = isotropic(right[0])
    for way in arguments.ways:
        for seed in arguments.seeds:
            run = one_run(way, seed, left[0], reference, arguments)
            same = (way, seed, run["machine"])
            runs = [r for r in runs if (r["way"], r["seed"], r["machine"]) != same] + [run]
            if kept:
                kept.write_text(json.dumps(runs, indent=1))
    limit = reference.score_image(left[0])["mean"]
    print_table(runs, limit)
    if arguments.figure:
        draw(arguments.figure, runs, limit)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=[*WAYS, "none"])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json")
    parser.add_argument("--figure")
    arguments = parser.parse_args()
    arguments.ways = [way for way in arguments.ways if way != "none"]
    return arguments


def one_run(way, seed, image, reference, arguments):
    """Train, and judge the best model so far at times that grow by a factor."""
    name, preset, own = WAYS[way]
    method = get_method(name)
    threads = {"threads": 1} if arguments.device == "cpu" else {}
    config = method.config_class.from_preset(
        preset,
        **{"minutes": 10_000, "seed": seed, "preview_seconds": 0, "device": arguments.device},
        **{**threads, **own, **changes(arguments.set)},
    )
    curve, due, model, judged, progress = [], 0.0, None, None, None
    watch = Stopwatch(arguments.device)
    training = method.train([image], config)
    for progress in training:
        now = watch.seconds()
        model = progress.model or model
        if model is not None and model is not judged and (now >= due or now > arguments.seconds):
            with watch:
                curve.append(point(now, progress.step, model, reference, arguments.device))
            judged, due = model, NEXT * now
        if now > arguments.seconds:
            break
    end = watch.seconds()
    training.close()
    if model is not judged:
        curve.append(point(end, progress.step, model, reference, arguments.device))
    print(way, seed, [(round(p["seconds"]), round(p["mean"], 2)) for p in curve], flush=True)
    return {
        "way": way, "seed": seed, "machine": machine(arguments.device), "curve": curve,
        "seconds": end, "steps": progress.step,
    }  # fmt: skip


def point(seconds, step, model, reference, device):
    fidelity = reference.score(drawn(model, VOLUMES, device))
    return {
        "seconds": seconds, "step": step, "kept": model.origin.steps, **fidelity.to_dict(),
        "axes": fidelity.details["isotropy_deviation"],
    }  # fmt: skip


def at(run, seconds):
    """Return the score of the model that was there after so many seconds, or None."""
    found = [p for p in run["curve"] if p["seconds"] <= seconds]
    reached = run["seconds"] >= seconds or len(run["curve"]) < 2 or seconds == np.inf
    return found[-1] if found and (reached or finished(run)) else None


def finished(run) -> bool:
    """Whether the way comes to an end by itself."""
    return not run["way"].startswith("slicegan")


def print_table(runs, limit) -> None:
    for where in dict.fromkeys(run["machine"] for run in runs):
        print(f"\n{where}; the training half itself scores {limit:.2f}\n")
        times = " | ".join(f"{s} s" for s in AT)
        parts = "fractions | S2 | surface | chords | ripple | axes"
        print(f"| | seeds | first model after | {times} | at the end | steps, s | {parts} |")
        print("|---" * (len(AT) + 11) + "|")
        for way in WAYS:
            same = [run for run in runs if (run["way"], run["machine"]) == (way, where)]
            if same:
                print(row(way, same))


def row(way, runs) -> str:
    cells = [TITLES[way], str(len(runs))]
    cells.append(told([run["curve"][0]["seconds"] for run in runs], ".0f") + " s")
    for seconds in AT:
        there = [point for run in runs if (point := at(run, seconds))]
        cells.append(told([p["mean"] for p in there]) if len(there) == len(runs) else "–")
    ends = [run["curve"][-1] for run in runs]
    cells.append(f"**{told([p['mean'] for p in ends])}**")
    cells.append(f"{runs[-1]['steps']}, {np.mean([run['seconds'] for run in runs]):.0f}")
    cells += [f"{np.mean([p[part] for p in ends]):.2f}" for part in PARTS]
    cells.append(f"{100 * np.mean([p['axes'] for p in ends]):.1f} %")
    return "| " + " | ".join(cells) + " |"


def draw(path, runs, limit) -> None:
    """Curves of the mean error over seconds, one line per run, one colour per way."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    named = set()
    end = max(run["seconds"] for run in runs)
    for run in runs:
        colour = f"C{list(WAYS).index(run['way'])}"
        seconds = [p["seconds"] for p in run["curve"]]
        means = [p["mean"] for p in run["curve"]]
        label = None if run["way"] in named else TITLES[run["way"]].replace("`", "")
        named.add(run["way"])
        axes.plot(seconds, means, "o-", ms=3, color=colour, label=label, drawstyle="steps-post")
        last = end if finished(run) else run["seconds"]
        axes.plot([seconds[-1], last], [means[-1]] * 2, ":", lw=1, color=colour)
    axes.axhline(limit, color="grey", lw=1, ls="--", label="the training half itself")
    axes.set(xscale="log", yscale="log", xlabel="seconds of training (one CPU core)",
             ylabel="error over the image's sampling noise")  # fmt: skip
    if runs[0]["machine"].find("no GPU") < 0:
        axes.set_xlabel("seconds of training")
    ticks = [t for t in (10, 20, 30, 60, 120, 300, 600) if t <= 1.2 * end]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    levels = [1, 1.25, 1.5, 2, 3, 5, 8]
    axes.set_yticks(levels, [str(level) for level in levels])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
