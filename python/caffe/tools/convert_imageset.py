"""convert_imageset: make a database of Datums from image files (Caffe tool convert_imageset)."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffe.data.datum import array_to_datum, decode_image
from caffe.data.db import check_backend, new_database
from caffe.data.image_list import read_list
from caffe.errors import CaffeError, FileError
from caffe.inputs.limits import MAX_IMAGE_FILE, MAX_PIXELS
from caffe.inputs.opencv import cv2
from caffe.inputs.reading import read_bytes
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2
from caffe.tools.flags import run_tool

logger = signed("convert_imageset.cpp")

USAGE = """Convert a set of images to the lmdb or leveldb format used as input for Caffe.
usage: convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME

LISTFILE holds one "<file below ROOTFOLDER> <integer label>" a line. DB_NAME must not exist yet.

flags:
  -gray                 treat images as grayscale
  -shuffle              shuffle the list first
  -seed N               seed of the shuffling (default: another order each time)
  -backend lmdb|leveldb the kind of database (default lmdb)
  -resize_width N, -resize_height N   size that images are resized to (default 0: as they are)
  -check_size           fail unless all datums have the same size
  -encoded              store encoded images instead of pixels
  -encode_type TYPE     how to encode: png, jpg, ... (default: as each file is)"""


@dataclass
class Flags:
    """The values of the command line's flags."""

    gray: bool = False
    shuffle: bool = False
    seed: int = -1
    backend: str = "lmdb"
    resize_width: int = 0
    resize_height: int = 0
    check_size: bool = False
    encoded: bool = False
    encode_type: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, Flags, (3, 3), _convert, arguments)


def _convert(words: list[str], flags: Flags) -> int:
    root, listing, target = words
    check_backend(flags.backend)
    if not flags.encode_type.isascii():
        raise CaffeError(f"-encode_type {flags.encode_type!r} is no format")
    if flags.resize_width < 0 or flags.resize_height < 0:
        raise CaffeError("-resize_width and -resize_height must not be negative")
    if flags.resize_width * flags.resize_height > MAX_PIXELS:
        raise CaffeError(f"-resize_width and -resize_height make more than {MAX_PIXELS} pixels")
    if flags.encode_type and not flags.encoded:
        logger.info("encode_type specified, assuming encoded=true.")
        flags.encoded = True
    lines = read_list(listing)
    if flags.shuffle:
        logger.info("Shuffling data")
        random.Random(None if flags.seed < 0 else flags.seed).shuffle(lines)
    logger.info("A total of %d images.", len(lines))
    written = 0
    first: tuple[str, int] | None = None
    with new_database(target, flags.backend) as put:
        for index, (name, label) in enumerate(lines):
            try:
                datum = read_datum(root + name, label, flags)
            except CaffeError as error:
                # As in Caffe, one unreadable image does not stop the conversion of a large set.
                logger.error("%s", error)
                continue
            size = datum.channels * datum.height * datum.width if not datum.encoded else len(datum.data)
            if flags.check_size and not datum.encoded:
                first = first or (name, size)
                if size != first[1]:
                    raise CaffeError(f"Incorrect data field size {size} of {name}; {first[0]} has {first[1]}.")
            put(f"{index:08d}_{name}".encode()[:_KEY_LIMIT], datum.SerializeToString())
            written += 1
            if written % 1000 == 0:
                logger.info("Processed %d files.", written)
        if not written:
            raise CaffeError(f"none of the {len(lines)} images of {listing} could be read; nothing was written")
    if written % 1000:
        logger.info("Processed %d files.", written)
    return 0


# LMDB's keys have at most 511 bytes; the number in front keeps longer names apart.
_KEY_LIMIT = 511


def read_datum(path: str, label: int, flags: Flags) -> caffe_pb2.Datum:
    """One image file as a Datum, BGR. Raises CaffeError if it cannot be read or encoded."""
    try:
        content = read_bytes(path, MAX_IMAGE_FILE)
        image = decode_image(content, cv2.IMREAD_GRAYSCALE if flags.gray else cv2.IMREAD_COLOR)
    except (CaffeError, OSError, ValueError) as error:
        raise FileError(f"Could not open or find file {path}: {getattr(error, 'strerror', None) or error}") from error
    resized = bool(flags.resize_width and flags.resize_height)
    if resized:
        pixels = cv2.resize(np.ascontiguousarray(image.transpose(1, 2, 0)), (flags.resize_width, flags.resize_height))
        image = pixels.reshape(flags.resize_height, flags.resize_width, -1).transpose(2, 0, 1)
    if not flags.encoded:
        datum: caffe_pb2.Datum = array_to_datum(np.ascontiguousarray(image), label)
        datum.encoded = False
        return datum
    own = os.path.splitext(path)[1].lstrip(".").lower()
    kind = flags.encode_type.lower() or own
    if not kind or not kind.isascii():  # OpenCV dies of such
        raise CaffeError(f"Failed to guess the encoding of the file {path}: give -encode_type")
    # A file that is what is wanted already goes in byte for byte; a grey file in a colour set is encoded anew.
    if resized or kind != own or not _has_channels(content, len(image)):
        try:
            fine, buffer = cv2.imencode(f".{kind}", np.ascontiguousarray(image.transpose(1, 2, 0)))
        except cv2.error as error:
            raise CaffeError(f"cannot encode {path} as '{kind}': {error.err or error}") from error
        if not fine:
            raise CaffeError(f"cannot encode {path} as '{kind}'")
        content = buffer.tobytes()
    return caffe_pb2.Datum(
        channels=image.shape[0], height=image.shape[1], width=image.shape[2], data=content, label=label, encoded=True
    )


def _has_channels(content: bytes, channels: int) -> bool:
    return len(decode_image(content, cv2.IMREAD_UNCHANGED)) == channels


if __name__ == "__main__":
    sys.exit(main())
