"""Data, ImageData and MemoryData: batches of images and labels from an LMDB, from image files, or from memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe import parallel
from caffe.blob import Blob
from caffe.data.datum import Image, datum_image, decode_image
from caffe.data.db import Cursor
from caffe.data.image_list import read_list
from caffe.data.prefetch import Prefetcher
from caffe.data.streams import common_stream, set_stream_state
from caffe.data.transformer import DataTransformer
from caffe.errors import CaffeError, FileError
from caffe.inputs.arguments import array
from caffe.inputs.limits import MAX_IMAGE_FILE, MAX_PIXELS
from caffe.inputs.opencv import cv2
from caffe.inputs.reading import read_bytes
from caffe.layers.base import Layer
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer
from caffe.proto import caffe_pb2


@dataclass(frozen=True)
class Item:
    """One image (C, H, W) with its label and, for messages, the place it was read from."""

    place: str
    image: Image
    label: float


@dataclass(frozen=True)
class Batch:
    """What one forward hands on, and where reading stood behind it (as `ImageBatches.snapshot_state` tells it)."""

    images: torch.Tensor
    labels: torch.Tensor
    places: Sequence[str]
    state: Any


class ImageBatches(Layer):
    """What data layers share: read `batch_size` items, transform them, hand them to the tops; reading knows nothing of the tops.

    From the first forward on a thread loads up to `prefetch` batches ahead (data_param.prefetch, 4; 0: none). What forward gives
    is the same with and without, and so is the error of a batch that cannot be read.

    Subclasses override `open`, which must set `batch_size`, `read`, `position` and `seek`.
    """

    kind = "data"
    exact_bottoms = 0
    min_tops = 1
    max_tops = 2

    batch_size = 0

    def open(self) -> None:
        """Find the source; called once."""
        raise NotImplementedError

    def read(self, advance: bool) -> Item:
        """The item at the reading position; with `advance`, move on behind it."""
        raise NotImplementedError

    def position(self) -> Any:
        """The reading position, made of what JSON knows, as a value that later reading does not change."""
        raise NotImplementedError

    def seek(self, position: Any) -> None:
        """Go to a position that `position` gave. Raises CaffeError if there is no such place."""
        raise NotImplementedError

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.transformer = DataTransformer(self.layer_param.transform_param, self.phase)
        self.open()
        if self.batch_size < 1:
            raise layer_error(self, "batch_size must be positive.")
        for blob, shape in zip(top, self.first_shapes()):
            blob.reshape(*shape)
        self._prefetcher: Prefetcher[ImageBatches, Batch] | None = None
        self._state = self._reading()

    def first_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of images and labels before the first forward."""
        channels, height, width = self.read(advance=False).image.shape
        return (self.batch_size, *self.transformer.output_shape((channels, height, width))), (self.batch_size,)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        batch = self._next()
        self.places, self._state = batch.places, batch.state
        top[0].tensor = batch.images
        if len(top) > 1:
            top[1].tensor = batch.labels

    def snapshot_state(self) -> Any:
        """Where the next forward will read, however far ahead the thread is: position, and the transformer's random state."""
        return self._state

    def restore_state(self, state: Any) -> None:
        """Let the next forward read where `snapshot_state` was taken, with the same random choices."""
        if not isinstance(state, Sequence) or len(state) != 2:
            raise layer_error(self, "no reading state.")
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None
        self.seek(state[0])
        self.transformer.set_random_state(state[1])
        self._state = state

    def _reading(self) -> Any:
        return self.position(), self.transformer.random_state()

    def _next(self) -> Batch:
        depth = self.layer_param.data_param.prefetch
        if not depth:
            return self._load()
        if self._prefetcher is None:
            self._prefetcher = Prefetcher(self, ImageBatches._load, depth)
        return self._prefetcher.get()

    def _load(self) -> Batch:
        images, labels, places = self.load_batch()
        return Batch(images, labels, places, self._reading())

    def load_batch(self) -> tuple[torch.Tensor, torch.Tensor, Sequence[str]]:
        """The next batch, shaped after its first image, and the places of its items. Raises CaffeError where another differs."""
        items = [self._transformed(self.read(advance=True)) for _ in range(self.batch_size)]
        for item in items:
            if item.image.shape != items[0].image.shape:
                raise layer_error(
                    self,
                    f"{item.place} is {item.image.shape} after transformation but {items[0].place}, first of the same batch, "
                    f"{items[0].image.shape}. Images of different sizes need batch_size: 1, or crop_size.",
                )
        images = items[0].image[None] if len(items) == 1 else np.stack([item.image for item in items])
        labels = torch.tensor([item.label for item in items], dtype=torch.float32)
        return torch.from_numpy(images), labels, [item.place for item in items]

    def _transformed(self, item: Item) -> Item:
        try:
            return Item(item.place, self.transformer(item.image), item.label)
        except CaffeError as error:
            raise layer_error(self, f"{item.place}: {error}", type(error)) from error

    def read_image(self, path: str, color: bool) -> Image:
        """An image file as (C, H, W), C being 3 (BGR) or 1. Raises FileError, naming layer and file, if that cannot be."""
        try:
            content = read_bytes(path, MAX_IMAGE_FILE)
            return decode_image(content, cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE)
        except CaffeError as error:
            raise layer_error(self, f"'{path}': {error}", FileError) from error
        except OSError as error:
            raise layer_error(self, f"cannot read image '{path}': {error.strerror}", FileError) from error


