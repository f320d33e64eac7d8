"""The shape every method has: Config, Method, Progress, Model and Sample.

A method is trained by iterating over `Method.train`, and the last `Progress` carries a `Model`
that generates. Nothing here knows torch, Qt or napari.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import numpy as np

from napari_microgen import __version__
from napari_microgen.errors import InputError
from napari_microgen.phases import Kind, Phase, smallest_integers, to_values

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

Shape = tuple[int, int, int]
Periodic = tuple[bool, bool, bool]


# ---------------------------------------------------------------------- Config


def setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str | int] = (),
    unit: str = "",
    advanced: bool = False,
) -> Any:
    """Declare a field of a `Config` with what the form, the command line and the docs say of it.

    Parameters
    ----------
    default : object
        Default value; its type decides how the field is edited and parsed.
    help : str
        What it means and where the default comes from, one sentence.
    minimum, maximum : float, optional
        Allowed range, both ends included.
    choices : sequence of str or of int, optional
        The only allowed values.
    unit : str, optional
        Unit shown behind the value.
    advanced : bool, optional
        Whether a form hides it at first.
    """
    metadata = {
        "help": help, "minimum": minimum, "maximum": maximum, "choices": tuple(choices),
        "unit": unit, "advanced": advanced,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Settings of a method; every subclass adds its own fields and its presets.

    Raises
    ------
    InputError
        On construction, if a value is of the wrong type, out of range or no choice.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": {}}

    preset: str = setting("quick", "The preset that the other values were taken from.")
    minutes: float = setting(
        5.0, "Time budget of the training.", minimum=0.05, maximum=10_000, unit="min"
    )
    steps: int = setting(
        0, "Step budget of the training; 0 leaves it to the time.", minimum=0, maximum=10**9
    )
    seed: int = setting(
        0, "Same seed, same data, same machine and same steps give the same model.",
        minimum=0, maximum=2**31 - 1,
    )  # fmt: skip
    device: str = setting(
        "auto", "Where to compute; auto takes a GPU if there is one.",
        choices=("auto", "cpu", "cuda", "mps"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = _checked(item, getattr(self, item.name))
            object.__setattr__(self, item.name, value)
        if self.preset not in self.presets:
            raise InputError(
                f"There is no preset '{self.preset}'; choose {' or '.join(self.presets)}."
            )

    @classmethod
    def from_preset(cls, preset: str, /, **changes: Any) -> Self:
        """Return the settings of `preset`, some of them changed.

        Raises
        ------
        InputError
            If there is no such preset or setting, or a value is refused.
        """
        if preset not in cls.presets:
            raise InputError(f"There is no preset '{preset}'; choose {' or '.join(cls.presets)}.")
        return cls.from_dict({**cls.presets[preset], "preset": preset, **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return settings from plain values; strings are parsed as the field's type.

        Raises
        ------
        InputError
            If a name is unknown or a value is refused.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise InputError(
                    f"There is no setting '{name}'; known are {', '.join(sorted(known))}."
                )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return every setting as plain JSON types."""
        return dataclasses.asdict(self)


def _checked(item: dataclasses.Field[Any], value: Any) -> Any:
    """Return `value` as the field's type, or raise with what is allowed."""
    meta, kind = item.metadata, type(item.default)
    try:
        if kind is bool and isinstance(value, str):
            value = {"true": True, "1": True, "yes": True,
                     "false": False, "0": False, "no": False}[value.lower()]  # fmt: skip
        elif kind is int and not isinstance(value, int):
            value = _whole(value)
        elif kind in (float, str, bool):
            value = kind(value)
    except (ValueError, KeyError, TypeError, OverflowError):
        words = {int: "a whole number", float: "a number", bool: "true or false"}
        raise InputError(
            f"'{item.name}' must be {words.get(kind, 'text')}, not {value!r}."
        ) from None
    if meta.get("choices") and value not in meta["choices"]:
        raise InputError(
            f"'{item.name}' must be one of {', '.join(map(str, meta['choices']))}, not {value!r}."
        )
    low, high = meta.get("minimum"), meta.get("maximum")
    if kind in (int, float):
        if not np.isfinite(value):
            raise InputError(f"'{item.name}' must be a finite number, not {value}.")
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = [f"at least {low:g}"] if low is not None else []
            bounds += [f"at most {high:g}"] if high is not None else []
            raise InputError(f"'{item.name}' must be {' and '.join(bounds)}, not {value:g}.")
    return value


