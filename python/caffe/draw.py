"""Drawing a network: its layers and blobs as a graph, laid out by graphviz (pycaffe's caffe.draw)."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from caffe.errors import CaffeError
from caffe.files import write_bytes
from caffe.inputs.arguments import instance
from caffe.layers.registry import find_layer_class
from caffe.net.definition import filter_net
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe.layers.base import Layer

_DIRECTIONS = ("LR", "RL", "TB", "BT")
_BLOB_COLOUR = "#e8e8e8"
_OTHER_COLOUR = "#8fb8de"
# By the kind that a layer's class states (caffe.Layer.kind).
COLOURS = {
    "convolution": "#f28e7f",
    "pooling": "#f7c46c",
    "product": "#c9a0dc",
    "data": "#a8d8a0",
    "normalization": "#9ed8d0",
    "loss": "#e3d26f",
}


def net_to_dot(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str = "LR",
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> str:
    """The network as a graph in graphviz's DOT language.

    rankdir: the direction it grows in, LR, RL, TB or BT. label_edges: write what a layer makes (its number of outputs) on the
    edge. phase: caffe.TRAIN or caffe.TEST for the layers of that phase, None for all. display_lrm: add the learning rate
    multipliers to layers that have parameters. Raises CaffeError for another rankdir.
    """
    if rankdir not in _DIRECTIONS:
        raise CaffeError(f"rankdir must be one of {', '.join(_DIRECTIONS)}, not '{rankdir}'")
    instance("caffe_net", caffe_net, Message)
    net = caffe_net
    if phase is not None:
        net = caffe_pb2.NetParameter()
        net.CopyFrom(caffe_net)
        net.state.phase = phase  # type: ignore[assignment]
        net = filter_net(net)
    lines = [f"digraph {_quoted(net.name or 'Net')} {{", f"  rankdir={rankdir};"]
    blobs = dict.fromkeys(name for layer in net.layer for name in (*layer.bottom, *layer.top))
    for name in blobs:
        lines.append(
            f'  {_quoted("blob " + name)} [label={_quoted(name)}, shape=octagon, style=filled, fillcolor="{_BLOB_COLOUR}"];'
        )
    for index, layer in enumerate(net.layer):
        # By index, because several layers may have the same name.
        node = _quoted(f"layer {index}")
        colour = _colour(find_layer_class(layer.type, layer.name))
        label = _quoted(get_layer_label(layer, rankdir, display_lrm))
        lines.append(f'  {node} [label={label}, shape=box, style=filled, fillcolor="{colour}"];')
        lines += [f"  {_quoted('blob ' + name)} -> {node};" for name in layer.bottom if name not in layer.top]
        for name in layer.top:
            if name in layer.bottom:
                lines.append(f"  {_quoted('blob ' + name)} -> {node} [dir=both, style=dotted];")
                continue
            made = get_edge_label(layer) if label_edges else ""
            lines.append(f"  {node} -> {_quoted('blob ' + name)}" + (f" [label={_quoted(made)}];" if made else ";"))
    return "\n".join([*lines, "}", ""])


def get_pydot_graph(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str = "LR",
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """The network as a pydot.Dot, to be changed and drawn by pydot. Raises CaffeError where that is not installed."""
    try:
        import pydot
    except ImportError as error:
        raise CaffeError(
            "get_pydot_graph needs the package pydot (pip install pydot); net_to_dot gives the graph as text."
        ) from error
    return pydot.graph_from_dot_data(net_to_dot(caffe_net, rankdir, label_edges, phase, display_lrm))[0]


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of layers of this type in drawings, as "#rrggbb"."""
    return _colour(find_layer_class(layertype, ""))


def _colour(described: type[Layer] | None) -> str:
    return COLOURS.get(described.kind if described else "", _OTHER_COLOUR)


def get_pooling_types_dict() -> dict[int, str]:
    """The names of the ways to pool, by their numbers: {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}."""
    return {value.number: value.name for value in caffe_pb2.PoolingParameter.PoolMethod.DESCRIPTOR.values}


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> list[float]:
    """The learning rate multipliers that the layer states for its parameters."""
    return [param.lr_mult for param in layer.param]


def get_layer_label(layer: caffe_pb2.LayerParameter, rankdir: str = "LR", display_lrm: bool = False) -> str:
    """What stands in a layer's box: name and type, and the window of convolutions and poolings."""
    instance("layer", layer, Message)
    parts = [layer.name, f"({layer.type})"]
    described = find_layer_class(layer.type, layer.name)
    windows = described.windows_of(layer) if described else None
    if layer.type == "Pooling":
        parts[1] = f"({get_pooling_types_dict()[layer.pooling_param.pool]} {layer.type})"
        parts += ["global"] if windows is None else []
    if windows is not None:
        named = (("kernel size", windows.kernel), ("stride", windows.stride), ("pad", windows.pad))
        parts += [f"{name}: {_sizes(values)}" for name, values in named]
    if display_lrm and layer.param:
        parts.append("lr mult: " + ", ".join(f"{rate:g}" for rate in get_layer_lr_mult(layer)))
    # A chain from left to right has room below, one from top to bottom beside.
    return "\n".join(parts) if rankdir in ("LR", "RL") else " ".join(parts)


def _sizes(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What stands on the edge below a layer: the number of outputs that its options state, or nothing."""
    for _, options in layer.ListFields():
        if getattr(options, "num_output", 0):
            return str(options.num_output)
    return ""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str = "LR",
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """The network as a picture: the bytes of a file of type `ext` (png, svg, pdf ..., or dot for the graph itself).

    Raises CaffeError where graphviz's program `dot` is missing or fails (unless `ext` is dot).
    """
    graph = net_to_dot(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).encode()
    if ext in ("dot", "gv"):
        return graph
    program = shutil.which("dot")
    if program is None:
        raise CaffeError(
            f"drawing a {ext} needs graphviz's program `dot` (apt install graphviz, brew install graphviz); "
            "a file ending in .dot can be written without it."
        )
    done = subprocess.run([program, f"-T{ext}"], input=graph, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CaffeError(f"graphviz cannot draw a {ext}: {lines[0]}")
    return done.stdout


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw the network into a file, whose extension says the kind of picture. Raises CaffeError like draw_net."""
    ext = os.path.splitext(filename)[1].lstrip(".").lower()
    if not ext:
        raise CaffeError(
            f"{os.fspath(filename)}: needs an extension that says the kind of picture, such as .png or .svg"
        )
    write_bytes(filename, draw_net(caffe_net, rankdir, ext, phase, display_lrm))