@register_layer("Data")
class Data(ImageBatches):
    """Caffe layer Data: the Datums of an LMDB or LevelDB, in the order of their keys, starting again behind the last.

    No bottoms. Tops: images (batch_size, C, H, W), after transform_param; optionally labels (batch_size). Each batch takes the
    shape of its first image, so that with batch_size 1 images of different sizes may follow each other. Options (data_param):
    source, batch_size, rand_skip (0: start up to that many entries later), prefetch (4: batches loaded ahead); `backend` is
    accepted and not needed: the folder tells whether it is an LMDB or a LevelDB, which needs the extra "leveldb".
    """

    def open(self) -> None:
        param = self.layer_param.data_param
        if not param.source:
            raise layer_error(self, "data_param needs a source, the LMDB's folder.")
        self.batch_size = param.batch_size
        self.cursor = Cursor(param.source)
        if param.rand_skip:
            self.cursor.advance(common_stream(self.phase).randrange(param.rand_skip))
        rank, self.stride = parallel.shard(self.phase)
        self.cursor.advance(rank)

    def position(self) -> Any:
        return self.cursor.key().hex()

    def seek(self, position: Any) -> None:
        try:
            found = self.cursor.seek(bytes.fromhex(position))
        except (TypeError, ValueError):
            found = False
        if not found:
            raise layer_error(self, f"{self.layer_param.data_param.source} has no entry {position!r} to go on from.")

    def read(self, advance: bool) -> Item:
        key, value = self.cursor.current()
        if advance:
            self.cursor.advance(self.stride)
        place = f"entry '{key}' of {self.layer_param.data_param.source}"
        transform = self.layer_param.transform_param
        color = transform.force_color or self.layer_param.data_param.force_encoded_color
        try:
            datum = caffe_pb2.Datum.FromString(value)
            return Item(place, datum_image(datum, color, transform.force_gray), datum.label)
        except Exception as error:
            raise layer_error(self, f"{place}: {error}") from error


