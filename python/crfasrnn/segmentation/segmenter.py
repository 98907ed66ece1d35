"""Photograph in, labels out: a deploy net with the image preparation that it was trained for."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe import mode
from caffe.errors import CaffeError
from caffe.fastpath.inference import Inference
from caffe.inputs.arguments import below_one, integer
from caffe.inputs.limits import MAX_PIXELS
from caffe.inputs.opencv import cv2
from caffe.net.exclusive import renew_after_fork
from caffe.net.net import Net
from crfasrnn.classes import MEAN_BGR, VOID, Classes
from crfasrnn.pictures.label_maps import class_palette
from crfasrnn.pictures.photographs import check_image, resized
from crfasrnn.segmentation.models import DEFAULT, ModelFiles, find_model

PUBLISHED_SIZE = 500  # the released demo: largest side at most 500, padded to 500 x 500


@dataclass(frozen=True)
class Segmentation:
    """The result for one photograph.

    labels: H x W uint8, the class of every pixel, 0 .. C-1.
    probabilities: C x H x W float32, soft-maxed scores, or None if not asked for.
    classes: what the numbers stand for.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None
    classes: Classes

    @property
    def palette(self) -> np.ndarray:
        """256 x 3 uint8 RGB, the colour of every label."""
        return class_palette(self.classes)

    def present(self) -> list[int]:
        """The labels that occur, the most frequent first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes))
        return [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]]


class Segmenter:
    """A network with its weights, ready to segment.

    model: a name that `crfasrnn models` lists, or path of a deploy prototxt (then with `weights`). Its input takes one BGR
        image minus the mean (103.939, 116.779, 123.68), its output holds one score per class and pixel.
    size: "native" computes at the image's own size; a number reduces images whose largest side is above it, and the scores
        are enlarged again (bilinear) before the best is chosen; None is what the model was made for.
    pad: True pads the prepared image with zeros at the bottom and right to a square of `size` (500 if that is None or
        "native"), as the released demo does.
    precision: "float32", or "bf16" for a trunk (the convolutions below the scores) in bfloat16, see caffe.inference.Inference.
    min_probability: the CRF leaves out classes whose probability is below this at every pixel, see crfasrnn.crf.mean_field; 0
        computes all, as CUDA devices always do.

    One Segmenter may be used by several threads, which take turns; in children made by fork it computes with one thread, and
    other processes may be sent it: a copy reads the files again.

    Raises CaffeError if a file is missing, damaged, or does not fit the others, TypeError for a size or
    probability that is no number, ValueError for a probability outside [0, 1).

    >>> import numpy as np
    >>> from crfasrnn import Segmenter
    >>> segmenter = Segmenter(size=96)
    >>> result = segmenter.segment(np.full((120, 160, 3), 128, np.uint8), probabilities=True)
    >>> result.labels.shape, result.labels.dtype, result.probabilities.shape
    ((120, 160), dtype('uint8'), (21, 120, 160))
    >>> [result.classes.names[label] for label in result.present()]
    ['background']
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT,
        weights: str | os.PathLike[str] | None = None,
        size: int | str | None = None,
        pad: bool = False,
        precision: str = "float32",
        min_probability: float = 0.0,
    ) -> None:
        min_probability = below_one("min_probability", min_probability)
        self._made_from = (model, weights, size, pad, precision, min_probability)
        files = find_model(os.fspath(model), None if weights is None else Path(weights))
        self.max_side = _max_side(size, files.size, pad)
        self.pad = pad
        self.net = deploy_net(files)
        for layer in self.net.layers:
            if hasattr(layer, "min_probability"):
                layer.min_probability = min_probability
        self._inference = Inference(self.net, precision)
        self._renew()
        self.input, self.output = self.net.inputs[0], self.net.outputs[0]
        self.classes = files.classes_of(self.net.blobs[self.output].shape[1])

    def _renew(self) -> None:
        self._turn = threading.Lock()  # the net has one set of blobs
        renew_after_fork(self, Segmenter._renew)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied is what it was made from: the copy reads the files again."""
        return Segmenter, self._made_from

    def segment(self, image: np.ndarray, probabilities: bool = False) -> Segmentation:
        """Label every pixel of an H x W x 3 uint8 BGR photograph.

        probabilities: also return them, brought to the photograph's size by bilinear interpolation.
        """
        check_image(image)
        data, inner = self.prepare(image)
        with self._turn:
            scores = self._forward(data)[:, : inner[0], : inner[1]]
            return self._segmentation(scores, image.shape[0], image.shape[1], probabilities)

    def scores(self, image: np.ndarray) -> np.ndarray:
        """What the net says of an H x W x 3 uint8 BGR photograph, C x H' x W' float32, at the size that `prepare` gives it."""
        data, inner = self.prepare(image)
        with self._turn:
            return self._forward(data)[:, : inner[0], : inner[1]].copy()

    def _segmentation(self, scores: np.ndarray, height: int, width: int, probabilities: bool) -> Segmentation:
        """What the scores of a prepared photograph say, at its own size."""
        if self.pad:
            # The released demo enlarges labels, and gives the same labels as it does.
            best = scores.argmax(0).astype(np.uint8)
            labels = cv2.resize(best, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        else:
            labels = best_labels(scores, width, height)
        planes = None
        if probabilities:
            normal = scores if self._is_probability else _softmax(scores)
            planes = np.stack([_enlarged(plane, width, height) for plane in normal])
        return Segmentation(labels, planes, self.classes)

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """The blob for a photograph, 1 x 3 x H' x W' float32, and the height and width that the image fills in it.

        Raises CaffeError unless it is H x W x 3 uint8 of at most caffe.inputs.limits.MAX_PIXELS pixels.
        """
        check_image(image)
        if self.max_side is not None:
            size = resized(image.shape[0], image.shape[1], self.max_side)
            if size != (image.shape[1], image.shape[0]):
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        inner = image.shape[0], image.shape[1]
        outer = (self.max_side, self.max_side) if self.pad and self.max_side is not None else inner
        data = np.zeros((1, 3, *outer), np.float32)
        data[0, :, : inner[0], : inner[1]] = (image - np.array(MEAN_BGR, np.float32)).transpose(2, 0, 1)
        return data, inner

    def _forward(self, data: np.ndarray) -> np.ndarray:
        """Scores, C x H x W, of the prepared blob."""
        blob = self.net.blobs[self.input]
        if blob.shape != data.shape:
            blob.reshape(*data.shape)
            self.net.reshape()
        blob.data[...] = data
        scores: np.ndarray = self._inference.forward()[self.output][0]
        if scores.ndim != 3 or scores.shape[1:] != data.shape[2:]:
            raise CaffeError(
                f"net {self.net.name!r} is not a segmentation net for images of any size: output {self.output!r} is "
                f"{' x '.join(map(str, scores.shape))} for an image of {data.shape[2]} x {data.shape[3]}"
            )
        return scores

    @property
    def _is_probability(self) -> bool:
        makers = [name for name, tops in self.net.top_names.items() if self.output in tops]
        return self.net.layer_dict[makers[-1]].type == "Softmax"


def _max_side(size: int | str | None, made_for: int | None, pad: bool) -> int | None:
    if isinstance(size, str) and size != "native":
        raise CaffeError(f"size is 'native' or a number of pixels, not {size!r}")
    if size is not None and not isinstance(size, str):
        size = integer("size", size, -(2**31))
        if size < 1:
            raise CaffeError(f"size must be at least 1 pixel, not {size}")
        if pad and size * size > MAX_PIXELS:
            raise CaffeError(f"with padding, size {size} makes more than {MAX_PIXELS} pixels")
        return size
    own = made_for if size is None else None
    return own or (PUBLISHED_SIZE if pad else None)


def deploy_net(files: ModelFiles) -> Net:
    """The net of these files with its weights, in phase TEST.

    Raises CaffeError as Net does, and unless its one input is a colour image and its one output has scores of at most 255 classes.
    """
    with mode.insisting_on_weights():
        net = Net(str(files.prototxt), str(files.weights), mode.TEST)
    path = str(files.prototxt)
    if len(net.inputs) != 1 or len(net.outputs) != 1:
        raise CaffeError(
            f"{path!r} is not a deploy net: it needs one input, the image, and one output, the scores; it has inputs "
            f"[{', '.join(net.inputs)}] and outputs [{', '.join(net.outputs)}]"
        )
    image, scores = net.inputs[0], net.outputs[0]
    if len(net.blobs[image].shape) != 4 or net.blobs[image].shape[1] != 3:
        raise CaffeError(
            f"input {image!r} of {path!r} takes no colour image: its shape is {tuple(net.blobs[image].shape)}"
        )
    if len(net.blobs[scores].shape) != 4 or net.blobs[scores].shape[1] > VOID:
        raise CaffeError(f"output {scores!r} of {path!r} has no class scores: shape {tuple(net.blobs[scores].shape)}")
    return net


def _enlarged(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(plane), (width, height), interpolation=cv2.INTER_LINEAR)


def best_labels(scores: np.ndarray, width: int, height: int) -> np.ndarray:
    """The class with the highest score at every pixel of the enlarged scores, uint8; one plane is enlarged at a time."""
    if scores.shape[1:] == (height, width):
        return scores.argmax(0).astype(np.uint8)
    labels = np.zeros((height, width), np.uint8)
    best = _enlarged(scores[0], width, height)
    for label in range(1, len(scores)):
        plane = _enlarged(scores[label], width, height)
        labels[plane > best] = label
        np.maximum(best, plane, out=best)
    return labels


def _softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(0))
    result: np.ndarray = exponentials / exponentials.sum(0)
    return result
