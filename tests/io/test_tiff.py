import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_microgen.errors import InputError, RunError
from napari_microgen.io.tiff import (
    read_tiff,
    write_confidence,
    write_sample,
    write_tiff,
)
from napari_microgen.phases import Phase, PhaseImage

PHASES = (Phase(0, "pore µ", "#102030"), Phase(2, "nickel", "#ff0000"))
VOXEL = (0.3, 0.065, 0.1)


def labels(shape=(4, 5, 6), dtype="uint8"):
    return (2 * np.random.default_rng(0).integers(0, 2, shape)).astype(dtype)


# ---------------------------------------------------------------------- round trips


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6), (3, 5, 4), (4, 6, 3)])
@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64", "bool"],
)
def test_everything_written_is_read_again(tmp_path, shape, dtype):
    data, path = labels(shape, dtype), tmp_path / "v.tif"
    write_tiff(
        path, data, voxel_size=VOXEL[-len(shape) :], unit="um", phases=PHASES,
        provenance={"seed": 7, "method": "slicegan"},
    )  # fmt: skip
    stored = read_tiff(path)
    assert stored.data.dtype == data.dtype
    assert np.array_equal(stored.data, data)
    assert np.allclose(stored.voxel_size, VOXEL[-len(shape) :], rtol=1e-9)
    assert (stored.unit, stored.colour) == ("um", False)
    assert stored.names == {0: "pore µ", 2: "nickel"}
    assert stored.colors == {0: "#102030", 2: "#ff0000"}
    assert stored.metadata == {"seed": 7, "method": "slicegan"}


@pytest.mark.parametrize("shape", [(5, 6, 3), (4, 5, 6, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_colour_volumes_come_back(tmp_path, shape, dtype):
    data = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    size = VOXEL[-len(shape) + 1 :]
    stored = read_tiff(
        write_tiff(tmp_path / "v.tif", data, voxel_size=size, unit="nm", colour=True)
    )
    assert np.array_equal(stored.data, data)
    assert stored.colour
    assert np.allclose(stored.voxel_size, size)


def test_without_a_voxel_size_none_is_claimed(tmp_path):
    stored = read_tiff(write_tiff(tmp_path / "v.tif", labels()))
    assert (stored.voxel_size, stored.unit) == (None, "pixel")


def test_a_generated_volume_becomes_a_phase_image_again(tmp_path, train_tiny, three_phases):
    sample = train_tiny(three_phases).generate((20, 8, 9), seed=2)
    image = PhaseImage.from_tiff(write_sample(tmp_path / "v.tif", sample))
    assert image.phases == three_phases.phases
    assert (image.voxel_size, image.unit) == ((25, 25, 25), "nm")
    assert np.array_equal(image.to_values(image.data), sample.data)


def test_confidence_is_written_with_voxel_size_and_provenance(tmp_path, train_tiny, three_phases):
    sample = train_tiny(three_phases).generate((4, 8, 9))
    stored = read_tiff(write_confidence(tmp_path / "c.tif", sample))
    assert np.array_equal(stored.data, sample.confidence)
    assert stored.metadata["seed"] == 0
    assert stored.unit == "nm"


def test_grey_and_colour_volumes_have_no_confidence_to_write(tmp_path, train_tiny):
    sample = train_tiny(PhaseImage.from_grey(np.eye(9))).generate((2, 3, 4))
    with pytest.raises(InputError, match="no confidence"):
        write_confidence(tmp_path / "c.tif", sample)


# ---------------------------------------------------------------------- what other programs see


def test_fiji_gets_scale_slices_colours_and_our_notes(tmp_path):
    path = write_tiff(tmp_path / "v.tif", labels(), voxel_size=VOXEL, unit="um", phases=PHASES)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_imagej
        assert tiff.imagej_metadata["slices"] == 4
        assert tiff.imagej_metadata["spacing"] == 0.3
        assert tiff.imagej_metadata["unit"] == "um"
        assert "nickel" in tiff.imagej_metadata["Info"]
        page = tiff.pages.first
        assert np.isclose(np.divide(*page.tags["XResolution"].value), 10)
        assert page.compression.name == "ADOBE_DEFLATE"
        assert page.colormap[:, 2].tolist() == [65535, 0, 0]


def test_any_tiff_reader_gets_the_labels_themselves(tmp_path):
    path = write_tiff(tmp_path / "v.tif", labels(), phases=PHASES)
    assert np.array_equal(tifffile.imread(path), labels())


def test_labels_compress(tmp_path):
    volume = np.kron(labels((8, 8, 8)), np.ones((8, 8, 8), np.uint8))
    assert write_tiff(tmp_path / "v.tif", volume).stat().st_size < volume.nbytes / 4


def test_works_without_the_optional_codecs(tmp_path):
    path = write_tiff(tmp_path / "v.tif", labels(), voxel_size=VOXEL, unit="um")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from napari_microgen.io.tiff import read_tiff, write_tiff\n"
        f"stored = read_tiff({str(path)!r})\n"
        f"write_tiff({str(tmp_path / 'w.tif')!r}, stored.data)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert np.array_equal(read_tiff(tmp_path / "w.tif").data, labels())


def test_a_codec_that_is_missing_is_named(tmp_path):
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, labels(), compression="lzw", photometric="minisblack")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from napari_microgen.io.tiff import read_tiff\n"
        f"try: read_tiff({str(path)!r})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True
    )
    assert run.stdout.startswith("InputError")
    assert "imagecodecs" in run.stdout


# ---------------------------------------------------------------------- what other programs write


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("micron", "um"), ("\\u00B5m", "um"), ("nm", "nm"), ("nanometers", "nm"), ("mm", "mm")],
)
def test_imagej_calibration_is_read(tmp_path, unit, expected):
    tifffile.imwrite(
        tmp_path / "v.tif", labels(), imagej=True, resolution=(1 / 0.1, 1 / 0.065),
        metadata={"axes": "ZYX", "unit": unit, "spacing": 0.3},
    )  # fmt: skip
    stored = read_tiff(tmp_path / "v.tif")
    assert np.allclose(stored.voxel_size, VOXEL)
    assert stored.unit == expected


