"""What a loss is divided by: loss_param.normalization, or its predecessor normalize."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from caffe.layers.base import Shape
from caffe.proto import caffe_pb2


@dataclass(frozen=True)
class LossNormalizer:
    """FULL: the number of positions; VALID: of those not ignored; BATCH_SIZE: the lengths in front of the axis; NONE: 1.

    Never below 1.
    """

    mode: int

    @classmethod
    def of(cls, layer_param: caffe_pb2.LayerParameter, default: int = caffe_pb2.LossParameter.VALID) -> LossNormalizer:
        """Read loss_param: normalization wins over normalize, and `default` holds where neither is given."""
        param = layer_param.loss_param
        if param.HasField("normalization"):
            return cls(param.normalization)
        if param.HasField("normalize"):
            return cls(caffe_pb2.LossParameter.VALID if param.normalize else caffe_pb2.LossParameter.BATCH_SIZE)
        return cls(default)

    def __call__(self, scores: Shape, axis: int, ignored: torch.Tensor | None, per_class: bool = False) -> float:
        """The divisor for scores of this shape. With `per_class` every class of a position counts, as with sigmoids."""
        outer, inner = math.prod(scores[:axis]), math.prod(scores[axis if per_class else axis + 1 :])
        if self.mode == caffe_pb2.LossParameter.NONE:
            return 1.0
        if self.mode == caffe_pb2.LossParameter.BATCH_SIZE:
            return max(1.0, outer)
        valid = outer * inner
        if self.mode == caffe_pb2.LossParameter.VALID and ignored is not None:
            valid -= int(ignored.sum())
        return max(1.0, valid)
