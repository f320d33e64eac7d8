"""The SuperRes generator (paper 001, figure 13): a coarse volume and noise to a fine volume."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_microgen.networks.resampling import along_axes, as_tensors, interpolation
from napari_microgen.networks.slice_generator import fraction_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_microgen.networks.resampling import Span

SMOOTH = (0.25, 0.5, 0.25)
"""Weights of the direct path's kernel along each axis at the start."""

START_PHASE = 10.0
"""Difference of logits between a coarse voxel's own and other phases at the start."""

START_NOISE = 3.0
"""Standard deviation of the logits among phases that look alike at the start."""

START_QUIET = 0.1
"""Share of the last layer's random weights that is left at the start."""

FINE_LAYERS = 2
"""Convolutions at the high resolution; each needs one more voxel on every side."""


class SuperResGenerator(nn.Module):
    """Low-resolution phases and noise to high-resolution phase probabilities.

    A convolution and a residual block at the low resolution, a transposed convolution to twice
    the resolution (scale factors above 2), linear interpolation and a convolution to four times
    (above 4), linear interpolation to the high resolution, and two convolutions there. Kernels
    are 3^3 with ReLU between; padding repeats the outermost voxel.

    Parameters
    ----------
    factor : Fraction
        Scale factor.
    low_phases, phases : int
        Phases of the coarse and of the fine volume.
    noise_channels : int
        Channels of noise beside the coarse phases; the paper has 1.
    widths : sequence of int
        Channels of the hidden layers from the finest to the coarsest; the paper has 64, 128, 256
        at scale factor 4 and doubles them with the factor. Those not needed are left out.
    normalised : bool
        Whether layers have batch normalisation, as the paper's.
    direct : bool
        Whether the interpolated input, smoothed over 3^3 coarse voxels, is added to the logits;
        the paper's generator has no such path.

    Raises
    ------
    ValueError
        If there are fewer widths than the scale factor needs.
    """

    def __init__(
        self,
        factor: Fraction,
        low_phases: int,
        phases: int,
        noise_channels: int,
        widths: Sequence[int],
        normalised: bool = True,
        direct: bool = False,
    ) -> None:
        super().__init__()
        self.factor, self.low_phases, self.noise_channels = factor, low_phases, noise_channels
        self.doublings = count_doublings(factor)
        if len(widths) < self.doublings + 2:
            raise ValueError(f"{self.doublings + 2} widths are needed, not {len(widths)}")
        sizes = list(widths[self.doublings + 1 :: -1])
        inputs, first = low_phases + noise_channels, sizes[0]
        self.entry = _Layer(_conv(inputs, first), normalised)
        self.inner = _Layer(_conv(first, first), normalised)
        self.outer = _Layer(_conv(first, first), normalised)
        self.finer = nn.ModuleList()
        for index, (a, b) in enumerate(pairwise(sizes[:-1])):
            layer = nn.ConvTranspose3d(a, b, 4, 2, 1) if index == 0 else _conv(a, b)
            self.finer.append(_Layer(layer, normalised))
        self.fine = _Layer(nn.Conv3d(sizes[-2], sizes[-1], 3), normalised)
        self.last = nn.Conv3d(sizes[-1], phases, 3)
        self.direct = _conv(inputs, phases) if direct else None

    def forward(
        self, latent: Tensor, first: Sequence[int] = (0, 0, 0), wanted: Sequence[Span] | None = None
    ) -> Tensor:
        """Generate a part of the fine volume.

        Parameters
        ----------
        latent : Tensor, shape (batch, low_phases + noise_channels, l, m, n)
            Coarse phases, one-hot, and noise.
        first : sequence of int
            Position of the first coarse voxel along z, y, x.
        wanted : sequence of three Span, optional
            Positions of the wanted fine voxels, counted from the corner of the coarse volume.
            Default: all that the latent covers.

        Returns
        -------
        Tensor, shape (batch, phases, z, y, x)
            Probabilities.
        """
        coarse = [(f, f + n) for f, n in zip(first, latent.shape[2:], strict=True)]
        if wanted is None:
            wanted = [covered(span, self.factor) for span in coarse]
        logits = self.last(self.fine(self._resampled(self._trunk(latent, coarse), wanted)))
        if self.direct is not None:
            logits = logits + _resample(self.direct(latent), coarse, wanted, self.factor)
        return torch.softmax(logits, 1)

    @property
    def halo(self) -> int:
        """Coarse voxels around those that a part covers which it depends on."""
        convolutions = 3  # entry and block
        finer = 2 if self.doublings else 0  # transposed convolution, and its interpolation
        finer += 1 if self.doublings > 1 else 0
        return convolutions + finer + 1 + math.ceil(FINE_LAYERS / self.factor)

    def _trunk(self, latent: Tensor, coarse: Sequence[Span]) -> tuple[Tensor, list[Span], int]:
        """Return features, where they lie on their own grid, and how much finer that is."""
        x = self.entry(latent)
        x = x + torch.relu(x + self.outer.normalised(self.inner(x)))
        spans, finer = list(coarse), 1
        for index, layer in enumerate(self.finer):
            doubled = [(2 * a, 2 * b) for a, b in spans]
            if index:
                x = _resample(x, spans, doubled, 2)
            x, spans, finer = layer(x), doubled, 2 * finer
        return x, spans, finer

    def _resampled(self, trunk: tuple[Tensor, list[Span], int], wanted: Sequence[Span]) -> Tensor:
        x, spans, finer = trunk
        wider = [(a - FINE_LAYERS, b + FINE_LAYERS) for a, b in wanted]
        return _resample(x, spans, wider, self.factor / finer)


