"""Drawing networks: the graph says what the net is; the picture needs graphviz."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import caffe
from caffe import draw
from caffe.proto import text

NET = """name: "a \\"net\\""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 8 kernel_h: 3 kernel_w: 5 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" include { phase: TRAIN } }
layer { name: "same" type: "Pooling" bottom: "pool" top: "all" pooling_param { global_pooling: true } }
layer { name: "same" type: "InnerProduct" bottom: "all" top: "fc" inner_product_param { num_output: 4 } }
"""


def edges(graph: str) -> list[tuple[str, str]]:
    """(from, to) of the edges, layers by their names."""
    labels = dict(re.findall(r'"(layer \d+)" \[label="(\w+)', graph))
    found = re.findall(r'"([^"]+)" -> "([^"]+)"', graph)
    return [(labels.get(a, a.removeprefix("blob ")), labels.get(b, b.removeprefix("blob "))) for a, b in found]


def test_the_graph_is_the_net() -> None:
    graph = draw.net_to_dot(text.parse_net(NET))
    assert edges(graph) == [
        ("data", "data"),
        ("data", "conv"),
        ("conv", "conv"),
        ("conv", "relu"),
        ("conv", "pool"),
        ("pool", "pool"),
        ("pool", "drop"),
        ("pool", "same"),
        ("same", "all"),
        ("all", "same"),
        ("same", "fc"),
    ]
    assert r"conv\n(Convolution)\nkernel size: 3x5\nstride: 2\npad: 0" in graph
    assert r"pool\n(AVE Pooling)\nkernel size: 2\nstride: 2\npad: 0" in graph
    assert r"same\n(MAX Pooling)\nglobal" in graph
    assert '[label="8"]' in graph
    assert 'digraph "a \\"net\\""' in graph


def test_phase_and_learning_rates() -> None:
    net = text.parse_net(NET)
    assert "drop" in draw.net_to_dot(net, phase=caffe.TRAIN)
    assert "drop" not in draw.net_to_dot(net, phase=caffe.TEST)
    assert "lr mult: 1, 2" in draw.net_to_dot(net, "TB", display_lrm=True)
    with pytest.raises(caffe.CaffeError, match="rankdir"):
        draw.net_to_dot(net, "UP")


def test_the_helpers_of_pycaffes_drawing() -> None:
    layers = {layer.name: layer for layer in text.parse_net(NET).layer}
    assert draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}
    assert draw.get_layer_lr_mult(layers["conv"]) == [1, 2]
    assert draw.get_edge_label(layers["conv"]) == "8"
    assert draw.get_edge_label(layers["pool"]) == ""
    assert draw.get_layer_label(layers["pool"], "TB") == "pool (AVE Pooling) kernel size: 2 stride: 2 pad: 0"
    colours = {
        kind: draw.choose_color_by_layertype(kind) for kind in ("Convolution", "Deconvolution", "Pooling", "None")
    }
    assert colours["Convolution"] == colours["Deconvolution"] == draw.COLOURS["convolution"]
    assert len(set(colours.values())) == 3
    assert draw.choose_color_by_layertype("NoSuchType") not in draw.COLOURS.values()


def test_pydot_gets_the_graph() -> None:
    net = text.parse_net(NET)
    if find_spec("pydot") is None:
        with pytest.raises(caffe.CaffeError, match="pip install pydot"):
            draw.get_pydot_graph(net)
        return
    graph = draw.get_pydot_graph(net, "TB", phase=caffe.TEST)
    assert graph.get_rankdir() == "TB"
    blobs = {name for layer in net.layer if layer.name != "drop" for name in layer.top}
    assert {node.get_label().strip('"') for node in graph.get_nodes() if node.get_shape() == "octagon"} == blobs


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures(kind: str, start: bytes, tmp_path: Path) -> None:
    if shutil.which("dot") is None:
        pytest.skip("graphviz's program dot is not installed: no picture was drawn")
    target = tmp_path / f"net.{kind}"
    draw.draw_net_to_file(text.parse_net(NET), target)
    assert target.read_bytes().startswith(start)
    with pytest.raises(caffe.CaffeError, match="cannot draw a xyz"):
        draw.draw_net(text.parse_net(NET), ext="xyz")


def test_without_graphviz_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(caffe.CaffeError, match="needs graphviz's program `dot`"):
        draw.draw_net_to_file(text.parse_net(NET), tmp_path / "net.png")
    assert list(tmp_path.iterdir()) == []
