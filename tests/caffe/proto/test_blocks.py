"""The light scan of prototxts: which layer stands where, and fields written as extensions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from caffe.proto.blocks import Bracketed, layer_at

NET = """name: "net"  # layer { name: "comment" }
layer { type: "A" name: 'first }' top: "x" a_param { name: "inner" b_param: 3 } }
layers: < name: "second" >
layer # of no name
{
  a_param { }
}
state { level: 1 } layer { a_param {
"""


def test_the_layer_around_a_place() -> None:
    places = {"comment": "", "type": "first }", "inner": "first }", "second": "second", "of no": "", "level": ""}
    assert {word: layer_at(NET, NET.index(word)) for word in places} == places
    assert layer_at('layer { name: "open" foo {', 20) == "open"
    assert layer_at("", 0) == ""


def test_fields_of_layers_alone_are_bracketed() -> None:
    text = 'a_param { } layer { a_param { a_param: 1 } b: "a_param {" a_param: < > bottom: "a_param" } # a_param {'
    expected = text.replace("layer { a_param", "layer { [caffe.a_param]").replace("a_param: <", "[caffe.a_param]: <")
    assert Bracketed(text, {"a_param"}).text == expected
    assert Bracketed(text, {"b_param"}).text == text
    assert Bracketed("a_param { }", {"a_param"}, one_layer=True).text == "[caffe.a_param] { }"


def test_places_are_found_again() -> None:
    text = "layer { a_param { x: 1 } bb_param { y: 2 } z: 3 }"
    written = Bracketed(text, {"a_param", "bb_param"})
    for word in ("layer", "a_param", "x: 1", "bb_param", "y: 2", "z: 3"):
        assert written.original(written.text.index(word)) == text.index(word), word
    assert written.original(written.text.index("[caffe.bb")) == text.index("bb_param")


@given(st.text(alphabet='layer_pm {}<>:"#\n', max_size=80))
def test_brackets_are_all_that_changes(text: str) -> None:
    written = Bracketed(text, {"a_p", "y"})
    assert written.text.replace("[caffe.", "").replace("]", "") == text
    offsets = [written.original(i) for i in range(len(written.text) + 1)]
    assert offsets == sorted(offsets)
    assert offsets[-1] == len(text)
    layer_at(text, len(text) // 2)
