"""convert_cifar_data: make databases of Datums from CIFAR-10's binary files (Caffe example convert_cifar_data)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from caffe.data.datum import array_to_datum
from caffe.data.db import check_backend, new_database
from caffe.errors import FileError
from caffe.inputs.limits import MAX_IMAGE_SET
from caffe.inputs.reading import read_bytes
from caffe.logs.glog import signed
from caffe.tools.flags import NoFlags, run_tool

logger = signed("convert_cifar_data.cpp")

USAGE = """This script converts the CIFAR dataset to the leveldb format used by caffe to perform classification.
usage: convert_cifar_data input_folder output_folder db_type

input_folder holds data_batch_1.bin to data_batch_5.bin and test_batch.bin of the binary version of CIFAR-10, which could be
downloaded at http://www.cs.toronto.edu/~kriz/cifar.html. db_type is lmdb or leveldb. The databases cifar10_train_<db_type> and
cifar10_test_<db_type> in output_folder must not exist yet."""

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32  # a label, then red, green and blue
_TRAIN = [f"data_batch_{number}.bin" for number in range(1, 6)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, NoFlags, (3, 3), _convert, arguments)


def _convert(words: list[str], flags: NoFlags) -> int:
    source, target, kind = words
    check_backend(kind)
    train, test = (os.path.join(target, f"cifar10_{part}_{kind}") for part in ("train", "test"))
    # Together, so that none is left where the other cannot be made.
    with new_database(train, kind) as put_train, new_database(test, kind) as put_test:
        logger.info("Writing Training data")
        _store(put_train, source, _TRAIN)
        logger.info("Writing Testing data")
        _store(put_test, source, ["test_batch.bin"])
    return 0


def _store(put: Callable[[bytes, bytes], None], folder: str, files: Sequence[str]) -> None:
    """Put the images of all files, numbered through."""
    for number, (label, image) in enumerate(_images(folder, files)):
        put(f"{number:05d}".encode(), array_to_datum(image, label).SerializeToString())


def _images(folder: str, files: Sequence[str]) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    for batch, file in enumerate(files, start=1):
        logger.info("Batch %d of %d: %s", batch, len(files), file)
        for record in read_batch(os.path.join(folder, file)):
            yield int(record[0]), record[1:].reshape(_SHAPE)


def read_batch(path: str) -> npt.NDArray[np.uint8]:
    """The records of a batch file, N x 3073: the label, then the red, green and blue of 32 x 32 pixels.

    Raises FileError for a file that is missing or does not consist of such records.
    """
    try:
        content = read_bytes(path, MAX_IMAGE_SET)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error
    if not content or len(content) % _RECORD:
        raise FileError(
            f"{path}: has {len(content)} bytes; the binary version of CIFAR-10 consists of images of {_RECORD} bytes"
        )
    return np.frombuffer(content, np.uint8).reshape(-1, _RECORD)


if __name__ == "__main__":
    sys.exit(main())
