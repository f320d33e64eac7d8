"""Random numbers that a resumed training finds again."""

from __future__ import annotations

import numpy as np
import torch


def torch_random(seed: int, index: int, purpose: str) -> torch.Generator:
    """Return a generator whose numbers depend on seed, step and purpose alone."""
    words = np.random.SeedSequence((seed, index, *purpose.encode())).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
