"""What a user brings: an image of phases with its names, colours, voxel size and gaps."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_microgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.layers import Layer
    from numpy.typing import ArrayLike, NDArray

Kind = Literal["labels", "grey", "colour", "numbered"]
Zero = Literal["phase", "unlabelled"]

UNLABELLED = 255
"""Index that marks a voxel without a phase in `PhaseImage.data`."""

MAX_PHASES = 12
"""More different labels than this are taken for grey values given as labels by mistake."""

PALETTE = (
    "#2f3b52", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00",
    "#f0e442", "#0072b2", "#999999", "#882255", "#44aa99", "#ddcc77",
)  # fmt: skip
"""Colours for phases that bring none: a dark ground, then Okabe and Ito's set."""


@dataclass(frozen=True)
class Phase:
    """One phase: its value in the user's labels, a name, and a colour as ``#rrggbb``."""

    value: int
    name: str
    color: str

    def as_dict(self) -> dict[str, Any]:
        """Return the phase as plain JSON types."""
        return {"value": self.value, "name": self.name, "color": self.color}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Phase:
        """Return the phase that `as_dict` described.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something is missing or of the wrong type.
        """
        color = str(values["color"])
        if not re.fullmatch("#[0-9a-fA-F]{6}", color):
            raise ValueError("color")
        return cls(int(values["value"]), str(values["name"]), color)


