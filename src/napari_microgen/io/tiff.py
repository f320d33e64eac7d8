"""TIFF files with voxel size, phases and provenance, readable by Fiji."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.io.files import check_readable, replacing
from napari_microgen.phases import Phase
from napari_microgen.resources import check_disk
from napari_microgen.units import METRES, short_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from tifffile import TiffFile

    from napari_microgen.methods.base import Sample

KEY = "napari-microgen"
IMAGEJ_TYPES = ("uint8", "uint16", "int16", "float32")
IMAGEJ_MAX_BYTES = 2**32 - 2**20


@dataclass(frozen=True, eq=False)
class StoredImage:
    """What a TIFF holds.

    Attributes
    ----------
    data : ndarray
        Values as they are stored, channels of a colour image last.
    voxel_size : tuple of float or None
        Edge lengths along the spatial axes in `unit`; None if the file does not say.
    unit : str
        ``"pixel"`` if the file does not say.
    names, colors : dict from label to str
        Names and ``#rrggbb`` colours of phases, where the file has them.
    metadata : dict
        Provenance that `write_tiff` was given.
    colour : bool
        Whether the last axis holds red, green and blue (and alpha).
    """

    data: NDArray[Any]
    voxel_size: tuple[float, ...] | None = None
    unit: str = "pixel"
    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    colour: bool = False


# ---------------------------------------------------------------------- reading


def read_tiff(path: str | Path) -> StoredImage:
    """Read the first image or stack of a TIFF.

    Voxel size and unit come from ImageJ's, OME's or our own metadata. A plain resolution tag is
    not believed: scanners and exporters write 72 dpi whatever the magnification.

    Raises
    ------
    InputError
        If the file is missing, no TIFF, damaged, or holds several channels or time points.
    """
    from tifffile import TiffFile, TiffFileError

    path = check_readable(path)
    with _LogOfDamage() as log:
        try:
            with TiffFile(path) as tiff:
                data, axes = _first_stack(tiff)
                note = _own_note(tiff)
                sizes, unit = _voxel_size(tiff, note)
        except TiffFileError:
            raise InputError(
                f"'{path}' is no TIFF file; convert it, for example with Fiji."
            ) from None
        except Exception as error:  # tifffile and its codecs raise every kind on damaged files
            if "imagecodecs" in str(error):
                raise InputError(
                    f"'{path}' is compressed in a way that needs the package imagecodecs; install "
                    "it, or save the file uncompressed."
                ) from None
            raise _damaged(path) from None
    if log.damage or data.size == 0:
        raise _damaged(path)
    data, colour = _arrange(data, axes, path)
    spatial = data.ndim - colour
    if sizes is not None and not (np.isfinite(sizes).all() and min(sizes) > 0):
        sizes, unit = None, "pixel"
    try:
        phases = [Phase.from_dict(p) for p in note.get("phases", ())]
    except (KeyError, TypeError, ValueError):
        phases = []
    return StoredImage(
        data,
        None if sizes is None else tuple(sizes[-spatial:]),
        unit,
        {p.value: p.name for p in phases},
        {p.value: p.color for p in phases},
        dict(note.get("provenance") or {}),
        colour,
    )


def _first_stack(tiff: TiffFile) -> tuple[NDArray[Any], str]:
    """Return the first image and its axes; images that scripts append one by one are its slices."""
    first, *others = tiff.series
    alike = all((s.shape, s.dtype, s.axes) == (first.shape, first.dtype, "YX") for s in others)
    if others and alike and tiff.is_shaped:
        return np.stack([series.asarray() for series in tiff.series]), "ZYX"
    return first.asarray(), first.axes


def _damaged(path: Path) -> InputError:
    return InputError(f"'{path}' is damaged or incomplete; copy or save it again.")


class _LogOfDamage(logging.Handler):
    """Notices the errors that tifffile only logs before it goes on with part of a file."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.damage = False

    def emit(self, record: logging.LogRecord) -> None:
        self.damage = True

    def __enter__(self) -> _LogOfDamage:
        logger = logging.getLogger("tifffile")
        self._propagate, logger.propagate = logger.propagate, False
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("tifffile")
        logger.removeHandler(self)
        logger.propagate = self._propagate


