import struct

import numpy as np
import pytest

from napari_microgen.errors import InputError
from napari_microgen.io.meshes import write_mesh
from napari_microgen.methods.particles.harmonics import icosphere


@pytest.fixture
def mesh():
    points, triangles = icosphere(1)
    return points * (1.0, 2.0, 3.0), triangles  # twice as wide along y as along z, thrice along x


def test_stl_holds_every_triangle_with_its_outward_normal(mesh, tmp_path):
    content = write_mesh(tmp_path / "a.stl", *mesh).read_bytes()
    (count,) = struct.unpack("<I", content[80:84])
    assert count == len(mesh[1])
    assert len(content) == 84 + 50 * count
    floats = np.frombuffer(content[84:], np.dtype([("f", "<f4", 12), ("a", "<u2")]))["f"]
    normals, corners = floats[:, :3], floats[:, 3:].reshape(-1, 3, 3)
    assert (np.sum(normals * corners.mean(axis=1), axis=1) > 0).all()
    assert np.abs(corners).max(axis=(0, 1)) == pytest.approx([3, 2, 1], rel=0.01)


def test_ply_says_what_it_holds(mesh, tmp_path):
    content = write_mesh(tmp_path / "a.PLY", *mesh).read_bytes()
    header, _, body = content.partition(b"end_header\n")
    assert b"element vertex 42\n" in header
    assert b"element face 80\n" in header
    points = np.frombuffer(body[: 42 * 12], "<f4").reshape(-1, 3)
    np.testing.assert_allclose(points, mesh[0][:, ::-1], rtol=1e-6)
    faces = np.frombuffer(body[42 * 12 :], np.dtype([("n", "u1"), ("i", "<i4", 3)]))
    assert (faces["n"] == 3).all()
    np.testing.assert_array_equal(faces["i"], mesh[1])


def test_other_endings_are_refused(mesh, tmp_path):
    with pytest.raises(InputError, match=r"\.stl or \.ply"):
        write_mesh(tmp_path / "a.obj", *mesh)
