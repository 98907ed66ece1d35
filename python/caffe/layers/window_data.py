"""WindowData: windows of images, foreground and background sampled in a fixed proportion (for R-CNN)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from caffe.data.datum import Image
from caffe.data.mean import read_mean
from caffe.data.streams import random_stream, set_stream_state
from caffe.errors import FileError
from caffe.inputs.limits import MAX_LIST, MAX_PIXELS
from caffe.inputs.opencv import cv2
from caffe.inputs.reading import read_text
from caffe.layers.checks import layer_error
from caffe.layers.data import ImageBatches, Item
from caffe.layers.registry import register_layer


class Window(NamedTuple):
    """A window of an image: `box` is (x1, y1, x2, y2), its last column and row included."""

    image: int
    label: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Cut:
    """Along one axis: image pixels first..last, resized to `size` pixels that start at `start` of the crop."""

    first: int
    last: int
    start: int
    size: int


@register_layer("WindowData")
class WindowData(ImageBatches):
    """Caffe layer WindowData: windows cut out of images and warped to crop_size x crop_size.

    No bottoms. Tops: images (batch_size, C, crop_size, crop_size), BGR; optionally labels (batch_size). A batch holds first
    batch_size - int(batch_size * fg_fraction) background windows (label 0), then foreground windows, each drawn at random.

    Options (window_data_param): source (the window file, see below), root_folder (put in front of each name), batch_size,
    fg_threshold (0.5: a window of at least this overlap is foreground), bg_threshold (0.5: one of less is background),
    fg_fraction (0.25), context_pad (0: how many pixels of the crop's border show the window's surroundings; zeros, as the mean
    is, outside of the image), crop_mode ("warp"; "square" takes the square around the window), cache_images (false), prefetch as
    in Data. transform_param: crop_size, mirror, scale, mean_file (larger than the crop: its centre) or mean_value; the first
    four also as window_data_param's own, as old nets have them. The same caffe.set_random_seed gives the same windows.

    The window file has for each image the lines "# index", file, channels, height, width, number of windows, and then
    "class overlap x1 y1 x2 y2" for each window.
    """

    def open(self) -> None:
        param, transform = self.layer_param.window_data_param, self.layer_param.transform_param
        self.batch_size = param.batch_size
        self.crop_size = transform.crop_size or param.crop_size
        if not self.crop_size:
            raise layer_error(self, "transform_param needs a crop_size that is greater than 0.")
        if self.crop_size**2 > MAX_PIXELS:
            raise layer_error(self, f"crop_size {self.crop_size} makes more than {MAX_PIXELS} pixels.")
        if param.crop_mode not in ("warp", "square"):
            raise layer_error(self, f'crop_mode must be "warp" or "square", not "{param.crop_mode}".')
        if 2 * param.context_pad >= self.crop_size:
            raise layer_error(self, f"context_pad {param.context_pad} leaves nothing of a crop of {self.crop_size}.")
        if not 0 <= param.fg_fraction <= 1:
            raise layer_error(self, f"fg_fraction must be between 0 and 1, not {param.fg_fraction:g}.")
        self.mirror = transform.mirror or param.mirror
        self.scale = np.float32(transform.scale * param.scale)
        self.random = random_stream()
        self.paths: list[str] = []
        self.foreground: list[Window] = []
        self.background: list[Window] = []
        self.channels = 0
        self._read_windows(param.source)
        self.foregrounds = int(self.batch_size * np.float32(param.fg_fraction))
        for name, count, windows in (
            ("foreground", self.foregrounds, self.foreground),
            ("background", self.batch_size - self.foregrounds, self.background),
        ):
            if count and not windows:
                raise layer_error(self, f"{param.source} holds no {name} window, but a batch needs {count}.")
        self.mean = self._mean()
        self._cache: dict[int, npt.NDArray[np.uint8]] = {}

    def first_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (self.batch_size, self.channels, self.crop_size, self.crop_size), (self.batch_size,)

    def position(self) -> Any:
        return self.random.getstate()

    def seek(self, position: Any) -> None:
        set_stream_state(self.random, position)

    def load_batch(self) -> tuple[torch.Tensor, torch.Tensor, Sequence[str]]:
        """Background windows, then foreground windows."""
        backgrounds = self.batch_size - self.foregrounds
        items = [self._sample(self.background if k < backgrounds else self.foreground) for k in range(self.batch_size)]
        labels = torch.tensor([item.label for item in items], dtype=torch.float32)
        return torch.from_numpy(np.stack([item.image for item in items])), labels, [item.place for item in items]

    def _sample(self, windows: Sequence[Window]) -> Item:
        window = windows[self.random.randrange(len(windows))]
        mirrored = self.mirror and bool(self.random.randrange(2))
        place = f"window {window.box} of {self.paths[window.image]}"
        return Item(place, self._crop(window, mirrored, place), float(window.label))

    # The window file.

    def _read_windows(self, source: str) -> None:
        param = self.layer_param.window_data_param
        try:
            words = _words(read_text(source, MAX_LIST))
        except OSError as error:
            raise layer_error(self, f"cannot read the window file '{source}': {error.strerror}", FileError) from error
        except UnicodeDecodeError as error:
            raise layer_error(
                self, f"the window file '{source}' is not UTF-8 text: {error.reason}.", FileError
            ) from error
        line = 0
        try:
            for line, text in words:
                if text[0] != "#":
                    raise ValueError("expected '# <image index>'")
                line, text = next(words)
                self.paths.append(param.root_folder + " ".join(text))
                numbers = []
                for _ in range(4):
                    line, text = next(words)
                    numbers.append(int(text[0]))
                channels, _, _, count = numbers
                self.channels = self.channels or channels
                if channels != self.channels or channels not in (1, 3):
                    raise ValueError(
                        f"an image of {channels} channels among those of {self.channels}; 1 and 3 are possible"
                    )
                for _ in range(count):
                    line, text = next(words)
                    self._add_window(text)
        except StopIteration:
            raise layer_error(self, f"the window file '{source}' ends in the middle of an image's windows.") from None
        except (ValueError, IndexError, OverflowError) as error:
            raise layer_error(self, f"{source}, line {line}: {str(error)[:300]}.") from error
        if not self.paths:
            raise layer_error(self, f"the window file '{source}' is empty.", FileError)

    def _add_window(self, text: Sequence[str]) -> None:
        param = self.layer_param.window_data_param
        if len(text) != 6:
            raise ValueError("a window is '<class> <overlap> <x1> <y1> <x2> <y2>'")
        label, overlap = int(text[0]), float(text[1])
        x1, y1, x2, y2 = (int(value) for value in text[2:])
        if max(map(abs, (x1, y1, x2, y2, label))) >= 2**31:
            raise ValueError("numbers beyond 32 bits")
        if x2 < x1 or y2 < y1:
            raise ValueError(f"the window {x1} {y1} {x2} {y2} ends before it begins")
        if overlap >= param.fg_threshold:
            if label <= 0:
                raise ValueError(f"a foreground window needs a class above 0, not {label}")
            self.foreground.append(Window(len(self.paths) - 1, label, (x1, y1, x2, y2)))
        elif overlap < param.bg_threshold:
            self.background.append(Window(len(self.paths) - 1, 0, (x1, y1, x2, y2)))

    # Cutting.

    def _mean(self) -> npt.NDArray[np.float32] | None:
        transform = self.layer_param.transform_param
        path = transform.mean_file or self.layer_param.window_data_param.mean_file
        values = np.array(transform.mean_value, np.float32)
        if path and len(values):
            raise layer_error(self, "Cannot specify mean_file and mean_value at the same time")
        if len(values):
            if len(values) not in (1, self.channels):
                raise layer_error(self, f"Specify either 1 mean_value or as many as channels: {self.channels}.")
            return np.broadcast_to(values[:, None, None], (self.channels, self.crop_size, self.crop_size))
        if not path:
            return None
        mean = read_mean(path)
        top, left = (length - self.crop_size for length in mean.shape[1:])
        if mean.shape[0] != self.channels or top != left or top < 0:
            raise layer_error(
                self,
                f"mean_file '{path}' is {mean.shape}: it must be square, hold {self.channels} channels and the whole crop.",
            )
        return mean[:, top // 2 : top // 2 + self.crop_size, left // 2 : left // 2 + self.crop_size]

    def _crop(self, window: Window, mirrored: bool, place: str) -> npt.NDArray[np.float32]:
        image = self._image(window.image)
        param, size = self.layer_param.window_data_param, self.crop_size
        x1, y1, x2, y2 = window.box
        try:
            if param.context_pad or param.crop_mode == "square":
                grow = size / (size - 2 * param.context_pad)
                width, height = x2 - x1 + 1, y2 - y1 + 1
                if param.crop_mode == "square":
                    width = height = max(width, height)
                across = _cut_with_context((x1, x2), width * grow, image.shape[1], size, mirrored)
                down = _cut_with_context((y1, y2), height * grow, image.shape[0], size, False)
            else:
                across, down = _cut(x1, x2, image.shape[1], size), _cut(y1, y2, image.shape[0], size)
        except ValueError as error:
            raise layer_error(self, f"{place}: {error}") from error
        region = image[down.first : down.last + 1, across.first : across.last + 1]
        pixels: Image = cv2.resize(region, (across.size, down.size), interpolation=cv2.INTER_LINEAR)
        pixels = pixels.reshape(down.size, across.size, -1)
        if mirrored:
            pixels = pixels[:, ::-1]
        where = np.s_[:, down.start : down.start + down.size, across.start : across.start + across.size]
        values = pixels.transpose(2, 0, 1).astype(np.float32)
        if self.mean is not None:
            values -= self.mean[where]
        result = np.zeros((self.channels, size, size), np.float32)
        result[where] = values * self.scale
        return result

    def _image(self, index: int) -> npt.NDArray[np.uint8]:
        """The image, H x W x C."""
        if index in self._cache:
            return self._cache[index]
        path = self.paths[index]
        decoded = self.read_image(path, self.channels == 3)
        image = np.ascontiguousarray(decoded.transpose(1, 2, 0), np.uint8)
        if self.layer_param.window_data_param.cache_images:
            self._cache[index] = image
        return image


def _words(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, words) of the lines that are not blank."""
    return ((number, line.split()) for number, line in enumerate(text.splitlines(), start=1) if line.strip())


