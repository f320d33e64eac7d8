"""The SliceGAN generator (paper 003, table 1) and its initialisation as a smooth random field."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from napari_microgen.networks.density import check_transposed
from napari_microgen.networks.latent_generator import LatentGenerator

if TYPE_CHECKING:
    from collections.abc import Sequence

Activation = Literal["softmax", "tanh"]

_OUTER = torch.tensor([1, 0, 0, 1])
_ORBIT = (_OUTER[:, None, None] + _OUTER[:, None] + _OUTER).flatten()
"""For each element of a 4 x 4 x 4 kernel, how many of its coordinates are outer ones."""

COUNTED_VOXELS = 120_000
"""Voxels that volume fractions are counted on."""


class SliceGenerator(LatentGenerator):
    """Five transposed convolutions (k 4, s 2, p 2) that turn latents into voxels.

    A latent of side ``l`` gives a volume of side ``32 (l - 2)`` in which every voxel has heard
    from everything it depends on. The paper crops the last layer by its padding of 3; here the
    same voxel on each side is cropped by a fixed smoothing kernel (or by slicing).

    Parameters
    ----------
    latent_channels : int
        Channels of the latent.
    widths : sequence of four int
        Channels after each hidden layer; the paper has 512, 256, 128, 64.
    channels : int
        Phases, or grey or colour channels.
    activation : {"softmax", "tanh"}
        Softmax for phases, tanh for grey and colour values.
    smoothing : float
        Standard deviation in voxels of a fixed 3-voxel Gaussian over the output; 0 for none.

    Attributes
    ----------
    weights : Tensor, shape (channels,)
        Factors on the phase probabilities, see `match_fractions`; 1 while training.
    """

    stride = 32  # five layers of stride 2
    margin = 2

    def __init__(
        self,
        latent_channels: int,
        widths: Sequence[int],
        channels: int,
        activation: Activation = "softmax",
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.activation = activation
        sizes = [latent_channels, *widths, channels]
        check_transposed(4, 2, 2)
        self.layers = nn.ModuleList(
            nn.ConvTranspose3d(a, b, 4, 2, 2, bias=i == len(widths))
            for i, (a, b) in enumerate(pairwise(sizes))
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(w) for w in widths)
        self.register_buffer("taps", _gaussian_taps(smoothing), persistent=False)
        self.register_buffer("weights", torch.ones(channels))

    taps: Tensor
    weights: Tensor

    @property
    def convolutions(self) -> list[nn.ConvTranspose3d]:
        """The five layers in order."""
        return [layer for layer in self.layers if isinstance(layer, nn.ConvTranspose3d)]

    def forward(self, latent: Tensor) -> Tensor:
        """Generate volumes.

        Parameters
        ----------
        latent : Tensor, shape (batch, latent_channels, l, m, n)

        Returns
        -------
        Tensor, shape (batch, channels, 32 (l - 2), 32 (m - 2), 32 (n - 2))
            Phase probabilities, or values in -1 to 1.
        """
        logits = self.logits(latent)
        if self.activation == "tanh":
            return self._smoothed(logits.tanh())
        weighted = self._smoothed(logits.softmax(1)) * self.weights[:, None, None, None]
        return weighted / weighted.sum(1, keepdim=True)

    def endless(self, latent: Tensor) -> Tensor:
        """Generate the inside of a volume, which is all that `forward` gives."""
        return self(latent)  # type: ignore[no-any-return]

    def logits(self, latent: Tensor) -> Tensor:
        """Return the last layer's output, one voxel larger on every side than `forward`'s."""
        x = latent
        for layer, norm in zip(self.layers, self.norms, strict=False):
            x = torch.relu_(norm(layer(x)))
        logits: Tensor = self.layers[-1](x)
        return logits

    def _smoothed(self, values: Tensor) -> Tensor:
        if self.taps[0] == 0:
            return values[:, :, 1:-1, 1:-1, 1:-1]
        for axis in (2, 3, 4):
            n = values.shape[axis] - 2
            side, centre = self.taps[0], self.taps[1]
            values = centre * values.narrow(axis, 1, n) + side * (
                values.narrow(axis, 0, n) + values.narrow(axis, 2, n)
            )
        return values


def _gaussian_taps(sigma: float) -> Tensor:
    """Weights of the outer and the middle voxel of a 3-voxel Gaussian."""
    if sigma <= 0:
        return torch.tensor([0.0, 1.0])
    outer = torch.exp(torch.tensor(-0.5 / sigma**2))
    return torch.stack([outer, torch.tensor(1.0)]) / (1 + 2 * outer)


def symmetrised(kernels: Tensor) -> Tensor:
    """Average kernels over the symmetries of the cube.

    A kernel of side 4 that is unchanged by exchanging and mirroring axes has one value per number
    of its outer coordinates (0-3). Layers of such kernels commute with those symmetries, so they
    prefer no axis. Symmetric kernels stay symmetric when their gradients are made so.

    Parameters
    ----------
    kernels : Tensor, shape (inputs, outputs, 4, 4, 4)

    Returns
    -------
    Tensor of the same shape
    """
    flat = kernels.flatten(2)
    orbit = _ORBIT.to(flat.device)
    sums = torch.zeros(*flat.shape[:2], 4, device=flat.device).index_add_(2, orbit, flat)
    means: Tensor = sums / torch.bincount(orbit)
    return means[:, :, orbit].view(kernels.shape)


@torch.no_grad()
def symmetric_kernels(generator: SliceGenerator) -> list[Tensor]:
    """Return the weights of those layers whose kernels are symmetric (see `symmetrised`)."""
    weights = [layer.weight for layer in generator.convolutions]
    return [w for w in weights if torch.allclose(w, symmetrised(w), rtol=1e-4, atol=1e-6)]


@torch.no_grad()
def initialise_smooth(
    generator: SliceGenerator,
    smooth_layers: Sequence[int],
    fractions: Sequence[float],
    seed: int,
    sharpness: float = 8.0,
    even: bool = False,
) -> None:
    """Make an untrained generator draw smooth random fields cut at the right volume fractions.

    Along each axis the last few layers interpolate with the kernel (1, 3, 3, 1)/4 and mix
    channels at random, so features are about ``2**smooth_layers`` voxels long. Training then
    starts from a blobby structure instead of lattice noise.

    Parameters
    ----------
    generator : SliceGenerator
        Changed in place; left in training mode.
    smooth_layers : sequence of three int
        How many of the five layers interpolate along z, y and x, 1-4 each.
    fractions : sequence of float
        Wanted mean softmax per phase.
    seed : int
        Seed of the weights.
    sharpness : float
        Standard deviation of the logits.
    even : bool
        Whether to change the interpolation a little (`EVEN_TAPS`), so that interfaces are as
        frequent within the pairs of voxels that a layer draws as between them.
    """
    random = torch.Generator().manual_seed(seed)
    count = len(generator.convolutions)
    for i, layer in enumerate(generator.convolutions):
        depths = [i - (count - layers) for layers in smooth_layers]
        taps = [None if d < 0 else EVEN_TAPS[d] if even else OUTER_TAP for d in depths]
        layer.weight.copy_(_smooth_kernels(layer.weight.shape, taps, random))
    _sharpen(generator, torch.tensor(fractions), random, sharpness)


OUTER_TAP = 1 / 4
"""Share of the farther neighbour in linear interpolation."""

EVEN_TAPS = (1 / 3, 0.267949, 0.254333, 0.251072)
"""The same in the first to fourth interpolation of white noise, such that neighbours differ
equally often everywhere: ``a^2 (1 - rho_2) = (1 - 2 a)^2 (1 - rho_1)``, where rho is the
correlation of what is interpolated."""


def _smooth_kernels(
    shape: Sequence[int], taps: Sequence[float | None], random: torch.Generator
) -> Tensor:
    """Random kernels that interpolate along the axes with a tap and are free along the others."""
    inputs, outputs, side = shape[0], shape[1], shape[2]
    free = [side if tap is None else 1 for tap in taps]
    kernels: Tensor = torch.randn(inputs, outputs, *free, generator=random) / inputs**0.5
    for axis, tap in enumerate(taps):
        if tap is not None:
            view = [1] * 5
            view[2 + axis] = side
            kernels = kernels * torch.tensor([tap, 1 - tap, 1 - tap, tap]).view(view)
    if None not in taps:
        noise = torch.randn(*shape, generator=random) / (8 * inputs) ** 0.5
        kernels = kernels + 0.03 * symmetrised(noise)
    return kernels


def _sharpen(
    generator: SliceGenerator, fractions: Tensor, random: torch.Generator, sharpness: float
) -> None:
    """Scale the last layer to logits of std `sharpness`, and solve its bias for the fractions."""
    last = generator.convolutions[-1]
    assert last.bias is not None
    last.bias.zero_()
    device = last.weight.device
    latent = torch.randn(2, generator.latent_channels, 5, 5, 5, generator=random).to(device)
    generator.train()
    logits = generator.logits(latent)
    logits = logits - logits.mean(dim=(0, 2, 3, 4), keepdim=True)
    scale = sharpness / logits.std()
    last.weight.mul_(scale)
    last.bias.copy_(_solve_bias(logits[:, :, ::2, ::2, ::2] * scale, fractions.to(device)))


def _solve_bias(logits: Tensor, fractions: Tensor) -> Tensor:
    """Return the bias per phase with which the mean softmax of `logits` equals `fractions`."""
    flat = logits.transpose(0, 1).flatten(1)
    bias = torch.zeros(len(fractions), device=logits.device)
    rate = float(flat.std())
    for _ in range(200):
        mean = (flat + bias[:, None]).softmax(0).mean(1)
        bias += 0.5 * rate * (fractions.clamp_min(1e-4).log() - mean.clamp_min(1e-6).log())
        if float((mean - fractions).abs().max()) < 1e-4:
            break
    return bias - bias.mean()


@torch.no_grad()
def fraction_weights(values: Tensor, fractions: Sequence[float], rounds: int = 10) -> Tensor:
    """Return factors on the phase probabilities that give the wanted volume fractions.

    Parameters
    ----------
    values : Tensor, shape (batch, phases, z, y, x)
        Phase probabilities.
    fractions : sequence of float
        Wanted fraction of voxels in which each phase is the most probable one.
    rounds : int
        See `fraction_shifts`.

    Returns
    -------
    Tensor, shape (phases,)
    """
    flat = values.transpose(0, 1).flatten(1)
    some = flat[:, :: max(1, flat.shape[1] // COUNTED_VOXELS)]
    return fraction_shifts(some.clamp_min(1e-30).log(), fractions, rounds).exp()


@torch.no_grad()
def fraction_shifts(logits: Tensor, fractions: Sequence[float], rounds: int = 10) -> Tensor:
    """Return what must be added to logits, so that phases have the wanted volume fractions.

    Parameters
    ----------
    logits : Tensor, shape (phases, voxels)
        However large.
    fractions : sequence of float
        Wanted fraction of voxels in which each phase's logit is the largest.
    rounds : int
        Passes over the phases at most; each step sets one phase's fraction exactly.

    Returns
    -------
    Tensor, shape (phases,)
        0 on average.
    """
    flat = logits.cpu()
    count = flat.shape[1]
    shift = torch.zeros(len(flat), 1)
    for _ in range(rounds):
        before = shift.clone()
        for phase, fraction in enumerate(fractions):
            rivals = flat + shift
            own = rivals[phase].clone()
            rivals[phase] = -torch.inf
            rank = min(count, max(1, round(count * float(fraction))))
            shift[phase] += (rivals.amax(0) - own).kthvalue(rank).values
        change = shift - before
        # What is added to all phases alike changes none of them.
        if float((change - change.mean()).abs().max()) < 1e-2:
            break
    return (shift - shift.mean()).flatten().to(logits.device)


@torch.no_grad()
def match_fractions(generator: SliceGenerator, latent: Tensor, fractions: Sequence[float]) -> None:
    """Set a generator's `weights` so that its volumes have the wanted fractions.

    Parameters
    ----------
    generator : SliceGenerator
        In evaluation mode.
    latent : Tensor
        Latents of the volumes that the fractions are counted in.
    fractions : sequence of float
        Wanted volume fraction per phase.
    """
    generator.weights.fill_(1)
    generator.weights.copy_(fraction_weights(generator(latent), fractions))
