"""Whole particles: grains clipped by a shell, one at a time or as a data set (paper 004)."""

from __future__ import annotations

import dataclasses
import json
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError, RunError
from napari_microgen.methods.particles.centred import MAX_SEED, CentredModel
from napari_microgen.methods.particles.grain_model import GrainModel
from napari_microgen.methods.particles.shell import Voxeliser, measure_shells, shell_mesh
from napari_microgen.methods.particles.shell_model import ShellModel
from napari_microgen.resources import check_disk, check_memory
from napari_microgen.units import length_ratio

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Model, Origin, Shape
    from napari_microgen.methods.particles.centred import Numbering
    from napari_microgen.methods.particles.diagram import Diagram

VOXEL_BYTES = 2
"""In the files of a data set."""


class ParticleModel(CentredModel):
    """Random particles with grains, both of their physical size.

    Parameters
    ----------
    grains : GrainModel
        Its voxel size is that of the volumes.
    shell : ShellModel

    Raises
    ------
    InputError
        If one model knows physical lengths and the other does not.
    """

    def __init__(self, grains: GrainModel, shell: ShellModel) -> None:
        origin = dataclasses.replace(
            grains.origin, method="particle", data=(*grains.origin.data, *shell.origin.data)
        )
        super().__init__(origin)
        self.grains, self.shell_model = grains, shell
        self._scale = _length_ratio(shell.origin, grains.origin)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Refuse: shell and grains are files of their own."""
        raise InputError("A particle is made of two models; save the shell and the grains.")

    @classmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> ParticleModel:
        """Refuse: shell and grains are files of their own."""
        raise InputError("A particle is made of two models; open the shell and the grains.")

    def with_voxel_size(self, voxel_size: float) -> ParticleModel:
        """Return the same particles on cubic voxels of another size; see `Model`."""
        return ParticleModel(self.grains.with_voxel_size(voxel_size), self.shell_model)

    def provenance(
        self, shape: Sequence[int], seed: int, offset: Sequence[int], periodic: Sequence[bool]
    ) -> dict[str, Any]:
        """Return what every generated particle carries: where its grains and shell come from."""
        told = self.grains.provenance(shape, seed, offset, periodic)
        return {**told, "shell": self.shell_model.origin.to_dict()}

    # ------------------------------------------------------------------ one particle

    def shell(self, seed: int) -> NDArray[np.float64]:
        """Return the coefficients of a seed's shell, in the origin's unit."""
        return self.shell_model.shell(seed) * self._scale

    def voxeliser(self, seed: int) -> Voxeliser:
        """Return what puts a seed's shell on this model's voxels."""
        return Voxeliser(self.shell(seed), self.origin.voxel_size[0])

    def mesh(
        self, seed: int, subdivisions: int = 5
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the surface of a seed's particle in the origin's unit; see `shell_mesh`."""
        return shell_mesh(self.shell(seed), subdivisions)

    def diagram(self, seed: int) -> Diagram:
        """Return the diagram that fills a seed's shell."""
        return self.grains.diagram(seed, self._radius(self.voxeliser(seed)))

    def _radius(self, shell: Voxeliser) -> float:
        """Return how far a shell reaches, in units of the grains."""
        return shell.most * self.grains.step

    def numbering(self, seed: int, device: str) -> Numbering:
        """Return what numbers the grains inside a seed's shell."""
        shell = self.voxeliser(seed)
        grains = self.grains.grain_numbering(seed, self._radius(shell))

        def numbers(start: Sequence[int], shape: Shape) -> NDArray[np.int32]:
            return grains(start, shell.inside(start, shape))

        return numbers

    def width(self, seed: int) -> float:
        """Return twice the shell's largest radius."""
        return self.shell_model.width(seed) * self._scale

    def whole_shape(self, seed: int) -> Shape:
        """Return the smallest shape that holds the particle."""
        return self.voxeliser(seed).fitting_shape

    def table(self, seed: int, numbers: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
        """Return seed, markers and volume of every grain in a volume."""
        return self.grains.grain_table(self.diagram(seed), numbers)

    def parameters(self, seed: int) -> dict[str, NDArray[Any]]:
        """Return the continuous tessellation; see `GrainModel.tessellation`."""
        return self.grains.tessellation(self.diagram(seed))


def combine(grains: Model, shell: Model) -> ParticleModel:
    """Return the particles of a grain model inside the shells of a shell model.

    Raises
    ------
    InputError
        If they are models of something else, or their lengths cannot be compared.
    """
    if not isinstance(grains, GrainModel):
        raise InputError(
            f"Shells are filled with grains, not with a {grains.origin.method} model; give a model "
            "that 'train grains' made."
        )
    if not isinstance(shell, ShellModel):
        raise InputError(
            f"A {shell.origin.method} model is no shell; give a model that 'train shell' made."
        )
    return ParticleModel(grains, shell)


def _length_ratio(of: Origin, to: Origin) -> float:
    """Return the unit of length of one model in that of another."""
    ratio = length_ratio(of.unit, to.unit)
    if ratio is not None:
        return ratio
    raise InputError(
        f"The shell is measured in {of.unit} and the grains in {to.unit}, so their sizes cannot be "
        "matched; set the voxel size of both images and train again."
    )


# ---------------------------------------------------------------------- data sets


def write_particles(
    model: CentredModel, folder: Path, count: int, first_seed: int = 0, device: str = "auto"
) -> Generator[float, None, dict[str, Any]]:
    """Write a data set of particles: volumes, tessellations and one table; yields the share done.

    ``particles.csv`` has a row per particle, ``particle_<seed>.tif`` its voxels, and
    ``particle_<seed>.csv`` its grains as seeds and markers, from which the continuous tessellation
    can be redone without this program; ``provenance.json`` says where all comes from.

    Parameters
    ----------
    model : CentredModel
        Shells, grains or particles.
    folder : Path
        Made if it is not there.
    count : int
    first_seed : int
        The particles have this seed and those that follow.
    device : str

    Returns
    -------
    dict
        ``"folder"``, ``"table"`` and ``"particles"`` (the rows of the table).

    Raises
    ------
    InputError
        If the particles are too large or have no seeds, or the folder holds a data set already;
        before anything is written.
    RunError
        If the folder cannot be made or written to.
    """
    from napari_microgen.io.tiff import write_sample
    from napari_microgen.metrics.tables import write_columns, write_csv

    _check_set(model, folder, count, first_seed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"The folder '{folder}' cannot be made: {error.strerror}.") from None
    rows = []
    for i, seed in enumerate(range(first_seed, first_seed + count)):
        shape = _checked_shape(model, seed)
        steps = model.generate_steps(shape, seed, device=device)
        while True:
            try:
                yield (i + next(steps)) / count
            except StopIteration as end:
                sample = end.value
                break
        name = f"particle_{seed:05d}"
        write_sample(folder / f"{name}.tif", sample)
        rows.append({"seed": seed, "file": f"{name}.tif", **_summary(model, seed, sample.data)})
        write_columns(folder / f"{name}.csv", model.parameters(seed) or sample.table)
    write_csv(folder / "particles.csv", list(rows[0]), rows)
    told = model.provenance((0, 0, 0), first_seed, (0, 0, 0), (False, False, False))
    for name in ("shape", "offset", "periodic", "seed"):
        told.pop(name)
    (folder / "provenance.json").write_text(json.dumps(told, indent=1))
    return {"folder": str(folder), "table": str(folder / "particles.csv"), "particles": rows}


def _check_set(model: CentredModel, folder: Path, count: int, first_seed: int) -> None:
    """Raise `InputError` if a data set cannot be made, or would mix with another one."""
    check_seeds(first_seed, count)
    voxels = prod(_checked_shape(model, first_seed))
    there = [name for name in ("particles.csv", "provenance.json") if (folder / name).exists()]
    there += [path.name for path in folder.glob("particle_*")]
    if there:
        raise InputError(
            f"'{folder}' holds a data set already ('{there[0]}'), which is not overwritten; choose "
            "another folder."
        )
    above = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir())
    needed = count * voxels * VOXEL_BYTES  # most particles are about as large as the first
    check_disk(above / "data set", needed, f"make room, choose another folder, or {model.mend}")


