"""Files appear whole or not at all, whatever their target is, and errors say whose fault it is."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.disk import files_end_at

from caffe.errors import CaffeError, FileError
from caffe.files import atomic_path, file_name, make_folder, remove_unfinished, write_bytes
from caffe.inputs.arrays import write_npy
from caffe.inputs.reading import open_regular
from caffe.proto.model_file import write_blob_proto, write_model_hdf5
from crfasrnn.classes import Classes
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.evaluation.scores import Scores, write_json
from crfasrnn.evaluation.voc_archive import voc_archive
from crfasrnn.figures.scores import draw_rows
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.postprocessing.probabilities import write_probabilities


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


NOISE = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
WRITERS: dict[str, Callable[[Path], object]] = {
    "labels.png": lambda path: write_labels(path, NOISE),
    "picture.png": lambda path: write_image(path, NOISE),
    "scores.npy": lambda path: write_npy(path, NOISE),
    "p.npy": lambda path: write_probabilities(path, NOISE[None] / 255),
    "scores.npz": lambda path: ImageConfusions(("a",), ("b",) * 60, NOISE[None]).save(path),
    "scores.json": lambda path: write_json(path, Scores(Classes(("x",) * 60, (0,) * 60), NOISE, 1)),
    "mean.binaryproto": lambda path: write_blob_proto(path, NOISE),
    "weights.caffemodel.h5": lambda path: write_model_hdf5(path, ["a"], [[NOISE]]),
    "figure.png": lambda path: draw_rows(path, {"a": [0.5]}),
    "archive.tgz": lambda path: archived(path),
}


def archived(path: Path) -> None:
    with voc_archive(path, range(256)) as add:
        add("a", NOISE)


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_given_as_the_reason(tmp_path: Path, name: str) -> None:
    with files_end_at(1000), pytest.raises(CaffeError, match=rf"^\S+{name}: cannot be written: .*File too large"):
        WRITERS[name](tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CaffeError, match=rf"none/{name}: cannot be written: .*No such file or directory"):
        WRITERS[name](tmp_path / "none" / name)
    (tmp_path / name).mkdir()
    with pytest.raises(CaffeError, match=rf"{name}: cannot be written: .*Is a directory"):
        WRITERS[name](tmp_path / name)
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_what_a_killed_process_left_is_removed_with_the_first_file(tmp_path: Path) -> None:
    left, other = tmp_path / ".training.unfinished-ab12cd_9.png", tmp_path / ".training.unfinished.png"
    living = tmp_path / ".labels.unfinished-ab12cd_9.png"
    for path in (left, other, living):
        path.touch()
    with living.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write(tmp_path / "new.txt", b"content")
    assert sorted(tmp_path.iterdir()) == sorted([living, other, tmp_path / "new.txt"])


def test_what_is_being_written_is_never_removed(tmp_path: Path) -> None:
    done = threading.Event()

    def remove() -> None:
        while not done.is_set():
            remove_unfinished(tmp_path)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        for number in range(200):
            write(tmp_path / f"{number}.txt", b"content")
    finally:
        done.set()
        thread.join()
    assert len(list(tmp_path.iterdir())) == 200


def test_a_pipe_of_such_a_name_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".x.unfinished-abcdefgh")
    remove_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_error_about_another_file_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"), atomic_path(tmp_path / "target"):
        (tmp_path / "source").read_bytes()


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
