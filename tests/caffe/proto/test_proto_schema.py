"""The committed caffe_pb2.py says what caffe.proto says, and caffe.proto says what is known of Caffe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from caffe.proto import caffe_pb2

PROTO = Path(caffe_pb2.__file__).with_name("caffe.proto")
LABELS = {"optional": 1, "required": 2, "repeated": 3}
SCALARS = {
    "double": 1,
    "float": 2,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
}
TOKEN = re.compile(r'"[^"]*"|[\w.+-]+|[{}=;\[\]]')
Facts = dict[str, tuple[Any, ...]]


def facts_of_text(text: str) -> Facts:
    """Every field and enum value of a .proto as {full name: what is said of it}; a reader of its own, not protoc."""
    tokens = iter(TOKEN.findall(re.sub(r"//[^\n]*", "", text)))
    facts: Facts = {}
    scope: list[str] = []
    for token in tokens:
        if token in ("syntax", "package"):
            while next(tokens) != ";":
                pass
        elif token in ("message", "enum"):
            scope.append(next(tokens))
            assert next(tokens) == "{"
        elif token == "}":
            scope.pop()
        elif token in LABELS:
            kind, name, equals, number = (next(tokens) for _ in range(4))
            assert equals == "="
            options = dict(_options(tokens))
            facts[".".join([*scope, name])] = (
                int(number),
                LABELS[token],
                kind,
                _number(options.get("default", "").strip('"')),
                options.get("packed") == "true",
            )
        else:
            assert next(tokens) == "="
            facts[".".join([*scope, token])] = (int(next(tokens)),)
            assert next(tokens) == ";"
    assert not scope
    return facts


def _options(tokens: Iterator[str]) -> Iterator[tuple[str, str]]:
    token = next(tokens)
    while token != ";":
        if token not in "[]":
            assert next(tokens) == "="
            yield token, next(tokens)
        token = next(tokens)


def _number(value: str) -> str | float:
    try:
        return float(f"{float(value):.6g}")
    except ValueError:
        return value


def facts_of_descriptor() -> Facts:
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    facts: Facts = {}

    def visit(prefix: str, messages: Any, enums: Any) -> None:
        for enum in enums:
            for value in enum.value:
                facts[f"{prefix}{enum.name}.{value.name}"] = (value.number,)
        for message in messages:
            for field in message.field:
                kind = (
                    next((name for name, number in SCALARS.items() if number == field.type), "")
                    or field.type_name.split(".")[-1]
                )
                said = (field.number, field.label, kind, _number(field.default_value), field.options.packed)
                facts[f"{prefix}{message.name}.{field.name}"] = said
            visit(f"{prefix}{message.name}.", message.nested_type, message.enum_type)

    visit("", file.message_type, file.enum_type)
    return facts


def differences(text: str) -> list[str]:
    written, compiled = facts_of_text(text), facts_of_descriptor()
    return [
        f"{name}: caffe.proto {written.get(name)}, caffe_pb2.py {compiled.get(name)}"
        for name in sorted(written.keys() | compiled.keys())
        if written.get(name) != compiled.get(name)
    ]


def test_the_compiled_schema_is_the_written_one() -> None:
    facts = facts_of_text(PROTO.read_text())
    assert len(facts) > 500
    assert not differences(PROTO.read_text()), "run the protoc command at the head of caffe.proto"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("recurrent_param = 146", "recurrent_param = 149"),
        ("optional float beta = 3 [default = 0.75]", "optional float beta = 3 [default = 0.7]"),
        ("repeated float coeff = 2", "optional float coeff = 2"),
        ("WITHIN_CHANNEL = 1", "WITHIN_CHANNEL = 2"),
        ("repeated int64 dim = 1 [packed = true]", "repeated int64 dim = 1"),
        ("optional int32 tiles = 2;", "optional int32 tiles = 2; optional int32 extra = 3;"),
        ("optional int64 random_seed", "optional int32 random_seed"),
    ],
)
def test_a_forgotten_compilation_shows(old: str, new: str) -> None:
    text = PROTO.read_text()
    assert old in text
    assert differences(text.replace(old, new, 1))


def test_every_field_number_is_used_once() -> None:
    numbers: set[tuple[str, int]] = set()
    for name, fact in facts_of_text(PROTO.read_text()).items():
        if len(fact) > 1:
            key = (name.rpartition(".")[0], fact[0])
            assert key not in numbers, name
            numbers.add(key)


def test_the_meanfield_layer_has_the_forks_fields() -> None:
    fields = {f.name: f.number for f in caffe_pb2.MultiStageMeanfieldParameter.DESCRIPTOR.fields}
    assert fields == {
        "compatibility_mode": 1,
        "threshold": 2,
        "theta_alpha": 3,
        "theta_beta": 4,
        "theta_gamma": 5,
        "num_iterations": 6,
        "spatial_filter_weight": 7,
        "bilateral_filter_weight": 8,
        "forced_spatial_filter_weight": 9,
        "forced_bilateral_filter_weight": 10,
        "spatial_filter_weights_str": 19,
        "bilateral_filter_weights_str": 20,
        "force_cpu": 29,
        # Ours, where no fork has numbers.
        "kernel_weights": 100,
        "symmetric_compatibility": 101,
        "activation": 102,
        "untied": 103,
        "learn_bandwidths": 104,
    }
    empty = caffe_pb2.MultiStageMeanfieldParameter()
    assert empty.IsInitialized()
    assert (empty.theta_alpha, empty.theta_beta, empty.theta_gamma, empty.num_iterations) == (10, 10, 10, 1)
    assert (empty.spatial_filter_weight, empty.bilateral_filter_weight) == (1, 1)
    assert caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name["multi_stage_meanfield_param"].number == 1000


def test_layer_messages_of_v1_and_v2_agree() -> None:
    """The upgrade copies V1 fields to V2 fields of the same name, so they must have the same type."""
    old, new = caffe_pb2.V1LayerParameter.DESCRIPTOR, caffe_pb2.LayerParameter.DESCRIPTOR
    for field in old.fields:
        if field.name in ("layer", "type", "param", "blob_share_mode", "blobs_lr", "weight_decay"):
            continue
        same = new.fields_by_name[field.name]
        assert (same.type, same.message_type) == (field.type, field.message_type), field.name
