"""Layer types: who may take a name, and what is said where a name is unknown or its class cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.caffe.plugins import install, run

import caffe
from caffe.errors import CaffeError
from caffe.layers.activation import ReLU
from caffe.layers.registry import layer_class, layer_type_list, register_layer, unknown_type_message


def test_a_type_is_taken_once_except_by_the_same_class_again() -> None:
    def define() -> type[caffe.Layer]:
        @register_layer("TakenOnce")
        class TakenOnce(caffe.Layer):
            pass

        return TakenOnce

    define()
    again = define()  # a notebook's cell, run twice
    assert layer_class("TakenOnce", "l") is again
    with pytest.raises(CaffeError, match="Layer type TakenOnce already registered"):
        register_layer("TakenOnce")(ReLU)
    assert layer_class("TakenOnce", "l") is again


def test_types_of_all_three_sources_are_listed() -> None:
    register_layer("AddedHere")(type("AddedHere", (caffe.Layer,), {}))
    known = layer_type_list()
    assert known == sorted(known)
    assert {"ReLU", "AddedHere", "MultiStageMeanfield", "RobustLogLikelihoodLoss"} <= set(known)
    assert layer_class("ReLU", "l") is ReLU


def test_an_unknown_type_is_told_its_neighbours_and_how_to_add_it() -> None:
    with pytest.raises(CaffeError) as caught:
        layer_class("Softmaxloss", "l")
    message = str(caught.value)
    assert message == unknown_type_message("Softmaxloss", "l")
    assert message.startswith("Unknown layer type: Softmaxloss (layer 'l'). Did you mean Softmax")
    for words in ('@caffe.register_layer("Softmaxloss")', "entry-point group 'caffe.layers'", "attribute `message`"):
        assert words in message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:Layer", "cannot be loaded: No module named 'no_such_module'\n"),
        ("collections:OrderedDict", "must be a subclass of caffe.Layer, not <class 'collections.OrderedDict'>\n"),
    ],
)
def test_a_plugin_that_is_no_layer_is_named(tmp_path: Path, value: str, words: str) -> None:
    install(tmp_path, f"Wrong = {value}\n")
    program = """
import caffe
from caffe import draw
from caffe.proto import text
net = text.parse_net('layer { name: "l" type: "Wrong" }')
for use in (lambda: caffe.Net(net, caffe.TEST), lambda: draw.net_to_dot(net)):
    try: use()
    except caffe.CaffeError as error: print(error)
"""
    done = run(tmp_path, program)
    assert done.stdout == 2 * f"Layer 'l': the plugin {value} for type Wrong {words}", done.stderr


def test_a_built_in_type_is_taken_by_a_class_of_its_name() -> None:
    own = type("ReLU", (caffe.Layer,), {"__qualname__": "ReLU"})
    with pytest.raises(CaffeError, match=r"Layer type ReLU already registered, by caffe.layers.activation.ReLU"):
        register_layer("ReLU")(own)
    assert layer_class("ReLU", "l") is ReLU


@pytest.mark.parametrize("name", [None, "", type("Forgotten", (caffe.Layer,), {})])
def test_registering_needs_a_name(name: Any) -> None:
    with pytest.raises(CaffeError, match="needs the name of the layer type"):
        register_layer(name)


@pytest.mark.parametrize("what", [int, lambda: None, None])
def test_registering_needs_a_layer(what: Any) -> None:
    with pytest.raises(CaffeError, match=r"registered for layer type NoLayer must be a subclass of caffe.Layer, not"):
        register_layer("NoLayer")(what)
    assert "NoLayer" not in layer_type_list()


@pytest.mark.parametrize(("message", "words"), [(5, "must be proto text, not int"), ("garbage", "layer type Told")])
def test_a_message_that_is_none_is_refused(message: Any, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        register_layer("Told")(type("Told", (caffe.Layer,), {"message": message}))
    assert "Told" not in layer_type_list()


def test_a_type_of_any_spelling_is_a_function_of_caffe_layers() -> None:
    register_layer("lowercase")(type("lowercase", (caffe.Layer,), {}))
    assert caffe.layers.lowercase().fn.type_name == "lowercase"
    with pytest.raises(AttributeError, match="no attribute 'uppercase'"):
        caffe.layers.uppercase  # noqa: B018
