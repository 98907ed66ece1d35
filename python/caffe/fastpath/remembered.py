"""Training: what layers compute in which nothing changes, kept for every image; a Net's `fast_path`.

The layers are those from a net's images to the narrowest place behind the last convolution, where scores are still small: 1/8 or
1/16 of the image's height and width. What follows, enlarging and cropping, is done every time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from caffe import mode
from caffe.fastpath.frozen import frozen
from caffe.layers.convolution import Convolution
from caffe.logs.glog import signed
from caffe.net.graph import FastPath, NetGraph
from caffe.proto import caffe_pb2

logger = signed("net.cpp")

# Options of a layer that have no part in what it computes.
_ASIDE = ("param", "phase", "include", "exclude", "propagate_down", "loss_weight", "blobs")
_DIGEST = 20  # bytes


class Store(Protocol):
    """Where arrays are kept by a key, a string of hexadecimal digits; neither call raises because that fails."""

    def get(self, key: str) -> Sequence[np.ndarray] | None:
        """Those that were put there, None if there are none."""

    def put(self, key: str, arrays: Sequence[np.ndarray]) -> None:
        """Keep them, unless there is no room."""


class Remembered(FastPath):
    """Such layers of a net, which are run for inputs that the store does not know, else passed over.

    What they hand on is rounded to float16 in both cases, so that it does not depend on what is kept. Values that float16 cannot
    hold, beyond 65504 or not a number, are neither rounded nor kept. Hooks are called for layers that are run.
    """

    def __init__(self, net: NetGraph, layers: range, store: Store) -> None:
        self._net, self._layers, self._store = net, layers, store
        self._inputs, self._outputs = _read(net, layers), _left(net, layers)
        self._beneath = frozen(net, layers.stop)
        self._told = False

    def layers(self) -> range:
        """The layers that `run` takes the place of."""
        return self._layers

    def run(self) -> None:
        """Find or compute what other layers read of them."""
        key = self._key()
        kept = self._store.get(key)
        if kept is None or len(kept) != len(self._outputs):
            kept = self._computed(key)
        for name, array in zip(self._outputs, kept):
            self._net.blobs[name].tensor = torch.from_numpy(array).to(mode.device()).float()

    def _computed(self, key: str) -> Sequence[np.ndarray]:
        """What the store keeps from now on; nothing where float16 cannot hold it: then the blobs do."""
        self._net.run_layers(self._layers, self._beneath)
        found = [self._net.blobs[name].tensor.half() for name in self._outputs]
        if not all(bool(torch.isfinite(values).all()) for values in found):
            self._tell()
            return []
        arrays = [values.cpu().contiguous().numpy() for values in found]
        self._store.put(key, arrays)
        return arrays

    def _tell(self) -> None:
        if not self._told:
            logger.warning(
                "Blob '%s' is not kept for some images, and computed each time: it holds values that float16 cannot hold.",
                "', '".join(self._outputs),
            )
        self._told = True

    def _key(self) -> str:
        """The digest of all that the layers read."""
        read = [self._net.blobs[name].tensor.cpu() for name in self._inputs]
        # By place in memory, since a Split's tops are one array.
        digests: dict[tuple[int, torch.Size], bytes] = {}
        for values in read:
            place = values.data_ptr(), values.shape
            if place not in digests:
                digests[place] = hashlib.blake2b(_bytes(values), digest_size=_DIGEST).digest()
        found = [(tuple(values.shape), digests[values.data_ptr(), values.shape]) for values in read]
        return hashlib.blake2b(repr(found).encode(), digest_size=_DIGEST).hexdigest()


def remembered(net: NetGraph, trained: NetGraph, store: Callable[[str], Store]) -> Remembered | None:
    """What remembers such layers of a net; None where there are none, as in a net that learns below its last convolution.

    net: a training or test net, with its weights. trained: the net whose parameters a solver updates; `net` shares them.
    store: opens the store for a digest of the layers, their weights as they are now and the precision of mode.precision.
    """
    layers = _to_waist(net, _fixed(net, trained))
    return Remembered(net, layers, store(_identity(net, layers))) if layers else None


def _fixed(net: NetGraph, trained: NetGraph) -> range:
    """The longest run of layers whose tops depend on the tops of data layers alone, always in the same way."""
    learned = [blob for blob, rate in zip(trained.learnable, trained.lr_mult) if rate]
    changing: set[str] = set()
    run, longest = range(0), range(0)
    for i, node in enumerate(net.nodes):
        changes = not node.layer.repeats or any(p.shares_data(blob) for p in node.layer.blobs for blob in learned)
        if node.bottoms and (changes or changing.intersection(node.bottoms)):
            changing.update(node.tops)
        fixed = bool(node.bottoms) and changing.isdisjoint(node.tops) and not any(node.layer.loss_weights)
        run = range(run.start if run else i, i + 1) if fixed else range(0)
        longest = max(longest, run, key=len)
    while (
        longest and net.layers[longest.start].type == "Split"
    ):  # copies of an image or its labels, which are there anyway
        longest = longest[1:]
    return longest


def _to_waist(net: NetGraph, layers: range) -> range:
    """The layers up to the place, behind the last convolution, where they hand on the fewest bytes; none without a convolution."""
    scored = max((i for i in layers if isinstance(net.layers[i], Convolution)), default=layers.stop)
    until = [range(layers.start, i + 1) for i in range(scored, layers.stop)]
    sizes = {part: sum(net.blobs[name].count for name in _left(net, part)) for part in reversed(until)}
    return min(sizes, key=lambda part: sizes[part], default=range(0))


def _read(net: NetGraph, layers: range) -> list[str]:
    """The blobs that layers read and do not make, in order."""
    made: set[str] = set()
    found: dict[str, None] = {}
    for i in layers:
        found.update(dict.fromkeys(name for name in net.nodes[i].bottoms if name not in made))
        made.update(net.nodes[i].tops)
    return list(found)


def _left(net: NetGraph, layers: range) -> list[str]:
    """The blobs that layers make and others read, or nobody, in order."""
    later = {name for node in net.nodes[layers.stop :] for name in node.bottoms}.union(net.outputs)
    return list(dict.fromkeys(name for i in layers for name in net.nodes[i].tops if name in later))


def _identity(net: NetGraph, layers: range) -> str:
    found = hashlib.blake2b(repr(mode.half_convolutions()).encode(), digest_size=_DIGEST)
    for part in _parts(net, layers):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def _parts(net: NetGraph, layers: range) -> Iterator[bytes | memoryview]:
    for i in layers:
        definition = caffe_pb2.LayerParameter()
        definition.CopyFrom(net.layers[i].layer_param)
        for field in _ASIDE:
            definition.ClearField(field)
        yield definition.SerializeToString(deterministic=True)
        for blob in net.layers[i].blobs:
            yield repr(blob.shape).encode()
            yield _bytes(blob.tensor)


def _bytes(values: torch.Tensor) -> memoryview:
    return values.detach().cpu().contiguous().view(-1).numpy().view(np.uint8).data
