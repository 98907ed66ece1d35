"""The operator crfasrnn::mean_field as operators of ONNX, for torch.onnx.export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from caffe.errors import CaffeError
from crfasrnn.crf.call import Call
from crfasrnn.crf.options import ACTIVATIONS, NORMALIZATIONS
from crfasrnn.export.onnx_lattice import MOST_FEATURES, OnnxLattice, constant


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What torch.onnx.export needs as custom_translation_table for models with CrfRnn (or mean_field) in them.

    The CRF becomes a fixed number of operators of ONNX 18 (no approximation: the same lattice, the same iterations), which any
    runtime has. It is several times slower than the compiled layer. Batches have a fixed size; height and width may vary where
    the network's may.

    A call without such a form (with a mask, in float64, or of a kernel with more than six features) ends torch.onnx.export by its
    ConversionError, whose text quotes ours.

    >>> import torch
    >>> from crfasrnn.export.onnx_mean_field import onnx_translations
    >>> list(onnx_translations()) == [torch.ops.crfasrnn.mean_field.default]
    True
    """
    import torch

    import crfasrnn.crf.operator  # noqa: F401  # registers it

    return {torch.ops.crfasrnn.mean_field.default: _mean_field}


def _mean_field(*arguments: Any) -> Any:
    from onnxscript import opset18 as op

    call: Any = Call(*arguments)  # of values of the graph in place of tensors
    _check(call)
    images = [_image(op, call, n) for n in range(call.unary.shape[0])]
    scores = images[0] if len(images) == 1 else op.Concat(*images, axis=0)
    return scores, constant(op, [0], np.uint8), constant(op, [call.iterations] * len(images), np.int64)


def _check(call: Any) -> None:
    if call.mask is not None:
        raise CaffeError("a CRF with a mask has no form in ONNX: export it without, and crop the image instead")
    from onnxscript import ir

    if call.unary.dtype not in (ir.DataType.FLOAT, np.float32):
        raise CaffeError(f"the CRF's form in ONNX is float32, not {call.unary.dtype.name}: call .float() on the model")
    if not all(isinstance(size, int) for size in (*call.unary.shape[:2], *(f.shape[1] for f in call.features))):
        raise CaffeError("the CRF's form in ONNX needs a fixed batch and number of channels; height and width may vary")
    for k in range(len(call.features)):
        if _dimensions(call, k) > MOST_FEATURES:
            raise CaffeError(
                f"kernel {k} compares {_dimensions(call, k)} features; in ONNX {MOST_FEATURES} are possible"
            )


def _untied(call: Any) -> bool:
    return len(call.compatibility.shape) == 3  # a value of the graph has no ndim


def _dimensions(call: Any, k: int) -> int:
    return int(call.features[k].shape[1]) + 2 * (call.theta_x[k] > 0)


def _image(op: Any, call: Any, n: int) -> Any:
    """Scores (1, C, H, W) of one image."""
    whole = op.Slice(call.unary, constant(op, [n]), constant(op, [n + 1]), constant(op, [0]))
    unary, start = _points(op, call.unary, n), _points(op, call.q0, n)
    filters = [_filter(op, call, k, n, unary) for k in range(len(call.features))]
    scores = start
    for t in range(call.iterations):
        q = op.Softmax(scores, axis=1) if ACTIVATIONS[call.activation] == "softmax" else op.Relu(scores)
        message = None
        for k, smooth in enumerate(filters):
            part = op.MatMul(smooth(q), _matrix(op, call.weights, [k, t] if _untied(call) else [k]))
            message = part if message is None else op.Add(message, part)
        scores = op.Sub(unary, op.MatMul(message, _matrix(op, call.compatibility, [t] if _untied(call) else [])))
    return op.Reshape(op.Transpose(scores, perm=[1, 0]), op.Shape(whole))


def _points(op: Any, planes: Any, n: int) -> Any:
    """Of planes (N or 1, d, H, W) those of an image as (H W, d)."""
    at = n if planes.shape[0] != 1 else 0
    one = op.Slice(planes, constant(op, [at]), constant(op, [at + 1]), constant(op, [0]))
    return op.Transpose(op.Reshape(one, constant(op, [int(planes.shape[1]), -1])), perm=[1, 0])


def _matrix(op: Any, matrices: Any, place: list[int]) -> Any:
    """The transpose of one of the C x C matrices, for rows on its left."""
    for index in place:
        matrices = op.Gather(matrices, constant(op, index), axis=0)
    return op.Transpose(matrices, perm=[1, 0])


def _filter(op: Any, call: Any, k: int, n: int, unary: Any) -> Callable[[Any], Any]:
    """The kernel's filter of values (P, C), normalised as it says."""
    features = []
    if call.theta_x[k] > 0:
        features += _positions(op, call.unary, call.theta_x[k], call.theta_y[k])
    if call.features[k].shape[1]:
        theta = constant(op, call.theta[k], np.float32)
        features.append(op.Div(_points(op, call.features[k], n), theta))
    lattice = OnnxLattice(op, op.Concat(*features, axis=1), _dimensions(call, k))
    kind = NORMALIZATIONS[call.normalization[k]]
    if kind == "none":
        return lattice
    ones = op.Expand(
        constant(op, [[1]], np.float32), op.Concat(op.Shape(unary, start=0, end=1), constant(op, [1]), axis=0)
    )
    response = op.Add(lattice(ones), constant(op, 1e-20, np.float32))
    if kind == "symmetric":
        root = op.Sqrt(response)
        return lambda values: op.Div(lattice(op.Div(values, root)), root)
    if kind == "before":
        return lambda values: lattice(op.Div(values, response))
    return lambda values: op.Div(lattice(values), response)


def _positions(op: Any, planes: Any, theta_x: float, theta_y: float) -> list[Any]:
    """Columns x and y of every pixel (H W, 1), in standard deviations."""
    zero, one = constant(op, 0), constant(op, 1)
    height, width = (op.Squeeze(op.Shape(planes, start=axis, end=axis + 1)) for axis in (2, 3))
    size = op.Concat(op.Shape(planes, start=2, end=4), axis=0)
    found = []
    for length, theta, shape in ((width, theta_x, [1, -1]), (height, theta_y, [-1, 1])):
        line = op.Div(op.Cast(op.Range(zero, length, one), to=1), constant(op, theta, np.float32))
        plane = op.Expand(op.Reshape(line, constant(op, shape)), size)
        found.append(op.Reshape(plane, constant(op, [-1, 1])))
    return found
