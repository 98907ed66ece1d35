"""convert_mnist_data: make a database of Datums from MNIST's files (Caffe example convert_mnist_data)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import Logger

import numpy as np
import numpy.typing as npt

from caffe.data.datum import array_to_datum
from caffe.data.db import check_backend, new_database
from caffe.data.idx import read_labelled
from caffe.logs.glog import signed
from caffe.tools.flags import run_tool

logger = signed("convert_mnist_data.cpp")

Array = npt.NDArray[np.uint8]

USAGE = """This script converts the MNIST dataset to the lmdb/leveldb format used by Caffe to load data.
usage: convert_mnist_data [FLAGS] input_image_file input_label_file output_db_file

The MNIST dataset could be downloaded at http://yann.lecun.com/exdb/mnist/ (gunzip the files). output_db_file must not exist yet.

flags:
  -backend lmdb|leveldb the kind of database (default lmdb)"""


@dataclass
class Flags:
    """The values of the command line's flags."""

    backend: str = "lmdb"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, Flags, (3, 3), _convert, arguments)


def _convert(words: list[str], flags: Flags) -> int:
    return convert(words, flags.backend, logger, lambda images, labels, i: (images[i : i + 1], int(labels[i])))


def convert(
    words: Sequence[str], backend: str, log: Logger, item: Callable[[Array, Array, int], tuple[Array, int]]
) -> int:
    """Make the database words[2] of MNIST's images words[0] and labels words[1]; returns the exit status, 0.

    item: of all images (N x H x W), all labels (N) and a number, the C x H x W and the label of that entry.
    """
    check_backend(backend)
    images, labels = read_labelled(words[0], words[1])
    log.info("A total of %d items.", len(images))
    log.info("Rows: %d Cols: %d", *images.shape[1:])
    with new_database(words[2], backend) as put:
        for index in range(len(images)):
            put(f"{index:08d}".encode(), array_to_datum(*item(images, labels, index)).SerializeToString())
    log.info("Processed %d files.", len(images))
    return 0


if __name__ == "__main__":
    sys.exit(main())
