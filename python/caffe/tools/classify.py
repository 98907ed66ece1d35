"""classify: class scores of images, stored as an .npy file (pycaffe classify.py)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import caffe
from caffe import mode
from caffe.data.mean import read_mean as read_binaryproto
from caffe.errors import CaffeError, FileError
from caffe.inputs.arrays import read_npy, write_npy
from caffe.io import load_image
from caffe.tools.flags import run_tool

USAGE = """Classify images and store the scores as a numpy array, one row per image.
usage: caffe-classify --model_def FILE --pretrained_model FILE [FLAGS] input_file output_file

input_file: an image, a folder (its files that end in --ext, by name), or an .npy array of images, N x H x W x K.
output_file: an .npy file.

flags:
  --model_def FILE, --pretrained_model FILE   the net and its weights
  --gpu                 compute on the GPU
  --center_only         predict from the center crop alone instead of averaging predictions across crops
  --images_dim 256,256  height,width that images are resized to before they are cropped
  --mean_file FILE      mean to subtract: .npy, K or K x H x W, or .binaryproto
  --input_scale X       multiply input features by this after the mean is subtracted
  --raw_scale 255.0     multiply raw input by this before
  --channel_swap 2,1,0  order of the channels (the default turns RGB into BGR)
  --ext jpg             extension of the images in a folder"""


@dataclass
class Flags:
    """The values of the command line's flags."""

    model_def: str = ""
    pretrained_model: str = ""
    gpu: bool = False
    center_only: bool = False
    images_dim: str = "256,256"
    mean_file: str = ""
    input_scale: float = 1.0
    raw_scale: float = 255.0
    channel_swap: str = "2,1,0"
    ext: str = "jpg"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, Flags, (2, 2), _classify, arguments)


def _classify(words: list[str], flags: Flags) -> int:
    source, target = words
    needs_model(flags.model_def, flags.pretrained_model)
    images_dim = whole_numbers(flags.images_dim, "images_dim", 2)
    swap = whole_numbers(flags.channel_swap, "channel_swap") if flags.channel_swap else None
    images = _read_images(source, flags.ext)
    mean = read_mean(flags.mean_file)
    choose_mode(flags.gpu)
    try:
        classifier = caffe.Classifier(
            flags.model_def, flags.pretrained_model, images_dim, mean, flags.input_scale, flags.raw_scale, swap
        )
        print(f"Classifying {len(images)} inputs.")
        predictions = classifier.predict(images, not flags.center_only)
    except (ValueError, IndexError) as error:
        raise CaffeError(f"{source}: {error}") from error
    print(f"Saving results into {target}")
    save_array(target, predictions)
    return 0


def choose_mode(gpu: bool) -> None:
    """Compute on the GPU or the CPU, and say which."""
    if gpu:
        mode.set_mode_gpu()
    else:
        mode.set_mode_cpu()
    print("GPU mode" if gpu else "CPU mode")


def needs_model(definition: str, weights: str) -> None:
    """Raise CaffeError unless both a net and its weights are given."""
    if not definition or not weights:
        raise CaffeError("Give the net and its weights: --model_def FILE --pretrained_model FILE")


def whole_numbers(text: str, flag: str, count: int | None = None) -> list[int]:
    """The numbers of a flag "1,2,3"; CaffeError unless there are `count` of them."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 0 or (count is not None and len(values) != count):
        raise CaffeError(f"--{flag} takes {count or 'some'} whole numbers separated by commas, not '{text}'")
    return values


def read_mean(path: str) -> np.ndarray | None:
    """The mean in an .npy or .binaryproto file, None for no file. Raises CaffeError if it cannot be read."""
    if not path:
        return None
    if path.endswith(".binaryproto"):
        return read_binaryproto(path)
    mean = read_array(path)
    if mean.ndim not in (1, 3):
        raise FileError(f"{path}: a mean is K or K x H x W, not {mean.shape}")
    return mean


def read_array(path: str) -> np.ndarray:
    """The array of numbers in an .npy file. Raises CaffeError if there is none."""
    array = read_npy(path)
    if array.dtype.kind not in "uif":
        raise FileError(f"{path}: is not an array of numbers")
    return array


def save_array(path: str, array: np.ndarray) -> None:
    """Write an .npy file, at once or not at all; ".npy" is appended to names without it, as numpy does."""
    write_npy(path if path.endswith(".npy") else path + ".npy", array)


def _read_images(source: str, ext: str) -> list[np.ndarray]:
    if source.endswith(".npy"):
        print(f"Loading file: {source}")
        array = read_array(source)
        if array.ndim != 4 or not len(array):
            raise FileError(f"{source}: images are N x H x W x K, not {array.shape}")
        return list(array)
    if Path(source).is_dir():
        print(f"Loading folder: {source}")
        paths = sorted(Path(source).glob(f"*.{ext}"))
        if not paths:
            raise FileError(f"{source}: holds no file that ends in .{ext} (see --ext)")
        return [load_image(path) for path in paths]
    print(f"Loading file: {source}")
    return [load_image(source)]


if __name__ == "__main__":
    sys.exit(main())
