"""Segment one photograph the classic pycaffe way.

    python scripts/segment.py photograph.jpg --prototxt deploy.prototxt --weights model.caffemodel --output labels.png

The image is reduced to a largest side of 500, minus the mean, padded with zeros to 500 x 500: what the released
CRF-RNN demo does, and what `crfasrnn segment --pad --size 500` gives.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import caffe
from caffe.inputs.opencv import cv2
from crfasrnn.classes import MEAN_BGR
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import read_image, resized

SIDE = 500


def main() -> None:
    """Read the command line, run the net once and write the labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--prototxt", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--output", default="labels.png")
    arguments = parser.parse_args()

    image = read_image(arguments.image)
    height, width = image.shape[:2]
    size = resized(height, width, SIDE)
    if size != (width, height):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    data = np.zeros((1, 3, SIDE, SIDE), np.float32)
    data[0, :, : size[1], : size[0]] = (image - np.float32(MEAN_BGR)).transpose(2, 0, 1)

    net = caffe.Net(arguments.prototxt, arguments.weights, caffe.TEST)
    net.blobs["data"].reshape(*data.shape)
    scores = net.forward_all(data=data)[net.outputs[0]][0]

    labels = scores.argmax(0)[: size[1], : size[0]].astype(np.uint8)
    labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    write_labels(arguments.output, labels)
    print(f"labels {np.unique(labels).tolist()} written to {arguments.output}")


if __name__ == "__main__":
    try:
        main()
    except (caffe.CaffeError, OSError) as problem:
        sys.exit(f"error: {problem}")
