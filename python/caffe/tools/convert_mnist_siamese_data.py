"""convert_mnist_siamese_data: make a database of pairs of MNIST's images (Caffe example convert_mnist_siamese_data)."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from caffe.data.datum import array_to_datum
from caffe.data.db import check_backend, new_database
from caffe.data.idx import read_labelled
from caffe.logs.glog import signed
from caffe.tools.flags import run_tool

logger = signed("convert_mnist_siamese_data.cpp")

USAGE = """This script converts the MNIST dataset to the leveldb format used by Caffe to train a siamese network.
usage: convert_mnist_siamese_data [FLAGS] input_image_file input_label_file output_db_file

The MNIST dataset could be downloaded at http://yann.lecun.com/exdb/mnist/ (gunzip the files). output_db_file must not exist yet.
It gets as many pairs as there are images, drawn at random: two channels, label 1 if both show the same digit, else 0.

flags:
  -backend lmdb|leveldb the kind of database (default leveldb, as Caffe's; the Data layer reads both)
  -seed N               seed of the drawing (default: other pairs each time)"""


@dataclass
class Flags:
    """The values of the command line's flags."""

    backend: str = "leveldb"
    seed: int = -1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, Flags, (3, 3), _convert, arguments)


def _convert(words: list[str], flags: Flags) -> int:
    check_backend(flags.backend)
    images, labels = read_labelled(words[0], words[1])
    logger.info("A total of %d items.", len(images))
    logger.info("Rows: %d Cols: %d", *images.shape[1:])
    drawn = random.Random(None if flags.seed < 0 else flags.seed)
    with new_database(words[2], flags.backend) as put:
        for index in range(len(images)):
            pair = [drawn.randrange(len(images)) for _ in range(2)]
            first, second = labels[pair]
            put(f"{index:08d}".encode(), array_to_datum(images[pair], int(first == second)).SerializeToString())
    logger.info("Processed %d files.", len(images))
    return 0


if __name__ == "__main__":
    sys.exit(main())
