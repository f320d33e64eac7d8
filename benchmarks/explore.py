"""How quickly Explore answers, for every kind of excursion set; prints a table and JSON.

    python benchmarks/explore.py [--side 256] [--volume 96] [--shells 100] [--json OUT.json]

Times are CPU time of one thread, the median of several moves: of a section when a threshold or a
length was moved, of the numbers and curves beside it, and of the volume. What napari takes to
draw comes on top.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_microgen.methods.base import Origin
from napari_microgen.methods.excursion.calibration import Candidate, Fit
from napari_microgen.methods.excursion.covariances import bump_weights
from napari_microgen.methods.excursion.exploration import Exploration
from napari_microgen.methods.excursion.live_section import LiveSection
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.models import MODELS, Scalars
from napari_microgen.phases import PALETTE, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

MOVES = 15
LENGTHS = (6.0, 8.0, 7.0, 6.0, 8.0)
COLUMNS = ("threshold moved", "length moved", "numbers and curves", "volume")


def main() -> None:
    """Time every kind of model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=256, help="side of the section in voxels")
    parser.add_argument("--volume", type=int, default=96, help="side of the volume in voxels")
    parser.add_argument("--shells", type=int, default=100, help="spectral shells per field")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"CPU milliseconds, one thread; section {options.side}², volume {options.volume}³\n")
    print("| model | fields drawn | " + " | ".join(COLUMNS) + " |")
    print("|---|---|" + "---|" * len(COLUMNS))
    results = {}
    for name in MODELS:
        exploration = Exploration(model_of(name, options.shells))
        times = measure(exploration, options.side, options.volume)
        results[name] = times
        drawn = len(exploration.base.formula.noises)
        print(f"| {name} | {drawn} | " + " | ".join(f"{times[c]:.1f}" for c in COLUMNS) + " |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def model_of(name: str, shells: int) -> ExcursionModel:
    """Return a model of a kind with about equal amounts of its phases."""
    kind = MODELS[name]
    n = kind.n_phases
    weights = torch.stack([bump_weights(x, shells) for x in LENGTHS[: kind.n_fields]])
    start = Scalars(
        torch.zeros(n - 1, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64),
        torch.ones(2, dtype=torch.float64),
    )  # fmt: skip
    equal = torch.full((n,), 1 / n, dtype=torch.float64)
    fit = Fit(Candidate(name, tuple(range(n))), weights, kind().matched(start, equal), 0.0, 0.0)
    phases = tuple(Phase(k, f"phase {k + 1}", PALETTE[k]) for k in range(n))
    return ExcursionModel(Origin("excursion", {}, "labels", phases, (1.0,) * 3, "pixel"), fit)


def measure(exploration: Exploration, side: int, volume: int) -> dict[str, float]:
    """Return milliseconds by column."""
    live, moved = LiveSection(), dict(exploration.start)

    def draw() -> None:
        live.draw(exploration.fit(moved), (side, side), 0, exploration.stretch(moved))

    def make() -> None:
        model = exploration.model(moved)
        model.generate((volume,) * 3, periodic=(True,) * 3, device="cpu")

    return {
        "threshold moved": median(draw, moved, "threshold_1", 0.01),
        "length moved": median(draw, moved, "length", 0.02),
        "numbers and curves": median(lambda: exploration.predict(moved), moved, "length", 0.02),
        "volume": median(make, moved, "threshold_1", 0.01),
    }


def median(work: Callable[[], None], moved: dict[str, float], name: str, step: float) -> float:
    """Return the median CPU time of some work after every move, in milliseconds."""
    times = []
    for _ in range(MOVES):
        moved[name] += step
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1000 * float(np.median(times))


if __name__ == "__main__":
    main()
