"""convert_mnist_siamese_data: make a database of pairs of MNIST's images (Caffe example convert_mnist_siamese_data)."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from caffe.logs.glog import signed
from caffe.tools.convert_mnist_data import Array, convert
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
    drawn = random.Random(None if flags.seed < 0 else flags.seed)

    def pair(images: Array, labels: Array, _: int) -> tuple[Array, int]:
        both = [drawn.randrange(len(images)) for _ in range(2)]
        first, second = labels[both]
        return images[both], int(first == second)

    return convert(words, flags.backend, logger, pair)


if __name__ == "__main__":
    sys.exit(main())
