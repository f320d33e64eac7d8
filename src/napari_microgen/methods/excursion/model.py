"""A calibrated excursion set: an endless volume as a function of seed and position."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_microgen.errors import InputError
from napari_microgen.generation.tiles import count_pieces, pieces
from napari_microgen.methods.base import Block, Model, Origin, Periodic, Shape
from napari_microgen.methods.excursion.assessment import Misfit, choose, draw_section
from napari_microgen.methods.excursion.calibration import Candidate, Fit
from napari_microgen.methods.excursion.covariances import curvature, shell_basis
from napari_microgen.methods.excursion.fields import WindowedKernels, periodic_fields
from napari_microgen.methods.excursion.models import MODELS, Scalars
from napari_microgen.methods.excursion.spectra import SPECTRA
from napari_microgen.training.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_microgen.methods.excursion.models import Excursion

TILE = 128
"""Side of a tile in voxels; the reach of the kernels comes on top on either side."""

WHOLE = 2**24
"""Periodic volumes of up to so many voxels are made by one Fourier transform."""

SHARPNESS = 2.0
"""Steepness of the confidence, per voxel of distance to the nearest other phase."""

COMPRESSED_FROM = 4.0
"""Logits beyond which they grow slowly: two voxels from an interface."""

NAMES = tuple(MODELS)
WAYS = tuple(SPECTRA)
ALGORITHMS = ("exact", "1", "2", "3")
"""What the numbers in a model file stand for; new ones go to the end."""


class ExcursionModel(Model):
    r"""A calibrated excursion set.

    The confidence of a voxel is no statistical error: it tells how far the voxel is from an
    interface. The functions that cut the phases out, over their root mean squared slope, are
    about distances in voxels, with margins :math:`d_1`, :math:`\min(-d_1, d_2)`,
    :math:`\min(-d_1, -d_2)` of the phases; their softmax at steepness 2 is the "probability" of
    each. It is one half where two phases meet, about 0.98 one voxel away, and nearly 1 inside.

    Parameters
    ----------
    origin : Origin
    fit : Fit
        The calibrated model.
    misfits : sequence of Misfit
        Every model that was tried, this one among them.
    stretch : float
        Factor by which volumes are longer along z.
    """

    def __init__(
        self, origin: Origin, fit: Fit, misfits: Sequence[Misfit] = (), stretch: float = 1.0
    ) -> None:
        super().__init__(origin)
        fit = _true(fit)
        self.fit, self.misfits, self.stretch = fit, tuple(misfits), stretch
        self.formula: Excursion = fit.candidate.build()
        self.kernels = WindowedKernels(fit.weights, stretch)
        slopes = self.formula.slopes(fit.scalars, curvature(fit.weights))
        self._slopes = slopes.float()

    # ------------------------------------------------------------------ the file

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the parameters and the table of misfits."""
        candidate, scalars = self.fit.candidate, self.fit.scalars
        rows = [
            (NAMES.index(m.model), m.sign, m.s2_rmse, m.start_rmse, m.surface, m.chord, m.euler,
             *m.roles)
            for m in self.misfits
        ]  # fmt: skip
        made: tuple[Fit | Misfit, ...] = (self.fit, *self.misfits)
        ways = [(WAYS.index(m.spectrum), ALGORITHMS.index(m.algorithm)) for m in made]
        model = (NAMES.index(candidate.model), candidate.sign, candidate.freedom)
        values = self.fit.weights if self.fit.values is None else self.fit.values
        return {
            "ways": np.array(ways, np.int64),
            "values": values.numpy(),
            "model": np.array([*model, *candidate.roles], np.int64),
            "weights": self.fit.weights.numpy(),
            "levels": scalars.levels.numpy(),
            "share": scalars.share.reshape(1).numpy(),
            "scales": scalars.scales.numpy(),
            "errors": np.array([self.fit.rmse, self.fit.start_rmse]),
            "stretch": np.array([self.stretch]),
            "misfits": np.array(rows, np.float64).reshape(len(rows), 7 + len(candidate.roles)),
        }

    @classmethod
    def from_tensors(cls, origin: Origin, tensors: Mapping[str, NDArray[Any]]) -> ExcursionModel:
        """Rebuild the model; raises `InputError` if the parameters do not fit."""
        try:
            return cls._rebuilt(origin, {k: np.array(v) for k, v in tensors.items()})
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError):
            raise InputError(
                "The model file's parameters do not describe an excursion set; it is damaged, so "
                "calibrate or export it again."
            ) from None

    @classmethod
    def _rebuilt(cls, origin: Origin, stored: Mapping[str, NDArray[Any]]) -> ExcursionModel:
        index, sign, freedom, *roles = (int(v) for v in stored["model"])
        kind = MODELS[NAMES[index]]
        weights = torch.from_numpy(stored["weights"]).double()
        n = len(origin.phases)
        sound = (
            sorted(roles) == list(range(n))
            and kind.n_phases == n
            and weights.ndim == 2
            and len(weights) == kind.n_fields
            and stored["levels"].shape == (n - 1,)
            and all(np.isfinite(v).all() for v in stored.values())
        )
        if not sound:
            raise ValueError("model")
        scalars = Scalars(
            torch.from_numpy(stored["levels"]), torch.from_numpy(stored["share"])[0],
            torch.from_numpy(stored["scales"]),
        )  # fmt: skip
        errors = [float(e) for e in stored["errors"]]
        candidate = Candidate(NAMES[index], tuple(roles), sign, freedom)
        (spectrum, algorithm), *ways = [(WAYS[w], ALGORITHMS[a]) for w, a in stored["ways"]]
        misfits = [
            replace(
                Misfit(NAMES[int(r[0])], tuple(int(v) for v in r[7:]), int(r[1]), *r[2:7].tolist()),
                spectrum=way[0], algorithm=way[1],
            )
            for r, way in zip(stored["misfits"], ways, strict=False)
        ]  # fmt: skip
        values = torch.from_numpy(stored["values"]).double()
        fit = Fit(candidate, weights, scalars, errors[0], errors[1], spectrum, values, algorithm)
        return cls(origin, fit, misfits, float(stored["stretch"][0]))

    def provenance(
        self, shape: Sequence[int], seed: int, offset: Sequence[int], periodic: Sequence[bool]
    ) -> dict[str, Any]:
        """Return what every volume carries, see `Model.provenance`; with it all parameters."""
        stored = {k: v.tolist() for k, v in self.tensors().items() if k != "misfits"}
        return {**super().provenance(shape, seed, offset, periodic), "parameters": stored}

    @classmethod
    def from_provenance(cls, provenance: Mapping[str, Any]) -> ExcursionModel:
        """Rebuild the model of a volume from what the volume carries.

        Raises
        ------
        InputError
            If it does not come from an excursion set, or does not hold all parameters.
        """
        try:
            origin = Origin.from_dict(provenance["model"])
            stored = {k: np.asarray(v) for k, v in provenance["parameters"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(
                "This volume does not carry the parameters of an excursion set; open the model's "
                "own file."
            ) from None
        return cls.from_tensors(origin, {**stored, "misfits": np.zeros((0, 7))})

    # ------------------------------------------------------------------ what it says

    def table(self) -> list[dict[str, object]]:
        """Return the misfits of every model that was tried, best first, as plain JSON types."""
        if not self.misfits:
            return []
        best = choose(self.misfits)
        order = sorted(range(len(self.misfits)), key=lambda i: (i != best, self.misfits[i].s2_rmse))
        return [self.misfits[i].to_dict() for i in order]

    def correlation_functions(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the correlation function of every field, shape (n_fields, len(distances))."""
        basis = shell_basis(torch.as_tensor(distances), self.fit.weights.shape[1])
        return np.asarray(self.fit.weights @ basis.T)

    def section(self, shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
        """Draw a periodic planar section quickly, as phase indices."""
        return draw_section(self.fit, shape, seed)

    # ------------------------------------------------------------------ volumes

    def bytes_needed(self, shape: Sequence[int], probabilities: bool = False) -> int:
        """Estimate the memory that `generate` takes; tiles and transforms included."""
        side = TILE + 2 * max(self.kernels.reaches)
        work = max(side**3, min(int(np.prod(shape, dtype=object)), WHOLE))
        return super().bytes_needed(shape, probabilities) + work * self._bytes_per_voxel()

    def _bytes_per_voxel(self) -> int:
        drawn = len(self.formula.noises)
        return 12 * drawn + 64 * -(-drawn // 4) + 8 * self.formula.n_fields

    def count_blocks(
        self,
        shape: Shape,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
    ) -> int:
        """Return how many items `blocks` yields."""
        if at_once(shape, periodic):
            return 1
        return count_pieces(shape, offset, periodic, TILE)

    def blocks(
        self,
        shape: Shape,
        seed: int = 0,
        offset: Shape = (0, 0, 0),
        periodic: Periodic = (False, False, False),
        device: str = "auto",
    ) -> Iterator[Block]:
        """Compute the volume block by block; see `Model.blocks`.

        A volume that repeats along all axes is one Fourier transform, with the exact spectrum
        (up to 2^24 voxels). Any other is made of tiles on an absolute grid: white noise, which is
        a function of seed and position, convolved with kernels that end at `WindowedKernels`'
        reach. Tiles agree with each other and with the whole bit by bit; against the calibrated
        correlation functions the kernels' end costs `WindowedKernels.error`, 0.02 as a rule.
        """
        self.check_shape(shape, periodic)
        where, _ = choose_device(device)
        noises, weights = self.formula.noises, self.fit.weights
        if at_once(shape, periodic):
            drawn = periodic_fields(weights, noises, shape, seed, offset, self.stretch, where)
            whole = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
            yield Block(whole, self._probabilities(drawn))
            return
        periods = tuple(n if wraps else 0 for n, wraps in zip(shape, periodic, strict=True))
        for piece in pieces(shape, offset, periodic, TILE):
            start = tuple(TILE * index for index in piece.tile)
            drawn = self.kernels.fields(
                noises,
                start,
                (TILE,) * 3,
                seed,
                periods,
                where,  # type: ignore[arg-type]
            )
            # Of the whole tile: what is computed in part may differ in its last bit.
            values = self._probabilities(drawn)
            yield Block(piece.where, values[(slice(None), *piece.inside)])

    def _probabilities(self, fields: Sequence[Tensor]) -> NDArray[np.float32]:
        """Return every image phase's softened indicator, shape ``(n_phases, z, y, x)``."""
        return np.asarray(torch.softmax(self.logits(fields), 0).cpu().numpy())

    def logits(self, fields: Sequence[Tensor]) -> Tensor:
        """Return how far every image phase leads; near an interface in units of half a voxel.

        Parameters
        ----------
        fields : sequence of Tensor, shape (z, y, x)
            Drawn fields, one per entry of the formula's `noises`.

        Returns
        -------
        Tensor, shape (n_phases, z, y, x)
            The largest is that of the phase.
        """
        functions = self.formula.functions(self.fit.scalars, fields)
        distances = functions / self._slopes.to(functions.device)[:, None, None, None]
        first = distances[0]
        margins = [first, -first]
        if len(distances) == 2:
            margins[1:] = [torch.minimum(-first, s * distances[1]) for s in (1, -1)]
        result = torch.empty((len(margins), *first.shape), device=first.device)
        result[list(self.fit.candidate.roles)] = compressed(SHARPNESS * torch.stack(margins))
        return result


def compressed(logits: Tensor) -> Tensor:
    """Return logits that grow slowly beyond some voxels from an interface.

    Which is the largest stays, and so do small ones. Whatever refines them (`methods.fieldgan`)
    has less to overcome where it wants another phase deep within one.
    """
    return COMPRESSED_FROM * torch.asinh(logits / COMPRESSED_FROM)


def _true(fit: Fit) -> Fit:
    """Return a fit without the values of its spectrum where they no longer give its weights."""
    if fit.values is None:
        return fit
    weights = SPECTRA[fit.spectrum](fit.weights.shape[1]).weights(fit.values)
    if weights.shape == fit.weights.shape and torch.allclose(weights, fit.weights, atol=1e-9):
        return fit
    return replace(fit, spectrum="shells", values=None)


def at_once(shape: Shape, periodic: Periodic) -> bool:
    """Whether a volume is made by one Fourier transform."""
    return all(periodic) and int(np.prod(shape, dtype=object)) <= WHOLE
