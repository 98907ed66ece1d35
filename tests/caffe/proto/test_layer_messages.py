"""A layer of one's own with its own message is treated like a built-in one, wherever nets are read, written or composed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.caffe.plugins import install, run
from support.caffe.prototxts import error_of

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, layer_messages, model_file, text

PERMUTE = """
message PermuteParameter {
  enum Check { NONE = 0; STRICT = 1; }
  repeated uint32 order = 1;
  optional Check check = 2 [default = STRICT];
  message Offset { required float value = 1; }
  optional Offset offset = 3;
}
extend LayerParameter { optional PermuteParameter permute_param = 202; }
"""


@caffe.register_layer("Permute")
class Permute(caffe.Layer):
    """SSD's layer, with its field's number: transposes the axes."""

    message = PERMUTE

    def setup(self, bottom: Any, top: Any) -> None:
        param = self.layer_param.permute_param
        self.order = list(param.order)
        self.offset = param.offset.value if param.HasField("offset") else 0.0

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(*(bottom[0].shape[axis] for axis in self.order))

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].data[...] = bottom[0].data.transpose(self.order) + self.offset


INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 } } }'
LAYER = """
layer {
  name: "turn" type: "Permute" bottom: "x" top: "y"
  permute_param { order: [2, 0] order: 1 check: NONE offset { value: 0.5 } }
}
"""


def test_a_prototxt_is_read_computed_and_written_back(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + LAYER)
    net = caffe.Net(str(path), caffe.TEST)
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(net.forward(x=values)["y"], values.transpose(2, 0, 1) + 0.5)
    read = text.read_net(path)
    written = text.to_text(read)
    assert "  permute_param {\n    order: 2\n    order: 0\n    order: 1\n    check: NONE\n    offset {\n" in written
    assert text.parse_net(written) == read
    assert text.layer_types(path) == [("x", "Input"), ("turn", "Permute")]


def test_fields_of_the_message_are_checked_where_they_stand() -> None:
    message = error_of(INPUT + LAYER.replace("order: 1 check", "ordre: 1 check"))
    first, line, caret = message.split("\n")
    assert first == (
        'net.prototxt:4:33: Message type "caffe.PermuteParameter" has no field named "ordre". Did you mean order? '
        "In layer 'turn'."
    )
    assert line.index("ordre") == caret.index("^")
    assert "net.prototxt:4:49: " in error_of(INPUT + LAYER.replace("NONE", "NIL"))
    assert "Did you mean permute_param" in error_of(INPUT + LAYER.replace("permute_param", "permut_param"))
    assert "offset.value" in error_of(INPUT + LAYER.replace("value: 0.5", ""))
    # In a layer alone, and once.
    assert 'NetParameter" has no field named "permute_param"' in error_of("permute_param { }")
    assert "permute_param" in error_of(LAYER.replace("permute_param {", "permute_param { } permute_param {"))


def test_network_programs() -> None:
    n = caffe.NetSpec()
    n.x = L.Input(shape={"dim": [2, 3, 4]})
    n.y = L.Permute(n.x, order=[2, 0, 1], check=P.Permute.NONE, offset={"value": 0.5})
    n.z = L.Permute(n.x, permute_param={"order": [0, 1, 2], "check": "STRICT"})
    net = n.to_proto()
    assert net.layer[1].permute_param.check == caffe_pb2.PermuteParameter.NONE
    assert net.layer[2].permute_param == caffe_pb2.PermuteParameter(order=[0, 1, 2], check=1)
    assert caffe.Net(net, caffe.TEST).blobs["y"].data.shape == (4, 2, 3)
    n.y = L.Permute(n.x, ordre=[2, 0, 1])
    with pytest.raises(
        CaffeError, match="neither PermuteParameter nor LayerParameter has a field 'ordre'; did you mean 'order'"
    ):
        n.to_proto()


def test_a_caffemodel_keeps_the_forks_number(tmp_path: Path) -> None:
    net = text.parse_net(LAYER)
    model_file.write_model(tmp_path / "m", net, [[np.ones(2, np.float32)]])
    content = (tmp_path / "m").read_bytes()
    # Tag 202, a message: what SSD's own schema has there.
    assert b"\xd2\x0c" + bytes([len(net.layer[0].permute_param.SerializeToString())]) in content
    read = caffe_pb2.NetParameter.FromString(content)
    assert read.layer[0].permute_param == net.layer[0].permute_param
    assert model_file.read_model(tmp_path / "m")[0].blobs[0].tolist() == [1, 1]


def test_messages_answer_for_the_field_as_for_any() -> None:
    layer = caffe_pb2.LayerParameter(name="a")
    assert not layer.HasField("permute_param")
    assert layer.permute_param.check == caffe_pb2.PermuteParameter.STRICT
    assert not layer.HasField("permute_param")
    layer.permute_param.order.append(3)
    assert layer.HasField("permute_param")
    assert layer.HasField("name")
    layer.ClearField("permute_param")
    assert layer == caffe_pb2.LayerParameter(name="a")
    with pytest.raises(ValueError, match="nonsense"):
        layer.HasField("nonsense")


def test_one_layer_is_read_alone(tmp_path: Path) -> None:
    (tmp_path / "layer.prototxt").write_text("permute_param { order: 1 }")
    layer = text.read_message(tmp_path / "layer.prototxt", caffe_pb2.LayerParameter())
    assert list(layer.permute_param.order) == [1]


def test_a_declaration_twice_and_a_derived_class() -> None:
    layer_messages.declare("Permute", PERMUTE)
    layer_messages.declare("Permute", PERMUTE.replace("\n", "  \n"))

    @caffe.register_layer("PermuteBack")
    class PermuteBack(Permute):
        pass

    assert layer_messages.fields_by_type()["PermuteBack"] == "permute_param"
    n = caffe.NetSpec()
    n.y = L.PermuteBack(L.Input(shape={"dim": [2, 3, 4]}), order=[1, 0, 2])
    assert caffe.Net(n.to_proto(), caffe.TEST).blobs["y"].data.shape == (3, 2, 4)


@pytest.mark.parametrize(
    ("layer_type", "message", "words"),
    [
        ("Permute", "message PermuteParameter { }", "declared differently before"),
        ("Permuted", "message PermuteParameter { }", "caffe.PermuteParameter is declared already"),
        ("Convoluted", "message ConvolutionParameter { }", "caffe.ConvolutionParameter is declared already"),
        ("Other", "message O { } extend LayerParameter { optional O o_param = 202; }", "202 meets permute_param = 202"),
        ("Other", "message O { } extend LayerParameter { optional O permute_param = 203; }", "meets permute_param"),
        ("Other", "message O { optional Nothing a = 1; }", "layer type Other: there is no type Nothing"),
        ("Other", "message O { optional int32 a = 1 [default = x]; }", "layer type Other: "),
        ("Other", "message O { } extend V1LayerParameter { optional O o_param = 900; }", "beside entry points"),
    ],
)
def test_declarations_that_are_refused(layer_type: str, message: str, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        layer_messages.declare(layer_type, message)
    assert layer_type == "Permute" or layer_type not in layer_messages.fields_by_type()


def test_a_refused_declaration_registers_no_layer() -> None:
    with pytest.raises(CaffeError, match="expected a name"):

        @caffe.register_layer("Refused")
        class Refused(caffe.Layer):
            message = "message { nonsense"

    assert "Refused" not in caffe.layer_type_list()


def test_an_unknown_type_is_named_before_its_unknown_block(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "box" type: "PriorBox" prior_box_param { min_size: 30 } }')
    with pytest.raises(CaffeError, match=r"Unknown layer type: PriorBox \(layer 'box'\)") as caught:
        caffe.Net(str(path), caffe.TEST)
    assert '@caffe.register_layer("PriorBox")' in str(caught.value)
    assert "attribute `message`" in str(caught.value)


def test_a_class_says_how_older_spellings_become_the_newest() -> None:
    @caffe.register_layer("Turned")
    class Turned(caffe.Layer):
        message = "message TurnedParameter { optional int32 by = 1; }"

        @staticmethod
        def upgrade(layer: Any, net: Any, source: str) -> None:
            if layer.HasField("tile_param"):
                layer.turned_param.by = layer.tile_param.tiles
                layer.ClearField("tile_param")
            net.name = source

    net = text.parse_net('layer { type: "Turned of libturned.so (see there)" tile_param { tiles: 4 } }', "t.prototxt")
    assert net.layer[0].type == "Turned"
    assert net.layer[0].turned_param.by == 4
    assert not net.layer[0].HasField("tile_param")
    assert net.name == "t.prototxt"


PLUGIN = """
import caffe
class Shuffle(caffe.Layer):
    message = "message ShuffleParameter { optional uint32 groups = 1; }"
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = self.layer_param.shuffle_param.groups
"""
PROGRAM = """
import sys, caffe
from caffe import layers as L
from caffe.proto import text
assert "shuffling" not in sys.modules
if sys.argv[1] == "prototxt":
    net = text.parse_net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
                         'layer { name: "y" type: "Shuffle" bottom: "x" top: "y" shuffle_param { groups: 3 } }')
else:
    n = caffe.NetSpec()
    n.y = L.Shuffle(L.Input(shape=dict(dim=[2])), groups=3)
    net = n.to_proto()
print(caffe.Net(net, caffe.TEST).forward()["y"])
"""


@pytest.mark.parametrize("how", ["prototxt", "program"])
def test_an_entry_points_class_is_asked_when_it_is_named(how: str, tmp_path: Path) -> None:
    (tmp_path / "shuffling.py").write_text(PLUGIN)
    install(tmp_path, "Shuffle = shuffling:Shuffle\nBroken = no_such_module:Layer\n")
    done = run(tmp_path, PROGRAM, how)
    assert done.stdout == "[3. 3.]\n", done.stderr
