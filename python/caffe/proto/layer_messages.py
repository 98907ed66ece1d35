"""The fields that layers of one's own bring to LayerParameter, beside those of caffe.proto.

A layer class declares its options in a few lines of proto text:

    @caffe.register_layer("Permute")
    class Permute(caffe.Layer):
        message = "message PermuteParameter { repeated uint32 order = 1; }"

From then on prototxts may say `permute_param { order: 0 order: 2 order: 1 }`, network programs L.Permute(x, order=[0, 2, 1]), and
the layer reads self.layer_param.permute_param.order. The field is called after the layer's type, and its number, which stands in
caffemodels, follows from that name; files of a fork of Caffe are understood if its name and number are stated in protobuf's words:

    message = '''message PermuteParameter { repeated uint32 order = 1; }
                 extend LayerParameter { optional PermuteParameter permute_param = 202; }'''

A class that is an entry point of the group "caffe.layers" is looked up for its message when a net names its type or its field. A
package may instead lay the same text, as permute.proto, beside the class's module (caffe.proto.plugins): then the field is there
without loading the class, for programs that use protobuf's own text_format too, and `extend V1LayerParameter` makes the layer known
in nets of 2014, as `layers { type: PERMUTE }`. A field declared while the program runs is to protobuf an extension of
LayerParameter: text_format by itself reads and writes it as [caffe.permute_param].

A class may also have `upgrade(layer_param, net, source)`, a static method: it brings a layer of its type, just read from file
`source`, from the spelling of older versions to the newest. Raises CaffeError where that cannot be done.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, plugins, schema

Upgrade = Callable[[Any, Any, str], None]

_LAYER: Descriptor = caffe_pb2.LayerParameter.DESCRIPTOR
# Layer type -> its field, whether it came with the schema or later.
_fields: dict[str, schema.LayerField] = dict(caffe_pb2.PLUGIN_FIELDS)
_late: dict[str, FieldDescriptor] = {}  # by name
_declared: dict[str, FileDescriptorProto] = {}  # by layer type
_texts: dict[str, schema.LayerField] = {}
_upgrades: dict[str, Upgrade] = {}
_asked: set[str] = set()


def adopt(layer_type: str, cls: type) -> None:
    """Take in what the class of a newly registered layer type says of its message and of older spellings."""
    _asked.add(layer_type)
    text = getattr(cls, "message", "")
    if not isinstance(text, str):
        raise CaffeError(
            f"the attribute message of layer type {layer_type} must be proto text, not {type(text).__name__}"
        )
    if text:
        declare(layer_type, text)
    if callable(getattr(cls, "upgrade", None)):
        _upgrades[layer_type] = cls.upgrade  # type: ignore[attr-defined]


def declare(layer_type: str, text: str) -> None:
    """Give LayerParameter the field that proto `text` declares for a layer type.

    The same text again adds nothing; a type whose text is another's, because its class is derived from that one, shares the field.

    Raises CaffeError for text that is wrong and for names or numbers that are taken.
    """
    if text in _texts:
        _fields[layer_type] = _texts[text]
        return
    name = f"the message of layer type {layer_type}"
    file = schema.read(text, name, [caffe_pb2.FILE, *_declared.values()])
    field = schema.layer_field(file, layer_type)
    if layer_type in _declared and _declared[layer_type] != file:
        raise CaffeError(f"{name} was declared differently before; a program cannot change it while it runs")
    if field.old_type:
        raise CaffeError(f"{name}: V1LayerParameter takes fields only from .proto files beside entry points")
    if layer_type not in _declared:
        for known in (caffe_pb2.FILE, *_declared.values()):
            _check_free(known, file)
        _add_to_pool(file, name)
    _declared[layer_type] = file
    _fields[layer_type] = _texts[text] = field


def _check_free(known: FileDescriptorProto, file: FileDescriptorProto) -> None:
    """Like schema.check_free, for files that hold fields of LayerParameter as extensions too."""
    whole = FileDescriptorProto()
    whole.CopyFrom(known)
    for owner in (schema.LAYER, schema.OLD_LAYER):
        name = owner.rpartition(".")[2]
        message = next((m for m in whole.message_type if m.name == name), None) or whole.message_type.add(name=name)
        message.field.extend(field for field in known.extension if field.extendee == owner)
    schema.check_free(whole, file)


def _add_to_pool(file: FileDescriptorProto, name: str) -> None:
    pool = caffe_pb2.DESCRIPTOR.pool
    added = FileDescriptorProto()
    added.CopyFrom(file)
    added.name = f"caffe/layers/{file.extension[0].name}.proto"
    added.dependency.append(caffe_pb2.DESCRIPTOR.name)
    try:
        pool.AddSerializedFile(added.SerializeToString())
        extension = pool.FindExtensionByName(f"{schema.PACKAGE}.{file.extension[0].name}")
    except (TypeError, ValueError, KeyError) as error:
        raise CaffeError(f"{name}: {error}") from error
    for message in file.message_type:
        setattr(
            caffe_pb2, message.name, GetMessageClass(pool.FindMessageTypeByName(f"{schema.PACKAGE}.{message.name}"))
        )
    _make_attribute(extension)


def _make_attribute(field: FieldDescriptor) -> None:
    """Let layers read an extension as they read any field: layer_param.permute_param, and its HasField and ClearField."""
    cls: Any = caffe_pb2.LayerParameter
    if not _late:
        has, clear = cls.HasField, cls.ClearField
        cls.HasField = lambda layer, name: layer.HasExtension(_late[name]) if name in _late else has(layer, name)
        cls.ClearField = lambda layer, name: layer.ClearExtension(_late[name]) if name in _late else clear(layer, name)
    _late[field.name] = field
    setattr(cls, field.name, property(lambda layer: layer.Extensions[field]))


# ------------------------------------------------------------------------------------------------------------------- looking up


def field(message: Any, name: str) -> Any:
    """The field of a message descriptor, extensions of LayerParameter included; None if it has none of that name."""
    if not name.isidentifier() or not name.isascii():  # protobuf stumbles over surrogates, and stops at a null byte
        return None
    known = message.fields_by_name.get(name)
    return _late.get(name) if known is None and message is _LAYER else known


def late_fields() -> frozenset[str]:
    """The names of the fields that text_format knows as extensions only."""
    return frozenset(_late)


def fields_by_type() -> dict[str, str]:
    """Layer type -> the name of its field in LayerParameter, of layers that brought their own."""
    return {layer_type: field.name for layer_type, field in _fields.items()}


def old_type(v1_name: str) -> str:
    """The layer type that a plugin's name in V1LayerParameter.LayerType means; empty if there is none."""
    return next((t for t, field in _fields.items() if field.old_type and field.old_type == v1_name), "")


def load(layer_type: str) -> bool:
    """Ask the entry point of a layer type, once, what its class declares; whether a field has come by that.

    A class that cannot be loaded declares nothing: the error comes when a net makes the layer.
    """
    if layer_type in _asked:
        return False
    _asked.add(layer_type)
    point = plugins.entry_points_by_type().get(layer_type)
    if point is None:
        return False
    before = len(_late)
    try:
        cls = point.load()
    except Exception:
        return False
    adopt(layer_type, cls)
    return len(_late) > before


def load_named(text: str) -> bool:
    """Ask the entry points whose types, or fields called after them, a prototxt names; whether a field has come by that."""
    words = set(re.findall(r"\w+", text))
    named = [t for t in plugins.entry_points_by_type() if t in words or f"{schema.snake_case(t)}_param" in words]
    loaded = [load(layer_type) for layer_type in named]
    return any(loaded)


def upgrade_of(layer_type: str) -> Upgrade | None:
    """What brings older spellings of a layer type to the newest, if its class has such a thing."""
    load(layer_type)
    return _upgrades.get(layer_type)
