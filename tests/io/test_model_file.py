import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from napari_microgen.errors import InputError, RunError
from napari_microgen.io.model_file import FORMAT, KEY, MAX_HEADER_BYTES, read_model, write_model

HEADER = {"method": "slicegan", "config": {"steps": 3}, "names": ["pore µ", "nickel"], "x": None}
TENSORS = {
    "weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "turned": np.arange(6.0).reshape(2, 3).T,
    "count": np.array(7, np.int64),
    "nothing": np.zeros((0, 3), np.float16),
    "mask": np.array([True, False]),
}


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.safetensors", HEADER, TENSORS)


def same(read):
    header, tensors = read
    return (
        header == HEADER
        and set(tensors) == set(TENSORS)
        and all(
            np.array_equal(tensors[n], t) and tensors[n].dtype == t.dtype
            for n, t in TENSORS.items()
        )
    )


def test_header_and_weights_come_back(model):
    assert same(read_model(model))


def test_suffix_is_added_if_it_lacks(tmp_path):
    assert write_model(tmp_path / "m", HEADER, TENSORS) == tmp_path / "m.safetensors"
    assert write_model(tmp_path / "v1.2", HEADER, TENSORS) == tmp_path / "v1.2.safetensors"


def test_numbers_that_are_not_finite_survive(tmp_path):
    path = write_model(tmp_path / "m", {"fidelity": {"s2": float("inf")}}, {})
    assert read_model(path)[0] == {"fidelity": {"s2": float("inf")}}


def test_saving_again_replaces_the_file_in_one_step(model):
    write_model(model, {"second": True}, {})
    assert read_model(model) == ({"second": True}, {})
    assert list(model.parent.iterdir()) == [model]


# ---------------------------------------------------------------------- bad files


def refuses(path, words):
    with pytest.raises(InputError, match=words) as caught:
        read_model(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_empty_and_folder(tmp_path):
    refuses(tmp_path / "none.safetensors", "no file")
    (tmp_path / "empty.safetensors").touch()
    refuses(tmp_path / "empty.safetensors", "empty")
    refuses(tmp_path, "folder")


def test_safetensors_of_other_programs(tmp_path):
    save_file(TENSORS | {"turned": np.zeros(3)}, tmp_path / "plain.safetensors")
    refuses(tmp_path / "plain.safetensors", "another program")
    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors", metadata={"format": "pt"})
    refuses(tmp_path / "other.safetensors", "another program")


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the file was executed",))


def test_pickles_and_zips_are_refused_unopened(tmp_path):
    (tmp_path / "m.pt").write_bytes(pickle.dumps(_Bomb()))
    refuses(tmp_path / "m.pt", "run code")
    with zipfile.ZipFile(tmp_path / "m.safetensors", "w") as file:
        file.writestr("data.pkl", pickle.dumps(_Bomb()))
    refuses(tmp_path / "m.safetensors", "run code")


def test_other_files(tmp_path):
    (tmp_path / "m.safetensors").write_text("just a text, and not a short one")
    refuses(tmp_path / "m.safetensors", "no model file")
    (tmp_path / "m.safetensors").write_bytes(b"short")
    refuses(tmp_path / "m.safetensors", "no model file")


def test_header_too_long(tmp_path):
    length = MAX_HEADER_BYTES + 1
    (tmp_path / "m.safetensors").write_bytes(length.to_bytes(8, "little") + b"{" + b" " * 99)
    refuses(tmp_path / "m.safetensors", "too long")


def with_document(path, document):
    save_file({"a": np.zeros(3)}, path, metadata={KEY: document})
    return path


def test_newer_format_asks_for_an_update(tmp_path):
    document = json.dumps({"format": FORMAT + 1, "digest": "", "header": {}})
    refuses(with_document(tmp_path / "m.safetensors", document), "newer napari-microgen")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        "5",
        "null",
        "{}",
        '{"format": 1}',
        '{"format": "x", "digest": "", "header": {}}',
        '{"format": 0, "digest": "", "header": {}}',
        '{"format": Infinity, "digest": "", "header": {}}',
        '{"format": 1, "digest": "", "header": [1, 2]}',
        '{"format": 1, "digest": "", "header": {}}',
        "[" * 100_000,
    ],
)
def test_garbled_documents(tmp_path, document):
    refuses(with_document(tmp_path / "m.safetensors", document), "damaged")


@given(share=st.floats(0, 1, exclude_max=True))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_anywhere_is_refused(model, share):
    content = model.read_bytes()
    cut = model.with_name("cut.safetensors")
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError):
        read_model(cut)


@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_flipped_bit_is_refused_or_harmless(model, share, bit):
    content = bytearray(model.read_bytes())
    content[int(share * len(content))] ^= 1 << bit
    flipped = model.with_name("flipped.safetensors")
    flipped.write_bytes(content)
    try:
        assert same(read_model(flipped))
    except InputError as error:
        assert "\n" not in str(error)


# ---------------------------------------------------------------------- writing goes wrong


def test_no_folder_is_a_failed_run(tmp_path):
    with pytest.raises(RunError, match="cannot be written"):
        write_model(tmp_path / "nowhere" / "m", HEADER, TENSORS)


def test_a_full_disk_keeps_the_old_model(model):
    """Written to a device that is always full; the part file must not stay."""
    from napari_microgen.io.files import replacing

    before = model.read_bytes()
    with pytest.raises(RunError, match="No space left"), replacing(model) as part:
        part.write_bytes(b"half of it")
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"the rest")
    assert model.read_bytes() == before
    assert list(model.parent.iterdir()) == [model]


def test_an_interrupt_keeps_the_old_model(model):
    from napari_microgen.io.files import replacing

    before = model.read_bytes()
    with pytest.raises(KeyboardInterrupt), replacing(model) as part:
        part.write_bytes(b"half of it")
        raise KeyboardInterrupt
    assert model.read_bytes() == before
    assert list(model.parent.iterdir()) == [model]


def test_two_threads_of_one_program_may_write_the_same_file(tmp_path):
    """As when one image is trained on in two windows."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from napari_microgen.io.files import replacing

    path, both = tmp_path / "run", Barrier(2)

    def write(content):
        with replacing(path) as part:
            part.write_bytes(content)
            both.wait(10)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (b"one", b"two")))
    assert path.read_bytes() in (b"one", b"two")
    assert list(tmp_path.iterdir()) == [path]
