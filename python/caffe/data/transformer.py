"""transform_param: cropping, mirroring, mean subtraction and scaling of the images that data layers read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import mode
from caffe.data.datum import Image
from caffe.data.mean import read_mean
from caffe.data.streams import random_stream, set_stream_state
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


class DataTransformer:
    """y = (crop(x) - mean) * scale, mirrored left to right half of the time if `mirror`.

    Options (transform_param): crop_size (0: none; a random place in phase TRAIN, the centre in phase TEST), mirror (false),
    mean_file (a BlobProto of the image's size) or mean_value (one, or one per channel), scale (1), force_color and force_gray
    (for encoded Datums). Random choices follow caffe.set_random_seed, in a stream of this transformer's own.
    """

    def __init__(self, param: caffe_pb2.TransformationParameter, phase: int) -> None:
        self.param = param
        self.random_crop = bool(param.crop_size) and phase == mode.TRAIN
        if param.force_color and param.force_gray:
            raise CaffeError("cannot set both force_color and force_gray")
        if param.mean_file and len(param.mean_value):
            raise CaffeError("Cannot specify mean_file and mean_value at the same time")
        self.mean = read_mean(param.mean_file) if param.mean_file else None
        self.mean_values = np.array(param.mean_value, np.float32)[:, None, None]
        self._random = random_stream() if param.mirror or self.random_crop else None

    def random_state(self) -> Any:
        """The state of the random stream, for set_random_state; None if nothing is drawn from it."""
        return self._random.getstate() if self._random else None

    def set_random_state(self, state: Any) -> None:
        """Draw from now on what was drawn after `random_state` gave this. Raises CaffeError if it is none."""
        if self._random:
            set_stream_state(self._random, state)

    def output_shape(self, image: tuple[int, int, int]) -> tuple[int, int, int]:
        """The shape (C, H, W) that an image of this shape gets."""
        size = int(self.param.crop_size)
        if not size:
            return image
        if size > min(image[1:]):
            raise CaffeError(f"crop_size {size} is larger than the image ({image[1]}x{image[2]}).")
        return image[0], size, size

    def __call__(self, image: Image) -> npt.NDArray[np.float32]:
        """Transform one image of shape (C, H, W). Raises CaffeError if crop or mean do not fit it."""
        channels, full_height, full_width = image.shape
        _, height, width = self.output_shape((channels, full_height, full_width))
        self._check_means(image.shape)
        top, left = (full_height - height) // 2, (full_width - width) // 2
        if self._random and self.random_crop:
            top = self._random.randrange(full_height - height + 1)
            left = self._random.randrange(full_width - width + 1)
        place = np.s_[:, top : top + height, left : left + width]
        result = image[place].astype(np.float32, order="C")
        if self.mean is not None:
            result -= self.mean[place]
        elif len(self.mean_values):
            result -= self.mean_values
        if self.param.scale != 1:
            result *= np.float32(self.param.scale)
        if self._random and self.param.mirror and self._random.randrange(2):
            result = np.ascontiguousarray(result[:, :, ::-1])
        return result

    def _check_means(self, shape: tuple[int, ...]) -> None:
        if self.mean is not None and self.mean.shape != shape:
            raise CaffeError(
                f"mean_file '{self.param.mean_file}' is for images of shape {self.mean.shape}, not {shape}."
            )
        if len(self.mean_values) not in (0, 1, shape[0]):
            raise CaffeError(
                f"Specify either 1 mean_value or as many as channels: {shape[0]}, not {len(self.mean_values)}."
            )
