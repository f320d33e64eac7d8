"""Connected clusters of voxels, across periodic sides too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from napari_microgen.metrics._grid import wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def label_clusters(
    mask: NDArray[np.bool_], periodic: Sequence[bool], *, corners: bool = False
) -> NDArray[np.int32]:
    """Number the connected clusters of a mask.

    Parameters
    ----------
    mask : ndarray of bool
        2D or 3D.
    periodic : sequence of bool
        Axes across whose sides voxels are neighbours.
    corners : bool
        Whether voxels that share an edge or a corner are neighbours too, and not only a face.

    Returns
    -------
    ndarray of int32
        A number of its own, from 1 on, in every cluster; 0 outside the mask.
    """
    near = ndimage.generate_binary_structure(mask.ndim, mask.ndim if corners else 1)
    labels, number = ndimage.label(wrap(mask, periodic), near)
    joints = []
    for axis in np.flatnonzero(periodic):
        # The last layer is the first one once more.
        ends = np.take(labels, 0, axis=axis), np.take(labels, -1, axis=axis)
        joints.append(np.unique(np.stack([e[e > 0] for e in ends]), axis=1))
    if joints:
        first, last = np.concatenate(joints, axis=1)
        graph = sparse.coo_matrix((np.ones(first.size), (first, last)), (number + 1, number + 1))
        names = csgraph.connected_components(graph, directed=False)[1].astype(np.int32)
        labels = names[labels[tuple(slice(n) for n in mask.shape)]]
    return np.asarray(labels)


def among(labels: NDArray[np.int32], numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return where labels are one of some numbers, 0 excepted."""
    wanted = np.zeros(int(labels.max()) + 1, bool)
    wanted[numbers] = True
    wanted[0] = False
    return np.asarray(wanted[labels])
