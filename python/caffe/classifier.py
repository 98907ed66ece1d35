"""pycaffe's Classifier: a net that classifies images, averaging over ten crops of each if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe import io, mode
from caffe.errors import CaffeError
from caffe.net.net import Net, PathLike


def image_input(net: Net) -> str:
    """The name of the net's first input. Raises CaffeError if that is no N x C x H x W blob."""
    if not net.inputs:
        raise CaffeError("a net for images needs an input blob: a layer of type Input, or `input:` and its shape.")
    name = net.inputs[0]
    shape = net.blobs[name].shape
    if len(shape) != 4:
        raise CaffeError(f"the net's input '{name}' must be N x C x H x W to take images; its shape is {shape}.")
    return name


def input_transformer(
    net: Net,
    mean: np.ndarray | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """The Transformer that makes H x W x K images into the net's first input. Raises CaffeError if that is no N x C x H x W."""
    name = image_input(net)
    transformer = io.Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer


class Classifier(Net):
    """pycaffe's caffe.Classifier: a Net in phase TEST that takes images.

    model_file, pretrained_file: prototxt and weights. image_dims: (height, width) that images are resized to before crops of
    the net's input size are taken (default: that size). mean, input_scale, raw_scale, channel_swap: see caffe.io.Transformer.
    Raises CaffeError where a file is wrong or the net's first input is no N x C x H x W blob.

    >>> import caffe, numpy as np
    >>> _ = open("deploy.prototxt", "w").write('''
    ... layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 10 dim: 3 dim: 8 dim: 8 } } }
    ... layer { name: "score" type: "InnerProduct" bottom: "data" top: "score" inner_product_param { num_output: 5 } }
    ... layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }''')
    >>> caffe.Net("deploy.prototxt", caffe.TEST).save("weights.caffemodel")
    >>> classifier = caffe.Classifier("deploy.prototxt", "weights.caffemodel", image_dims=(10, 10))
    >>> classifier.predict([np.zeros((30, 40, 3), np.float32)]).round(3)  # the mean over ten crops; weights of zeros
    array([[0.2, 0.2, 0.2, 0.2, 0.2]], dtype=float32)
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, mode.TEST, weights=pretrained_file)
        self.transformer = input_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else np.array(image_dims)

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """Classify images (H x W x K, as caffe.io.load_image gives them; sizes may differ).

        oversample: average over four corner crops, the centre crop and their mirror images; otherwise the centre crop alone.
        Returns N x classes for N images, float32 (without oversampling: the output blob's own shape). Raises ValueError without
        images, for one that is not in a list or not H x W x K, and where crops are larger than image_dims.
        """
        if len(inputs) == 0:
            raise ValueError("predict needs at least one image")
        if isinstance(inputs, np.ndarray) and inputs.ndim != 4:
            raise ValueError("predict takes a list of images H x W x K: predict([image])")
        height, width = (int(d) for d in self.image_dims)
        images = np.stack([io.resize_image(image, (height, width)) for image in inputs])
        if oversample:
            crops = io.oversample(images, self.crop_dims.tolist())
        else:
            top, left = (self.image_dims - self.crop_dims) // 2
            if top < 0 or left < 0:
                raise ValueError(f"image_dims {height} x {width} are smaller than the net's input {self.crop_dims}")
            crops = images[:, top : top + self.crop_dims[0], left : left + self.crop_dims[1]]
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        inputs_of_net: dict[str, Any] = {name: data}
        predictions: np.ndarray = self.forward_all(**inputs_of_net)[self.outputs[0]]
        if oversample:
            predictions = predictions.reshape(len(inputs), 10, -1).mean(1)
        return predictions
