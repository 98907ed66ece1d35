"""extract_features: store what a net computes for its data, one database per blob (Caffe tool extract_features)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

import caffe
from caffe import mode
from caffe.data.db import check_backend, new_database
from caffe.errors import CaffeError
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2
from caffe.tools.flags import NoFlags, run_tool

logger = signed("extract_features.cpp")

USAGE = """This program takes in a trained network and an input data layer, and then extracts features of the input data.
Usage: extract_features pretrained_net_param feature_extraction_proto_file extract_feature_blob_name1[,name2,...] \
save_feature_dataset_name1[,name2,...] num_mini_batches db_type [CPU/GPU] [DEVICE_ID=0]
Note: you can extract multiple features in one pass by specifying multiple feature blob names and dataset names separated by ','.
The names cannot contain white space characters and the number of blobs and datasets must be equal. db_type is lmdb."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, NoFlags, (6, 8), _extract, arguments)


def _extract(words: list[str], flags: NoFlags) -> int:
    weights, definition, blob_names, targets, batches, kind = words[:6]
    names, paths = blob_names.split(","), targets.split(",")
    if len(names) != len(paths):
        raise CaffeError("the number of blob names and dataset names must be equal")
    if len(set(paths)) != len(paths):
        raise CaffeError("each blob needs a dataset of its own")
    check_backend(kind)
    count = _number(batches, "num_mini_batches", 1)
    device = words[6] if len(words) > 6 else "CPU"
    if device == "GPU":
        mode.set_device(_number(words[7].removeprefix("DEVICE_ID="), "DEVICE_ID", 0) if len(words) > 7 else 0)
        mode.set_mode_gpu()
        logger.info("Using GPU")
    elif device == "CPU":
        logger.info("Using CPU")
    else:
        raise CaffeError(f"the seventh argument is CPU or GPU, not '{device}'")
    net = caffe.Net(definition, mode.TEST, weights=weights)
    for name in names:
        if name not in net.blobs:
            raise CaffeError(f"Unknown feature blob name {name} in the network {definition}")
    logger.info("Extracting Features")
    with ExitStack() as stack:
        writers = [stack.enter_context(new_database(path, kind)) for path in paths]
        written = [0] * len(names)
        for _ in range(count):
            net.run_forward()
            for k, name in enumerate(names):
                blob = net.blobs[name]
                values = blob.tensor.cpu().numpy().reshape(blob.shape[0] if blob.shape else 1, -1)
                # Rows of the legacy 4-d shape; features of more axes become one long channel axis.
                shape = (blob.channels, blob.height, blob.width) if len(blob.shape) <= 4 else (values.shape[1], 1, 1)
                for row in values:
                    datum = caffe_pb2.Datum(channels=shape[0], height=shape[1], width=shape[2])
                    datum.float_data.extend(row.astype(np.float32).tolist())
                    writers[k](f"{written[k]:010d}".encode(), datum.SerializeToString())
                    written[k] += 1
                    if written[k] % 1000 == 0:
                        logger.info("Extracted features of %d query images for feature blob %s", written[k], name)
    for total, name in zip(written, names):
        if total % 1000:
            logger.info("Extracted features of %d query images for feature blob %s", total, name)
    logger.info("Successfully extracted the features!")
    return 0


def _number(text: str, what: str, least: int) -> int:
    if not text.isdigit() or int(text) < least:
        raise CaffeError(f"{what} must be a whole number, at least {least}, not '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
