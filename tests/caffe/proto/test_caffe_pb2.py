"""The classes say what caffe.proto and the plugins' files say: compared with a reader of its own, and with protoc where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from caffe.proto import caffe_pb2, plugins, schema

PROTO = Path(caffe_pb2.__file__).with_name("caffe.proto")
WRITTEN = PROTO.read_text() + "".join(path.read_text() for _, path in plugins.message_files())
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
        elif token in ("message", "enum", "extend"):
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
    # What makes a plugin's layer known by its old name, too.
    facts |= {
        f"V1LayerParameter.LayerType.{field.old_type}": (field.number,)
        for field in caffe_pb2.PLUGIN_FIELDS.values()
        if field.old_type
    }
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


def test_the_classes_are_the_written_schema() -> None:
    assert len(facts_of_text(WRITTEN)) > 500
    assert not differences(WRITTEN)


@pytest.mark.skipif(shutil.which("protoc") is None, reason="protoc is not installed")
def test_protoc_reads_the_same(tmp_path: Path) -> None:
    command = ["protoc", f"--proto_path={PROTO.parent}", f"--descriptor_set_out={tmp_path / 'set'}", PROTO.name]
    subprocess.run(command, check=True)
    theirs = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file[0]
    ours = schema.read(PROTO.read_text(), PROTO.name)
    messages = [*ours.message_type, *theirs.message_type]
    for message in messages:
        messages += message.nested_type
        for field in message.field:
            field.ClearField("json_name")
            if field.type in (SCALARS["double"], SCALARS["float"]) and field.HasField("default_value"):
                field.default_value = repr(float(field.default_value))
    assert ours.message_type == theirs.message_type
    assert ours.enum_type == theirs.enum_type


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
def test_every_difference_shows(old: str, new: str) -> None:
    assert old in WRITTEN
    assert differences(WRITTEN.replace(old, new, 1))


def test_every_field_number_is_used_once() -> None:
    numbers: set[tuple[str, int]] = set()
    for name, fact in facts_of_text(WRITTEN).items():
        if len(fact) > 1:
            key = (name.rpartition(".")[0], fact[0])
            assert key not in numbers, name
            numbers.add(key)


def test_layer_messages_of_v1_and_v2_agree() -> None:
    """The upgrade copies V1 fields to V2 fields of the same name, so they must have the same type."""
    old, new = caffe_pb2.V1LayerParameter.DESCRIPTOR, caffe_pb2.LayerParameter.DESCRIPTOR
    for field in old.fields:
        if field.name in ("layer", "type", "param", "blob_share_mode", "blobs_lr", "weight_decay"):
            continue
        same = new.fields_by_name[field.name]
        assert (same.type, same.message_type) == (field.type, field.message_type), field.name