class _Layer(nn.Module):
    """A convolution, batch normalisation if wanted, and ReLU."""

    def __init__(self, convolution: nn.Conv3d | nn.ConvTranspose3d, normalised: bool) -> None:
        super().__init__()
        self.convolution = convolution
        channels = convolution.out_channels
        self.norm = nn.BatchNorm3d(channels) if normalised else nn.Identity()

    def normalised(self, x: Tensor) -> Tensor:
        """Return what goes into the ReLU."""
        normalised: Tensor = self.norm(self.convolution(x))
        return normalised

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.normalised(x))


@torch.no_grad()
def initialise_direct(
    generator: SuperResGenerator, merging: Tensor, fractions: Tensor, latent: Tensor, seed: int
) -> None:
    """Make an untrained generator draw the interpolated coarse volume.

    Phases that look alike in it are drawn as smooth random fields, cut at the right fractions.

    Parameters
    ----------
    generator : SuperResGenerator
        With a direct path; changed in place.
    merging : Tensor, shape (low_phases, phases)
        1 where a fine phase looks like a coarse one.
    fractions : Tensor, shape (phases,)
        Wanted fraction of voxels in which each phase is the most probable one.
    latent : Tensor, shape (batch, low_phases + noise_channels, l, m, n)
        Coarse phases and noise to find the fractions with.
    seed : int
        Seed of the random fields.
    """
    direct = generator.direct
    assert direct is not None and direct.bias is not None
    assert generator.last.bias is not None
    generator.last.weight.mul_(START_QUIET)
    generator.last.bias.zero_()
    taps = torch.tensor(SMOOTH)
    kernel = taps[:, None, None] * taps[:, None] * taps
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(len(fractions), generator.noise_channels, generator=random)
    mixing *= START_NOISE / (mixing.norm(dim=1, keepdim=True) * kernel.norm())
    alike = merging.T @ merging  # 1 where two fine phases look alike
    mixing -= alike @ mixing / alike.sum(1, keepdim=True)
    weights = torch.cat([START_PHASE * merging.T, mixing], 1)
    direct.weight.copy_(weights[:, :, None, None, None] * kernel)
    direct.bias.zero_()
    direct.bias.copy_(fraction_weights(generator(latent), fractions.tolist()).log())


@torch.no_grad()
def match_alike(
    generator: SuperResGenerator, latents: Sequence[Tensor], merging: Tensor,
    fractions: NDArray[np.float64],
) -> None:  # fmt: skip
    """Shift the biases of phases that look alike so that they share their room as in the image.

    How much room they have together is left as it is.

    Parameters
    ----------
    generator : SuperResGenerator
        Changed in place.
    latents : sequence of Tensor
        Inputs of the volumes that the fractions are counted in.
    merging : Tensor, shape (low_phases, phases)
        1 where a fine phase looks like a coarse one.
    fractions : ndarray, shape (phases,)
        Volume fractions of the image.
    """
    values = torch.cat([generator(latent) for latent in latents])
    counts = torch.bincount(values.argmax(1).flatten(), minlength=len(fractions))
    found, wanted = counts / counts.sum(), torch.from_numpy(fractions).to(merging)
    room, whole = merging @ found.to(merging), merging @ wanted
    target = wanted * (merging.T @ (room / whole))
    assert generator.last.bias is not None
    generator.last.bias.add_(fraction_weights(values, target.tolist()).log())


def count_doublings(factor: Fraction) -> int:
    """Return how often hidden layers double the resolution at a scale factor."""
    return sum(power < factor for power in (2, 4))


def covered(span: Span, factor: Fraction) -> Span:
    """Return the fine voxels that lie wholly within coarse ones."""
    return math.ceil(span[0] * factor), math.floor(span[1] * factor)


def _conv(inputs: int, outputs: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, padding=1, padding_mode="replicate")


def _resample(
    x: Tensor, source: Sequence[Span], target: Sequence[Span], factor: Fraction | int
) -> Tensor:
    matrices = [interpolation(s, t, Fraction(factor)) for s, t in zip(source, target, strict=True)]
    return along_axes(x, as_tensors(matrices, x))
