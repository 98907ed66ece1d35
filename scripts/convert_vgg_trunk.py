"""Turn VGG-16's convolutions from a NumPy file into weights that the networks of this project load by layer name.

    python scripts/convert_vgg_trunk.py vgg16_imagenet_trunk_f16.npz work/trunk.caffemodel.h5

The NumPy file holds conv1_1_w (O x I x H x W, for BGR input minus the mean), conv1_1_b, ... conv5_3_b.
"""

from __future__ import annotations

import argparse
import sys

from caffe.errors import CaffeError
from caffe.proto.model_file import write_model_hdf5
from crfasrnn.training.initial_weights import read_trunk


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz")
    parser.add_argument("output", help="HDF5 model file to write, .caffemodel.h5")
    arguments = parser.parse_args()
    layers = read_trunk(arguments.npz)
    write_model_hdf5(arguments.output, [layer.name for layer in layers], [layer.blobs for layer in layers])
    print(f"{len(layers)} layers written to {arguments.output}")


if __name__ == "__main__":
    try:
        main()
    except (CaffeError, OSError) as problem:
        sys.exit(f"error: {problem}")
