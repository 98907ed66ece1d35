"""Turn VGG-16's convolutions from a NumPy file into weights that the networks of this project load by layer name.

    python scripts/convert_vgg_trunk.py vgg16_imagenet_trunk_f16.npz work/trunk.caffemodel.h5

The NumPy file holds conv1_1_w (O x I x H x W, for BGR input minus the mean), conv1_1_b, ... conv5_3_b.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from caffe.errors import CaffeError
from caffe.proto.model_file import write_model_hdf5


def trunk_weights(path: str) -> dict[str, list[np.ndarray]]:
    """Layer name -> weight and bias, float32, in the file's order; raises CaffeError if the file is not of that kind."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name].astype(np.float32) for name in file.files}
    except (OSError, ValueError, AttributeError) as problem:
        raise CaffeError(f"cannot read weights {path!r}: {problem}") from problem
    names = [name.removesuffix("_w") for name in arrays if name.endswith("_w")]
    if not names or len(arrays) != 2 * len(names) or any(f"{name}_b" not in arrays for name in names):
        raise CaffeError(f"{path!r} does not hold pairs of arrays <layer>_w and <layer>_b")
    return {name: [arrays[f"{name}_w"], arrays[f"{name}_b"]] for name in names}


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz")
    parser.add_argument("output", help="HDF5 model file to write, .caffemodel.h5")
    arguments = parser.parse_args()
    weights = trunk_weights(arguments.npz)
    write_model_hdf5(arguments.output, list(weights), list(weights.values()))
    print(f"{len(weights)} layers written to {arguments.output}")


if __name__ == "__main__":
    try:
        main()
    except (CaffeError, OSError) as problem:
        sys.exit(f"error: {problem}")