def _whole(value: Any) -> int:
    """Return a number, or text such as ``1e3``, as an integer; raise if it is not whole."""
    number = float(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


# ---------------------------------------------------------------------- what training yields


@dataclass(frozen=True)
class Progress:
    """Where a training stands.

    Attributes
    ----------
    step : int
        Training steps done (generator updates in adversarial methods).
    fraction : float
        Share of the budget used, 0-1, by time or steps, whichever is nearer its end.
    seconds : float
        Training time so far, earlier runs of a resumed training included.
    steps_per_second : float
        Recent speed.
    losses : dict of str to float
        Current losses by name.
    fidelity : dict of str to float or None
        Errors over the real image's own sampling noise, where newly measured at this step.
    preview : Sample or None
        A generated volume, where newly made at this step.
    device : str
        Device in use and why it was chosen.
    memory_bytes : int
        Memory held by the process, or by torch on the GPU.
    message : str
        News for the user in one sentence; empty most of the time.
    model : Model or None
        The best model so far: on every item at which it became better, and on the last one.
    """

    step: int
    fraction: float
    seconds: float
    steps_per_second: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    fidelity: Mapping[str, float] | None = None
    preview: Sample | None = None
    device: str = ""
    memory_bytes: int = 0
    message: str = ""
    model: Model | None = None

    @property
    def seconds_left(self) -> float:
        """Time to the end of the budget at the present pace, in seconds."""
        if self.fraction <= 0:
            return float("inf")
        return self.seconds * (1 - self.fraction) / self.fraction


@dataclass(frozen=True)
class Sample:
    """A generated volume.

    Attributes
    ----------
    kind : {"labels", "grey", "colour", "numbered"}
        What `data` holds.
    data : ndarray
        Labels: the user's own label values, shape ``(z, y, x)``. Grey: ``float32`` in the
        source's range. Colour: ``uint8``, shape ``(z, y, x, 3)``. Numbered: the number of the
        particle or grain in the smallest type that holds all, 0 for none.
    phases : tuple of Phase
        Phases of a label volume, in the order of `probabilities`.
    voxel_size : tuple of float
        Edge lengths along z, y, x in `unit`.
    unit : str
    confidence : ndarray of float32 or None
        Largest phase probability of every voxel, shape ``(z, y, x)``.
    probabilities : ndarray of float32 or None
        Every phase's probability, shape ``(n_phases, z, y, x)``.
    provenance : dict
        Method, config, seed, offset, model and version, as plain JSON types.
    table : dict of str to ndarray
        What is known of every particle or grain of a numbered volume, one row each; the column
        ``index`` holds its number.
    entropy : ndarray of float32 or None
        How much volumes of several seeds differ, 0-1, shape ``(z, y, x)``; `probabilities` are
        then shares of these seeds.
    place : tuple of float or None
        Middle of the first voxel along z, y, x in `unit`, measured from the middle of the first
        voxel of the image that the volume was made from; None if it was made from none.
    """

    kind: Kind
    data: NDArray[Any]
    phases: tuple[Phase, ...]
    voxel_size: tuple[float, float, float]
    unit: str
    confidence: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    entropy: NDArray[np.float32] | None = None
    place: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Disagreement:
    """Where a generated volume does not look like the image that it was made from.

    Attributes
    ----------
    share : float
        Share of the image's compared voxels; NaN if none was.
    where : ndarray of bool, shape (z, y, x)
        Voxels of the image whose phase differs.
    voxel_size : tuple of float
        Their edge lengths along z, y, x in `unit`.
    unit : str
    place : tuple of float
        Middle of the first of them, as in `Sample.place`.
    """

    share: float
    where: NDArray[np.bool_]
    voxel_size: tuple[float, float, float]
    unit: str
    place: tuple[float, float, float]


# ---------------------------------------------------------------------- Model


@dataclass(frozen=True)
class Origin:
    """What a model was trained on and how: everything a model file says beside the weights.

    Attributes
    ----------
    method : str
        Registered name of the method.
    config : dict
        Settings, as `Config.to_dict` gives them.
    kind, phases, voxel_size, unit, value_range
        As in `PhaseImage`; `voxel_size` along z, y, x of what is generated.
    data : tuple of dict
        Name, shape, SHA-256, voxel size, unit and phases of every training image.
    steps : int
        Training steps behind the weights.
    seconds : float
        Training time behind the weights.
    device : str
        Device that the training ran on.
    fidelity : dict of str to float
        Last measured errors over noise floor.
    versions : dict of str to str
        Versions of this package, torch and numpy.
    changes : dict
        What was changed by hand since, and in which model; empty for most models.
    """

    method: str
    config: Mapping[str, Any]
    kind: Kind
    phases: tuple[Phase, ...]
    voxel_size: tuple[float, float, float]
    unit: str
    value_range: tuple[float, float] = (0.0, 1.0)
    data: tuple[Mapping[str, Any], ...] = ()
    steps: int = 0
    seconds: float = 0.0
    device: str = "cpu"
    fidelity: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_training(
        cls,
        method: str,
        config: Config,
        data: Sequence[PhaseImage],
        device: object,
        *,
        like: PhaseImage | None = None,
        voxel_size: tuple[float, float, float] | None = None,
    ) -> Origin:
        """Return the origin of a model that is being trained.

        Parameters
        ----------
        method : str
            Registered name of the method.
        config : Config
        data : sequence of PhaseImage
            The training images, as the user gave them.
        device : torch.device or str
        like : PhaseImage, optional
            Image whose kind, phases and unit the volumes take. Default: the first of `data`.
        voxel_size : tuple of float, optional
            Voxel size of the volumes. Default: cubes of the last axis of `like`.
        """
        like = like or data[0]
        return cls(
            method=method,
            config=config.to_dict(),
            kind=like.kind,
            phases=like.phases,
            voxel_size=voxel_size or (like.voxel_size[-1],) * 3,
            unit=like.unit,
            value_range=like.value_range,
            data=tuple(_told(image) for image in data),
            device=str(device),
            versions={
                "napari-microgen": __version__, "torch": version("torch"), "numpy": np.__version__,
            },
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self))))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Origin:
        """Return the origin described by `values`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something is missing or of the wrong type.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        taken = {k: v for k, v in values.items() if k in known}
        for name, kind in {"method": str, "unit": str, "device": str, "config": dict,
                           "fidelity": dict, "versions": dict, "changes": dict,
                           "steps": int}.items():  # fmt: skip
            if not isinstance(values.get(name, kind()), kind):
                raise TypeError(name)
        taken["phases"] = tuple(Phase.from_dict(p) for p in values["phases"])
        taken["voxel_size"] = tuple(float(s) for s in values["voxel_size"])
        low, high = values["value_range"]
        taken["value_range"] = (float(low), float(high))
        taken["data"] = tuple(dict(d) for d in values.get("data", ()))
        if values["kind"] not in get_args(Kind):
            raise ValueError("kind")
        if len(taken["voxel_size"]) != 3:
            raise ValueError("voxel_size")
        if values["kind"] == "labels":
            to_values(np.zeros(0), taken["phases"])
        return cls(**taken)


def _told(image: PhaseImage) -> dict[str, Any]:
    """Return what an `Origin` says of a training image."""
    return {
        "name": image.name, "shape": list(image.shape), "sha256": image.digest,
        "voxel_size": list(image.voxel_size), "unit": image.unit,
        "phases": [phase.as_dict() for phase in image.phases],
    }  # fmt: skip


@dataclass(frozen=True)
class Block:
    """Part of a volume as a model computes it.

    Attributes
    ----------
    where : tuple of slice
        Its place in the requested volume.
    values : ndarray
        Channels first, shape ``(channels, z, y, x)``: phase probabilities for labels and 0-1 for
        grey and colour (``float32``), the numbers themselves for numbered (``int32``).
    """

    where: tuple[slice, slice, slice]
    values: NDArray[Any]


class Model(ABC):
    """A trained model: a function of seed and position that gives volumes of any size."""

    mend: ClassVar[str] = "choose a smaller shape"
    """What to do where a volume is too large."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    @abstractmethod
    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the weights by name, as they go into the model file."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> Model:
        """Rebuild the model from its file's content.

        Raises
        ------
        InputError
            If the weights do not fit the settings in `origin`.
        """

    @abstractmethod
    def blocks(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
        device: str = "auto",
    ) -> Iterator[Block]:
        """Compute the volume block by block; together they tile it exactly once.

        Parameters
        ----------
        shape : tuple of int
            Voxels along z, y, x.
        seed : int
            Which of the model's volumes.
        offset : tuple of int
            Position of the first voxel in that endless volume; may be negative.
        periodic : tuple of bool
            Axes along which the volume repeats with the period of its shape.
        device : str
            As in `Config.device`.

        Raises
        ------
        InputError
            If the shape is impossible, for example no multiple of the period on a periodic axis.
        """

    @abstractmethod
    def count_blocks(
        self,
        shape: Shape,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
    ) -> int:
        """Return how many items `blocks` yields, for progress."""

    def check_shape(self, shape: Sequence[int], periodic: Sequence[bool]) -> None:
        """Raise `InputError` if no volume of this shape can be made; say which could."""
        if len(shape) != 3 or any(int(n) < 1 for n in shape):
            raise InputError(f"The shape {tuple(shape)} must be three positive numbers: z, y, x.")

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Images that volumes are made from; none for most models."""
        return ()

    def given(self, images: Sequence[PhaseImage]) -> Model:
        """Return the same model at work on other images, in the order of `inputs`.

        Raises
        ------
        InputError
            If the model makes volumes from no image, or cannot make any from these.
        """
        if images:
            raise InputError("This model makes volumes from no image; leave it out.")
        return self

    def disagreement(self, sample: Sample) -> Disagreement | None:
        """Return where a volume does not look like the image it was made from; None without one."""
        return None

    def fitting_shape(self, seed: int = 0) -> Shape | None:
        """Return the shape that holds all there is of `seed`'s volume; None if it is endless."""
        return None

    def remarks(self, seed: int = 0) -> list[str]:
        """Return what to know of `seed`'s volume before it is generated, one sentence each."""
        return []

    def with_voxel_size(self, voxel_size: float) -> Model:
        """Return the same model on cubic voxels of another size, in the unit of `origin`.

        Raises
        ------
        InputError
            If the model is tied to its voxels, as networks that make voxels are.
        """
        raise InputError(
            f"This model generates voxels of {self.origin.voxel_size[0]:g} "
            f"{self.origin.unit} only; leave out the voxel size."
        )

    def bytes_needed(self, shape: Sequence[int], probabilities: bool = False) -> int:
        """Estimate the memory that `generate` takes for a volume of `shape`, in bytes."""
        channels = max(len(self.origin.phases), 1)
        voxel = {
            "labels": 1 + 4 + 4 * channels * probabilities, "grey": 4, "colour": 3, "numbered": 6
        }  # fmt: skip
        return int(np.prod([int(n) for n in shape], dtype=object)) * voxel[self.origin.kind]

    def generate(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
        *,
        probabilities: bool = False,
        device: str = "auto",
    ) -> Sample:
        """Generate a volume; the parameters are those of `blocks`.

        Parameters
        ----------
        probabilities : bool
            Whether to keep every phase's probability too.
        """
        steps = self.generate_steps(
            shape, seed, offset, periodic, probabilities=probabilities, device=device
        )
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                sample: Sample = stop.value
                return sample

    def generate_steps(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
        *,
        probabilities: bool = False,
        device: str = "auto",
    ) -> Generator[float, None, Sample]:
        """Generate a volume step by step: yields the share done, returns the `Sample`."""
        self.check_shape(shape, periodic)
        labels = self.origin.kind == "labels"
        channels = len(self.origin.phases)
        values: NDArray[Any] | None = None
        confidence = np.zeros(shape, np.float32) if labels else None
        chances = np.zeros((channels, *shape), np.float32) if labels and probabilities else None
        total = self.count_blocks(shape, offset, periodic)
        blocks = self.blocks(shape, seed, offset, periodic, device)
        for done, block in zip(itertools.count(1), blocks, strict=False):
            part = self._decoded(block.values)
            if values is None:
                values = np.zeros((*shape, *part.shape[3:]), part.dtype)
            values[block.where] = part
            if confidence is not None:
                confidence[block.where] = block.values.max(axis=0)
            if chances is not None:
                chances[(slice(None), *block.where)] = block.values
            yield done / total
        assert values is not None
        if self.origin.kind == "numbered":
            values = values.astype(smallest_integers(0, int(values.max())))
        provenance = self.provenance(shape, seed, offset, periodic)
        return Sample(
            self.origin.kind, values, self.origin.phases, self.origin.voxel_size,
            self.origin.unit, confidence, chances, provenance,
        )  # fmt: skip

    def _decoded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn network output into the values of a `Sample`."""
        if self.origin.kind == "numbered":
            return np.asarray(values[0])
        if self.origin.kind == "labels":
            return to_values(np.asarray(values).argmax(axis=0), self.origin.phases)
        low, high = self.origin.value_range
        if self.origin.kind == "grey":
            return np.asarray(values[0] * np.float32(high - low) + np.float32(low))
        return np.asarray(np.rint(np.moveaxis(values, 0, -1) * 255), np.uint8)

    def provenance(
        self, shape: Sequence[int], seed: int, offset: Sequence[int], periodic: Sequence[bool]
    ) -> dict[str, Any]:
        """Return what every generated layer and file carries, as plain JSON types."""
        return {
            "software": "napari-microgen",
            "model": self.origin.to_dict(),
            "seed": int(seed),
            "shape": [int(n) for n in shape],
            "offset": [int(n) for n in offset],
            "periodic": [bool(p) for p in periodic],
        }

    def save(self, path: str | Path) -> Path:
        """Write the model as one ``.safetensors`` file, atomically.

        Raises
        ------
        RunError
            If the file cannot be written (no room, no permission).
        """
        from napari_microgen.io.model_file import write_model

        return write_model(path, self.origin.to_dict(), self.tensors())


# ---------------------------------------------------------------------- Method


@dataclass(frozen=True)
class Input:
    """One image that a method asks for.

    Attributes
    ----------
    name : str
        Keyword-like name.
    title : str
        Label in a form.
    help : str
        What belongs there, one sentence.
    kinds : tuple of str
        Kinds of `PhaseImage` that are accepted.
    ndims : tuple of int
        Accepted numbers of spatial axes.
    optional : bool
        Whether it may be left out.
    several : bool
        Whether more images of the same kind may follow; the last input only.
    """

    name: str
    title: str
    help: str
    kinds: tuple[Kind, ...] = ("labels",)
    ndims: tuple[int, ...] = (2, 3)
    optional: bool = False
    several: bool = False


@dataclass(frozen=True)
class Plot:
    """Curves that show what a sentence says.

    Attributes
    ----------
    heading : str
        What stands on which axis, with units.
    curves : dict of str to (sequence of float, sequence of float)
        Points along x and y by name.
    level : float or None
        A value of y to compare them with.
    """

    heading: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    level: float | None = None


class Method(ABC):
    """A published system: what it asks for, how it is trained, and the model it gives."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    config_class: ClassVar[type[Config]]
    model_class: ClassVar[type[Model]]
    inputs: ClassVar[tuple[Input, ...]]
    budget: ClassVar[tuple[str, ...]] = ("preset", "minutes", "steps")
    """Settings that may change when a training is resumed."""

    points: ClassVar[str] = ""
    """Setting that a form fills from a Points layer, as ``"y x; y x"`` in pixels of the images."""

    intermediates_title: ClassVar[str] = ""
    """What a button says that shows `intermediates`; empty where there are none."""

    @abstractmethod
    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check images and settings before anything starts.

        Returns
        -------
        list of str
            Warnings, one sentence each: the training will work, but the user should know.

        Raises
        ------
        InputError
            If the training cannot work.
        """

    def notes(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Return what was worked out from images and settings, one sentence each.

        Raises
        ------
        InputError
            As `check` does.
        """
        return []

    def warning_plot(self, data: Sequence[PhaseImage], config: Config) -> Plot | None:
        """Return what shows the reason for a warning of `check`; None where there is nothing."""
        return None

    def intermediates(
        self, data: Sequence[PhaseImage], config: Config
    ) -> list[tuple[int, str, NDArray[Any]]]:
        """Return what becomes of the images before anything is learned.

        Returns
        -------
        list of (int, str, ndarray)
            Which of `data`, what was made of it, and that on its pixels: integers are numbers of
            particles or grains, booleans masks.

        Raises
        ------
        InputError
            As `check` does.
        """
        return []

    @abstractmethod
    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate the memory that training takes, in bytes."""

    @abstractmethod
    def train(
        self,
        data: Sequence[PhaseImage],
        config: Config,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> Iterator[Progress]:
        """Train; iterate to go on, stop iterating to pause, close the iterator to cancel.

        Parameters
        ----------
        data : sequence of PhaseImage
            The images in the order of `inputs`; optional ones at the end may be left out.
        config : Config
            Settings and budget.
        checkpoint : Path, optional
            File that the state is written to, atomically, every minute, at the end, and when
            the iterator is closed. Default: none is kept.
        resume : bool
            Go on from `checkpoint` exactly where it stopped, as if it had never stopped; the
            budget of `config` counts from the very start.

        Yields
        ------
        Progress
            At least once a second; the last one carries the model.

        Raises
        ------
        InputError
            As `check` does, or if the checkpoint does not belong to these images and settings.
        RunError
            If the run cannot go on (losses not finite, out of memory); the checkpoint is kept.
        """

    def signature(self, data: Sequence[PhaseImage], config: Config) -> str:
        """Return a digest of images and settings, budget aside: whose checkpoint it is."""
        kept = {k: v for k, v in config.to_dict().items() if k not in self.budget}
        images = [
            (i.digest, [p.value for p in i.phases], i.voxel_size, i.unit, i.value_range)
            for i in data
        ]
        told = json.dumps([self.name, images, kept], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def inputs_of(self, count: int) -> list[Input]:
        """Return which inputs so many images stand for: optional ones are given first to last."""
        spare = count - sum(not i.optional for i in self.inputs)
        given = []
        for each in self.inputs:
            if each.optional:
                spare -= 1
            if not each.optional or spare >= 0:
                given.append(each)
        return given + [self.inputs[-1]] * (count - len(given))

    def check_inputs(self, data: Sequence[PhaseImage]) -> None:
        """Raise `InputError` where number, kind or dimensions do not fit `inputs`."""
        needed = sum(not i.optional for i in self.inputs)
        several, most = self.inputs[-1].several, len(self.inputs)
        if len(data) < needed or (len(data) > most and not several):
            count = f"{needed}" if needed == most else f"{needed} to {most}"
            count = f"at least {needed}" if several else count
            noun = "image" if count.split()[-1] == "1" else "images"
            raise InputError(f"{self.title} takes {count} {noun}, not {len(data)}.")
        for image, wanted in zip(data, self.inputs_of(len(data)), strict=True):
            if image.kind not in wanted.kinds:
                mend = "; segment it first" if image.kind in ("grey", "colour") else ""
                raise InputError(
                    f"'{image.name}' holds {image.kind} values; {self.title} needs "
                    f"{' or '.join(wanted.kinds)} for {wanted.title.lower()}{mend}."
                )
            if image.ndim not in wanted.ndims:
                raise InputError(
                    f"'{image.name}' is {image.ndim}D; {self.title} needs "
                    f"{' or '.join(f'{n}D' for n in wanted.ndims)} for {wanted.title.lower()}."
                )
