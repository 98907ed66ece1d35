"""Mean images, which are subtracted from what a net reads."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from caffe.errors import FileError
from caffe.proto.model_file import read_blob_proto


def read_mean(path: str | os.PathLike[str]) -> npt.NDArray[np.float32]:
    """The mean image (C, H, W) of a .binaryproto. Raises CaffeError if it holds none."""
    values = read_blob_proto(path)
    if values.ndim < 3 or any(n != 1 for n in values.shape[:-3]):
        raise FileError(f"mean_file '{os.fspath(path)}' holds an array of {values.shape}, not one C x H x W image.")
    return values.reshape(values.shape[-3:])