def _cut(low: int, high: int, length: int, size: int) -> Cut:
    """The window low..high alone, warped to the whole crop. Raises ValueError if the image, of this length, ends before it."""
    if low < 0 or high >= length:
        raise ValueError(f"it reaches {low}..{high}, but the image 0..{length - 1}.")
    return Cut(low, high, 0, size)


def _cut_with_context(window: tuple[int, int], extent: float, length: int, size: int, mirrored: bool) -> Cut:
    """The window enlarged to `extent` about its centre, cut off at the image's borders; what is missing there stays empty.

    Raises ValueError if nothing of it lies in the image.
    """
    centre = window[0] + (window[1] - window[0] + 1) / 2
    low, high = _round(centre - extent / 2), _round(centre + extent / 2)
    before, behind = max(0, -low), max(0, high - length + 1)
    scale = size / (high - low + 1)
    first, last = low + before, high - behind
    if first > last:
        raise ValueError(f"nothing of it lies in the image, which is 0..{length - 1}.")
    start = _round((behind if mirrored else before) * scale)
    # Rounding may leave one pixel too many.
    filled = min(_round((last - first + 1) * scale), size - start)
    if filled < 1:
        raise ValueError("less than a pixel of it lies in the image.")
    return Cut(first, last, start, filled)


def _round(value: float) -> int:
    """To the nearest integer, halves away from zero as C's round does."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
