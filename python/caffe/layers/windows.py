"""The windows of Convolution, Deconvolution and Im2col: kernel, stride, pad and dilation per spatial axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffe.layers.base import Layer, Shape
from caffe.layers.checks import layer_error, shape_string


@dataclass(frozen=True)
class Windows:
    """One number per spatial axis each."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @classmethod
    def of(cls, layer: Layer, spatial_axes: int) -> Windows:
        """Read convolution_param. Raises CaffeError, in Caffe's words, for contradictory or incomplete options."""
        param = layer.layer_param.convolution_param
        kernel = _per_axis(layer, "kernel_size", "kernel", param.kernel_size, spatial_axes, None)
        stride = _per_axis(layer, "stride", "stride", param.stride, spatial_axes, 1)
        pad = _per_axis(layer, "pad", "pad", param.pad, spatial_axes, 0)
        dilation = _per_axis(layer, "dilation", None, param.dilation, spatial_axes, 1)
        if any(k == 0 for k in kernel):
            raise layer_error(layer, "Filter dimensions must be nonzero.")
        if any(s == 0 for s in stride):
            raise layer_error(layer, "Stride dimensions must be nonzero.")
        if any(d == 0 for d in dilation):
            raise layer_error(layer, "Dilation dimensions must be nonzero.")
        return cls(kernel, stride, pad, dilation)

    def output(self, layer: Layer, size: Sequence[int]) -> Shape:
        """How many windows fit into an input of `size`, per axis. Raises CaffeError if none does."""
        extents = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation)]
        result = tuple((n + 2 * p - e) // s + 1 for n, p, e, s in zip(size, self.pad, extents, self.stride))
        if any(n < 1 for n in result):
            raise layer_error(
                layer,
                f"kernel {shape_string(self.kernel)} (dilation {shape_string(self.dilation)}) does not fit into the input "
                f"{shape_string(tuple(size))} with pad {shape_string(self.pad)}; use a larger input or more padding.",
            )
        return result

    def transposed_output(self, layer: Layer, size: Sequence[int]) -> Shape:
        """The input size whose windows number `size`: the output of a Deconvolution. Raises CaffeError if nothing is left."""
        result = tuple(
            s * (n - 1) + d * (k - 1) + 1 - 2 * p
            for n, k, s, p, d in zip(size, self.kernel, self.stride, self.pad, self.dilation)
        )
        if any(n < 1 for n in result):
            raise layer_error(
                layer, f"pad {shape_string(self.pad)} leaves nothing of the output ({shape_string(result)})."
            )
        return result


def _per_axis(
    layer: Layer, field: str, prefix: str | None, values: Sequence[int], axes: int, default: int | None
) -> Shape:
    param = layer.layer_param.convolution_param
    if prefix is not None and (param.HasField(f"{prefix}_h") or param.HasField(f"{prefix}_w")):
        if axes != 2:
            raise layer_error(layer, f"{prefix}_h & {prefix}_w can only be used for 2D convolution.")
        if len(values):
            raise layer_error(layer, f"Either {field} or {prefix}_h/w should be specified; not both.")
        return (getattr(param, f"{prefix}_h"), getattr(param, f"{prefix}_w"))
    if not len(values) and default is not None:
        return (default,) * axes
    if len(values) == 1:
        return (int(values[0]),) * axes
    if len(values) != axes:
        raise layer_error(
            layer,
            f"{field} must be specified once, or once per spatial dimension ({field} specified {len(values)} times; "
            f"{axes} spatial dims).",
        )
    return tuple(int(v) for v in values)
