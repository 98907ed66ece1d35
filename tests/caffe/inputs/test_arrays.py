"""NumPy's files: what numpy wrote comes back, what it would stumble over or allocate for is one error."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from caffe.errors import CaffeError
from caffe.inputs.arrays import read_npy, read_npz, write_npz

pytestmark = pytest.mark.usefixtures("bounded_memory")

ARRAYS = {
    "doubles": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "scalar": np.float32(3),
    "none": np.zeros((0, 4), ">f4"),
    "words": np.array(["a", "bcd"]),
}


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(tmp_path: Path, save: object) -> None:
    save(tmp_path / "all.npz", **ARRAYS)  # type: ignore[operator]
    found = read_npz(tmp_path / "all.npz")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        np.save(tmp_path / "one.npy", array)
        one = read_npy(tmp_path / "one.npy")
        np.testing.assert_array_equal(one, array)
        assert one.dtype == found[name].dtype == np.asarray(array).dtype
    assert list(read_npz(tmp_path / "all.npz", ["words"])) == ["words"]
    with pytest.raises(CaffeError, match=r"all.npz.*no array 'x'"):
        read_npz(tmp_path / "all.npz", ["x"])
    with pytest.raises(CaffeError, match=r"none.npz.*No such file"):
        read_npz(tmp_path / "none.npz")


def test_damaged_files_cost_one_error(tmp_path: Path) -> None:
    """Every byte of an .npz and of an .npy changed, and both cut off anywhere."""
    stream, plain = BytesIO(), BytesIO()
    np.savez_compressed(stream, a=np.arange(3.0), b=np.eye(2))
    np.save(plain, np.arange(3.0))
    path, refused = tmp_path / "damaged", 0
    for whole, read in ((stream.getvalue(), read_npz), (plain.getvalue(), read_npy)):
        places = range(len(whole))
        damaged = [whole[:i] + bytes([whole[i] ^ flip]) + whole[i + 1 :] for i in places for flip in (1, 0x63, 0xFF)]
        for content in [*damaged, *(whole[:i] for i in places)]:
            path.write_bytes(content)
            with suppress(CaffeError):
                refused += 1
                read(path)
                refused -= 1
    assert refused > 500


def test_promises_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for text, message in (
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", "promises 4000000000000 bytes"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }", "promises"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "Python objects"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 40,), }", "another kind"),
    ):
        path.write_bytes(header(text) + bytes(16))
        with pytest.raises(CaffeError, match=rf"a\.npy.*{message}"):
            read_npy(path)


def add_zeros(archive: zipfile.ZipFile, name: str, begin: bytes, size: int) -> None:
    """Add a member of `begin` and so many zeros, a multiple of a mebibyte: one is compressed, and is there again and again."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = deflate.compress(begin) + deflate.flush(zlib.Z_FULL_FLUSH)
    piece = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    data += piece * (size >> 20) + deflate.flush()
    member = zipfile.ZipInfo(name)
    member.compress_type, member.header_offset = zipfile.ZIP_DEFLATED, archive.start_dir
    member.file_size, member.compress_size, member.CRC = len(begin) + size, len(data), zlib.crc32(begin)
    zeros = bytes(1 << 24)
    for _ in range(size >> 24):
        member.CRC = zlib.crc32(zeros, member.CRC)
    assert archive.fp is not None
    archive.fp.write(member.FileHeader(zip64=True) + data)
    archive.start_dir = archive.fp.tell()
    archive.filelist.append(member)
    archive.NameToInfo[name] = member
    archive._didModify = True  # type: ignore[attr-defined]


def test_the_archives_of_zeros_are_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in "ab":
            add_zeros(
                archive,
                f"{name}.npy",
                header("{'descr': '|u1', 'fortran_order': False, 'shape': (16777216,), }"),
                1 << 24,
            )
    assert {name: array.sum() for name, array in np.load(tmp_path / "a.npz").items()} == {"a": 0, "b": 0}
    assert (tmp_path / "a.npz").stat().st_size < 1 << 16


def test_archives_that_unpack_to_gigabytes_are_refused(tmp_path: Path) -> None:
    """2 MB of zeros compressed twice as far as limits allow, in one array and in many."""
    for count, size in ((1, 1 << 31), (64, 1 << 25)):
        with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
            for k in range(count):
                begin = header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}")
                add_zeros(archive, f"{k}.npy", begin, size)
        with pytest.raises(CaffeError, match=r"bomb\.npz.*unpack to 2147\d* bytes"):
            read_npz(tmp_path / "bomb.npz")


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", header("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }") + b"a")
    with pytest.raises(CaffeError, match="in a way that NumPy does not write"):
        read_npz(tmp_path / "a.npz")


def test_what_is_written_numpy_reads(tmp_path: Path) -> None:
    arrays = {name: np.asarray(array) for name, array in ARRAYS.items()}
    write_npz(tmp_path / "all.npz", arrays)
    with np.load(tmp_path / "all.npz") as found:
        assert list(found) == list(arrays)
        assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    with pytest.raises(CaffeError, match="none"):
        write_npz(tmp_path / "none" / "all.npz", arrays)
    assert [path.name for path in tmp_path.iterdir()] == ["all.npz"]
