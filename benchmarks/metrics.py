"""Our metrics beside taufactor's and porespy's on the same volume; prints a table and JSON.

    python benchmarks/metrics.py [VOLUME.tif] [--side 128] [--only d_rel s2 ...] [--memory]
                                 [--json OUT.json]

Without a file, a Gaussian field cut into three phases is measured, and a badly connected phase
just above its percolation threshold for d_rel. Every measurement runs in a process of its own on
one thread; peers that are not installed (the `validation` extra) are left out. Times are the
processor's, so that other programs do not disturb them: `import` to import the library, `seconds`
for the work alone, what a library compiles for its first call included. `peak` is the process's
largest memory and `rise` its growth during the work (read from /proc, so this runs on Linux). For
d_rel the error is against a solution to 1e-9, so that speed can be compared at equal accuracy.
With ``--memory`` peers are left out and every metric is measured once, which large volumes have
time for.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LIBRARIES = {
    "ours": "napari_microgen.metrics.report", "taufactor": "taufactor", "porespy": "porespy",
    "scikit-image": "skimage.graph",
}  # fmt: skip
TOLERANCES = (1e-2, 1e-3, 1e-4)

Work = Callable[[np.ndarray, dict[str, Any]], Any]
WORKS: dict[tuple[str, str], Work] = {}
"""What to time, by metric and by library and variant; the value's convention is the metric's."""


def work(metric: str, who: str) -> Callable[[Work], Work]:
    """Register a measurement."""

    def register(function: Work) -> Work:
        WORKS[metric, who] = function
        return function

    return register


# ---------------------------------------------------------------------- the measurements


@work("ssa_faces", "ours")
def _(data, _):
    from napari_microgen.metrics.surfaces import ssa_faces

    return float(ssa_faces(data, 3)[1])


@work("ssa_faces", "taufactor")
def _(data, _):
    from taufactor.metrics import specific_surface_area

    return specific_surface_area(data, method="face_counting", device="cpu")["1"]


@work("ssa", "ours")
def _(data, _):
    from napari_microgen.metrics.surfaces import ssa

    return float(ssa(data, 3)[1])


@work("ssa", "taufactor gradient")
def _(data, _):
    from taufactor.metrics import specific_surface_area

    return specific_surface_area(data, method="gradient", device="cpu")["1"]


@work("ssa", "taufactor marching cubes")
def _(data, _):
    from taufactor.metrics import specific_surface_area

    return specific_surface_area(data, method="marching_cubes", device="cpu")["1"]


@work("interphase_area", "ours")
def _(data, _):
    from napari_microgen.metrics.surfaces import interphase_areas

    return float(interphase_areas(data, 3)[0, 1])


@work("interphase_area", "taufactor")
def _(data, _):
    from taufactor.metrics import interfacial_areas

    found = interfacial_areas(data, device="cpu")
    return next(float(v) for k, v in found.items() if "0" in str(k) and "1" in str(k))


@work("tpb_fraction", "ours")
def _(data, _):
    from napari_microgen.metrics.surfaces import triple_phase_boundary

    return triple_phase_boundary(data).fraction


@work("tpb_fraction", "taufactor")
def _(data, _):
    from taufactor.metrics import triple_phase_boundary

    return float(triple_phase_boundary(data.astype(np.int64)))


@work("s2", "ours")
def _(data, _):
    from napari_microgen.metrics.correlations import radial, two_point_map

    radii, values = radial(two_point_map(data, 1, 1, max_lag=min(64, *data.shape)), 3)
    return float(np.interp(10, radii, values))


@work("s2", "porespy")
def _(data, _):
    from porespy.metrics import two_point_correlation

    found = two_point_correlation(data == 1, bins=np.arange(-0.5, min(data.shape) // 2 + 1))
    radii = radial_lags(min(data.shape) // 2)
    # Theirs is over the volume fraction.
    return float(np.interp(10, radii, found.probability * np.mean(data == 1)))


def radial_lags(last: int) -> np.ndarray:
    """Return the mean length of the lags in shells one voxel thick, as ours are."""
    grids = np.ogrid[(slice(-last, last + 1),) * 3]
    distance = np.sqrt(sum(g**2 for g in grids)).ravel()
    shell = np.rint(distance).astype(int)
    return (np.bincount(shell, distance) / np.bincount(shell))[: last + 1]


@work("chord", "ours")
def _(data, _):
    from napari_microgen.metrics.chords import chords

    counts = chords(data, 3, 0).counts[1]
    return float(counts @ np.arange(counts.size) / counts.sum())


@work("chord", "porespy")
def _(data, _):
    from porespy.filters import apply_chords
    from porespy.metrics import chord_length_distribution

    found = apply_chords(data == 1, axis=0, trim_edges=False)
    chord_length_distribution(found)
    return None


@work("geodesic", "ours")
def _(data, _):
    from napari_microgen.metrics.paths import geodesic_tortuosity

    return geodesic_tortuosity(data, 0, 0).mean


@work("geodesic", "scikit-image")
def _(data, _):
    from skimage.graph import MCP_Geometric

    search = MCP_Geometric(np.where(data == 0, 1.0, -1.0), fully_connected=True)
    ends = [(len(data) - 1, *place) for place in np.argwhere(data[-1] == 0)]
    lengths = search.find_costs(ends)[0][0][data[0] == 0]
    return float(lengths[np.isfinite(lengths)].mean() / (len(data) - 1))


@work("constrictivity", "ours")
def _(data, _):
    from napari_microgen.metrics.bottlenecks import constrictivity

    return constrictivity(data, 0).values[0]


@work("constrictivity", "porespy")
def _(data, _):
    from porespy.filters import local_thickness, porosimetry

    phase = data == 0
    r_max = covering_half(local_thickness(phase, method="dt")[phase])
    r_min = []
    for axis in range(3):
        inlets = np.zeros_like(phase)
        np.moveaxis(inlets, axis, 0)[0] = True
        r_min.append(covering_half(porosimetry(phase, inlets=inlets)[phase]))
    return (r_min[0] / r_max) ** 2


def covering_half(sizes: np.ndarray) -> float:
    """Return the largest size that half of the voxels have at least."""
    return float(np.sort(sizes)[::-1][sizes.size // 2])


def _ours(tolerance: float) -> Work:
    def run(data, facts):
        from napari_microgen.metrics.transport import transport

        found = transport(data, 1, 0, tolerance=tolerance)
        facts["iterations"] = found.iterations
        return found.d_rel

    return run


def _taufactor(criterion: float) -> Work:
    def run(data, facts):
        import taufactor

        solver = taufactor.Solver((data == 1).astype(np.uint8), device="cpu")
        solver.solve(verbose=False, conv_crit=criterion, iter_limit=5000)
        facts["iterations"] = int(solver.iter)
        return float(solver.D_rel[0])

    return run


EXACT = "ours to 1e-09"

for _metric in ("d_rel", "d_rel, badly connected"):
    WORKS[_metric, EXACT] = _ours(1e-9)
    for _tolerance in TOLERANCES:
        WORKS[_metric, f"ours to {_tolerance:g}"] = _ours(_tolerance)
        WORKS[_metric, f"taufactor to {_tolerance:g}"] = _taufactor(_tolerance)


# ---------------------------------------------------------------------- running them


def main() -> None:
    arguments = parse()
    if arguments.one:
        print(json.dumps(measure_here(*arguments.one)))
        return
    with tempfile.TemporaryDirectory() as folder:
        volumes = save_volumes(arguments, Path(folder))
        exact = {}
        rows = []
        for metric, who in WORKS:
            if not chosen(metric, who, arguments):
                continue
            volume = volumes["poor" if "badly" in metric else "usual"]
            row = {"metric": metric, "who": who, **measure_apart(metric, who, volume)}
            if metric.startswith("d_rel") and "value" in row and not arguments.memory:
                if metric not in exact:
                    exact[metric] = measure_apart(metric, EXACT, volume)["value"]
                row["error"] = row["value"] / exact[metric] - 1
            rows.append(row)
            print_row(row, first=len(rows) == 1)
    print(json.dumps(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


def chosen(metric: str, who: str, arguments: argparse.Namespace) -> bool:
    """Whether a measurement is asked for and its library installed."""
    if who == EXACT or (arguments.only and metric.split(",")[0] not in arguments.only):
        return False
    if arguments.memory:
        return who in ("ours", "ours to 0.001") and "badly" not in metric
    return importlib.util.find_spec(LIBRARIES[who.split()[0]].split(".")[0]) is not None


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume", nargs="?", help="a TIFF of three phases")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--only", nargs="+", default=())
    parser.add_argument("--memory", action="store_true", help="ours alone, every metric once")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("METRIC", "WHO", "FILE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def save_volumes(arguments: argparse.Namespace, folder: Path) -> dict[str, Path]:
    field = gaussian_field(arguments.side)
    usual = np.digitize(field, np.quantile(field, (0.36, 0.69))).astype(np.uint8)
    if arguments.volume:
        from napari_microgen.phases import PhaseImage

        usual = PhaseImage.from_tiff(arguments.volume).data
    # The excursion set of a Gaussian field percolates from about 16 % on.
    poor = (field > np.quantile(field, 0.81)).astype(np.uint8)
    volumes = {"usual": folder / "usual.npy", "poor": folder / "poor.npy"}
    np.save(volumes["usual"], usual)
    np.save(volumes["poor"], poor)
    return volumes


def gaussian_field(side: int, s: float = 3.0) -> np.ndarray:
    noise = np.fft.rfftn(np.random.default_rng(0).standard_normal((side,) * 3))
    f = np.fft.fftfreq(side)
    square = f[:, None, None] ** 2 + f[:, None] ** 2 + np.fft.rfftfreq(side) ** 2
    return np.fft.irfftn(noise * np.exp(-2 * (np.pi * s) ** 2 * square), (side,) * 3, (0, 1, 2))


def measure_apart(metric: str, who: str, volume: Path) -> dict[str, Any]:
    """Measure in a process of its own, on one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, __file__, "--one", metric, who, str(volume)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads})
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def measure_here(metric: str, who: str, file: str) -> dict[str, Any]:
    data = np.load(file)
    start = time.process_time()
    importlib.import_module(LIBRARIES[who.split()[0]])
    imported = time.process_time()
    reset_peak()
    before = resident_bytes()
    facts: dict[str, Any] = {}
    value = WORKS[metric, who](data, facts)
    seconds = time.process_time() - imported
    peak = resident_bytes(peak=True)
    return {
        "value": value, "import_seconds": imported - start, "seconds": seconds,
        "peak_bytes": peak, "rise_bytes": peak - before, **facts,
    }  # fmt: skip


def resident_bytes(peak: bool = False) -> int:
    """Return the memory that this process holds, or the largest that it has held since `reset`.

    Not `ru_maxrss`, which starts from what the parent process held.
    """
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def print_row(row: dict[str, Any], first: bool) -> None:
    if first:
        print(f"{'metric':24}{'who':26}{'import s':>9}{'seconds':>9}{'peak MB':>9}{'rise MB':>9}"
              f"{'value':>12}  notes")  # fmt: skip
    label = f"{row['metric']:24}{row['who']:26}"
    if "failed" in row:
        print(f"{label}failed: {row['failed']}")
        return
    value = "" if row["value"] is None else f"{row['value']:.6g}"
    notes = [f"error {row['error']:.1e}"] if "error" in row else []
    notes += [f"{row['iterations']} iterations"] if "iterations" in row else []
    print(f"{label}{row['import_seconds']:9.2f}{row['seconds']:9.3f}{row['peak_bytes'] / 1e6:9.0f}"
          f"{row['rise_bytes'] / 1e6:9.0f}{value:>12}  {', '.join(notes)}")  # fmt: skip


if __name__ == "__main__":
    main()
