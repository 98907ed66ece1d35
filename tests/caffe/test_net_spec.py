"""NetSpec writes the networks that pycaffe's would."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from google.protobuf import text_format

from caffe.errors import CaffeError
from caffe.net_spec import NetSpec, assign_proto, param_name_dict, to_proto
from caffe.net_spec import layers as L
from caffe.net_spec import params as P
from caffe.proto import caffe_pb2


def test_an_enum_value_that_there_is_not_names_those_that_there_are() -> None:
    assert (P.Pooling.AVE, P.LRN.WITHIN_CHANNEL) == (1, 1)
    with pytest.raises(
        AttributeError, match=r"^PoolingParameter has no value 'MAXX' \(PoolMethod: MAX, AVE, STOCHASTIC; "
    ):
        _ = P.Pooling.MAXX
    with pytest.raises(AttributeError, match=r"^DropoutParameter has no value 'X' \(it has none\)"):
        _ = P.Dropout.X
    with pytest.raises(AttributeError, match="the schema has no message PolingParameter"):
        _ = P.Poling.MAX


def parsed(text: str) -> caffe_pb2.NetParameter:
    """The message that a prototxt stands for."""
    return text_format.Parse(text, caffe_pb2.NetParameter())


def test_a_small_classifier_becomes_the_prototxt_one_would_write_by_hand() -> None:
    n = NetSpec()
    n.data, n.label = L.Data(
        source="rows_lmdb",
        backend=P.Data.LMDB,
        batch_size=64,
        ntop=2,
        include={"phase": 0},
        transform_param={"scale": 0.5, "mean_value": [1, 2, 3]},
    )
    n.conv1 = L.Convolution(
        n.data,
        num_output=20,
        kernel_size=5,
        weight_filler={"type": "xavier"},
        param=[{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
    )
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.score = L.InnerProduct(n.pool1, num_output=10, name="ip-last")
    n.loss = L.SoftmaxWithLoss(n.score, n.label, loss_weight=2, loss_param={"ignore_label": 255, "normalize": False})
    assert n.to_proto() == parsed(
        """
        layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
          transform_param { scale: 0.5 mean_value: 1 mean_value: 2 mean_value: 3 }
          data_param { source: "rows_lmdb" backend: LMDB batch_size: 64 } }
        layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
          convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
        layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
        layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
          pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
        layer { name: "ip-last" type: "InnerProduct" bottom: "pool1" top: "score"
          inner_product_param { num_output: 10 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" loss_weight: 2
          loss_param { ignore_label: 255 normalize: false } }
        """
    )


def test_tops_without_a_name_are_numbered_by_type_and_written_once() -> None:
    data = L.Input(shape={"dim": [1, 2]})
    first = L.InnerProduct(data, num_output=3)
    joined = L.Concat(first, L.InnerProduct(first, num_output=3), data)
    assert (
        to_proto(joined)
        == joined.to_proto()
        == parsed(
            """
        layer { name: "Input1" type: "Input" top: "Input1" input_param { shape { dim: 1 dim: 2 } } }
        layer { name: "InnerProduct1" type: "InnerProduct" bottom: "Input1" top: "InnerProduct1"
          inner_product_param { num_output: 3 } }
        layer { name: "InnerProduct2" type: "InnerProduct" bottom: "InnerProduct1" top: "InnerProduct2"
          inner_product_param { num_output: 3 } }
        layer { name: "Concat1" type: "Concat" bottom: "InnerProduct1" bottom: "InnerProduct2" bottom: "Input1"
          top: "Concat1" }
        """
        )
    )


def test_names_with_hyphens_several_tops_and_layers_without_top() -> None:
    n = NetSpec()
    n["fc-8"] = L.DummyData(shape=[{"dim": [2, 4]}])
    n.a, n.b = L.Slice(n["fc-8"], ntop=2, axis=1, slice_point=[1], name="cut")
    n.quiet = L.Silence(n.a, n.b, ntop=0)
    net = n.to_proto()
    assert [(layer.name, list(layer.bottom), list(layer.top)) for layer in net.layer] == [
        ("fc-8", [], ["fc-8"]),
        ("cut", ["fc-8"], ["a", "b"]),
        ("quiet", ["a", "b"], []),
    ]
    assert list(net.layer[1].slice_param.slice_point) == [1]
    assert "fc-8" in n
    del n.quiet
    assert [layer.type for layer in n.to_proto().layer] == ["DummyData", "Slice"]


def test_deconvolution_takes_its_fields_as_keywords_or_as_convolution_param() -> None:
    data = L.Input(shape={"dim": [1, 2, 4, 4]})
    fields = {"num_output": 2, "kernel_size": 4, "stride": 2, "bias_term": False}
    by_keyword = to_proto(L.Deconvolution(data, **fields))
    as_message = to_proto(L.Deconvolution(data, convolution_param=fields))
    assert by_keyword == as_message
    assert by_keyword.layer[1].convolution_param.stride == [2]


def test_enums_by_name_and_messages_as_objects() -> None:
    filler = caffe_pb2.FillerParameter(type="msra")
    net = to_proto(
        L.InnerProduct(L.Input(shape={"dim": [1, 1]}), num_output=1, weight_filler=filler, include={"phase": "TEST"})
    )
    assert net.layer[1].inner_product_param.weight_filler.type == "msra"
    assert net.layer[1].include[0].phase == caffe_pb2.TEST


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda x: L.Convolution(x, num_outputs=3),
            "neither ConvolutionParameter nor LayerParameter has a field 'num_outputs'; did you mean 'num_output'",
        ),
        (lambda x: L.Pooling(x, pool="MAXIMUM"), "has the values MAX, AVE, STOCHASTIC"),
        (lambda x: L.Convolution(x, num_output="many"), "num_output to 'many'"),
        (lambda x: L.Convolution(x, weight_filler={"typ": "xavier"}), "FillerParameter has no field 'typ'"),
        (lambda x: L.Convolution(x, convolution_param=3), "a ConvolutionParameter is written as a dict"),
    ],
)
def test_wrong_fields_are_named(make, message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        to_proto(make(L.Input(shape={"dim": [1, 1]})))


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(TypeError, match="Convolution input 0 is not a Top"):
        L.Convolution("data", num_output=1)
    with pytest.raises(TypeError, match=r"Convolution input 1 is not a Top \(type is <class 'tuple'>\)"):
        L.Convolution(L.Input(), L.DummyData(ntop=2))
    for inputs, ntop in (((), 1), ((L.Input(),), 2)):
        with pytest.raises(CaffeError, match="in_place writes each top over an input: Eltwise has"):
            L.Eltwise(*inputs, in_place=True, ntop=ntop)
    with pytest.raises(TypeError, match="takes what a layer call returns"):
        NetSpec().data = 3
    with pytest.raises(AttributeError, match="no top named 'conv9'"):
        _ = NetSpec().conv9


def test_in_place_layers_of_several_bottoms_write_over_all_of_them() -> None:
    n = NetSpec()
    n.a, n.b = L.DummyData(ntop=2)
    n.mixed = L.Python(n.a, n.b, in_place=True)
    first, second = L.Python(n.a, n.b, in_place=True, ntop=2)
    n.sum = L.Eltwise(first, second)
    layers = n.to_proto().layer
    assert [(list(layer.bottom), list(layer.top)) for layer in layers[1:]] == [
        (["a", "b"], ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        (["a", "b"], ["sum"]),
    ]


def test_a_tuple_of_tops_stays_under_a_name_until_it_is_replaced() -> None:
    n = NetSpec()
    n["data"] = both = L.DummyData(shape={"dim": [1, 2]}, ntop=2)
    with pytest.raises(CaffeError, match=r"n\.data holds the 2 tops of a layer"):
        n.to_proto()
    n.data, n.label = both
    assert [list(layer.top) for layer in n.to_proto().layer] == [["data", "label"]]
    with pytest.raises(TypeError, match="takes what a layer call returns"):
        n.data = (both[0], 3)


def test_names_of_the_layers_messages() -> None:
    names = param_name_dict()
    assert names["Convolution"] == names["Deconvolution"] == "convolution"
    assert (names["InnerProduct"], names["Pooling"], names["LRN"]) == ("inner_product", "pooling", "lrn")
    layer = caffe_pb2.LayerParameter()
    assert [name for name in names.values() if not hasattr(layer, f"{name}_param")] == []


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda spec: pickle.loads(pickle.dumps(spec))])
def test_a_copy_is_a_network_of_its_own(copied: Callable[[NetSpec], NetSpec]) -> None:
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 3]})
    again = copied(n)
    assert again.to_proto() == n.to_proto()
    again.half = L.Power(again.data, scale=0.5)
    assert "half" in again
    assert "half" not in n


@pytest.mark.parametrize("name", ["kernel_size\0", "\udc80", "kernel size", "kernel_sizé"])
def test_names_that_no_field_can_have_are_unknown_fields(name: str) -> None:
    n = NetSpec()
    n.x = L.Input(shape={"dim": [1, 1, 3, 3]})
    n.y = L.Convolution(n.x, num_output=1, **{name: 3})
    with pytest.raises(CaffeError, match=r"layer 'y' \(Convolution\): neither .* has a field"):
        n.to_proto()
    with pytest.raises(TypeError, match="proto must be a Message, not dict"):
        assign_proto({}, "name", "x")
