"""The command line: ``napari-microgen demo | train | generate | measure``."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from napari_microgen.errors import InputError, MicrogenError, Stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.base import Periodic
    from napari_microgen.phases import PhaseImage

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
MAX_SEED = 2**31 - 1


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
    except MemoryError:
        return _fail("The memory ran out; choose a smaller shape or preset.", FAILED)
    except Exception as error:  # the promise is no traceback, whatever a library raises
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
    data = [_image(path, options) for path in options.inputs]
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
    from napari_microgen.methods import load_model
    from napari_microgen.resources import check_disk, peak_memory
    from napari_microgen.runs import generate_sample

    if options.scheduler is not None:
        raise InputError("Generating on a cluster is not available yet; leave out --scheduler.")
    _check_tiff_name(options.out)
    if options.confidence is not None:
        _check_tiff_name(options.confidence)
    model = load_model(options.model)
    if options.confidence is not None and model.origin.kind != "labels":
        raise InputError(
            f"A model of {model.origin.kind} values gives no confidence; leave out --confidence."
        )
    voxels = math.prod(options.shape)
    needed = voxels * {"labels": 1, "grey": 4, "colour": 3}[model.origin.kind]
    check_disk(options.out, needed)
    if options.confidence is not None:
        check_disk(options.confidence, needed + 4 * voxels)
    sample, seconds = generate_sample(
        model, options.shape, options.seed, options.periodic, options.device
    )
    write_sample(options.out, sample)
    if options.confidence is not None:
        write_confidence(options.confidence, sample)
    return {
        "out": str(options.out),
        "shape": list(options.shape),
        "seconds": round(seconds, 3),
        "voxels_per_second": round(voxels / seconds),
        "peak_memory_bytes": peak_memory(),
        "seed": options.seed,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one image, or a generated volume against a real image."""
    raise NotImplementedError


def demo(options: argparse.Namespace) -> dict[str, Any]:
    """Train, generate and measure on the built-in electrode."""
    from napari_microgen.demo import run_demo

    return run_demo(options.out, options.minutes)


def _image(path: Path, options: argparse.Namespace) -> PhaseImage:
    from napari_microgen.phases import PhaseImage

    return PhaseImage.from_tiff(path, zero=options.zero, kind=options.kind)


def _check_tiff_name(path: Path) -> None:
    if path.name.endswith((".ome.zarr", ".zarr")):
        raise InputError("Writing OME-Zarr is not available yet; give a name that ends in .tif.")
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"'{path}' must end in .tif; volumes are written as TIFF.")


# ---------------------------------------------------------------------- output


def _summary(result: dict[str, Any], indent: str = "") -> str:
    """Return a result as lines for people."""
    lines = []
    for name, value in result.items():
        title = name.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{indent}{title}:", _summary(value, indent + "  ")]
        else:
            lines.append(f"{indent}{title}: {_text(value)}")
    return "\n".join(line for line in lines if line)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(v) for v in value) if len(value) <= 6 else f"{len(value)} values"
    return str(value)


def _strict(value: Any) -> Any:
    """Return a result as strict JSON types, which know neither NaN nor infinity."""
    if isinstance(value, dict):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
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
        help="TIFF, 2D or 3D; for slicegan one, or one per axis in the order z y x",
    )  # fmt: skip
    add.add_argument("--out", type=Path, required=True, metavar="MODEL", help="model to write")
    add.add_argument("--preset", default="quick", help="quick (default), standard or paper")
    add.add_argument("--minutes", type=float, help="time budget")
    add.add_argument("--steps", type=int, help="step budget")
    add.add_argument("--seed", type=int)
    add.add_argument("--device", help="auto, cpu, cuda or mps")
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
    add.add_argument("--shape", type=int, nargs=3, required=True, metavar=("Z", "Y", "X"))
    add.add_argument("--out", type=Path, required=True, metavar="VOLUME.tif")
    add.add_argument("--seed", type=_seed, default=0)
    add.add_argument(
        "--periodic", type=_periodic, default=(False, False, False), metavar="AXES",
        help="axes along which the volume repeats, such as zyx",
    )  # fmt: skip
    add.add_argument("--confidence", type=Path, metavar="FILE", help="also write the confidence")
    add.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add.add_argument("--scheduler", metavar="ADDRESS", help=argparse.SUPPRESS)
    _finish(add, generate)

    add = commands.add_parser("measure", help="measure an image, or compare two")
    add.add_argument("real", metavar="REAL", type=Path)
    add.add_argument("generated", metavar="GENERATED", type=Path, nargs="?")
    add.add_argument("--out", type=Path, metavar="TABLE.csv")
    add.add_argument("--figure", type=Path, metavar="PAGE.png")
    add.add_argument(
        "--voxel-size", type=float, metavar="NM", help="edge of the voxel in nanometres"
    )
    _add_reading(add)
    _finish(add, measure)
    return parser


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Add what says how a TIFF is to be understood."""
    parser.add_argument(
        "--kind", choices=("auto", "labels", "grey", "colour"), default="auto",
        help="what the values are (default: few whole numbers are labels)",
    )  # fmt: skip
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


def _periodic(text: str) -> Periodic:
    if not set(text) <= set("zyx"):
        raise argparse.ArgumentTypeError(f"'{text}' may only hold the letters z, y and x")
    return ("z" in text, "y" in text, "x" in text)
