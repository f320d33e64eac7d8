"""Train SliceGAN on an image, judge four fresh volumes, print a table and JSON.

    python benchmarks/slicegan.py IMAGE [IMAGE IMAGE] [--preset quick] [--minutes 3 | --steps N]
        [--split] [--seeds 0] [--set KEY=VALUE]... [--montage OUT.png] [--json OUT.json]

With --split the left half is trained on and the right half judged against; the score of the
training half itself is printed beside it. Fidelity is the distance to the real image over the
image's own sampling noise: see `napari_microgen.metrics.fidelity`.
"""

from __future__ import annotations

import argparse
import json
import platform
import time

import numpy as np
from judging import changes, halves

from napari_microgen.methods import get_method
from napari_microgen.metrics.fidelity import Reference
from napari_microgen.phases import PhaseImage, to_indices
from napari_microgen.training.orientations import find_orientations

VOLUMES = 4
SIDE = 128
COLUMNS = ("volume_fraction", "s2", "ssa", "chord", "mean", "ripple", "isotropy")


def main() -> None:
    arguments = parse()
    images = [PhaseImage.from_tiff(path) for path in arguments.images]
    train, test = halves(images) if arguments.split else (images, images)
    rows = [one_run(arguments, train, test, seed) for seed in arguments.seeds]
    print(f"{VOLUMES} volumes of {SIDE}^3, {platform.processor() or platform.machine()}")
    print("seed  steps  kept  seconds  CPU s  " + "  ".join(f"{c:>9.9}" for c in COLUMNS))
    for row in rows:
        ratios = "  ".join(f"{row['fidelity'][c]:9.2f}" for c in COLUMNS)
        print(f"{row['seed']:4}  {row['steps']:5}  {row['kept']:4}  {row['seconds']:7.0f}  "
              f"{row['cpu_seconds']:5.0f}  {ratios}")  # fmt: skip
        print(f"      start (step 0): mean {row['start']['mean']:.2f}; largest error of a volume "
              f"fraction {row['fraction_error']:.3f}; interface density along an axis off by at "
              f"most {100 * row['isotropy_deviation']:.1f} %; ripple {row['ripple']:.2f}; "
              f"{row['voxels_per_second']:.2g} voxels generated per second")  # fmt: skip
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--steps", type=int, default=0, help="instead of --minutes")
    parser.add_argument("--split", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--montage")
    parser.add_argument("--json")
    return parser.parse_args()


def one_run(arguments, train, test, seed):
    method = get_method("slicegan")
    config = method.config_class.from_preset(
        arguments.preset,
        minutes=1000 if arguments.steps else arguments.minutes,
        steps=arguments.steps,
        seed=seed,
        preview_seconds=0,
        **changes(arguments.set),
    )
    model, start, steps = None, None, 0
    cpu, begun = time.process_time(), time.perf_counter()
    for progress in method.train(train, config):
        model, steps = progress.model or model, progress.step
        start = start or progress.fidelity
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    begun = time.perf_counter()
    samples = [model.generate((SIDE,) * 3, seed=100 + i) for i in range(VOLUMES)]
    speed = VOLUMES * SIDE**3 / (time.perf_counter() - begun)
    volumes = [to_indices(s.data, model.origin.phases) for s in samples]
    fidelity = reference(test, config).score(volumes)
    found = np.mean(
        [[np.mean(v == i) for i in range(len(model.origin.phases))] for v in volumes], axis=0
    )
    if arguments.montage:
        montage(arguments.montage, train, samples[0], config)
    return {
        "seed": seed, "steps": steps, "kept": model.origin.steps, "seconds": seconds,
        "cpu_seconds": cpu, "start": start, "fidelity": fidelity.to_dict(),
        "ripple": fidelity.ripple,
        "isotropy_deviation": fidelity.details["isotropy_deviation"],
        "fraction_error": float(np.abs(found - wanted(test, config)).max()),
        "voxels_per_second": speed,
    }  # fmt: skip


def reference(images, config) -> Reference:
    found = find_orientations(images, config)
    return Reference({axis: o.image for o in found for axis in o.axes})


def wanted(images, config):
    found = find_orientations(images, config)
    return np.mean([o.image.fractions for o in found for _ in o.axes], axis=0)


def montage(path, images, sample, config) -> None:
    """Real sections above generated ones, one column per axis, same scale and colours."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import BoundaryNorm, ListedColormap

    phases = sample.phases
    colours = ListedColormap([p.color for p in phases])
    norm = BoundaryNorm(np.arange(len(phases) + 1) - 0.5, len(phases))
    volume = to_indices(sample.data, phases)
    figure, axes = plt.subplots(2, 3, figsize=(7.5, 5.3), layout="constrained")
    for orientation in find_orientations(images, config):
        image = orientation.image
        for axis in orientation.axes:
            section = image.data if image.ndim == 2 else image.data[0]
            shown = (
                (section[:SIDE, :SIDE], "real"),
                (volume.take(SIDE // 2, axis=axis), "generated"),
            )
            for row, (part, name) in enumerate(shown):
                plot = axes[row, axis]
                plot.imshow(part, cmap=colours, norm=norm, interpolation="nearest")
                plot.set_title(f"{name}, normal to {'zyx'[axis]}", fontsize=9)
                plot.set_axis_off()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