def check_seeds(first: int, count: int) -> None:
    """Raise `InputError` if there are not so many seeds from a first one on."""
    if first + count - 1 > MAX_SEED:
        raise InputError(
            f"Seeds end at {MAX_SEED}, so there are no {count} from {first} on; start with a lower "
            "seed."
        )


def _checked_shape(model: CentredModel, seed: int) -> Shape:
    """Return the shape of a particle, or raise `InputError` if memory is too short for it."""
    shape = model.fitting_shape(seed)
    what = f"The particle of seed {seed}, {' x '.join(map(str, shape))} voxels,"
    check_memory(model.bytes_needed(shape), what, "choose a larger voxel size")
    return shape


def _summary(
    model: CentredModel, seed: int, numbers: NDArray[np.integer]
) -> dict[str, float | int]:
    """Return size and shape of a particle, and how many grains it has."""
    unit = model.origin.unit
    voxels = int(np.count_nonzero(numbers))
    told: dict[str, float | int] = {
        f"volume ({unit}^3)": voxels * float(np.prod(model.origin.voxel_size))
    }
    if isinstance(model, ParticleModel | ShellModel):
        shape = measure_shells(model.shell(seed)[None])
        told[f"surface ({unit}^2)"] = float(shape.surfaces[0])
        told["sphericity"] = float(shape.sphericities[0])
    if not isinstance(model, ShellModel):
        told["grains"] = len(np.unique(numbers[numbers > 0]))
    return told