@pytest.mark.parametrize("unit", ["pixel", "", "furlong"])
def test_imagej_without_a_unit_of_length_has_no_voxel_size(tmp_path, unit):
    tifffile.imwrite(
        tmp_path / "v.tif",
        labels(),
        imagej=True,
        resolution=(3, 3),
        metadata={"axes": "ZYX", "unit": unit},
    )
    assert read_tiff(tmp_path / "v.tif").voxel_size is None


def test_ome_pixel_sizes_are_read(tmp_path):
    sizes = {"PhysicalSizeZ": 30, "PhysicalSizeY": 20, "PhysicalSizeX": 10}
    units = {f"{name}Unit": "nm" for name in sizes}
    tifffile.imwrite(tmp_path / "v.ome.tif", labels(), metadata={"axes": "ZYX", **sizes, **units})
    stored = read_tiff(tmp_path / "v.ome.tif")
    assert (stored.voxel_size, stored.unit) == ((30, 20, 10), "nm")
    tifffile.imwrite(
        tmp_path / "v.ome.tif", labels(), metadata={"axes": "ZYX", "PhysicalSizeX": 0.5}
    )
    stored = read_tiff(tmp_path / "v.ome.tif")
    assert (stored.voxel_size, stored.unit) == ((0.5, 0.5, 0.5), "um")


def test_ome_axes_may_have_units_of_their_own(tmp_path):
    sizes = {"PhysicalSizeX": 50, "PhysicalSizeXUnit": "nm", "PhysicalSizeZ": 0.25}
    tifffile.imwrite(tmp_path / "v.ome.tif", labels(), metadata={"axes": "ZYX", **sizes})
    stored = read_tiff(tmp_path / "v.ome.tif")
    assert np.allclose(stored.voxel_size, (250, 50, 50))
    assert stored.unit == "nm"