@register_layer("ImageData")
class ImageData(ImageBatches):
    """Caffe layer ImageData: image files from a list of lines "<file> <label>", starting again behind the last.

    No bottoms. Tops: images (batch_size, C, H, W), BGR, after transform_param; optionally labels (batch_size). Each batch takes
    the shape of its first image. Options (image_data_param): source (the list), root_folder (put in front of each name),
    batch_size (1), new_height and new_width (0: as they are), is_color (true; else one channel), shuffle (false; anew in each
    round), rand_skip (0: start up to that many lines later).
    """

    def open(self) -> None:
        param = self.layer_param.image_data_param
        if bool(param.new_height) != bool(param.new_width):
            raise layer_error(
                self, "Current implementation requires new_height and new_width to be set at the same time."
            )
        if param.new_height * param.new_width > MAX_PIXELS:
            raise layer_error(
                self,
                f"new_height {param.new_height} and new_width {param.new_width} make more than {MAX_PIXELS} pixels.",
            )
        self.batch_size = param.batch_size
        self.lines = self._read_list(param.source)
        self.order = list(range(len(self.lines)))
        self.line = 0
        self.random = common_stream(self.phase)
        self._shuffle()
        if param.rand_skip:
            if param.rand_skip > len(self.lines):
                raise layer_error(
                    self, f"rand_skip: not enough points to skip, {param.source} has {len(self.lines)} lines."
                )
            self.line = self.random.randrange(param.rand_skip)
        rank, self.stride = parallel.shard(self.phase)
        self._step(rank)

    def _read_list(self, source: str) -> list[tuple[str, int]]:
        try:
            return read_list(source)
        except CaffeError as error:
            raise layer_error(self, str(error), type(error)) from error

    def _shuffle(self) -> None:
        """Start a round: its order follows from the random state at its start alone."""
        self.round = self.random.getstate() if self.layer_param.image_data_param.shuffle else None
        if self.round:
            self.order = self.random.sample(range(len(self.lines)), len(self.lines))

    def _step(self, lines: int) -> None:
        self.line += lines
        while self.line >= len(self.lines):
            self.line -= len(self.lines)
            self._shuffle()

    def position(self) -> Any:
        return self.line, self.round

    def seek(self, position: Any) -> None:
        line, start_of_round = position if isinstance(position, Sequence) and len(position) == 2 else (None, None)
        if not isinstance(line, int) or not 0 <= line < len(self.lines):
            raise layer_error(self, f"{self.layer_param.image_data_param.source} has no line {line!r} to go on from.")
        if self.round:
            set_stream_state(self.random, start_of_round)
            self._shuffle()
        self.line = line

    def read(self, advance: bool) -> Item:
        name, label = self.lines[self.order[self.line]]
        path = self.layer_param.image_data_param.root_folder + name
        if not os.path.exists(path):
            path = os.path.join(self.layer_param.image_data_param.root_folder, name)
        item = Item(path, self._image(path), label)
        if advance:
            self._step(self.stride)
        return item

    def _image(self, path: str) -> Image:
        param = self.layer_param.image_data_param
        image = self.read_image(path, param.is_color)
        if not param.new_height:
            return image
        resized = cv2.resize(np.ascontiguousarray(image.transpose(1, 2, 0)), (param.new_width, param.new_height))
        return resized.reshape(param.new_height, param.new_width, -1).transpose(2, 0, 1)


@register_layer("MemoryData")
class MemoryData(Layer):
    """Caffe layer MemoryData: successive batches of arrays given with net.set_input_arrays(data, labels), round and round.

    No bottoms. Tops: data (batch_size, channels, height, width); labels (batch_size). Options (memory_data_param): those four
    numbers.
    """

    kind = "data"
    exact_bottoms = 0
    exact_tops = 2

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        param = self.layer_param.memory_data_param
        self.shape = (param.batch_size, param.channels, param.height, param.width)
        if not all(self.shape):
            raise layer_error(
                self, "batch_size, channels, height, and width must be specified and positive in memory_data_param"
            )
        self.images: torch.Tensor | None = None
        self.position = 0
        top[0].reshape(*self.shape)
        top[1].reshape(self.shape[0])

    def set_input_arrays(self, data: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        """Read from these arrays from now on: data (n, channels, height, width), n labels, n a multiple of batch_size."""
        images, values = array("data", data), array("labels", labels)
        if images.ndim != 4 or images.shape[1:] != self.shape[1:]:
            raise layer_error(
                self,
                f"data input array must have shape (n, {', '.join(map(str, self.shape[1:]))}), not {images.shape}.",
            )
        if values.size != len(images):
            raise layer_error(
                self, f"first dimensions of input arrays must match: {len(images)} images, {values.size} labels."
            )
        if not len(images) or len(images) % self.shape[0]:
            raise layer_error(
                self,
                f"first dimensions of input arrays must be a multiple of batch size ({self.shape[0]}), not {len(images)}.",
            )
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(values.reshape(-1))
        self.position = 0

    def snapshot_state(self) -> Any:
        return self.position

    def restore_state(self, state: Any) -> None:
        if self.images is None or not isinstance(state, int) or state not in range(0, len(self.images), self.shape[0]):
            raise layer_error(self, f"the arrays that it was given have no batch at {state!r}.")
        self.position = state

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        if self.images is None:
            raise layer_error(self, "it has no data yet; call net.set_input_arrays(data, labels) first.")
        batch = slice(self.position, self.position + self.shape[0])
        # Copies, so that writing to a blob leaves the user's arrays alone.
        top[0].tensor, top[1].tensor = self.images[batch].clone(), self.labels[batch].clone()
        self.position = (self.position + self.shape[0]) % len(self.images)
