"""Print options_schema.inc, the options' schema as the plugin compiles it in: python caffe_layers/bvlc/options_schema.py > ..."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from caffe.proto import caffe_pb2, schema

SOURCE = Path("python/crfasrnn/crf/multi_stage_meanfield.proto")


def generated() -> str:
    """The file's content: a FileDescriptorProto in text format, within a C++ raw string."""
    text = (Path(__file__).resolve().parents[2] / SOURCE).read_text(encoding="utf-8")
    file = schema.read(text, SOURCE.name, [caffe_pb2.FILE])
    (message,) = file.message_type
    lines = [f'name: "{file.name}" package: "{file.package}"', f'message_type {{ name: "{message.name}"']
    parts_by_kind = {"nested_type": message.nested_type, "enum_type": message.enum_type, "field": message.field}
    for kind, parts in parts_by_kind.items():
        lines += [f"  {kind} {{ {text_format.MessageToString(part, as_one_line=True)} }}" for part in parts]
    assert FileDescriptorProto(message_type=[message]) == FileDescriptorProto(
        message_type=text_format.Parse("\n".join([*lines, "}"]), FileDescriptorProto()).message_type
    )
    return "\n".join([f"// Generated from {SOURCE} by options_schema.py (make proto).", 'R"(', *lines, "}", ')"', ""])


if __name__ == "__main__":
    print(generated(), end="")
