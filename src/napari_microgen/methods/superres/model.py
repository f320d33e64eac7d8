"""A trained SuperRes: a fine volume as a function of a coarse one, seed and position."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_microgen.errors import InputError
from napari_microgen.generation.noise import normal_at
from napari_microgen.generation.tiles import count_pieces, pieces
from napari_microgen.methods.base import (
    Block,
    Disagreement,
    Input,
    Model,
    Origin,
    Periodic,
    Sample,
    Shape,
)
from napari_microgen.methods.superres.config import SuperResConfig
from napari_microgen.methods.superres.degradation import Degradation
from napari_microgen.methods.superres.phase_map import PhaseMap
from napari_microgen.methods.superres.scale import nearest_factor
from napari_microgen.networks.superres_generator import SuperResGenerator
from napari_microgen.phases import UNLABELLED, Phase, PhaseImage, to_indices
from napari_microgen.training.adversarial_config import SIDE
from napari_microgen.training.device import choose_device
from napari_microgen.units import length_ratio

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

EMBEDDED_VOXELS = 2**26
"""Largest training volume that goes into the model file, at a byte per voxel (400^3)."""

LOW_INPUT = Input(
    "low", "Low-resolution volume", "The volume to super-resolve: of the same material, with "
    "voxels of the same size.", ("labels",), (3,),
)  # fmt: skip


class SuperResModel(Model):
    """A SuperRes generator in evaluation mode and the volume that it works on.

    Parameters
    ----------
    origin : Origin
    generator : SuperResGenerator
        Kept, and put into evaluation mode on the CPU or wherever it is used.
    low : PhaseImage or None
        The low-resolution volume; None if it was too large to be stored with the model.
    """

    def __init__(
        self, origin: Origin, generator: SuperResGenerator, low: PhaseImage | None
    ) -> None:
        super().__init__(origin)
        self.generator = generator.eval().requires_grad_(False)
        self.low = low
        self.config = SuperResConfig.from_dict(origin.config)

    @staticmethod
    def build(origin: Origin) -> SuperResGenerator:
        """Return an untrained generator as the settings in `origin` describe it."""
        config = SuperResConfig.from_dict(origin.config)
        return SuperResGenerator(
            nearest_factor(config.scale_factor), len(trained_phases(origin)), len(origin.phases),
            config.noise_channels, config.generator_channels, config.normalised, config.direct,
        )  # fmt: skip

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the weights by name, and the volume as ``uint8`` phase indices.

        Volumes of more than `EMBEDDED_VOXELS` voxels, and others than the one trained on, are
        left out; they must be given again to generate.
        """
        tensors = {k: v.cpu().numpy() for k, v in self.generator.state_dict().items()}
        trained_on = self.origin.data[-1]["sha256"]
        if self.low is not None and self.low.digest == trained_on:
            if self.low.data.size <= EMBEDDED_VOXELS:
                tensors["low"] = self.low.data
        return tensors

    @classmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> SuperResModel:
        """Rebuild generator and volume; raises `InputError` if the weights do not fit."""
        weights = {k: torch.from_numpy(np.array(v)) for k, v in tensors.items() if k != "low"}
        try:
            generator = cls.build(origin)
            generator.load_state_dict(weights)
            low = trained_volume(origin, tensors["low"]) if "low" in tensors else None
        except (RuntimeError, TypeError, KeyError, ValueError, IndexError):
            raise InputError(
                "The model file's weights do not fit the network that its header describes; it "
                "is damaged, so train or export it again."
            ) from None
        return cls(origin, generator, low)

    # ------------------------------------------------------------------ the volume it works on

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The low-resolution volume; optional if the model brings the one it was trained on."""
        return (dataclasses.replace(LOW_INPUT, optional=self.low is not None),)

    def given(self, images: Sequence[PhaseImage]) -> SuperResModel:
        """Return the same model at work on another low-resolution volume.

        The result is then measured in the unit of that volume.

        Raises
        ------
        InputError
            If it is no 3D volume of labels, has phases that the model does not know, or voxels
            of another size.
        """
        if not images:
            return self
        if len(images) > 1:
            raise InputError("A SuperRes model takes one low-resolution volume.")
        low = images[0]
        if low.kind != "labels" or low.ndim != 3:
            raise InputError(
                f"'{low.name}' is a {low.ndim}D image of {low.kind}; a SuperRes model needs "
                "a 3D volume of labels."
            )
        origin = _measured_in(low.unit, self.origin)
        _check_voxel_size(low, self.origin)
        known = trained_phases(origin)
        return SuperResModel(origin, self.generator, _reindexed(low, known))

    @property
    def factor(self) -> Fraction:
        """Scale factor."""
        return self.generator.factor

    @property
    def degradation(self) -> Degradation:
        """How the result is compared with the low-resolution volume."""
        low = trained_phases(self.origin)
        phase_map = PhaseMap.parse(self.config.phase_map, self.origin.phases, low)
        return Degradation(
            self.factor, phase_map.matrix, self.config.super_sampling, self.config.sharpness
        )

    @property
    def crop(self) -> int:
        """High-resolution voxels that are cropped from every face."""
        return math.ceil(self.config.border * self.factor)

    def fitting_shape(self, seed: int = 0) -> Shape | None:
        """Return the shape of the whole volume without its border."""
        z, y, x = (
            max(0, math.floor(n * self.factor) - 2 * self.crop) for n in self._needed_low().shape
        )
        return z, y, x

    def check_shape(self, shape: Sequence[int], periodic: Sequence[bool]) -> None:
        """Raise `InputError` where a volume is periodic or larger than the low-resolution one."""
        super().check_shape(shape, periodic)
        if any(periodic):
            raise InputError(
                "A super-resolved volume follows a low-resolution one, whose opposite faces show "
                "different material; leave out the periodic axes."
            )
        largest = self.fitting_shape()
        assert largest is not None
        if any(n > most for n, most in zip(shape, largest, strict=True)):
            raise InputError(
                f"'{self._needed_low().name}' gives at most {' x '.join(map(str, largest))} "
                f"voxels, so no volume of {' x '.join(map(str, shape))}; choose a smaller shape, "
                "or give a larger low-resolution volume."
            )

    def _needed_low(self) -> PhaseImage:
        if self.low is None:
            raise InputError(
                "The low-resolution volume was too large to be stored with this model; give it "
                "again (--low LOW3D)."
            )
        return self.low

    # ------------------------------------------------------------------ generating

    def count_blocks(
        self,
        shape: Shape,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
    ) -> int:
        """Return how many items `blocks` yields."""
        return count_pieces(shape, self._uncropped(offset), periodic, SIDE)

    def blocks(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
        device: str = "auto",
    ) -> Iterator[Block]:
        """Compute the volume tile by tile; see `Model.blocks`.

        Tiles of 64 voxels lie on the grid of the uncropped volume. Each is computed from its own
        low-resolution voxels and as many around them as it depends on (`SuperResGenerator.halo`);
        beyond the volume's border lie copies of its outermost voxels.
        """
        self.check_shape(shape, periodic)
        where, _ = choose_device(device)
        generator = self.generator.to(where)
        for piece in pieces(shape, self._uncropped(offset), periodic, SIDE):
            values = self._tile(generator, piece.tile, seed).float().cpu().numpy()
            yield Block(piece.where, values[(slice(None), *piece.inside)])

    def _tile(self, generator: SuperResGenerator, tile: Shape, seed: int) -> torch.Tensor:
        halo, side = generator.halo, int(SIDE / self.factor)
        positions = [np.arange(side * t - halo, side * (t + 1) + halo) for t in tile]
        low = self._needed_low()
        inside = [p.clip(0, n - 1) for p, n in zip(positions, low.shape, strict=True)]
        phases = np.moveaxis(low.encode(low.data[np.ix_(*inside)]), -1, 0)
        noise = normal_at(positions, generator.noise_channels, seed)
        latent = torch.from_numpy(np.concatenate([phases, noise]))[None]
        device = next(generator.parameters()).device
        latent = latent.to(device).contiguous(memory_format=torch.channels_last_3d)
        first = [int(p[0]) for p in positions]
        wanted = [(SIDE * t, SIDE * (t + 1)) for t in tile]
        with torch.no_grad():
            values: torch.Tensor = generator(latent, first, wanted)[0]
        return values

    def _uncropped(self, offset: Shape) -> Shape:
        z, y, x = (int(o) + self.crop for o in offset)
        return z, y, x

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
        """Generate a volume; its place is told from the low-resolution volume's first voxel."""
        sample = yield from super().generate_steps(
            shape, seed, offset, periodic, probabilities=probabilities, device=device
        )
        return dataclasses.replace(sample, place=self.place(offset))

    def place(self, offset: Shape = (0, 0, 0)) -> tuple[float, float, float]:
        """Return the middle of the voxel at `offset` as `Sample.place` states it."""
        z, y, x = (
            # Half a fine voxel from the common corner, less half a coarse one.
            ((o + 0.5) - 0.5 * float(self.factor)) * size
            for o, size in zip(self._uncropped(offset), self.origin.voxel_size, strict=True)
        )
        return z, y, x

    def disagreement(self, sample: Sample) -> Disagreement:
        """Return where a volume, coarsened again, is not the low-resolution volume."""
        from napari_microgen.methods.superres.agreement import disagreement

        indices = to_indices(sample.data, self.origin.phases)
        z, y, x = (int(o) for o in sample.provenance["offset"])
        return disagreement(self, indices, (z, y, x))

    def provenance(
        self, shape: Sequence[int], seed: int, offset: Sequence[int], periodic: Sequence[bool]
    ) -> dict[str, Any]:
        """Return what every generated layer carries, the low-resolution volume included."""
        told = super().provenance(shape, seed, offset, periodic)
        low = self._needed_low()
        return {**told, "low": {"name": low.name, "sha256": low.digest}}


