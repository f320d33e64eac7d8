"""What a refinement acts on: the calibrated logits and the fields beside them, anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_microgen.methods.excursion.covariances import bump_weights
from napari_microgen.methods.excursion.fields import WindowedKernels, periodic_fields

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
    """

    def __init__(self, calibrated: ExcursionModel, bands: Sequence[float] = ()) -> None:
        self.calibrated = calibrated
        self.bands = tuple(bands)
        self._weights = (
            torch.stack([bump_weights(b, BAND_SHELLS) for b in bands]) if bands else torch.empty(0)
        )
        self._kernels = WindowedKernels(self._weights, calibrated.stretch) if bands else None

    @property
    def channels(self) -> int:
        """Channels of the inputs."""
        return len(self.calibrated.origin.phases) + len(self.bands)

    @property
    def reach(self) -> int:
        """Voxels that any field's kernel reaches in blocks."""
        own = max(self.calibrated.kernels.reaches)
        return max(own, *self._kernels.reaches) if self._kernels else own

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
        if not self.bands:
            return model.logits(drawn)
        noises = range(len(self.bands))
        other = periodic_fields(
            self._weights, noises, shape, seed + OTHER_STREAM, offset, model.stretch, device
        )
        return torch.cat([model.logits(drawn), torch.stack(other)])

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
        place = (start, shape)
        drawn = model.kernels.fields(model.formula.noises, *place, seed, periods, device)
        if self._kernels is None:
            return model.logits(drawn)
        other = self._kernels.fields(
            range(len(self.bands)), *place, seed + OTHER_STREAM, periods, device
        )
        return torch.cat([model.logits(drawn), torch.stack(other)])


def wrapped(inputs: Tensor, starts: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Cut a block out of inputs that repeat along all axes, shape ``(1, channels, z, y, x)``."""
    for axis, (start, n) in enumerate(zip(starts, shape, strict=True), start=1):
        places = torch.arange(start, start + n, device=inputs.device) % inputs.shape[axis]
        inputs = inputs.index_select(axis, places)
    return inputs[None]
