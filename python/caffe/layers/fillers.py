"""Fillers: the start values of parameters and of DummyData tops, named by FillerParameter.type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from caffe import mode
from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

Shape = tuple[int, ...]


def fill(blob: Blob, filler: caffe_pb2.FillerParameter) -> None:
    """Overwrite the blob's data with what the filler prescribes.

    Draws come from caffe.mode's CPU generator, so set_random_seed makes them repeatable, on CUDA too. Raises CaffeError for a
    filler that does not exist or does not suit the blob's shape.
    """
    make = _FILLERS.get(filler.type)
    if make is None:
        raise CaffeError(f"Unknown filler name: {filler.type} (known: {', '.join(sorted(_FILLERS))}).")
    blob.tensor = make(blob.shape, filler)


def _constant(shape: Shape, filler: caffe_pb2.FillerParameter) -> torch.Tensor:
    return torch.full(shape, filler.value)


def _uniform(shape: Shape, low: float, high: float) -> torch.Tensor:
    return torch.empty(shape).uniform_(low, high, generator=mode.generator())


def _normal(shape: Shape, mean: float, std: float) -> torch.Tensor:
    return torch.empty(shape).normal_(mean, std, generator=mode.generator())


def _gaussian(shape: Shape, filler: caffe_pb2.FillerParameter) -> torch.Tensor:
    values = _normal(shape, filler.mean, filler.std)
    if filler.sparse < 0:
        return values
    # `sparse` is the expected number of inputs each output keeps, stated by Caffe as a share of the outputs.
    if not shape:
        raise CaffeError("A sparse gaussian filler needs a blob with at least one axis.")
    keep = min(1.0, filler.sparse / shape[0])
    return values * torch.empty(shape).bernoulli_(keep, generator=mode.generator())


def _positive_unitball(shape: Shape, filler: caffe_pb2.FillerParameter) -> torch.Tensor:
    rows = _uniform(shape, 0.0, 1.0).reshape(shape[0] if shape else 1, -1)
    return (rows / rows.sum(dim=1, keepdim=True)).reshape(shape)


def _fan(shape: Shape, filler: caffe_pb2.FillerParameter) -> float:
    count = math.prod(shape)
    fan_in = count / shape[0] if shape else 1.0
    fan_out = count / shape[1] if len(shape) > 1 else float(count)
    if filler.variance_norm == caffe_pb2.FillerParameter.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if filler.variance_norm == caffe_pb2.FillerParameter.FAN_OUT else fan_in


def _xavier(shape: Shape, filler: caffe_pb2.FillerParameter) -> torch.Tensor:
    limit = math.sqrt(3.0 / _fan(shape, filler))
    return _uniform(shape, -limit, limit)


def _msra(shape: Shape, filler: caffe_pb2.FillerParameter) -> torch.Tensor:
    return _normal(shape, 0.0, math.sqrt(2.0 / _fan(shape, filler)))


def _bilinear(shape: Shape, filler: caffe_pb2.FillerParameter) -> torch.Tensor:
    if len(shape) != 4:
        raise CaffeError(f"The bilinear filler is for 4-d blobs, not for {shape}: Blob must be 4 dim.")
    if shape[2] != shape[3]:
        raise CaffeError(
            f"The bilinear filler is for square filters, not for {shape[2]}x{shape[3]}: Filter must be square."
        )
    return bilinear_kernel(shape[2], shape[3]).expand(shape).contiguous()


def bilinear_kernel(height: int, width: int) -> torch.Tensor:
    """The kernel, height x width, float32, that up-samples bilinearly with strides (height + 1) // 2 and (width + 1) // 2."""
    return _ramp(height)[:, None] * _ramp(width)[None, :]


def _ramp(size: int) -> torch.Tensor:
    factor = math.ceil(size / 2)
    centre = (size - 1) / (2.0 * factor)
    return 1 - (torch.arange(size, dtype=torch.float32) / factor - centre).abs()


_FILLERS: dict[str, Callable[[Shape, caffe_pb2.FillerParameter], torch.Tensor]] = {
    "constant": _constant,
    "uniform": lambda shape, filler: _uniform(shape, filler.min, filler.max),
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}


def filled(shape: Sequence[int], filler: caffe_pb2.FillerParameter) -> Blob:
    """A new parameter blob of this shape with the values that its filler says."""
    blob = Blob(shape)
    fill(blob, filler)
    return blob
