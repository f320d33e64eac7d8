"""The command line: ``napari-microgen demo | train | generate | measure``."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from napari_microgen.errors import InputError, MicrogenError, Stopped, ran_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.base import Model, Periodic, Sample
    from napari_microgen.phases import Kind, PhaseImage

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
MAX_SEED = 2**31 - 1
SEEDS = 8
"""Seeds of an ensemble unless another number is asked for."""

DEVICES = ("auto", "cpu", "cuda", "mps")
TIFF_SUFFIXES = (".tif", ".tiff")
FIGURE_SUFFIXES = (".png", ".pdf", ".svg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        0 done, 1 the run failed, 2 the input or the arguments are wrong, 130 interrupted.
    """
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    try:
        options = _parser().parse_args(arguments)
        # Libraries may print; with --json standard output is for the document alone.
        with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
            result = options.run(options)
        print(json.dumps(_strict(result)) if options.json else _summary(result))
        return DONE
    except InputError as error:
        return _fail(error, WRONG_INPUT)
    except Stopped as error:
        return _fail(error, INTERRUPTED)
    except MicrogenError as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        return _fail("Stopped before it was done.", INTERRUPTED)
    except Exception as error:  # the promise is no traceback, whatever a library raises
        if ran_out_of_memory(error):
            return _fail(
                "The memory ran out; choose a smaller shape or preset, or larger voxels.", FAILED
            )
        logging.getLogger(__name__).debug("unexpected", exc_info=True)
        return _fail(f"It failed unexpectedly: {type(error).__name__}: {error}", FAILED)


def _fail(error: object, code: int) -> int:
    text = " ".join(str(error).split())
    print(f"napari-microgen: {text}", file=sys.stderr)
    return code


