"""The Segmenter that a fork of Caffe for segmentation added to pycaffe in 2015: a net that labels pictures made ready for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import mode
from caffe.classifier import image_input
from caffe.net.net import Net, PathLike


class Segmenter(Net):
    """The fork's caffe.Segmenter(model_file, pretrained_file, gpu=False): a Net in phase TEST.

    model_file, pretrained_file: a deploy prototxt and its weights. gpu: compute on the GPU that caffe.set_device chose, else on
    the CPU; like the fork's, this sets the mode of the whole program. Pictures are made ready by the caller, as the demo of 2015
    did: BGR, mean subtracted, padded. crfasrnn.Segmenter is the one that takes photographs as they are. Raises CaffeError where
    a file is wrong or the net's first input is no N x C x H x W blob.

    >>> import caffe, numpy as np
    >>> _ = open("deploy.prototxt", "w").write('''
    ... layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 500 dim: 500 } } }
    ... layer { name: "score" type: "Convolution" bottom: "data" top: "score"
    ...   convolution_param { num_output: 2 kernel_size: 1 } }''')
    >>> caffe.Net("deploy.prototxt", caffe.TEST).save("weights.caffemodel")
    >>> net = caffe.Segmenter("deploy.prototxt", "weights.caffemodel", gpu=False)
    >>> labels = net.predict([np.zeros((500, 500, 3), np.float32)])
    >>> labels.shape, labels.dtype
    ((500, 500), dtype('uint8'))
    """

    def __init__(self, model_file: PathLike, pretrained_file: PathLike, gpu: bool = False) -> None:
        if gpu:
            mode.set_mode_gpu()
        else:
            mode.set_mode_cpu()
        super().__init__(model_file, mode.TEST, weights=pretrained_file)
        image_input(self)

    def predict(self, inputs: Sequence[np.ndarray]) -> npt.NDArray[np.uint8]:
        """The class of every pixel: of one picture H x W, of several N x H x W (the fork's gave the first's alone); uint8.

        inputs: pictures H x W x C of one size, as the net takes them but for the order of the axes; the net takes their size.
        Raises ValueError for no picture, for one that is not in a list, and for other shapes.
        """
        name = image_input(self)
        batch, channels, height, width = self.blobs[name].shape
        if len(inputs) == 0 or (isinstance(inputs, np.ndarray) and inputs.ndim != 4):
            raise ValueError("predict takes a list of pictures: predict([picture])")
        shapes = {np.shape(picture) for picture in inputs}
        shape = next(iter(shapes))
        if len(shapes) != 1 or len(shape) != 3 or shape[2] != channels or not all(shape):
            raise ValueError(f"predict takes pictures H x W x {channels} of one size, not {sorted(shapes)}")
        if (height, width) != shape[:2]:
            self.blobs[name].reshape(batch, channels, *shape[:2])
        data: dict[str, Any] = {name: np.stack([np.asarray(p, np.float32).transpose(2, 0, 1) for p in inputs])}
        scores = self.forward_all(**data)[self.outputs[0]]
        labels: npt.NDArray[np.uint8] = scores.argmax(axis=1).astype(np.uint8)
        return labels[0] if len(inputs) == 1 else labels