def _arrange(data: NDArray[Any], axes: str, path: Path) -> tuple[NDArray[Any], bool]:
    """Put colour channels last, and refuse several channels or time points.

    Scripts often save the slices of a volume as time points or as many channels of one image.
    """
    for axis, what in (("C", "channels"), ("T", "time points")):
        count = data.shape[axes.index(axis)] if axis in axes else 1
        if count > 1 and ("Z" in axes or (axis == "C" and count <= 4)):
            raise InputError(f"'{path}' holds {count} {what}; save one of them as a file.")
    if "S" not in axes:
        return data, False
    data = np.moveaxis(data, axes.index("S"), -1)
    if data.shape[-1] in (3, 4):
        return data, True
    return data[..., 0], False  # grey with an alpha channel


def _own_note(tiff: TiffFile) -> dict[str, Any]:
    """Return what `write_tiff` noted, an empty dict for files of other programs."""
    try:
        if tiff.is_imagej:
            note = json.loads((tiff.imagej_metadata or {})["Info"])[KEY]
        else:
            note = (tiff.shaped_metadata or ({},))[0][KEY]
    except (ValueError, TypeError, KeyError, IndexError):
        return {}
    return note if isinstance(note, dict) else {}


def _voxel_size(tiff: TiffFile, note: Mapping[str, Any]) -> tuple[tuple[float, ...] | None, str]:
    """Return edge lengths along z, y, x and their unit; None and pixel where none are given."""
    if tiff.is_imagej:
        stated = tiff.imagej_metadata or {}
        unit = short_unit(str(stated.get("unit", "pixel")))
        tags = tiff.pages.first.tags
        yx = [np.divide(*tags[name].value[::-1]) for name in ("YResolution", "XResolution")]
        sizes = (abs(float(stated.get("spacing", 1))), *(float(s) for s in yx))
    elif tiff.is_ome and tiff.ome_metadata:
        pixels = ElementTree.fromstring(tiff.ome_metadata).find(".//{*}Pixels")
        stated = {} if pixels is None else pixels.attrib
        return _ome_voxel_size(stated)
    elif note.get("voxel_size"):
        unit = short_unit(str(note.get("unit")))
        sizes = tuple(float(s) for s in note["voxel_size"])
    else:
        return None, "pixel"
    return (None, "pixel") if unit in (None, "pixel") else (sizes, unit)


def _ome_voxel_size(stated: Mapping[str, str]) -> tuple[tuple[float, ...] | None, str]:
    """Return what the attributes of OME's Pixels say; every axis may have a unit of its own."""
    common = short_unit(stated.get("PhysicalSizeXUnit", "um"))
    sizes: list[float] = []
    for axis in "XYZ":
        unit = short_unit(stated.get(f"PhysicalSize{axis}Unit", "um"))
        if f"PhysicalSize{axis}" not in stated and sizes:
            sizes.append(sizes[-1])
        elif f"PhysicalSize{axis}" in stated and unit in METRES and common in METRES:
            sizes.append(float(stated[f"PhysicalSize{axis}"]) * (METRES[unit] / METRES[common]))
        else:
            return None, "pixel"
    return tuple(reversed(sizes)), str(common)


# ---------------------------------------------------------------------- writing


def write_sample(path: str | Path, sample: Sample) -> Path:
    """Write the labels, grey values or colours of a generated volume; see `write_tiff`."""
    return write_tiff(
        path, sample.data, voxel_size=sample.voxel_size, unit=sample.unit, phases=sample.phases,
        provenance=sample.provenance, colour=sample.kind == "colour",
    )  # fmt: skip


