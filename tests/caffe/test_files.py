"""What atomic_path does where the target is no regular file."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from caffe.errors import CaffeError, FileError
from caffe.files import atomic_path, file_name, make_folder, write_bytes
from caffe.inputs.reading import open_regular


def write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def test_a_link_stays_and_what_it_names_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "labels.png", tmp_path / "link.png"
    target.write_bytes(b"before")
    link.symlink_to(Path("elsewhere") / "labels.png")
    write(link, b"after")
    assert link.is_symlink()
    assert target.read_bytes() == b"after"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["elsewhere", "labels.png", "link.png"]


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe, b"content" * 100_000)
    reader.join(timeout=60)
    assert received == [b"content" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_device_is_written_through(tmp_path: Path) -> None:
    terminal, device = os.openpty()  # a device of our own: were it replaced, nothing would be lost
    try:
        link = tmp_path / "device"
        link.symlink_to(os.ttyname(device))
        before = os.stat(os.ttyname(device)).st_rdev
        write(link, b"content")
        assert os.read(terminal, 100) == b"content"
        assert os.stat(os.ttyname(device)).st_rdev == before
        assert stat.S_ISCHR(link.stat().st_mode)
        assert link.is_symlink()
    finally:
        os.close(terminal)
        os.close(device)


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "labels.png"
    target.write_bytes(b"before")

    def stop() -> None:
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        stop()
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(CaffeError, match=r"^folder '.*file' is there and is no folder$"):
        make_folder(tmp_path / "file")
    with pytest.raises(CaffeError, match=r"^folder '.*inside' cannot be made: Not a directory$"):
        make_folder(tmp_path / "file" / "inside")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        write_bytes(tmp_path / name, b"")
    with pytest.raises(OSError, match=r"null byte|character"):
        open_regular(tmp_path / name)
    with pytest.raises(TypeError, match=r"expected str, bytes or os\.PathLike"):
        file_name(3)  # type: ignore[arg-type]
