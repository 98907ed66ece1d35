"""What several layers check in the same words."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.errors import CaffeError
from caffe.layers.base import Layer, Shape
from caffe.layers.window import Windows


def layer_error(layer: Layer, message: str, kind: type[CaffeError] = CaffeError) -> CaffeError:
    """An exception, of this kind, that starts with the layer's name and type."""
    return kind(f"layer '{layer.name}' ({layer.layer_param.type}): {message}")


def shape_string(shape: Shape) -> str:
    """A shape as Caffe's messages print it: "2 3 4"."""
    return " ".join(str(d) for d in shape)


def output_size(layer: Layer, windows: Windows, size: Sequence[int]) -> Shape:
    """How many windows fit into an input of `size`, per axis. Raises CaffeError if none does."""
    result = windows.output(size)
    if any(n < 1 for n in result):
        raise layer_error(
            layer,
            f"kernel {shape_string(windows.kernel)} (dilation {shape_string(windows.dilation)}) does not fit into the input "
            f"{shape_string(tuple(size))} with pad {shape_string(windows.pad)}; use a larger input or more padding.",
        )
    return result


def require_same_shapes(layer: Layer, bottom: Sequence[Shape]) -> None:
    """Raise CaffeError unless all bottoms have the first one's shape."""
    for i, shape in enumerate(bottom):
        if shape != bottom[0]:
            raise layer_error(
                layer, f"shape mismatch - bottom[0]: {shape_string(bottom[0])}, bottom[{i}]: {shape_string(shape)}"
            )


def class_labels(
    layer: Layer, label: torch.Tensor, classes: int, ignore: int | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Labels as indices, and where they are to be ignored (None: nowhere); ignored labels become 0 so that they can index.

    Raises CaffeError, with value and position, for a label outside 0 .. classes - 1 that is not the ignore label.
    """
    index = label.detach().long()
    ignored = None
    if ignore is not None:
        ignored = index == ignore
        index = index.masked_fill(ignored, 0)
    if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < classes):
        bad = ((index < 0) | (index >= classes)).nonzero()[0].tolist()
        value = float(label[tuple(bad)])
        raise layer_error(
            layer,
            f"label {value:g} at position {tuple(bad)} of the label blob ({shape_string(tuple(label.shape))}) is not in "
            f"0..{classes - 1}"
            + (f" and not the ignore label {ignore}." if ignore is not None else "; no ignore_label is set."),
        )
    return index, ignored


def label_count_error(layer: Layer, scores: Shape, label: Shape) -> CaffeError:
    """The exception for a label blob that has not one label per prediction."""
    return layer_error(
        layer,
        f"Number of labels must match number of predictions; scores are {shape_string(scores)}, labels {shape_string(label)}. "
        "For scores of shape (N, C, H, W) with axis 1, the label count must be N*H*W, with integer values in {0, 1, ..., C-1}.",
    )