@dataclass(frozen=True, eq=False)
class PhaseImage:
    """A 2D or 3D image of phases (or of grey or colour values) ready to be learned from.

    Make one with `from_labels`, `from_grey`, `from_colour`, `from_numbered`, `from_layer` or
    `from_tiff`.

    Attributes
    ----------
    kind : {"labels", "grey", "colour", "numbered"}
        What the values mean; numbered: a number per particle or grain.
    data : ndarray
        Labels: ``uint8`` phase indices ``0..n-1`` with `UNLABELLED` where there is no phase,
        shape ``(y, x)`` or ``(z, y, x)``. Grey: ``float32`` in 0-1, same shapes.
        Colour: ``float32`` in 0-1 with a last axis of 3. Numbered: ``int32``, 0 for none.
    phases : tuple of Phase
        The phases in the order of their indices; empty for all other kinds.
    voxel_size : tuple of float
        Edge lengths of a voxel along each spatial axis, in `unit`.
    unit : str
        Unit of `voxel_size`; ``"pixel"`` if it is not known.
    value_range : tuple of float
        Grey and colour: the values of the source that became 0 and 1.
    name : str
        Where the image comes from, for titles and provenance.
    """

    kind: Kind
    data: NDArray[Any]
    phases: tuple[Phase, ...] = ()
    voxel_size: tuple[float, ...] = ()
    unit: str = "pixel"
    value_range: tuple[float, float] = (0.0, 1.0)
    name: str = "image"
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    # ------------------------------------------------------------------ making one

    @classmethod
    def from_labels(
        cls,
        labels: ArrayLike,
        *,
        zero: Zero = "phase",
        names: Mapping[int, str] | None = None,
        colors: Mapping[int, str] | None = None,
        voxel_size: Sequence[float] | None = None,
        unit: str = "pixel",
        name: str = "labels",
    ) -> PhaseImage:
        """Take a 2D or 3D array of integer labels, one value per phase.

        Parameters
        ----------
        labels : array_like of int or bool
            Shape ``(y, x)`` or ``(z, y, x)``; axes of length 1 in front are dropped. Floats
            are accepted if every value is a whole number.
        zero : {"phase", "unlabelled"}
            Whether 0 is a phase (the pore, say) or marks voxels that were not labelled.
        names, colors : mapping from label to str, optional
            Phase names and ``#rrggbb`` colours; missing ones are made up.
        voxel_size : sequence of float, optional
            One length per axis, in `unit`. Default 1.
        unit, name : str
            Unit of the voxel size, and what to call the image.

        Raises
        ------
        InputError
            If the array is empty, not 2D or 3D, not whole numbers, holds NaN, a single phase,
            no phase at all, or more than `MAX_PHASES` values.
        """
        array, sizes = _spatial(_as_array(labels, name), voxel_size, unit, name)
        array = _whole_numbers(array, name)
        values = different_values(array)
        if zero == "unlabelled":
            values = values[values != 0]
        if values.size == 0:
            raise InputError(
                f"'{name}' has no labelled voxel: every value is 0 and 0 means unlabelled; "
                "choose '0 is a phase' or label at least two phases."
            )
        if values.size > MAX_PHASES:
            raise InputError(
                f"'{name}' holds {values.size} different labels, which looks like grey values; "
                "open it as an image to learn grey values, or segment it into at most "
                f"{MAX_PHASES} phases."
            )
        if values.size == 1:
            raise InputError(
                f"'{name}' holds a single phase (label {values[0]}); at least two are needed. "
                + (
                    "If 0 is a phase too, choose '0 is a phase'."
                    if zero == "unlabelled"
                    else "Label a second phase."
                )
            )
        phases = name_phases(values, names or {}, colors or {})
        indices = np.full(array.shape, UNLABELLED, np.uint8)
        for i, value in enumerate(values):
            indices[array == value] = i
        return cls("labels", indices, phases, sizes, unit, name=name)

    @classmethod
    def from_grey(
        cls,
        values: ArrayLike,
        *,
        voxel_size: Sequence[float] | None = None,
        unit: str = "pixel",
        name: str = "image",
    ) -> PhaseImage:
        """Take a 2D or 3D array of grey values; the full range becomes 0-1.

        Raises
        ------
        InputError
            If the array is empty, not 2D or 3D, constant, or holds NaN or infinity.
        """
        array, sizes = _spatial(_as_array(values, name), voxel_size, unit, name)
        scaled, value_range = _unit_range(array, name)
        return cls("grey", scaled, (), sizes, unit, value_range, name)

    @classmethod
    def from_colour(
        cls,
        values: ArrayLike,
        *,
        voxel_size: Sequence[float] | None = None,
        unit: str = "pixel",
        name: str = "image",
    ) -> PhaseImage:
        """Take an RGB or RGBA image, shape ``(..., 3)`` or ``(..., 4)``; alpha is dropped.

        Raises
        ------
        InputError
            As `from_grey`, and if the last axis has neither 3 nor 4 entries.
        """
        array = _as_array(values, name)
        if array.ndim < 3 or array.shape[-1] not in (3, 4):
            raise InputError(
                f"'{name}' is no colour image: its last axis must have 3 or 4 entries."
            )
        array = array[..., :3]
        while array.ndim > 3 and array.shape[0] == 1:
            array = array[0]
        probe, sizes = _spatial(array[..., 0], voxel_size, unit, name)
        scaled, value_range = _unit_range(array.reshape(*probe.shape, 3), name)
        return cls("colour", scaled, (), sizes, unit, value_range, name)

    @classmethod
    def from_numbered(
        cls,
        numbers: ArrayLike,
        *,
        voxel_size: Sequence[float] | None = None,
        unit: str = "pixel",
        name: str = "labels",
    ) -> PhaseImage:
        """Take a 2D or 3D array that holds a number per particle or grain, and 0 for none.

        Raises
        ------
        InputError
            If the array is empty, not 2D or 3D, not whole numbers from 0 to 2^31 - 1, or all 0.
        """
        array, sizes = _spatial(_as_array(numbers, name), voxel_size, unit, name)
        array = _whole_numbers(array, name)
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= 2**31:
            raise InputError(
                f"'{name}' holds labels from {low} to {high}; number particles and grains from 1, "
                "and use 0 where there is none."
            )
        if high == 0:
            raise InputError(
                f"'{name}' holds no particle or grain: every label is 0, which means none."
            )
        return cls("numbered", array.astype(np.int32), (), sizes, unit, name=name)

    @classmethod
    def from_array(cls, array: ArrayLike, **keywords: Any) -> PhaseImage:
        """Guess the kind of an array: few whole numbers are labels, others are grey.

        A last axis of 3 or 4 after two spatial axes is colour. The keywords are those of the
        constructor that fits; those that only labels have are dropped for other kinds.
        """
        array = _as_array(array, keywords.get("name", "image"))
        plain = {k: v for k, v in keywords.items() if k not in ("zero", "names", "colors")}
        if array.ndim == 3 and array.shape[-1] in (3, 4) and min(array.shape[:2]) > 4:
            return cls.from_colour(array, **plain)
        if array.dtype.kind in "biu" or (array.dtype.kind == "f" and _is_whole(array)):
            if 0 < _count_values(array) <= MAX_PHASES:
                return cls.from_labels(array, **keywords)
        return cls.from_grey(array, **plain)

    @classmethod
    def from_layer(
        cls, layer: Layer, *, zero: Zero = "phase", numbered: bool = False
    ) -> PhaseImage:
        """Take a napari Labels or Image layer with its scale, units, names and colours.

        The data is copied, so painting on the layer later changes nothing here. Phase names
        are read from ``layer.features["name"]`` where there is an ``index`` column, colours
        from the layer's own colormap. With `numbered` the labels are taken for the numbers of
        particles or grains.

        Raises
        ------
        InputError
            As the other constructors, and for layers that are neither Labels nor Image.
        """
        if layer._type_string not in ("labels", "image"):
            raise InputError(
                f"'{layer.name}' is a {layer._type_string} layer; choose a Labels or an Image "
                "layer."
            )
        from napari_microgen.io.layers import layer_phases, layer_voxel_size

        data = np.array(layer.data[0] if layer.multiscale else layer.data)
        voxel_size, unit = layer_voxel_size(layer)
        common: dict[str, Any] = {"voxel_size": voxel_size, "unit": unit, "name": layer.name}
        if layer._type_string == "image":
            return (cls.from_colour if layer.rgb else cls.from_grey)(data, **common)
        if numbered:
            return cls.from_numbered(data, **common)
        phases = layer_phases(layer, different_values(data)[: MAX_PHASES + 1])
        return cls.from_labels(
            data, zero=zero, names={p.value: p.name for p in phases},
            colors={p.value: p.color for p in phases}, **common,
        )  # fmt: skip

    @classmethod
    def from_tiff(
        cls,
        path: str | Path,
        *,
        zero: Zero = "phase",
        kind: Kind | Literal["auto"] = "auto",
        kinds: Sequence[Kind] = (),
    ) -> PhaseImage:
        """Read a TIFF of labels, numbers, grey or colour values with the voxel size it states.

        Few whole numbers are taken for labels and others for grey values, unless `kind` says what
        they are. Where `kinds`, what the caller can use, has numbered images in it, large flat
        regions are taken for particles or grains.

        Raises
        ------
        InputError
            If the file is missing, no TIFF, damaged, or its content is refused (see above).
        """
        from napari_microgen.io.tiff import read_tiff

        stored = read_tiff(path)
        common: dict[str, Any] = {
            "voxel_size": stored.voxel_size, "unit": stored.unit, "name": Path(path).name,
        }  # fmt: skip
        labels: dict[str, Any] = {"zero": zero, "names": stored.names, "colors": stored.colors}
        if kind == "colour" or (kind == "auto" and stored.colour):
            return cls.from_colour(stored.data, **common)
        data = _one_channel(stored.data, kind, common["name"]) if stored.colour else stored.data
        if kind == "auto" and "numbered" in kinds:
            kind = "numbered" if "grey" not in kinds or _has_regions(data) else "grey"
        if kind == "labels":
            return cls.from_labels(data, **labels, **common)
        if kind == "grey":
            return cls.from_grey(data, **common)
        if kind == "numbered":
            return cls.from_numbered(data, **common)
        return cls.from_array(data, **labels, **common)

    # ------------------------------------------------------------------ reading it

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape, ``(y, x)`` or ``(z, y, x)``."""
        return self.data.shape[:-1] if self.kind == "colour" else self.data.shape

    @property
    def ndim(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.shape)

    @property
    def n_phases(self) -> int:
        """Number of phases; 0 for all kinds but labels."""
        return len(self.phases)

    @property
    def channels(self) -> int:
        """Channels of `encode`: one per phase, 1 for grey, 3 for colour, 0 for numbered."""
        return {"labels": self.n_phases, "grey": 1, "colour": 3, "numbered": 0}[self.kind]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Where there is a phase or a number; all True for grey and colour images."""
        if self.kind == "labels":
            return np.asarray(self.data != UNLABELLED)
        if self.kind == "numbered":
            return np.asarray(self.data > 0)
        return np.ones(self.shape, bool)

    @property
    def fractions(self) -> NDArray[np.float64]:
        """Volume fraction of every phase among the labelled voxels, shape ``(n_phases,)``."""
        if self.kind != "labels":
            return np.zeros(0)
        counts = np.bincount(self.data[self.labelled].ravel(), minlength=self.n_phases)
        return np.asarray(counts[: self.n_phases] / max(counts.sum(), 1))

    @property
    def digest(self) -> str:
        """SHA-256 of values and shape, to tell later whether a model saw this very image."""
        if "digest" not in self._cache:
            hashed = hashlib.sha256(repr((self.kind, self.data.shape)).encode())
            hashed.update(np.ascontiguousarray(self.data).data)
            self._cache["digest"] = hashed.hexdigest()
        return str(self._cache["digest"])

    def to_values(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Give phase indices back as the user's own labels, in the smallest integer dtype."""
        return to_values(indices, self.phases)

    def encode(self, data: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """Encode values for a network, with the channels as the last axis.

        Parameters
        ----------
        data : ndarray, optional
            Any part or stack of parts of `data`; default the whole image.

        Returns
        -------
        ndarray of float32
            Shape of the spatial axes plus ``(channels,)``. Labels: one-hot, and all zero where
            there is no phase. Grey and colour: -1 to 1.
        """
        data = self.data if data is None else data
        if self.kind == "labels":
            one_hot: NDArray[np.float32] = np.equal(
                data[..., None], np.arange(self.n_phases)
            ).astype(np.float32)
            return one_hot
        scaled: NDArray[np.float32] = data * 2 - 1
        return scaled if self.kind == "colour" else scaled[..., None]

    def as_labels(self, levels: NDArray[np.float64] | None = None) -> PhaseImage:
        """Return an image of phases: itself, or its luminance cut at two levels.

        Grey and colour images are measured through these three classes.

        Parameters
        ----------
        levels : ndarray, shape (2,), optional
            Luminances in 0-1; default `tercile_levels`. Images that are to be compared must be
            cut at the same levels.
        """
        if self.kind == "labels":
            return self
        levels = self.tercile_levels if levels is None else levels
        classes = np.digitize(luminance(self.data, self.kind), levels)
        phases = tuple(Phase(i, n, PALETTE[i]) for i, n in enumerate(("dark", "middle", "bright")))
        return PhaseImage(
            "labels", classes.astype(np.uint8), phases, self.voxel_size, self.unit, name=self.name
        )

    @property
    def tercile_levels(self) -> NDArray[np.float64]:
        """The two luminances that cut the image into three equal areas, shape ``(2,)``."""
        return np.asarray(np.quantile(luminance(self.data, self.kind), (1 / 3, 2 / 3)))

    def crop(self, *slices: slice) -> PhaseImage:
        """Return the part of the image inside `slices`, one per spatial axis."""
        return PhaseImage(
            self.kind, self.data[slices], self.phases, self.voxel_size, self.unit,
            self.value_range, self.name,
        )  # fmt: skip

    def with_cubic_voxels(self) -> PhaseImage:
        """Return the image resampled (nearest voxel) to the shortest of its voxels' edges."""
        edge = min(self.voxel_size)
        if max(self.voxel_size) <= 1.01 * edge:
            return self
        data = self.data
        for axis, size in enumerate(self.voxel_size):
            count = max(1, round(data.shape[axis] * size / edge))
            nearest = (np.arange(count) + 0.5) * edge / size
            data = data.take(nearest.astype(int).clip(max=data.shape[axis] - 1), axis)
        return PhaseImage(
            self.kind, data, self.phases, (edge,) * self.ndim, self.unit, self.value_range,
            self.name,
        )  # fmt: skip

    def sections(self, axis: int) -> PhaseImage:
        """Return the sections normal to `axis` as a stack: that axis first, the others in order.

        A 2D image is its own section, whatever the axis.
        """
        if self.ndim == 2:
            return self
        sizes = list(self.voxel_size)
        sizes.insert(0, sizes.pop(axis))
        return PhaseImage(
            self.kind, np.moveaxis(self.data, axis, 0), self.phases, tuple(sizes), self.unit,
            self.value_range, self.name,
        )  # fmt: skip


def to_values(indices: NDArray[Any], phases: Sequence[Phase]) -> NDArray[Any]:
    """Replace phase indices by the phases' own label values.

    Parameters
    ----------
    indices : ndarray of int
        Values ``0..len(phases)-1``; `UNLABELLED` becomes 0.
    phases : sequence of Phase

    Returns
    -------
    ndarray
        Same shape, smallest integer dtype that holds every label.

    Raises
    ------
    ValueError
        If there is no phase, or no integer dtype that holds every label.
    """
    values = [p.value for p in phases]
    table = np.zeros(256, smallest_integers(min([*values, 0]), max(values)))
    table[: len(values)] = values
    return table[np.asarray(indices, np.uint8)]


def to_indices(values: NDArray[Any], phases: Sequence[Phase]) -> NDArray[np.uint8]:
    """Replace the phases' own label values by phase indices: the inverse of `to_values`.

    Parameters
    ----------
    values : ndarray of int
    phases : sequence of Phase

    Returns
    -------
    ndarray of uint8
        Same shape; `UNLABELLED` where the value is no phase's.
    """
    numbers = [p.value for p in phases]
    known = np.array(numbers, smallest_integers(min(numbers), max(numbers)))
    order = np.argsort(known)
    places = np.searchsorted(known[order], values).clip(max=len(known) - 1)
    indices: NDArray[np.uint8] = order.astype(np.uint8)[places]
    indices[known[indices] != values] = UNLABELLED
    return indices


def smallest_integers(low: int, high: int) -> np.dtype[Any]:
    """Return the smallest integer dtype that holds `low` and `high`.

    Raises
    ------
    ValueError
        If there is none.
    """
    for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return np.dtype(name)
    raise ValueError(f"no integer type holds labels from {low} to {high}")


def name_phases(
    values: Iterable[int], names: Mapping[int, str], colors: Mapping[int, str]
) -> tuple[Phase, ...]:
    """Return a phase for every label in `values`; names and colours that lack are made up."""
    return tuple(
        Phase(int(v), names.get(int(v), f"phase {v}"),
              colors.get(int(v), PALETTE[i % len(PALETTE)]))
        for i, v in enumerate(values)
    )  # fmt: skip


def different_values(array: NDArray[Any]) -> NDArray[Any]:
    """Return the different values of an array in ascending order, quickly for 8-bit images."""
    if array.dtype.itemsize > 1 or array.dtype.kind not in "iu":
        return np.unique(array)
    counts = np.bincount(array.view(np.uint8).ravel(), minlength=256)
    return np.sort(np.flatnonzero(counts).astype(np.uint8).view(array.dtype))


def luminance(data: NDArray[Any], kind: Kind) -> NDArray[np.float64]:
    """Return grey values as they are, and colours as their mean over the channels."""
    return data.mean(axis=-1, dtype=float) if kind == "colour" else np.asarray(data, float)


# ---------------------------------------------------------------------- checks


def _as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"'{name}' is no array: its rows have different lengths.") from None


def _spatial(
    array: NDArray[Any], voxel_size: Sequence[float] | None, unit: str, name: str
) -> tuple[NDArray[Any], tuple[float, ...]]:
    """Drop leading axes of length 1 and check dimensions and voxel size."""
    sizes = [float(s) for s in ([1.0] * array.ndim if voxel_size is None else voxel_size)]
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim not in (2, 3):
        raise InputError(
            f"'{name}' has {array.ndim} axes (shape {array.shape}); a 2D image or a 3D volume is "
            "needed, so choose one time point or channel first."
        )
    if array.size == 0:
        raise InputError(f"'{name}' is empty (shape {array.shape}).")
    if len(sizes) < array.ndim or not all(np.isfinite(s) and s > 0 for s in sizes):
        raise InputError(
            f"'{name}' has the voxel size {tuple(sizes)} {unit}; one positive length per axis is "
            "needed."
        )
    return array, tuple(sizes[-array.ndim :])


def _whole_numbers(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise InputError(
                f"'{name}' holds NaN or infinite values; replace them, or mark such voxels with a "
                "label of their own and treat it as unlabelled."
            )
        if not _is_whole(array):
            raise InputError(
                f"'{name}' holds fractions or huge numbers, so it is no label image; open it as "
                "an image to learn grey values, or segment it."
            )
        return array.astype(np.int64)
    if array.dtype.kind not in "biu":
        raise InputError(f"'{name}' has values of type {array.dtype}; whole numbers are needed.")
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _is_whole(array: NDArray[Any]) -> bool:
    """Whether floats are whole numbers that survive as integers (up to 2**53)."""
    return bool(np.all((np.abs(array) <= 2**53) & (np.rint(array) == array)))


def _has_regions(array: NDArray[Any]) -> bool:
    """Whether most neighbours hold the same whole number, as in no grey image with noise."""
    if array.dtype.kind not in "biu":
        return False
    return bool(np.mean(array[..., 1:] == array[..., :-1]) > 0.5)


def _one_channel(data: NDArray[Any], kind: str, name: str) -> NDArray[Any]:
    """Turn a colour image into grey values, or into labels if its channels are equal."""
    rgb = data[..., :3]
    if (rgb == rgb[..., :1]).all():
        return rgb[..., 0]
    if kind == "labels":
        raise InputError(
            f"'{name}' is a colour image, so it holds no labels; convert it to one channel with "
            "one number per phase, or learn it as colour."
        )
    return luminance(rgb, "colour")


def _unit_range(array: NDArray[Any], name: str) -> tuple[NDArray[np.float32], tuple[float, float]]:
    if array.dtype.kind not in "biuf":
        raise InputError(f"'{name}' has values of type {array.dtype}; numbers are needed.")
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"'{name}' holds NaN or infinite values; replace or crop them first.")
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError(f"'{name}' is constant ({low:g}); there is nothing to learn from it.")
    return (values - low) / (high - low), (low, high)


def _count_values(array: NDArray[Any]) -> int:
    """Count different values, looking at all only if a sample shows few."""
    sample = np.unique(array.ravel()[:: max(1, array.size // 4096)])
    return sample.size if sample.size > MAX_PHASES else different_values(array).size
