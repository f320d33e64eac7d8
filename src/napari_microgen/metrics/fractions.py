"""Volume fractions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def volume_fractions(data: NDArray[np.uint8], n_phases: int) -> NDArray[np.float64]:
    """Return the share of every phase among the labelled voxels.

    Parameters
    ----------
    data : ndarray of uint8
        Phase indices, any shape; 255 is unlabelled.
    n_phases : int
        Number of phases.

    Returns
    -------
    ndarray of float64, shape (n_phases,)
        Dimensionless; all zero if nothing is labelled.
    """
    counts = np.array([np.count_nonzero(data == k) for k in range(n_phases)], float)
    return counts / max(float(counts.sum()), 1)
