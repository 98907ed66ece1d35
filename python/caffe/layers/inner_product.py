"""InnerProduct and Embed: a matrix times vectors, or its rows by index."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe.layers import fillers
from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import layer_error
from caffe.layers.registry import register_layer


@register_layer("InnerProduct")
class InnerProduct(TorchLayer):
    """Caffe layer InnerProduct: y = W x + b, x being everything from `axis` on.

    Bottom: (N, ...). Top: the bottom's shape in front of `axis`, then num_output. Parameters: weight (num_output, length of x),
    or the reverse with `transpose`; bias (num_output). Options (inner_product_param): num_output, axis (1), bias_term (true),
    transpose (false), weight_filler and bias_filler (constant 0). Gradients: bottom, weight, bias.
    """

    fresh_top = True
    repeats = True
    kind = "product"
    exact_bottoms = 1
    exact_tops = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.inner_product_param
        if param.num_output < 1:
            raise layer_error(self, "num_output must be greater than 0.")
        self.num_output, self.transpose = param.num_output, param.transpose
        self.axis = canonical_axis(param.axis, len(bottom[0]), f"layer '{self.name}'")
        self.length = math.prod(bottom[0][self.axis :])
        self.blobs.append(
            fillers.filled(
                (self.length, self.num_output) if self.transpose else (self.num_output, self.length),
                param.weight_filler,
            )
        )
        if param.bias_term:
            self.blobs.append(fillers.filled((self.num_output,), param.bias_filler))

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        length = math.prod(bottom[0][self.axis :])
        if length != self.length:
            raise layer_error(
                self,
                f"Input size incompatible with inner product parameters: {length} inputs, the weights are for {self.length}.",
            )
        return [(*bottom[0][: self.axis], self.num_output)]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        weight = params[0].t() if self.transpose else params[0]
        return [F.linear(bottom[0].flatten(self.axis), weight, params[1] if len(params) > 1 else None)]


@register_layer("Embed")
class Embed(TorchLayer):
    """Caffe layer Embed: y = W[index] + b.

    Bottom: indices 0 .. input_dim - 1, any shape. Top: that shape, then num_output. Parameters: weight (input_dim, num_output),
    bias (num_output). Options (embed_param): num_output, input_dim, bias_term (true), weight_filler and bias_filler (constant 0).
    Gradients: weight, bias.
    """

    kind = "product"
    exact_bottoms = 1
    exact_tops = 1

    def allow_force_backward(self, bottom_index: int) -> bool:
        return False

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.embed_param
        if param.num_output < 1 or param.input_dim < 1:
            raise layer_error(self, "num_output and input_dim must be positive.")
        self.num_output, self.input_dim = param.num_output, param.input_dim
        self.blobs.append(fillers.filled((self.input_dim, self.num_output), param.weight_filler))
        if param.bias_term:
            self.blobs.append(fillers.filled((self.num_output,), param.bias_filler))

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        return [(*bottom[0], self.num_output)]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        index = bottom[0].detach().long()
        if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < self.input_dim):
            raise layer_error(
                self, f"indices {int(index.min())}..{int(index.max())} are not within 0..{self.input_dim - 1}."
            )
        y = F.embedding(index, params[0])
        return [y + params[1] if len(params) > 1 else y]
