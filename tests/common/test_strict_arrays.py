"""Archives of arrays that somebody made to be misread: one clause each, and little memory."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afmc.common.strict_arrays import NotArrays, read_arrays

STRUCTURED = np.array([(1, 2), (3, 4)], [("a", "<i4"), ("b", "<i4")])


def npy(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array), allow_pickle=True)
    return stream.getvalue()


def archive(*members: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", how) as file:
        warnings.simplefilter("ignore")
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def patched(content: bytes, at: bytes, offset: int, by: bytes) -> bytes:
    """Some bytes after the last occurrence of a mark."""
    place = content.rindex(at) + offset
    return content[:place] + by + content[place + len(by) :]


ONE = archive(("a.npy", npy([1, 2, 3])))
HOSTILE: list[tuple[bytes, str]] = [
    (b"", "not a zip"),
    (npy([1]), "not a zip"),
    (ONE[: len(ONE) // 2], "not a zip"),
    (archive(("a.npy", npy([1])), ("a.npy", npy([2]))), "the name a.npy is in it twice"),
    (archive(("a.txt", b"")), "a.txt in it is no array"),
    (archive(("a.npy", npy([{}]))), "a in it holds objects"),
    (archive(("a.npy", npy([1, 2])[:-1])), "a in it has 15 bytes of numbers, and its shape takes"),
    (archive(("a.npy", npy([1, 2]) + b"x")), "a in it has 17 bytes of numbers, and its shape"),
    (archive(("a.npy", b"\x93NUMPY\x07\x00")), "version"),
    (archive(("a.npy", b"")), "EOF"),
    (archive(("a.npy", header("{'descr': '<i4', 'fortran_order': False, 'shape': (-4,)}"))),
     "impossible shape"),
    (archive(("a.npy", header(f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({2**70},)}}"))),
     "its shape takes"),
    (archive(("a.npy", header("(" * 60000))), "."),
    (archive(("a.npy", header("'''"))), "."),
    (archive(("a.npy", header("{'descr': '<q9', 'fortran_order': False, 'shape': ()}"))), "."),
    (archive(("a.npy", npy([1])), how=zipfile.ZIP_LZMA), "compressed in an unknown way"),
    (patched(ONE, b"PK\x01\x02", 10, b"\x63\x00"), "compressed in an unknown way"),
    (patched(ONE, b"PK\x01\x02", 8, b"\x01\x00"), "encrypted"),
    (patched(ONE, b"PK\x01\x02", 24, b"\xff\xff\xff\x7f"), "of memory are free|its shape takes"),
    (patched(archive(("a.npy", npy([1])), how=zipfile.ZIP_STORED), b"NUMPY", 130, b"\7"), "CRC"),
    (patched(ONE, b"a.npy", -30, b"XX"), "."),
]  # fmt: skip


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "a": np.arange(6).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "s": STRUCTURED,
        "empty": np.zeros((0, 3), np.int32),
        "one": np.float32(3),
        "text": np.array(["a", "bc"]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **arrays)
        found = read_arrays(tmp_path / "x.npz")
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == np.asarray(array).dtype
            np.testing.assert_array_equal(found[name], array)
    assert list(read_arrays(tmp_path / "x.npz", ["s"])) == ["s"]
    with pytest.raises(NotArrays, match="it has no array z"):
        read_arrays(tmp_path / "x.npz", ["z"])


# Archives hold the time when they were made, so by content workers would collect different tests.
@pytest.mark.parametrize(("content", "clause"), HOSTILE, ids=range(len(HOSTILE)))
def test_one_clause(tmp_path: Path, content: bytes, clause: str) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(NotArrays, match=clause) as caught:
        read_arrays(tmp_path / "x.npz")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_folders_and_pipes_are_not_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(NotArrays, match="it is no file"):
            read_arrays(place)


def test_more_than_memory_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afmc.common.strict_arrays.available_bytes", lambda: 1000)
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1000))
    with pytest.raises(NotArrays, match="its arrays take 8,128 bytes, and 1,000 of memory are"):
        read_arrays(tmp_path / "x.npz")


def test_more_rows_than_anything_has_are_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(30_000_000, np.int8), b=np.zeros(2))
    with pytest.raises(NotArrays, match="a in it has 30,000,000 rows, and at most 1,000 "):
        read_arrays(tmp_path / "x.npz", most={"a": 1000})
    assert len(read_arrays(tmp_path / "x.npz", ["b"], most={"a": 1000})["b"]) == 2


Change = Callable[[bytes], bytes]


@given(at=st.integers(0, len(ONE) - 1), by=st.binary(min_size=1, max_size=4), cut=st.booleans())
def test_any_change_is_read_alike_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, by: bytes, cut: bool
) -> None:
    file = tmp_path_factory.mktemp("x") / "x.npz"
    file.write_bytes(ONE[:at] + by + (b"" if cut else ONE[at + len(by) :]))
    try:
        found = read_arrays(file)
    except NotArrays as error:
        assert "\n" not in str(error)
    else:
        assert [each.tolist() for each in found.values()] == [[1, 2, 3]]
