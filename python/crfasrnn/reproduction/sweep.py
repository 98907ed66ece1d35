"""One network with 1, 2, ... mean-field iterations in testing, each found on the way to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from google.protobuf import text_format

from caffe import mode
from caffe.files import write_text
from caffe.net.net import Net
from crfasrnn.crf.caffemodel import LAYER
from crfasrnn.networks import recipes
from crfasrnn.segmentation.segmenter import Segmenter, best_labels
from crfasrnn.training.job import Job


class Sweep:
    """Labels an image after each mean-field iteration: the layer with one iteration, started from its own last scores."""

    def __init__(self, job: Job, size: int, num_classes: int) -> None:
        options = replace(job.options, deploy_iterations=1)
        definition = job.output / "deploy-t1.prototxt"
        message = recipes.deploy_net(recipes.recipe(job.recipe), num_classes, options)
        write_text(definition, text_format.MessageToString(message))
        self._precision = job.precision
        self._segmenter = Segmenter(str(definition), job.final, size=size)
        self._net = Net(str(definition), str(job.final), mode.TEST)
        self._layer = list(self._net._layer_names).index(LAYER)

    def __call__(self, image: np.ndarray, longest: int) -> Iterator[np.ndarray]:
        """The labels, H x W uint8, of an H x W x 3 uint8 BGR image after 1, 2, ... `longest` iterations."""
        net = self._net
        data, _ = self._segmenter.prepare(image)
        net.blobs["data"].reshape(*data.shape)
        net.reshape()
        net.blobs["data"].data[...] = data
        with mode.precision(self._precision):
            net.run_forward()
        for _ in range(longest):
            scores = net.blobs["pred"].data[0]
            yield best_labels(scores, image.shape[1], image.shape[0])
            net.blobs["Q0"].tensor = net.blobs["pred"].tensor.clone()
            net.run_forward(self._layer, self._layer)
