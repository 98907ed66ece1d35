"""Caffe's messages and enums as classes, as in pycaffe: caffe_pb2.NetParameter, caffe_pb2.LayerParameter, caffe_pb2.TRAIN ...

Made from caffe.proto when this module is imported, together with the messages of installed layers that have a .proto file beside
them (caffe.proto.plugins): their fields are fields of LayerParameter like all others, for every reader and writer of protobuf.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import descriptor_pool as _descriptor_pool
from google.protobuf.internal import builder as _builder

from caffe.errors import CaffeError as _CaffeError
from caffe.proto import plugins as _plugins
from caffe.proto import schema as _schema


def _built() -> tuple[_descriptor_pb2.FileDescriptorProto, dict[str, _schema.LayerField]]:
    """The whole schema, and what layers of other packages added to it: layer type -> its field."""
    source = Path(__file__).with_name("caffe.proto")
    base = _schema.read(source.read_text(encoding="utf-8"), "caffe/proto/caffe.proto")
    fields = {}
    for layer_type, path in _plugins.message_files():
        try:
            file = _schema.read(path.read_text(encoding="utf-8"), str(path), [base])
            fields[layer_type] = _schema.join(base, file, layer_type)
        except (_CaffeError, OSError, UnicodeError) as error:
            # One broken package must not keep all others from their nets.
            warnings.warn(f"the layer {layer_type} comes without its options: {error}", stacklevel=2)
    _schema.open_to_extensions(next(message for message in base.message_type if message.name == "LayerParameter"))
    return base, fields


FILE, PLUGIN_FIELDS = _built()
DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile(FILE.SerializeToString())
_builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, __name__, globals())