# ---------------------------------------------------------------------- commands


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train a method on TIFFs and save the model."""
    from napari_microgen.io.model_file import model_path
    from napari_microgen.methods import get_method
    from napari_microgen.runs import make_config, train_model

    method = get_method(options.method)
    changes = {
        name: getattr(options, name)
        for name in ("minutes", "steps", "seed", "device")
        if getattr(options, name) is not None
    }
    config = make_config(method, options.preset, changes | dict(options.set))
    kinds = [i.kinds for i in method.inputs]
    kinds += [kinds[-1]] * max(0, len(options.inputs) - len(kinds))
    data = [
        _image(path, options, accepted)
        for path, accepted in zip(options.inputs, kinds, strict=False)
    ]
    out = model_path(options.out)
    model, last = train_model(method, data, config, out, options.resume)
    return {
        "model": str(out),
        "method": method.name,
        "steps": last.step,
        "seconds": round(last.seconds, 2),
        "device": last.device,
        "fidelity": dict(model.origin.fidelity),
    }


def generate(options: argparse.Namespace) -> dict[str, Any]:
    """Generate a volume from a model file and write it as TIFF."""
    from napari_microgen.io.tiff import write_confidence, write_sample
    from napari_microgen.resources import check_disk, peak_memory
    from napari_microgen.runs import generate_sample

    if options.scheduler is not None:
        raise InputError("Generating on a cluster is not available yet; leave out --scheduler.")
    if options.count is not None:
        return _generate_particles(options)
    maps = (options.confidence, options.entropy, options.disagreement)
    for path in filter(None, (options.out, *maps)):
        _check_suffix(path, TIFF_SUFFIXES)
    names = ("out", "confidence", "entropy", "disagreement", "mesh", "table", "tessellation")
    _check_different(options, names)
    model = _model(options)
    _check_particle_files(options, model)
    wants_ensemble = options.entropy is not None or options.ensemble is not None
    if model.origin.kind != "labels" and (options.confidence is not None or wants_ensemble):
        raise InputError(
            f"A model of {model.origin.kind} values gives neither confidence nor entropy; leave "
            "them out."
        )
    if options.disagreement is not None and not model.inputs:
        raise InputError("This model makes volumes from no image; leave out --disagreement.")
    shape = options.shape or model.fitting_shape(options.seed)
    if shape is None:
        raise InputError("Volumes of this model have no end; say how large with --shape Z Y X.")
    voxels = math.prod(shape)
    needed = voxels * {"labels": 1, "grey": 4, "colour": 3, "numbered": 2}[model.origin.kind]
    check_disk(options.out, needed, f"make room, choose another folder, or {model.mend}")
    for path in filter(None, maps):
        check_disk(path, needed + 4 * voxels)
    sample, seconds = generate_sample(model, shape, options.seed, options.periodic, options.device)
    write_sample(options.out, sample)
    if options.confidence is not None:
        write_confidence(options.confidence, sample)
    _write_particle_files(options, model, sample)
    return {
        "out": str(options.out),
        "shape": list(shape),
        "seconds": round(seconds, 3),
        "voxels_per_second": round(voxels / seconds),
        "seed": options.seed,
        **_uncertainty(options, model, sample),
        "peak_memory_bytes": peak_memory(),
    }


def _uncertainty(options: argparse.Namespace, model: Model, sample: Sample) -> dict[str, Any]:
    """Compare a volume with what it was made from and with other seeds, and write the maps."""
    from napari_microgen.generation.ensemble import ensemble_steps
    from napari_microgen.io.tiff import write_map, write_tiff
    from napari_microgen.resources import check_memory
    from napari_microgen.runs import follow

    result: dict[str, Any] = {}
    found = model.disagreement(sample)
    if found is not None:
        result["disagreement"] = found.share
    if found is not None and options.disagreement is not None:
        if found.where.size == 0:
            raise InputError(
                "The volume is too small to be compared with the low-resolution one; choose a "
                "larger shape, or leave out --disagreement."
            )
        write_tiff(
            options.disagreement, found.where.astype("uint8"), voxel_size=found.voxel_size,
            unit=found.unit, provenance=sample.provenance,
        )  # fmt: skip
    if options.entropy is not None or options.ensemble is not None:
        count, (z, y, x) = options.ensemble or SEEDS, sample.data.shape
        check_memory(4 * z * y * x, "The entropy map", "choose a smaller shape")
        steps = ensemble_steps(model, (z, y, x), count, options.seed, device=options.device)
        ensemble = follow(steps, f"Generating {count} seeds")
        result |= {"ensemble": count, "mean_entropy": ensemble.mean_entropy}
        if options.entropy is not None:
            write_map(options.entropy, ensemble.entropy, sample)
    return result


def _model(options: argparse.Namespace) -> Model:
    """Load the model to generate from, on the voxels that are asked for."""
    from napari_microgen.methods import load_model
    from napari_microgen.phases import PhaseImage
    from napari_microgen.units import length_ratio

    model = load_model(options.model)
    if options.low is not None:
        model = model.given([PhaseImage.from_tiff(options.low, zero=options.zero, kind="labels")])
    if options.shell is not None:
        from napari_microgen.methods.particles.whole import combine

        model = combine(model, load_model(options.shell))
    if options.voxel_size is None:
        return model
    scale = length_ratio("nm", model.origin.unit) or 1.0
    return model.with_voxel_size(options.voxel_size * scale)


def _check_particle_files(options: argparse.Namespace, model: Model) -> None:
    """Raise `InputError` if a model cannot give what only shells, grains or particles have."""
    from napari_microgen.io.meshes import MESH_SUFFIXES
    from napari_microgen.resources import check_disk

    wanted = (
        ("mesh", MESH_SUFFIXES, ("shell", "particle")),
        ("table", (".csv",), ("shell", "grains", "particle")),
        ("tessellation", (".csv",), ("grains", "particle")),
    )
    for name, suffixes, methods in wanted:
        path = getattr(options, name)
        if path is None:
            continue
        if model.origin.method not in methods:
            raise InputError(
                f"A {model.origin.method} model has no {name}, only {' and '.join(methods)} "
                f"models have; leave out --{name}."
            )
        _check_suffix(path, suffixes)
        check_disk(path, 10**6)


def _write_particle_files(options: argparse.Namespace, model: Any, sample: Sample) -> None:
    from napari_microgen.io.meshes import write_mesh
    from napari_microgen.metrics.tables import write_columns

    if options.mesh is not None:
        write_mesh(options.mesh, *model.mesh(options.seed))
    if options.table is not None:
        write_columns(options.table, sample.table)
    if options.tessellation is not None:
        write_columns(options.tessellation, model.parameters(options.seed))


def _generate_particles(options: argparse.Namespace) -> dict[str, Any]:
    """Write a data set of particles into a folder."""
    from napari_microgen.methods.particles.centred import CentredModel
    from napari_microgen.methods.particles.whole import write_particles
    from napari_microgen.resources import peak_memory
    from napari_microgen.runs import follow, say
    from napari_microgen.units import count_text

    model = _model(options)
    if not isinstance(model, CentredModel):
        raise InputError("Only shells and grains make data sets of particles; leave out --count.")
    single = ("shape", "mesh", "table", "tessellation", "confidence", "entropy", "ensemble",
              "disagreement")  # fmt: skip
    given = [n for n in single if getattr(options, n) is not None]
    given += ["periodic"] * any(options.periodic)
    if given:
        raise InputError(f"A data set has one file per particle; leave out --{given[0]}.")
    for remark in model.remarks(options.seed):
        say(f"warning: {remark}")
    steps = write_particles(model, options.out, options.count, options.seed, options.device)
    written = follow(steps, f"Generating {count_text(options.count, 'particle')}")
    return {
        "out": written["folder"],
        "table": written["table"],
        "particles": options.count,
        "seed": options.seed,
        "peak_memory_bytes": peak_memory(),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one image, or compare a generated volume with a real image."""
    from napari_microgen.metrics.report import compare_steps, measure_steps
    from napari_microgen.metrics.sides import memory_needed
    from napari_microgen.resources import check_disk, check_memory
    from napari_microgen.runs import follow, say
    from napari_microgen.training.device import measuring_device

    for path, suffixes in ((options.out, (".csv",)), (options.figure, FIGURE_SUFFIXES)):
        if path is not None:
            _check_suffix(path, suffixes)
            check_disk(path, 10**6)
    if options.generated is None and options.figure is not None:
        raise InputError("A figure compares two images; name GENERATED too, or drop --figure.")
    real = _image(options.real, options)
    generated = None if options.generated is None else _image(options.generated, options)
    needed = max(memory_needed(image.shape) for image in (real, generated) if image is not None)
    check_memory(needed, "Measuring", "crop the images")
    device = measuring_device(options.device, needed)
    table: Any
    if generated is None:
        stacked = options.sections is not None
        table = follow(measure_steps(real, stacked=stacked, device=device), "Measuring")
        result = {"real": table.to_dict(), "generated": None, "fidelity": None}
    else:
        steps = compare_steps(real, generated, sections=options.sections, device=device)
        table = follow(steps, "Comparing")
        result = table.to_dict()
        if options.figure is not None:
            table.figure(options.figure)
    if options.out is not None:
        table.to_csv(options.out)
    for warning in table.warnings:
        say(f"warning: {warning}")
    return result


