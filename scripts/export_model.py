"""Store a model's weights small: float16 in a compressed HDF5 file, which loads like every other .caffemodel.h5.

python scripts/export_model.py work/crfrnn.caffemodel crfrnn.caffemodel.h5
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError
from caffe.proto.model_file import read_model, write_model_hdf5

LARGEST = np.finfo(np.float16).max


def export(source: Path, target: Path) -> None:
    """Write the parameters of `source`, any Caffe model file, to `target`; raises CaffeError if float16 cannot hold one."""
    layers = [layer for layer in read_model(source) if layer.blobs]
    for layer in layers:
        for index, blob in enumerate(layer.blobs):
            if not np.all(np.abs(blob) <= LARGEST):
                raise CaffeError(
                    f"{source}: layer {layer.name!r}, blob {index}, holds values beyond float16 (or no numbers)"
                )
    write_model_hdf5(
        target, [layer.name for layer in layers], [layer.blobs for layer in layers], dtype=np.float16, gzip=9
    )


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    export(arguments.source, arguments.target)
    print(f"{arguments.target}: {arguments.target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    try:
        main()
    except (CaffeError, OSError) as problem:
        sys.exit(f"error: {problem}")
