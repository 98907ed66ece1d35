"""A node of a net: one layer in its place, between the blobs that it reads and those that it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.layers.base import Layer


@dataclass(eq=False)
class Node:
    """One layer of a net.

    Attributes: the layer's `name`; the names of its `bottoms` and `tops`, and these blobs themselves (`bottom`, `top`), as the
    layer's steps take them; `needs_backward`: whether a backward step is made; `last_read`: the blobs that nobody reads after
    this node's forward, not even a Python layer in backward.
    """

    name: str
    layer: Layer
    bottoms: list[str]
    tops: list[str]
    bottom: list[Blob]
    top: list[Blob]
    needs_backward: bool = False
    last_read: list[Blob] = field(default_factory=list)

    def setup(self) -> None:
        """Let the layer read its options and create its parameters, once."""
        self.guarded("setup", self.layer.setup, self.bottom, self.top)

    def reshape(self) -> None:
        """Let the layer shape its tops."""
        self.guarded("reshape", self.layer.reshape, self.bottom, self.top)

    def forward(self) -> None:
        """Let the layer shape its tops and fill them."""
        self.reshape()
        self.guarded("forward", self.layer.forward, self.bottom, self.top)

    def backward(self) -> None:
        """Let the layer fill its bottoms' diffs and add to those of its parameters."""
        self.guarded("backward", self.layer.backward, self.top, self.layer.propagate_down, self.bottom)

    def guarded(self, step: str, call: Callable[..., None], *blobs: Any) -> None:
        """Run a step; an error inside a built-in layer names the layer. A user's Python layer raises what it raises."""
        layer = self.layer
        try:
            call(*blobs)
        except CaffeError as error:
            if layer.name in str(error):
                raise
            raise error.retold(f"layer '{layer.name}' ({layer.type}): {error}") from error
        except (ValueError, RuntimeError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
            if layer.type == "Python":
                raise
            raise CaffeError(f"layer '{layer.name}' ({layer.type}), {step}: {error}") from error
