"""Proto text becomes descriptors, and what is wrong in it is said with its line; test_caffe_pb2 compares all of caffe.proto."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, text_format

from caffe.errors import CaffeError
from caffe.proto import schema
from caffe.proto.schema import LayerField

PERMUTE = "message PermuteParameter { repeated uint32 order = 1; }"
BASE = schema.read(
    """message LayerParameter { optional string name = 1; optional Kind kind = 149; }
    message Kind { } message V1LayerParameter { enum LayerType { NONE = 0; } optional LayerType type = 5; }""",
    "base.proto",
)


def test_every_kind_of_declaration() -> None:
    file = schema.read(
        """syntax = "proto2"; package caffe; // comments
        enum Phase { TRAIN = 0; TEST = -1; }
        message Outer { /* of both
          kinds */ enum Phase { A = 0x10; } ;
          message Inner { optional Phase own = 1; optional caffe.Phase other = 2; }
          repeated Inner inner = 1; required bytes data = 2 [default = "a\\"\\n", deprecated = true];
          repeated float x = 3 [packed=true]; optional double y = 4 [default = -1e-5];
        }""",
        "f.proto",
    )
    expected = text_format.Parse(
        r"""name: "f.proto" package: "caffe"
        enum_type { name: "Phase" value { name: "TRAIN" number: 0 } value { name: "TEST" number: -1 } }
        message_type { name: "Outer"
          enum_type { name: "Phase" value { name: "A" number: 16 } }
          nested_type { name: "Inner"
            field { name: "own" number: 1 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".caffe.Outer.Phase" }
            field { name: "other" number: 2 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".caffe.Phase" } }
          field { name: "inner" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".caffe.Outer.Inner" }
          field { name: "data" number: 2 label: LABEL_REQUIRED type: TYPE_BYTES default_value: "a\"\n"
            options { deprecated: true } }
          field { name: "x" number: 3 label: LABEL_REPEATED type: TYPE_FLOAT options { packed: true } }
          field { name: "y" number: 4 label: LABEL_OPTIONAL type: TYPE_DOUBLE default_value: "-1e-5" } }""",
        descriptor_pb2.FileDescriptorProto(),
    )
    assert file == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("message A {\n  optional int32 = 1;\n}", r"f:2: expected a name, found '='"),
        ("message A { oneof x { } }", "expected a field, message or enum, found 'oneof'"),
        ("message A { optional int32 a = 1 }", "expected ';', found '}'"),
        ("message A { optional int32 a = one; }", "a whole number, found 'one'"),
        ("message A { optional map<int32, int32> a = 1; }", "'<' is not understood"),
        ("message A { optional B b = 1; }", "there is no type B"),
        ("message A {\n\n", "f:3: expected a field, message or enum, found 'the end'"),
        ("package other;", "expected package caffe, found 'other'"),
        ('syntax = "proto3";', "proto2"),
        ("service S { }", "expected message, enum or extend"),
        ("message A { optional int32 a = 1 [lazy = true]; }", "expected default, packed or deprecated"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        schema.read(text, "f")


def test_names_in_snake_case() -> None:
    names = {
        "Permute": "permute",
        "MultiStage": "multi_stage",
        "HDF5Data": "hdf5_data",
        "MVN": "mvn",
        "TanH2": "tan_h2",
    }
    assert {name: schema.snake_case(name) for name in names} == names


def test_a_layers_field_is_stated_or_follows_from_its_type() -> None:
    file = schema.read(PERMUTE, "f", [BASE])
    derived = schema.layer_field(file, "PermuteAxes")
    # Stands in model files, so it must never change.
    assert derived == LayerField("PermuteAxes", "permute_axes_param", 256665615, "")
    assert file.extension[0].type_name == ".caffe.PermuteParameter"
    stated = PERMUTE + "extend LayerParameter { optional PermuteParameter order_param = 202; }"
    assert schema.layer_field(schema.read(stated, "f", [BASE]), "Permute") == LayerField("Permute", "order_param", 202)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("enum E { A = 0; }", "declares no message"),
        (PERMUTE + "extend LayerParameter { repeated PermuteParameter p = 202; }", "p must be an optional message"),
        ("extend LayerParameter { optional float p = 202; }", "p must be an optional message"),
        (
            PERMUTE + "extend Kind { optional PermuteParameter p = 1; }",
            "caffe.Kind takes no fields from outside|declares",
        ),
        (PERMUTE + "extend LayerParameter { optional PermuteParameter p = 148; }", "below 149 are Caffe's own"),
        (
            PERMUTE + "extend LayerParameter { optional PermuteParameter p = 202; optional PermuteParameter q = 203; }",
            "one field in LayerParameter, not 2",
        ),
    ],
)
def test_fields_that_no_layer_may_have(text: str, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        schema.layer_field(schema.read(text, "f", [BASE]), "Permute")


def joined(text: str) -> tuple[descriptor_pb2.FileDescriptorProto, LayerField]:
    base = descriptor_pb2.FileDescriptorProto()
    base.CopyFrom(BASE)
    return base, schema.join(base, schema.read(text, "f", [base]), "PermuteAxes")


def test_joining_makes_true_fields_and_an_old_type() -> None:
    base, field = joined(
        PERMUTE
        + "extend LayerParameter { optional PermuteParameter permute_param = 202; }"
        + "extend V1LayerParameter { optional PermuteParameter permute_param = 1202; }"
    )
    assert field == LayerField("PermuteAxes", "permute_param", 202, "PERMUTE_AXES")
    layer, _, old, permute = base.message_type
    assert [(f.name, f.number) for f in layer.field] == [("name", 1), ("kind", 149), ("permute_param", 202)]
    assert [(f.name, f.number) for f in old.field] == [("type", 5), ("permute_param", 1202)]
    assert [(v.name, v.number) for v in old.enum_type[0].value] == [("NONE", 0), ("PERMUTE_AXES", 1202)]
    assert permute.name == "PermuteParameter"
    schema.open_to_extensions(layer)
    assert [(r.start, r.end) for r in layer.extension_range] == [(150, 202), (203, 2**29)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("message Kind { }", "caffe.Kind is declared already"),
        (PERMUTE + "extend LayerParameter { optional PermuteParameter kind = 150; }", "kind = 150 meets kind = 149"),
        (
            PERMUTE + "extend LayerParameter { optional PermuteParameter p = 149; }",
            "p = 149 meets kind = 149 of caffe.Layer",
        ),
    ],
)
def test_what_is_taken_is_refused(text: str, words: str) -> None:
    with pytest.raises(CaffeError, match=words):
        joined(text)