def test_plain_resolution_tags_are_not_believed(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", labels((9, 9)), resolution=(72, 72), resolutionunit=2)
    assert read_tiff(tmp_path / "v.tif").voxel_size is None


def test_slices_saved_as_time_points_are_slices(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", labels(), imagej=True, metadata={"axes": "TYX"})
    assert read_tiff(tmp_path / "v.tif").data.shape == (4, 5, 6)


def test_images_appended_one_by_one_are_slices(tmp_path):
    for section in labels():
        tifffile.imwrite(tmp_path / "v.tif", section, append=True)
    assert np.array_equal(read_tiff(tmp_path / "v.tif").data, labels())
    tifffile.imwrite(tmp_path / "v.tif", labels((2, 3)), append=True)  # a thumbnail, say
    assert read_tiff(tmp_path / "v.tif").data.shape == (5, 6)


@pytest.mark.parametrize(("axes", "words"), [("CYX", "3 channels"), ("TZYX", "3 time points")])
def test_channels_and_time_series_are_refused(tmp_path, axes, words):
    data = labels((3, 5, 6)) if axes == "CYX" else labels((3, 4, 5, 6))
    tifffile.imwrite(tmp_path / "v.tif", data, imagej=True, metadata={"axes": axes})
    with pytest.raises(InputError, match=words):
        read_tiff(tmp_path / "v.tif")


def test_planar_colour_gets_its_channels_last(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (3, 20, 30)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "v.tif", data, photometric="rgb", planarconfig="separate")
    stored = read_tiff(tmp_path / "v.tif")
    assert stored.colour
    assert np.array_equal(stored.data, np.moveaxis(data, 0, -1))


def test_alpha_of_a_grey_image_is_dropped(tmp_path):
    data = np.dstack([labels((5, 6)), np.full((5, 6), 255, np.uint8)])
    tifffile.imwrite(
        tmp_path / "v.tif", data, photometric="minisblack", extrasamples=["unassalpha"]
    )
    assert np.array_equal(read_tiff(tmp_path / "v.tif").data, labels((5, 6)))


def test_notes_that_are_not_ours_are_ignored(tmp_path):
    metadata = {"axes": "ZYX", "Info": "a note"}
    tifffile.imwrite(tmp_path / "v.tif", labels(), imagej=True, metadata=metadata)
    assert read_tiff(tmp_path / "v.tif").names == {}
    for note in ({"napari-microgen": 5}, {"napari-microgen": {"phases": [{"value": 1}]}}):
        tifffile.imwrite(tmp_path / "v.tif", labels(), metadata=note, photometric="minisblack")
        assert read_tiff(tmp_path / "v.tif").names == {}


# ---------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.tif", None, "no file"),
        ("empty.tif", b"", "empty"),
        ("text.tif", b"this is no image", "no TIFF file"),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "no TIFF file"),
        ("stub.tif", b"II*\0", "damaged"),
        ("lost.tif", b"II*\0\xff\xff\xff\x7f" + bytes(20), "damaged"),
    ],
)
def test_files_that_are_no_tiff_are_refused_in_one_sentence(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_tiff(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="folder"):
        read_tiff(tmp_path)


WAYS = {
    "plain": {"photometric": "minisblack"},
    "zlib": {"photometric": "minisblack", "compression": "zlib"},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "bare": {"photometric": "minisblack", "metadata": None},
    "ome": {"photometric": "minisblack", "ome": True, "metadata": {"axes": "ZYX"}},
    "tiles": {"photometric": "minisblack", "tile": (16, 16)},
}


@pytest.mark.parametrize("way", [*WAYS, "ours"])
def test_damage_is_an_input_error_and_never_part_of_an_image(tmp_path, way):
    data, path = labels((6, 20, 30)), tmp_path / "v.tif"
    if way == "ours":
        write_tiff(path, data, voxel_size=VOXEL, unit="um", phases=PHASES)
    else:
        tifffile.imwrite(path, data, **WAYS[way])
    content, random = path.read_bytes(), np.random.default_rng(1)
    for end in [1, 7, 8, 9, len(content) - 1, *random.integers(1, len(content), 25)]:
        path.write_bytes(content[:end])
        try:
            assert np.array_equal(read_tiff(path).data, data)
        except InputError:
            continue
    for place in random.integers(0, len(content), 40):
        broken = bytearray(content)
        broken[place] ^= 1 << random.integers(0, 8)
        path.write_bytes(broken)
        try:
            read_tiff(path)
        except InputError:
            continue


# ---------------------------------------------------------------------- writing goes wrong


def test_no_room_is_said_before_anything_is_written(tmp_path):
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (10**5, 10**5, 10**5), (0, 0, 0))
    with pytest.raises(InputError, match=r"needs up to 1 PB .* are free") as caught:
        write_tiff(tmp_path / "v.tif", huge)
    assert "make room" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        write_tiff(tmp_path / "nowhere" / "v.tif", labels())


def test_a_failing_disk_leaves_the_old_file_and_no_part_of_the_new(tmp_path, monkeypatch):
    path = write_tiff(tmp_path / "v.tif", labels())
    before = path.read_bytes()

    def fail(file, *_, **__):
        file.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", fail)
    with pytest.raises(RunError, match="No space left"):
        write_tiff(path, labels() + 1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
