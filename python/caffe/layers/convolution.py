"""Convolution and Deconvolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F

from caffe import mode
from caffe.layers import fillers, winograd
from caffe.layers.base import Shape, TorchLayer, canonical_axis
from caffe.layers.checks import layer_error, output_size, require_same_shapes, shape_string
from caffe.layers.registry import register_layer
from caffe.layers.window import Windows
from caffe.proto import caffe_pb2


class _Convolution(TorchLayer):
    """What the two share: options, parameters, folding of the axes in front of the channels into the batch."""

    min_bottoms = 1
    min_tops = 1
    equal_bottoms_tops = True
    fresh_top = True
    any_layout = True
    repeats = True
    kind = "convolution"

    @classmethod
    def windows_of(cls, layer_param: caffe_pb2.LayerParameter) -> Windows | None:
        return Windows.of_convolution(layer_param)

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.convolution_param
        shape = bottom[0]
        self.axis = canonical_axis(param.axis, len(shape), f"layer '{self.name}'")
        self.spatial_axes = len(shape) - self.axis - 1
        if self.spatial_axes > 3:
            raise layer_error(self, f"at most 3 spatial axes are supported, got {self.spatial_axes}.")
        self.windows = Windows.of_convolution(self.layer_param, self.spatial_axes)
        self.channels = shape[self.axis]
        self.num_output = param.num_output
        self.group = param.group
        if self.num_output < 1:
            raise layer_error(self, "num_output must be greater than 0.")
        if self.group < 1 or self.channels % self.group or self.num_output % self.group:
            raise layer_error(
                self,
                f"channels ({self.channels}) and num_output ({self.num_output}) must be multiples of group ({self.group}).",
            )
        self.blobs.append(fillers.filled((*self.weight_channels(), *self.windows.kernel), param.weight_filler))
        if param.bias_term:
            self.blobs.append(fillers.filled((self.num_output,), param.bias_filler))

    def weight_channels(self) -> Shape:
        raise NotImplementedError

    def output_size(self, size: Sequence[int]) -> Shape:
        raise NotImplementedError

    def convolve(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        raise NotImplementedError

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        require_same_shapes(self, bottom)
        shape = bottom[0]
        if len(shape) != self.axis + 1 + self.spatial_axes:
            raise layer_error(
                self, f"bottom num_axes may not change: it was set up for another number than {len(shape)}."
            )
        if shape[self.axis] != self.channels:
            raise layer_error(
                self,
                f"Input size incompatible with convolution kernel: {shape[self.axis]} channels, the weights are for "
                f"{self.channels}.",
            )
        return [(*shape[: self.axis], self.num_output, *self.output_size(shape[self.axis + 1 :]))] * len(bottom)

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        bias = params[1] if len(params) > 1 else None
        return [self._folded(x, params[0], bias) for x in bottom]

    def _folded(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if self.axis == 1 and self.spatial_axes:
            return self.convolve(x, weight, bias)  # a reshape would lose the order of a single map in memory
        front, rest = x.shape[: self.axis], x.shape[self.axis :]
        if self.spatial_axes == 0:
            # torch has no 0-d convolution: a spatial axis of length 1 is the same thing.
            y = self.convolve(x.reshape(math.prod(front), *rest, 1), weight.unsqueeze(-1), bias).squeeze(-1)
        else:
            y = self.convolve(x.reshape(math.prod(front), *rest), weight, bias)
        return y.reshape(*front, *y.shape[1:])


HUGE_WEIGHTS = 1 << 23  # elements; the layers of trunks stay well below
# Winograd's form pays from so many channels of inputs times of outputs on (one thread of an AMD EPYC, Zen 3, against oneDNN 3.12):
# 1.3 to 1.6 times as fast with 128 x 128, 1.9 to 2.4 with 512 x 512; with 64 x 128 0.8 times. The gradient of the weights, which
# the library makes slowly, pays from 64 x 64 on. It needs positions enough for the transforms of the weights: with 44 x 44 it takes
# half the library's time, with 25 x 25 as long, with 20 x 20 twice.
MANY_CHANNELS = 128 * 128
MANY_FOR_WEIGHTS = 64 * 64
MANY_POSITIONS = 32 * 32
WIDE = 32  # outputs; with fewer a convolution is cheap, and it may give scores, which need all their digits


@register_layer("Convolution")
class Convolution(_Convolution):
    """Caffe layer Convolution: y = W * x + b for each bottom, with the same W and b.

    Bottoms: one or more of shape (N, C, spatial...), 0 to 3 spatial axes; axes in front of `axis` count as the batch.
    Tops: as many, (N, num_output, (size + 2 pad - (dilation (kernel - 1) + 1)) / stride + 1 ...).
    Parameters: weight (num_output, C / group, kernel...), bias (num_output).
    Options (convolution_param): num_output; kernel_size, stride (1), pad (0), dilation (1), each once or per axis, or _h and _w;
    group (1), bias_term (true), weight_filler and bias_filler (constant 0), axis (1). `engine` and `force_nd_im2col` choose
    implementations in Caffe and change nothing here. Gradients: bottoms, weight, bias.
    """

    def weight_channels(self) -> Shape:
        return (self.num_output, self.channels // self.group)

    def output_size(self, size: Sequence[int]) -> Shape:
        return output_size(self, self.windows, size)

    def _few_positions(self, x: torch.Tensor, weight: torch.Tensor) -> bool:
        """Whether the weights are huge and the image's columns smaller, as for fc6 of VGG-16 (7 x 7, 4096 outputs, 411 MB).

        Then matrix products are faster than the library's convolution and its gradients, which first copy all weights into an
        order of their own.
        """
        if self.spatial_axes != 2 or self.group != 1 or x.device.type != "cpu":
            return False
        positions = len(x) * math.prod(self.output_size(x.shape[2:]))
        return weight.numel() > HUGE_WEIGHTS and positions < self.num_output

    @property
    def transformable(self) -> bool:
        """Whether Winograd's form can compute it and has channels enough to be faster, at least for the weights' gradient."""
        w = self.windows
        # With more padding the gradient of the data would have less than none. A first layer's pad may be in its input.
        fits = w.kernel == (3, 3) and w.stride == w.dilation == (1, 1) and self.group == 1 and max(w.pad) <= 2
        return fits and self.products >= MANY_FOR_WEIGHTS

    @property
    def products(self) -> int:
        """Channels of inputs times of outputs."""
        return self.channels * self.num_output

    def transforms(self, x: torch.Tensor, pad: Sequence[int]) -> bool:
        """Whether the convolution of x, with this padding, or at least its weights' gradient takes Winograd's form."""
        if not self.transformable or x.dtype != torch.float32 or x.device.type != "cpu":
            return False
        many = self.products >= MANY_CHANNELS or winograd.is_channels_last(x)
        positions = len(x) * math.prod(n + 2 * zeros - 2 for n, zeros in zip(x.shape[2:], pad))
        return many and positions >= MANY_POSITIONS

    def convolve(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        half = mode.half_convolutions() and self.num_output >= WIDE and x.dtype == torch.float32
        if half:
            x, weight = x.to(torch.bfloat16), weight.to(torch.bfloat16)  # autograd makes the gradients float32 again
            bias = None if bias is None else bias.to(torch.bfloat16)
        y = (self._product if self._few_positions(x, weight) else self.slid)(x, weight, bias)
        return y.float() if half else y

    def slid(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        *,
        pad: tuple[int, ...] | None = None,
    ) -> torch.Tensor:
        """The library's convolution or Winograd's form of it; pad: another one than the layer's."""
        w = self.windows
        pad = w.pad if pad is None else pad
        if self.transforms(x, pad):
            return winograd.convolution(x, weight, bias, pad, self.products < MANY_CHANNELS)
        convolution = (F.conv1d, F.conv1d, F.conv2d, F.conv3d)[self.spatial_axes]
        return convolution(
            x, weight, bias, w.strides_on(x.shape[2:]) or (1,), pad or (0,), w.dilation or (1,), self.group
        )

    def _product(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The weights times the columns that the windows see.

        The columns are as many times the input as a window has cells (49 for fc6): backward makes them once more.
        """
        columns = self._columns(x)
        place, again = columns.data_ptr(), partial(self._columns, x.detach())

        def keep(saved: torch.Tensor) -> torch.Tensor | None:
            return None if saved.data_ptr() == place else saved

        def fetch(kept: torch.Tensor | None) -> torch.Tensor:
            return again() if kept is None else kept

        with torch.autograd.graph.saved_tensors_hooks(keep, fetch):
            y = weight.flatten(1) @ columns
        if bias is not None:
            y += bias[:, None]
        return y.view(self.num_output, len(x), *self.output_size(x.shape[2:])).movedim(1, 0).contiguous()

    def _columns(self, x: torch.Tensor) -> torch.Tensor:
        """What the windows see, one after the other: (cells of a window, windows of all images)."""
        w = self.windows
        return F.unfold(x, w.kernel, w.dilation, w.pad, w.strides_on(x.shape[2:])).movedim(1, 0).flatten(1)


@register_layer("Deconvolution")
class Deconvolution(_Convolution):
    """Caffe layer Deconvolution: the transpose of Convolution (its backward step to the data), plus a bias.

    Bottoms: one or more of shape (N, C, spatial...).
    Tops: as many, (N, num_output, stride (size - 1) + dilation (kernel - 1) + 1 - 2 pad ...).
    Parameters: weight (C, num_output / group, kernel...), bias (num_output). Options and gradients as for Convolution.
    The bilinear filler fills every pair of channels: up-sampling needs `group: C` or diagonal weights.
    """

    transposes_windows = True

    def weight_channels(self) -> Shape:
        return (self.channels, self.num_output // self.group)

    def output_size(self, size: Sequence[int]) -> Shape:
        result = tuple(window.input(n) for window, n in zip(self.windows, size))
        if any(n < 1 for n in result):
            raise layer_error(
                self, f"pad {shape_string(self.windows.pad)} leaves nothing of the output ({shape_string(result)})."
            )
        return result

    def convolve(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        convolution = (F.conv_transpose1d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[
            self.spatial_axes
        ]
        w = self.windows
        stride = tuple(1 if count == 1 else step for step, count in zip(w.stride, x.shape[2:]))
        return convolution(x, weight, bias, stride or (1,), w.pad or (0,), 0, self.group, w.dilation or (1,))
