"""The committed network definitions, and where the pixels of their blobs lie."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from google.protobuf import text_format

from caffe.proto import caffe_pb2
from support.reference_data import REPOSITORY

PROTOTXT = REPOSITORY / "prototxt"

# A blob pixel at x lies at image coordinate scale * x + shift.
Map = tuple[Fraction, Fraction]


def parse(text: str, name: str) -> Any:
    """The solver or net that a file holds."""
    message = caffe_pb2.SolverParameter() if "solver" in name else caffe_pb2.NetParameter()
    return text_format.Parse(text, message)


def committed(name: str) -> Any:
    """A file of prototxt/ as a message."""
    return parse((PROTOTXT / name).read_text(encoding="utf-8"), name)


def layer(net: Any, name: str) -> Any:
    """The layer of that name, which must be the only one."""
    (found,) = [entry for entry in net.layer if entry.name == name]
    return found


def coordinate_maps(net: Any) -> tuple[dict[str, Map], dict[str, Fraction]]:
    """Where the pixels of every blob lie, and the offset at which each Crop should cut.

    Derived from kernels, strides and paddings alone: a window's result lies at the window's centre.
    """
    maps: dict[str, Map] = {"data": (Fraction(1), Fraction(0))}
    offsets: dict[str, Fraction] = {}
    for entry in net.layer:
        if not entry.bottom:
            continue
        scale, shift = maps[entry.bottom[0]]
        if entry.type in ("Convolution", "Deconvolution"):
            param = entry.convolution_param
            kernel, stride = param.kernel_size[0], (param.stride or [1])[0]
            pad, hole = (param.pad or [0])[0], (param.dilation or [1])[0]
            centre = Fraction(hole * (kernel - 1), 2) - pad
        elif entry.type == "Pooling":
            stride, centre = entry.pooling_param.stride, Fraction(entry.pooling_param.kernel_size - 1, 2)
        else:
            stride, centre = 1, Fraction(0)
        if entry.type == "Deconvolution":
            scale /= stride
            shift -= scale * centre
        else:
            shift += scale * centre
            scale *= stride
        if entry.type == "Crop":
            other_scale, other_shift = maps[entry.bottom[1]]
            assert other_scale == scale
            offsets[entry.top[0]] = (other_shift - shift) / scale
            scale, shift = other_scale, other_shift
        if entry.type == "Eltwise":
            assert maps[entry.bottom[0]] == maps[entry.bottom[1]]
        for top in entry.top:
            maps[top] = (scale, shift)
    return maps, offsets
