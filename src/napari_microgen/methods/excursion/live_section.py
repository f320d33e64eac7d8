"""Planar sections drawn over and over while the parameters of a model move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_microgen.methods.excursion.assessment import cut_phases
from napari_microgen.methods.excursion.fields import section_filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_microgen.methods.excursion.calibration import Fit


class LiveSection:
    """Draws what `assessment.draw_section` draws, and keeps what has not changed since.

    The transforms of the white noise are kept as long as seed and shape are the same, a field
    as long as its spectrum is: a threshold that moves costs no transform at all.
    """

    def __init__(self) -> None:
        self._noise_key: tuple[object, ...] = ()
        self._noise: list[Tensor] = []
        self._made: dict[int, tuple[Tensor, float, list[Tensor]]] = {}

    def draw(
        self, fit: Fit, shape: tuple[int, int], seed: int, stretch: float = 1.0
    ) -> NDArray[np.uint8]:
        """Return a periodic section as indices of the image's phases.

        Parameters
        ----------
        fit : Fit
        shape : tuple of int
            Rows and columns.
        seed : int
        stretch : float
            Factor by which the structure is longer along the first axis.
        """
        model = fit.candidate.build()
        self._renew_noise(model.noises, shape, seed)
        fields: list[Tensor | None] = [None] * len(model.noises)
        for index in set(model.noises):
            places = [i for i, noise in enumerate(model.noises) if noise == index]
            drawn = self._fields(index, fit.weights[index], places, shape, stretch)
            for place, field in zip(places, drawn, strict=True):
                fields[place] = field
        functions = model.functions(fit.scalars, [f for f in fields if f is not None])
        return cut_phases(functions.numpy(), fit.candidate)

    def _renew_noise(self, noises: tuple[int, ...], shape: tuple[int, int], seed: int) -> None:
        key = (noises, shape, seed)
        if key != self._noise_key:
            random = torch.Generator().manual_seed(seed)
            self._noise = [torch.fft.rfftn(torch.randn(shape, generator=random)) for _ in noises]
            self._noise_key = key
            self._made.clear()

    def _fields(
        self, index: int, weights: Tensor, places: list[int], shape: tuple[int, int], stretch: float
    ) -> list[Tensor]:
        before = self._made.get(index)
        if before is None or before[1] != stretch or not torch.equal(before[0], weights):
            root = section_filter(weights, shape, stretch)
            drawn = [torch.fft.irfftn(self._noise[i] * root, s=shape) for i in places]
            before = self._made[index] = (weights, stretch, drawn)
        return before[2]
