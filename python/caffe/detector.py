"""pycaffe's Detector: a net that scores windows of images, each cut out with some of its surroundings (R-CNN)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from caffe import io, mode
from caffe.classifier import input_transformer
from caffe.inputs.arguments import array
from caffe.net.net import Net, PathLike


class Detector(Net):
    """pycaffe's caffe.Detector: a Net in phase TEST that takes windows of images.

    model_file, pretrained_file: prototxt and weights. mean, input_scale, raw_scale, channel_swap: see caffe.io.Transformer.
    context_pad: how many pixels of the net's input shall show what lies around the window, on each side (0: none).
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, mode.TEST, weights=pretrained_file)
        self.transformer = input_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad or 0)

    def detect_windows(
        self, images_windows: Iterable[tuple[PathLike, Iterable[Sequence[float]]]]
    ) -> list[dict[str, Any]]:
        """Score windows of image files.

        images_windows: pairs of a file and its windows, each (ymin, xmin, ymax, xmax) in pixels. Returns one dict per window
        with its "window" (int array), its "prediction" (the net's output) and its "filename". Raises CaffeError for an
        image that cannot be read, ValueError for a window without a pixel of its image.
        """
        name = self.inputs[0]
        found: list[dict[str, Any]] = []
        data: list[np.ndarray] = []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                box = _box(window)
                found.append({"window": box, "filename": os.fspath(filename)})
                data.append(self.transformer.preprocess(name, self.crop(image, box)))
        if not data:
            return []
        inputs: dict[str, Any] = {name: np.stack(data)}
        predictions = self.forward_all(**inputs)[self.outputs[0]]
        for detection, prediction in zip(found, predictions):
            detection["prediction"] = prediction
        return found

    def crop(self, im: np.ndarray, window: Sequence[int] | np.ndarray) -> np.ndarray:
        """Cut the window (ymin, xmin, ymax, xmax) out of an H x W x K image.

        With context_pad the window is enlarged so that it fills the net's input but for that border, and the result is H x W x K
        of the net's input; what lies outside of the image there holds the mean. Raises ValueError for an empty window.
        """
        im = array("im", im, None)
        ymin, xmin, ymax, xmax = _box(window).tolist()
        crop = im[max(ymin, 0) : max(ymax, 0), max(xmin, 0) : max(xmax, 0)]
        if not crop.size:
            raise ValueError(
                f"window {[ymin, xmin, ymax, xmax]} holds no pixel of an image of {im.shape[0]} x {im.shape[1]}"
            )
        if not self.context_pad:
            return crop
        rows = _with_context(ymin, ymax, im.shape[0], self.crop_dims[0], self.context_pad)
        columns = _with_context(xmin, xmax, im.shape[1], self.crop_dims[1], self.context_pad)
        filled: np.ndarray = np.ones(self.crop_dims, np.float32) * self.crop_mean
        filled[rows[1], columns[1]] = io.resize_image(
            im[rows[0], columns[0]], (rows[1].stop - rows[1].start, columns[1].stop - columns[1].start)
        )
        return filled

    def configure_crop(self, context_pad: int) -> None:
        """Set context_pad and work out `crop_dims` (H, W, K) and `crop_mean`, the mean in the images' own scale and channels.

        Raises ValueError if the border would leave nothing of the input for the window.
        """
        name = self.inputs[0]
        back = np.argsort(self.transformer.transpose[name])
        self.crop_dims = np.array(self.blobs[name].shape[1:])[back]
        if context_pad < 0 or 2 * context_pad >= min(self.crop_dims[:2]):
            raise ValueError(f"context_pad {context_pad} leaves nothing of the net's input {tuple(self.crop_dims)}")
        self.context_pad = context_pad
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        mean = self.transformer.mean.get(name)
        if mean is not None:
            crop_mean = mean.transpose(back).astype(np.float32)
            if name in self.transformer.channel_swap:
                crop_mean = crop_mean[:, :, np.argsort(self.transformer.channel_swap[name])]
            self.crop_mean = crop_mean / self.transformer.raw_scale.get(name, 1.0)


def _box(window: Any) -> np.ndarray:
    """A window as whole pixels, what follows a decimal point left out. Raises ValueError unless it is four numbers of 32 bits."""
    found = array("window", window, np.float64)
    if found.shape != (4,) or not (np.abs(found) < 2**31).all():
        raise ValueError(f"a window is (ymin, xmin, ymax, xmax) in pixels, not {found.tolist()}")
    return found.astype(int)


def _with_context(low: int, high: int, length: int, size: int, pad: int) -> tuple[slice, slice]:
    """Along one axis: which pixels of the image (of this length) to take, and which of the crop (of this size) they fill.

    The window low..high is scaled about its centre by size / (size - 2 pad), rounded to pixels and clipped to the image;
    as in R-CNN, both ends count as inside when its length is measured.
    """
    half = (high - low + 1) / 2
    reach = half * size / (size - 2 * pad)
    start, stop = round(low + half - reach), round(low + half + reach)
    scale = size / (stop - start + 1)
    begin = min(round(max(0, -start) * scale), size - 1)
    first, last = max(start, 0), min(stop, length)
    filled = min(max(round((last - first + 1) * scale), 1), size - begin)
    return slice(first, max(last, first + 1)), slice(begin, begin + filled)