def trained_phases(origin: Origin) -> tuple[Phase, ...]:
    """Return the phases of the low-resolution volume that a model was trained on."""
    return tuple(Phase.from_dict(p) for p in origin.data[-1]["phases"])


def trained_volume(origin: Origin, indices: NDArray[Any]) -> PhaseImage:
    """Return the low-resolution volume that a model was trained on.

    Raises
    ------
    ValueError, KeyError, TypeError
        If what is stored of it does not fit together.
    """
    told = origin.data[-1]
    phases = trained_phases(origin)
    if indices.dtype != np.uint8 or indices.ndim != 3 or not indices.size:
        raise ValueError("low")
    if indices[indices != UNLABELLED].max(initial=0) >= len(phases):
        raise ValueError("low")
    sizes = tuple(float(s) for s in told["voxel_size"])
    return PhaseImage("labels", indices, phases, sizes, str(told["unit"]), name=str(told["name"]))


def _reindexed(low: PhaseImage, known: Sequence[Phase]) -> PhaseImage:
    """Return a volume with its phases in the order of `known`."""
    values = [phase.value for phase in known]
    table = np.full(UNLABELLED + 1, UNLABELLED, np.uint8)
    for index, phase in enumerate(low.phases):
        if phase.value not in values:
            raise InputError(
                f"'{low.name}' has the label {phase.value}, which the model does not know; it was "
                f"trained on {', '.join(map(str, values))}."
            )
        table[index] = values.index(phase.value)
    return dataclasses.replace(low, data=table[low.data], phases=tuple(known), _cache={})


def _measured_in(unit: str, origin: Origin) -> Origin:
    """Return an origin with the generated voxels in another unit of length, if it can be."""
    ratio = length_ratio(origin.unit, unit)
    if ratio is None:
        return origin
    z, y, x = (float(f"{size * ratio:.12g}") for size in origin.voxel_size)
    return dataclasses.replace(origin, voxel_size=(z, y, x), unit=unit)


def _check_voxel_size(low: PhaseImage, origin: Origin) -> None:
    told = origin.data[-1]
    ratio = 1.0 if low.unit == told["unit"] else length_ratio(low.unit, told["unit"])
    sizes = np.array(low.voxel_size) * (ratio or np.nan)
    if not np.allclose(sizes, told["voxel_size"], rtol=0.01, atol=0):
        raise InputError(
            f"'{low.name}' has voxels of {' x '.join(f'{s:g}' for s in low.voxel_size)} "
            f"{low.unit}, but the model was trained for "
            f"{' x '.join(f'{s:g}' for s in told['voxel_size'])} {told['unit']}; resample it, or "
            "correct its scale."
        )
