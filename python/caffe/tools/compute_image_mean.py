"""compute_image_mean: the mean of the images in a database, as a mean_file (Caffe tool compute_image_mean)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError

from caffe.data.datum import datum_image
from caffe.data.db import Cursor, check_backend
from caffe.errors import CaffeError
from caffe.logs.glog import number, signed
from caffe.proto import caffe_pb2, model_file
from caffe.tools.flags import run_tool

logger = signed("compute_image_mean.cpp")

USAGE = """Compute the mean_image of a set of images given by a lmdb or leveldb.
usage: compute_image_mean [FLAGS] INPUT_DB [OUTPUT_FILE]

Without OUTPUT_FILE only the mean of each channel is logged.

flags:
  -backend lmdb|leveldb the kind of database (default lmdb)"""


@dataclass
class Flags:
    """The values of the command line's flags."""

    backend: str = "lmdb"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, Flags, (1, 2), _compute, arguments)


def _compute(words: list[str], flags: Flags) -> int:
    # The database itself tells which it is.
    check_backend(flags.backend)
    cursor = Cursor(words[0])
    logger.info("Starting iteration")
    count = len(cursor.database)
    total: np.ndarray | None = None
    for index in range(count):
        key, value = cursor.current()
        try:
            image = datum_image(caffe_pb2.Datum.FromString(value))
        except (CaffeError, DecodeError) as error:
            raise CaffeError(f"entry '{key}' of {words[0]}: {error}") from error
        if total is None:
            total = np.zeros(image.shape, np.float64)
        if image.shape != total.shape:
            raise CaffeError(
                f"entry '{key}' of {words[0]}: Incorrect data field size: {image.shape}, the first image has {total.shape}."
            )
        total += image
        cursor.advance()
        if (index + 1) % 10000 == 0:
            logger.info("Processed %d files.", index + 1)
    assert total is not None  # a Cursor refuses empty databases
    if count % 10000:
        logger.info("Processed %d files.", count)
    mean = total / count
    if len(words) == 2:
        logger.info("Write to %s", words[1])
        # 1 x C x H x W, as Caffe writes it.
        model_file.write_blob_proto(words[1], mean[np.newaxis].astype(np.float32))
    logger.info("Number of channels: %d", len(mean))
    for channel, values in enumerate(mean):
        logger.info("mean_value channel [%d]: %s", channel, number(values.mean()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
