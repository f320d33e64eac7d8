"""Triangle meshes as STL and PLY files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.io.files import replacing
from napari_microgen.resources import check_disk

if TYPE_CHECKING:
    from numpy.typing import NDArray

MESH_SUFFIXES = (".stl", ".ply")


def write_mesh(
    path: str | Path, vertices: NDArray[np.floating], triangles: NDArray[np.integer]
) -> Path:
    """Write a triangle mesh as binary STL or PLY, by the name's ending, in one step.

    Parameters
    ----------
    path : str or Path
    vertices : ndarray, shape (n, 3)
        Positions ``(z, y, x)``; written in the order x, y, z, as mesh programs expect.
    triangles : ndarray of int, shape (m, 3)
        Counter-clockwise seen from outside in the frame ``(x, y, z)``.

    Raises
    ------
    InputError
        If the ending is another one, or there is no room or no folder.
    RunError
        If writing fails on the way.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise InputError(f"The name '{path}' must end in {' or '.join(MESH_SUFFIXES)}.")
    points = np.ascontiguousarray(vertices[:, ::-1], "<f4")
    corners = np.ascontiguousarray(triangles, "<i4")
    content = _stl(points, corners) if suffix == ".stl" else _ply(points, corners)
    check_disk(path, len(content))
    with replacing(path) as part:
        part.write_bytes(content)
    return path


def _stl(points: NDArray[Any], corners: NDArray[Any]) -> bytes:
    triangles = points[corners]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    records = np.zeros(
        len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    )
    records["normal"], records["corners"] = normals, triangles
    header = b"napari-microgen".ljust(80)
    return header + len(corners).to_bytes(4, "little") + bytes(records)


def _ply(points: NDArray[Any], corners: NDArray[Any]) -> bytes:
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment napari-microgen\n"
        f"element vertex {len(points)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(corners)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    records = np.zeros(len(corners), [("count", "u1"), ("corners", "<i4", 3)])
    records["count"], records["corners"] = 3, corners
    return header.encode() + bytes(points) + bytes(records)
