"""What a refinement acts on: the calibrated logits and the fields beside them, anywhere."""

from __future__ import annotations

from itertools import product
from operator import add
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_microgen.methods.excursion.covariances import bump_weights
from napari_microgen.methods.excursion.fields import WindowedKernels, periodic_fields
from napari_microgen.methods.fieldgan.balls import ball_fields, reaches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_microgen.methods.excursion.model import ExcursionModel

OTHER_STREAM = 2**44
"""Added to a seed for fields that are independent of the calibrated ones."""

BAND_SHELLS = 128


class FieldInputs:
    """The inputs of a refinement as a function of seed and position.

    Parameters
    ----------
    calibrated : ExcursionModel
        Its fields are those that it would generate from, at the same seed and position.
    bands : sequence of float
        Correlation lengths, in voxels, of further independent fields.
    radii : sequence of float
        Median radius, in voxels, of every phase's balls; see `ball_fields`.
    """

    def __init__(
        self,
        calibrated: ExcursionModel,
        bands: Sequence[float] = (),
        radii: Sequence[float] = (),
    ) -> None:
        self.calibrated = calibrated
        self.bands, self.radii = tuple(bands), tuple(radii)
        self._weights = (
            torch.stack([bump_weights(b, BAND_SHELLS) for b in bands]) if bands else torch.empty(0)
        )
        self._kernels = WindowedKernels(self._weights, calibrated.stretch) if bands else None

    @property
    def channels(self) -> int:
        """Channels of the inputs."""
        return input_channels(len(self.calibrated.origin.phases), self.bands, self.radii)

    @property
    def reaches(self) -> tuple[int, int, int]:
        """Voxels along z, y, x that fields, and the balls that go by them, reach in blocks."""
        around = self._around
        found = [tuple(map(add, self.calibrated.kernels.reaches, around))]
        if self._kernels is not None:
            found.append(self._kernels.reaches)
        z, y, x = (max(along) for along in zip(*found, strict=True))
        return z, y, x

    @property
    def _around(self) -> tuple[int, int, int]:
        return reaches(self.radii, self.calibrated.stretch)

    def periodic(
        self,
        shape: tuple[int, int, int],
        seed: int,
        offset: tuple[int, int, int] = (0, 0, 0),
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return the inputs of a volume that repeats, shape ``(channels, z, y, x)``."""
        model = self.calibrated
        drawn = periodic_fields(
            model.fit.weights, model.formula.noises, shape, seed, offset, model.stretch, device
        )
        fields = []
        if self.bands:
            noises = range(len(self.bands))
            fields = periodic_fields(
                self._weights, noises, shape, seed + OTHER_STREAM, offset, model.stretch, device
            )
        logits = model.logits(drawn)
        balls = ball_fields(self.radii, logits, offset, offset, shape, seed, shape, model.stretch)
        return _stacked(logits, fields, balls)

    def block(
        self,
        start: Sequence[int],
        shape: Sequence[int],
        seed: int,
        periods: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return the inputs of a block of an endless volume; see `WindowedKernels.fields`."""
        model = self.calibrated
        around = self._around
        first = [a - margin for a, margin in zip(start, around, strict=True)]
        wide = [n + 2 * margin for n, margin in zip(shape, around, strict=True)]
        drawn = model.kernels.fields(model.formula.noises, first, wide, seed, periods, device)
        logits = model.logits(drawn)
        balls = ball_fields(self.radii, logits, first, start, shape, seed, periods, model.stretch)
        fields = []
        if self._kernels is not None:
            noises = range(len(self.bands))
            fields = self._kernels.fields(
                noises, start, shape, seed + OTHER_STREAM, periods, device
            )
        inside = (slice(m, m + n) for m, n in zip(around, shape, strict=True))
        return _stacked(logits[:, *inside], fields, balls)


def input_channels(n_phases: int, bands: Sequence[float], radii: Sequence[float]) -> int:
    """Return how many channels the inputs have: logits, fields, and two distances per ball."""
    return n_phases + len(bands) + 2 * sum(radius > 0 for radius in radii)


def _stacked(logits: Tensor, fields: Sequence[Tensor], balls: Sequence[Tensor]) -> Tensor:
    """Return logits, fields, and the distances to the balls as channels."""
    return torch.cat([logits, *(f[None].to(logits.device) for f in (*fields, *balls))])


def wrapped(inputs: Tensor, starts: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Cut a block out of inputs that repeat along all axes, shape ``(1, channels, z, y, x)``."""
    result = inputs.new_empty(1, len(inputs), *shape)
    for pieces in product(*map(_pieces, starts, shape, inputs.shape[1:])):
        targets, sources = zip(*pieces, strict=True)
        result[0, :, *targets] = inputs[:, *sources]
    return result


def _pieces(start: int, length: int, period: int) -> list[tuple[slice, slice]]:
    """Return where parts of an interval come to lie, and where in the period they come from."""
    found, done = [], 0
    while done < length:
        source = (start + done) % period
        n = min(length - done, period - source)
        found.append((slice(done, done + n), slice(source, source + n)))
        done += n
    return found