def demo(options: argparse.Namespace) -> dict[str, Any]:
    """Train, generate and measure on the built-in electrode."""
    from napari_microgen.demo import run_demo

    result: dict[str, Any] = run_demo(options.out, options.minutes)
    return result


def _image(path: Path, options: argparse.Namespace, kinds: Sequence[Kind] = ()) -> PhaseImage:
    from napari_microgen.phases import PhaseImage

    image = PhaseImage.from_tiff(path, zero=options.zero, kind=options.kind, kinds=kinds)
    if getattr(options, "voxel_size", None) is None:
        return image
    return replace(image, voxel_size=(options.voxel_size,) * image.ndim, unit="nm")


def _check_different(options: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse one file for two results."""
    seen: dict[Path, str] = {}
    for name in names:
        path = getattr(options, name)
        if path is not None and path.resolve() in seen:
            raise InputError(
                f"--{seen[path.resolve()]} and --{name} name the same file; give them different "
                "names."
            )
        if path is not None:
            seen[path.resolve()] = name


def _check_suffix(path: Path, suffixes: Sequence[str]) -> None:
    if path.suffix == ".zarr":
        raise InputError("Writing OME-Zarr is not available yet; give a name that ends in .tif.")
    if path.suffix.lower() not in suffixes:
        raise InputError(f"The name '{path}' must end in {' or '.join(suffixes)}.")


# ---------------------------------------------------------------------- output


def _summary(result: dict[str, Any], indent: str = "") -> str:
    """Return a result as lines for people, without curves and long tables."""
    lines = []
    for name, value in result.items():
        title = f"{indent}{name.replace('_', ' ')}:"
        if isinstance(value, dict):
            inner = _summary(value, indent + "  ")
            lines += [title, inner] if inner else []
        elif not isinstance(value, list):
            lines.append(f"{title} {_text(value)}")
        elif len(value) <= 3 and not any(isinstance(v, str | dict) for v in value):
            lines.append(f"{title} {', '.join(map(_text, value))}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _strict(value: Any) -> Any:
    """Return a result as strict JSON types; infinity is "inf" and what is undefined is None."""
    if isinstance(value, dict):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


# ---------------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; '{self.prog} --help' shows how it is used.")


def _parser() -> _Parser:
    from napari_microgen import __version__

    parser = _Parser(
        prog="napari-microgen",
        description="Turn segmented micrographs into measured 3D microstructures.",
        epilog="Exit codes: 0 done, 1 the run failed, 2 the input or the arguments are wrong.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    add = commands.add_parser("demo", help="train, generate and measure on built-in data")
    add.add_argument("--out", type=Path, default=Path("microgen-demo"), metavar="DIR")
    add.add_argument("--minutes", type=float, default=3.0, help="training time (default 3)")
    _finish(add, demo)

    add = commands.add_parser("train", help="train a method on TIFFs")
    add.add_argument("method", metavar="METHOD", help="such as slicegan")
    add.add_argument(
        "inputs", metavar="INPUT", type=Path, nargs="+",
        help="TIFF, 2D or 3D; for slicegan one, or one per axis in the order z y x; for superres "
        "HIGH2D LOW3D, or HIGH_Z HIGH_Y HIGH_X LOW3D",
    )  # fmt: skip
    add.add_argument("--out", type=Path, required=True, metavar="MODEL", help="model to write")
    add.add_argument("--preset", default="quick", help="quick (default), standard or paper")
    add.add_argument("--minutes", type=float, help="time budget")
    add.add_argument("--steps", type=int, help="step budget")
    add.add_argument("--seed", type=int)
    add.add_argument("--device", choices=DEVICES, help="where to compute")
    add.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="KEY=VALUE",
        help="any other setting of the method; may be repeated",
    )  # fmt: skip
    add.add_argument(
        "--resume", action="store_true",
        help="go on from the checkpoint beside MODEL, which every training leaves there; "
        "--minutes and --steps count from the very start",
    )  # fmt: skip
    _add_reading(add)
    _finish(add, train)

    add = commands.add_parser("generate", help="generate a volume from a model")
    add.add_argument("model", metavar="MODEL", type=Path)
    add.add_argument(
        "--shape", type=int, nargs=3, metavar=("Z", "Y", "X"),
        help="voxels along each axis (default for particles and superres: all there is)",
    )  # fmt: skip
    add.add_argument("--out", type=Path, required=True, metavar="VOLUME.tif")
    add.add_argument("--seed", type=_seed, default=0)
    add.add_argument(
        "--periodic", type=_periodic, default=(False, False, False), metavar="AXES",
        help="axes along which the volume repeats, such as zyx",
    )  # fmt: skip
    add.add_argument("--confidence", type=Path, metavar="FILE", help="also write the confidence")
    add.add_argument(
        "--low", type=Path, metavar="LOW3D",
        help="superres: the low-resolution volume (default: the one that was trained on)",
    )  # fmt: skip
    add.add_argument(
        "--disagreement", type=Path, metavar="FILE",
        help="superres: also write where the result does not look like LOW3D",
    )  # fmt: skip
    add.add_argument(
        "--entropy", type=Path, metavar="FILE",
        help="also write how much volumes of several seeds differ, 0 to 1",
    )  # fmt: skip
    add.add_argument(
        "--ensemble", type=_ensemble, metavar="N", help=f"seeds for --entropy (default {SEEDS})"
    )
    _add_zero(add)
    add.add_argument(
        "--voxel-size", type=_length, metavar="NM",
        help="particles and grains: edge of the voxels in nanometres (in pixels for a model that "
        "knows no length)",
    )  # fmt: skip
    add.add_argument(
        "--shell", type=Path, metavar="SHELL",
        help="grains: fill the particles of this shell model, matched in physical size",
    )  # fmt: skip
    for name, ending, what in (
        ("mesh", "stl", "shells: also write the surface (.stl or .ply)"),
        ("table", "csv", "particles and grains: also write their table"),
        ("tessellation", "csv", "grains: also write seeds and markers, the grains without voxels"),
    ):
        add.add_argument(f"--{name}", type=Path, metavar=f"FILE.{ending}", help=what)
    add.add_argument(
        "--count", type=_count, metavar="N",
        help="particles and grains: write a data set of N into the folder OUT, with a table",
    )  # fmt: skip
    add.add_argument("--device", default="auto", choices=DEVICES, help="where to compute")
    add.add_argument("--scheduler", metavar="ADDRESS", help=argparse.SUPPRESS)
    _finish(add, generate)

    add = commands.add_parser("measure", help="measure an image, or compare two")
    add.add_argument("real", metavar="REAL", type=Path)
    add.add_argument("generated", metavar="GENERATED", type=Path, nargs="?")
    add.add_argument("--out", type=Path, metavar="TABLE.csv")
    add.add_argument("--figure", type=Path, metavar="PAGE.png")
    add.add_argument(
        "--voxel-size", type=_length, metavar="NM", help="edge of the voxels in nanometres"
    )
    add.add_argument(
        "--sections", type=_axes, metavar="AXES",
        help="REAL is a stack of sections normal to these axes, such as zy, and no volume",
    )  # fmt: skip
    add.add_argument("--device", default="auto", choices=DEVICES, help="where to compute")
    _add_reading(add)
    _finish(add, measure)
    return parser


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add what says how a TIFF is to be understood."""
    parser.add_argument(
        "--kind", choices=("auto", "labels", "grey", "colour", "numbered"), default="auto",
        help="what the values are; numbered: a number per particle or grain (default: few whole "
        "numbers are labels, and for shell and grains flat regions are numbered)",
    )  # fmt: skip
    _add_zero(parser)


def _add_zero(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--zero", choices=("phase", "unlabelled"), default="phase",
        help="what the label 0 means (default: a phase)",
    )  # fmt: skip


def _finish(parser: argparse.ArgumentParser, run: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    parser.set_defaults(run=run)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"'{text}' is no KEY=VALUE")
    return name.strip(), value.strip()


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 0 to {MAX_SEED}")
    return int(text)


def _ensemble(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= 255:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 2 to 255")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1 to 100000")
    return int(text)


def _length(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"'{text}' is no positive length")


def _axes(text: str) -> tuple[int, ...]:
    if not text or not set(text) <= set("zyx"):
        raise argparse.ArgumentTypeError(f"'{text}' may only hold the letters z, y and x")
    return tuple(axis for axis in range(3) if "zyx"[axis] in text)


def _periodic(text: str) -> Periodic:
    axes = _axes(text)
    return (0 in axes, 1 in axes, 2 in axes)