def write_confidence(path: str | Path, sample: Sample) -> Path:
    """Write the confidence map of a generated label volume; see `write_tiff`.

    Raises
    ------
    InputError
        If the volume holds grey values or colours, which have no confidence.
    """
    if sample.confidence is None:
        raise InputError(f"A volume of {sample.kind} values has no confidence map.")
    return write_map(path, sample.confidence, sample)


def write_map(path: str | Path, values: NDArray[Any], sample: Sample) -> Path:
    """Write a map of a generated volume, with a value for each of its voxels; see `write_tiff`."""
    return write_tiff(
        path, values, voxel_size=sample.voxel_size, unit=sample.unit, provenance=sample.provenance
    )


def write_tiff(
    path: str | Path,
    data: NDArray[Any],
    *,
    voxel_size: Sequence[float] | None = None,
    unit: str = "pixel",
    phases: Sequence[Phase] = (),
    provenance: Mapping[str, Any] | None = None,
    colour: bool = False,
) -> Path:
    """Write an image or volume in one step; an older file stays until it is replaced.

    Values that ImageJ knows (8 and 16 bit, ``float32``) are written as an ImageJ TIFF with the
    phases' colours as its lookup table and our notes under *Image > Show Info*; others as a plain
    TIFF with our notes in the image description. Whole numbers are compressed without loss.

    Parameters
    ----------
    path : str or Path
    data : ndarray
        Shape ``(y, x)``, ``(z, y, x)`` or, for a series, ``(t, z, y, x)``, and a last axis of 3
        if `colour`.
    voxel_size : sequence of float, optional
        Edge lengths along the spatial axes, in `unit`; what is there for t is not written.
        Default: not known.
    unit : str
    phases : sequence of Phase
        Meaning of the labels, where `data` holds labels.
    provenance : mapping, optional
        Where the data comes from, plain JSON types.
    colour : bool

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    InputError
        If there is no room or no folder, which is found out before anything is written.
    RunError
        If writing fails on the way; no part of a file is left.
    """
    from tifffile import imwrite

    path, data = Path(path), np.asarray(data)
    check_disk(path, data.nbytes)
    note = {"phases": [p.as_dict() for p in phases], "provenance": dict(provenance or {})}
    options: dict[str, Any] = {"photometric": "rgb" if colour else "minisblack"}
    if data.dtype.kind in "biu":
        options["compression"] = "zlib"
    unit = short_unit(unit) or "pixel"
    sizes = [1.0] * (data.ndim - colour) if voxel_size is None else [float(s) for s in voxel_size]
    metadata: dict[str, Any] = {"axes": "TZYX"[-len(sizes) :] + "S" * colour}
    types = IMAGEJ_TYPES[:1] if colour else IMAGEJ_TYPES
    if data.dtype.name in types and data.nbytes < IMAGEJ_MAX_BYTES:
        metadata |= {"unit": unit, "Info": json.dumps({KEY: note}, indent=1)}
        if len(sizes) > 2:
            metadata["spacing"] = sizes[-3]
        options |= {"imagej": True, "resolution": (1 / sizes[-1], 1 / sizes[-2])}
        if phases and data.dtype == np.uint8:
            options |= {"photometric": "palette", "colormap": _lookup_table(phases)}
    else:
        metadata[KEY] = {**note, "voxel_size": sizes, "unit": unit}
    with replacing(path) as part:
        imwrite(part, data, metadata=metadata, **options)
    return path


def _lookup_table(phases: Sequence[Phase]) -> NDArray[np.uint16]:
    """Return the phases' colours as a TIFF colour map, shape ``(3, 256)``."""
    table = np.zeros((3, 256), np.uint16)
    for phase in phases:
        red_green_blue = bytes.fromhex(phase.color.removeprefix("#"))
        table[:, phase.value] = np.multiply(list(red_green_blue), 257)
    return table
