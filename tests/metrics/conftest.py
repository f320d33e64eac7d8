"""Microstructures whose metrics are known, made once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_microgen.phases import PhaseImage

torch.set_num_threads(1)


def periodic_field(shape: tuple[int, ...], s: float, seed: int) -> np.ndarray:
    """Return a periodic Gaussian field of variance 1 with covariance exp(-r^2 / (4 s^2))."""
    noise = np.fft.rfftn(np.random.default_rng(seed).standard_normal(shape))
    frequencies = [np.fft.fftfreq(n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    square = sum(f**2 for f in np.meshgrid(*frequencies, indexing="ij"))
    field = np.fft.irfftn(noise * np.exp(-2 * (np.pi * s) ** 2 * square), shape, range(len(shape)))
    # Its exact standard deviation, not that of the sample.
    spread = np.sqrt(np.prod([np.sum(np.exp(-4 * (np.pi * s * np.fft.fftfreq(n)) ** 2)) / n
                              for n in shape]))  # fmt: skip
    return field / spread


@pytest.fixture(scope="session")
def gaussian_fields() -> list[np.ndarray]:
    """Four periodic fields of 96^3 voxels with s = 3."""
    return [periodic_field((96, 96, 96), 3.0, seed) for seed in range(4)]


@pytest.fixture(scope="session")
def noise() -> np.ndarray:
    """Three phases of 1/3 each, independent in every voxel, 64^3."""
    return np.random.default_rng(0).integers(0, 3, (64, 64, 64)).astype(np.uint8)


@pytest.fixture(scope="session")
def section() -> PhaseImage:
    """A section of a field cut into three phases of .4, .3 and .3, 256 x 256."""
    return PhaseImage.from_labels(cut_in_three(periodic_field((256, 256), 3.0, 7)), name="section")


@pytest.fixture(scope="session")
def volume() -> PhaseImage:
    """A volume of the same material, 64^3."""
    return PhaseImage.from_labels(cut_in_three(periodic_field((64, 64, 64), 3.0, 8)), name="volume")


def cut_in_three(field: np.ndarray) -> np.ndarray:
    """Cut a field of variance 1 at the levels that give .4, .3 and .3 in the ensemble."""
    return np.digitize(field, (-0.2533, 0.5244)).astype(np.uint8)
