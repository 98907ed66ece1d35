"""Proto text, the language of .proto files, as descriptors: caffe.proto, and what layers declare of their own options."""

from __future__ import annotations

import ast
import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from caffe.errors import CaffeError

PACKAGE = "caffe"
LAYER, OLD_LAYER = f".{PACKAGE}.LayerParameter", f".{PACKAGE}.V1LayerParameter"
# LayerParameter's numbers below are Caffe's own; protobuf itself has none above the other.
FIRST_NUMBER, _LAST_NUMBER = 149, 2**29 - 1
# Where fields without a stated number lie: above protobuf's own 19000 to 19999, and above all that forks of Caffe use.
_DERIVED = 1_000_000

_TOKEN = re.compile(
    r"""
    \s+ | //[^\n]* | /\*.*?\*/ | (?P<token> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' | [\w.+-]+ | [{}=;,\[\]] ) | (?P<other> .)
    """,
    re.DOTALL | re.VERBOSE,
)
_LABELS = {"optional": 1, "required": 2, "repeated": 3}
_SCALARS = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in FieldDescriptorProto.Type.items()
    if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")
}


class LayerField(NamedTuple):
    """A field of LayerParameter that a layer brings: permute_param of type Permute."""

    layer_type: str
    name: str
    number: int
    old_type: str = ""  # its name in V1LayerParameter.LayerType, empty for layers that have no such past


def snake_case(name: str) -> str:
    """MultiStage -> multi_stage, HDF5Data -> hdf5_data."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def read(text: str, name: str, known: Iterable[FileDescriptorProto] = ()) -> FileDescriptorProto:
    """The descriptor of proto text in package caffe: messages, enums, and `extend` blocks.

    `name` is the file's, for protobuf and for messages; `known`: files whose types it may use. Raises CaffeError, which names the
    line, for text that is wrong or uses more of the language than Caffe does (no groups, services, maps, oneofs).
    """
    file = _Reader(text, name).file()
    _link(file, [*known, file])
    return file


class _Reader:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._tokens: list[tuple[str, int]] = []
        self._next = 0
        for match in _TOKEN.finditer(text):
            if match.lastgroup == "other":
                self._fail(match[0], match.start())
            if match.lastgroup == "token":
                self._tokens.append((match[0], match.start()))

    def _fail(self, token: str, offset: int, wanted: str = "") -> NoReturn:
        line = self._text.count("\n", 0, offset) + 1
        raise CaffeError(
            f"{self._name}:{line}: "
            + (f"expected {wanted}, found '{token}'" if wanted else f"'{token}' is not understood")
        )

    def _peek(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _take(self, pattern: str, wanted: str) -> str:
        """The next token, which must match."""
        token, offset = self._tokens[self._next] if self._next < len(self._tokens) else ("", len(self._text))
        if not re.fullmatch(pattern, token):
            self._fail(token or "the end", offset, wanted)
        self._next += 1
        return token

    def _symbol(self, symbol: str) -> None:
        self._take(re.escape(symbol), f"'{symbol}'")

    def _identifier(self) -> str:
        return self._take(r"[A-Za-z_]\w*", "a name")

    def _number(self) -> int:
        return int(self._take(r"-?(0x[0-9a-fA-F]+|\d+)", "a whole number"), 0)

    def file(self) -> FileDescriptorProto:
        file = FileDescriptorProto(name=self._name, package=PACKAGE)
        while self._peek():
            keyword = self._take("message|enum|extend|syntax|package|;", "message, enum or extend")
            if keyword == "message":
                self._message(file.message_type.add())
            elif keyword == "enum":
                self._enum(file.enum_type.add())
            elif keyword == "extend":
                self._extend(file)
            elif keyword == "syntax":
                self._symbol("=")
                self._take("""["']proto2["']""", '"proto2"')
                self._symbol(";")
            elif keyword == "package":
                self._take(PACKAGE, f"package {PACKAGE}")
                self._symbol(";")
        return file

    def _message(self, message: DescriptorProto) -> None:
        message.name = self._identifier()
        self._symbol("{")
        while self._peek() != "}":
            keyword = self._take("message|enum|optional|required|repeated|;", "a field, message or enum")
            if keyword == "message":
                self._message(message.nested_type.add())
            elif keyword == "enum":
                self._enum(message.enum_type.add())
            elif keyword != ";":
                self._field(message.field.add(label=_LABELS[keyword]))
        self._symbol("}")

    def _enum(self, enum: EnumDescriptorProto) -> None:
        enum.name = self._identifier()
        self._symbol("{")
        while self._peek() != "}":
            value = enum.value.add(name=self._identifier())
            self._symbol("=")
            value.number = self._number()
            self._symbol(";")
        self._symbol("}")

    def _extend(self, file: FileDescriptorProto) -> None:
        extendee = self._take(r"[\w.]+", "a message's name")
        self._symbol("{")
        while self._peek() != "}":
            label = _LABELS[self._take("optional|repeated", "optional")]
            self._field(file.extension.add(label=label, extendee=extendee))
        self._symbol("}")

    def _field(self, field: FieldDescriptorProto) -> None:
        kind = self._take(r"[A-Za-z_.][\w.]*", "a type")
        if kind in _SCALARS:
            field.type = _SCALARS[kind]  # type: ignore[assignment]
        else:
            field.type_name = kind
        field.name = self._identifier()
        self._symbol("=")
        field.number = self._number()
        if self._peek() == "[":
            self._options(field)
        self._symbol(";")

    def _options(self, field: FieldDescriptorProto) -> None:
        self._symbol("[")
        while True:
            option = self._take("default|packed|deprecated", "default, packed or deprecated")
            self._symbol("=")
            value = self._take(r"""[\w.+-]+|["'].*""", "a value")
            if option == "default":
                field.default_value = ast.literal_eval(value) if value[0] in "\"'" else value
            else:
                setattr(field.options, option, value == "true")
            if self._take(r",|\]", "']'") == "]":
                return


def _link(file: FileDescriptorProto, files: list[FileDescriptorProto]) -> None:
    """Replace the names of types as they were written by full ones, and say whether message or enum."""
    kinds: dict[str, int] = {}

    def collect(scope: str, messages: Iterable[DescriptorProto], enums: Iterable[EnumDescriptorProto]) -> None:
        kinds.update({f"{scope}.{enum.name}": FieldDescriptorProto.TYPE_ENUM for enum in enums})
        for message in messages:
            kinds[f"{scope}.{message.name}"] = FieldDescriptorProto.TYPE_MESSAGE
            collect(f"{scope}.{message.name}", message.nested_type, message.enum_type)

    def find(scope: str, name: str) -> str:
        while scope and f"{scope}.{name}" not in kinds:
            scope = scope.rpartition(".")[0]
        full = name if name in kinds else f"{scope}.{name}"
        if full not in kinds:
            raise CaffeError(f"{file.name}: there is no type {name}")
        return full

    def visit(scope: str, fields: Iterable[FieldDescriptorProto]) -> None:
        for field in fields:
            if field.type_name:
                field.type_name = find(scope, field.type_name)
                field.type = kinds[field.type_name]  # type: ignore[assignment]
            if field.extendee:
                field.extendee = find(scope, field.extendee)

    def descend(scope: str, messages: Iterable[DescriptorProto]) -> None:
        for message in messages:
            visit(f"{scope}.{message.name}", message.field)
            descend(f"{scope}.{message.name}", message.nested_type)

    for known in files:
        collect(f".{PACKAGE}", known.message_type, known.enum_type)
    visit(f".{PACKAGE}", file.extension)
    descend(f".{PACKAGE}", file.message_type)


# ------------------------------------------------------------------------------------------------------------- a layer's own field


def layer_field(file: FileDescriptorProto, layer_type: str) -> LayerField:
    """The field by which LayerParameter holds the message that `file` declares for `layer_type`.

    `extend LayerParameter { optional PermuteParameter permute_param = 202; }` states name and number. Where there is none, it is
    added to `file`: the first message, called after the layer's type, with a number that follows from the name. Raises CaffeError
    for a declaration that is not one optional message.
    """
    fields = [field for field in file.extension if field.extendee == LAYER]
    if not fields:
        if not file.message_type:
            raise CaffeError(f"{file.name}: declares no message")
        name = f"{snake_case(layer_type)}_param"
        number = _DERIVED + zlib.crc32(name.encode()) % (_LAST_NUMBER - _DERIVED)
        message = f".{PACKAGE}.{file.message_type[0].name}"
        kinds = {"label": FieldDescriptorProto.LABEL_OPTIONAL, "type": FieldDescriptorProto.TYPE_MESSAGE}
        fields = [file.extension.add(name=name, number=number, type_name=message, extendee=LAYER, **kinds)]  # type: ignore[arg-type]
    for field in file.extension:
        if field.type != FieldDescriptorProto.TYPE_MESSAGE or field.label != FieldDescriptorProto.LABEL_OPTIONAL:
            raise CaffeError(f"{file.name}: {field.name} must be an optional message")
        if field.extendee not in (LAYER, OLD_LAYER):
            raise CaffeError(f"{file.name}: {field.extendee[1:]} takes no fields from outside")
    if len(fields) > 1:
        raise CaffeError(f"{file.name}: a layer has one field in LayerParameter, not {len(fields)}")
    if fields[0].number < FIRST_NUMBER:
        raise CaffeError(
            f"{file.name}: {fields[0].name} = {fields[0].number}: numbers below {FIRST_NUMBER} are Caffe's own"
        )
    old = [snake_case(layer_type).upper() for field in file.extension if field.extendee == OLD_LAYER]
    return LayerField(layer_type, fields[0].name, fields[0].number, old[0] if old else "")


def join(base: FileDescriptorProto, file: FileDescriptorProto, layer_type: str) -> LayerField:
    """Make what `file` declares for `layer_type` part of Caffe's schema `base`, in place.

    Its fields become fields of LayerParameter and V1LayerParameter; the latter makes the layer's type known there too, by
    the same number. Raises CaffeError, and changes nothing, where a name or a number is taken.
    """
    field = layer_field(file, layer_type)
    messages = {f".{PACKAGE}.{message.name}": message for message in base.message_type}
    check_free(base, file)
    for extension in file.extension:
        added = messages[extension.extendee].field.add()
        added.CopyFrom(extension)
        added.ClearField("extendee")
        if extension.extendee == OLD_LAYER:
            types = next(enum for enum in messages[OLD_LAYER].enum_type if enum.name == "LayerType")
            types.value.add(name=field.old_type, number=extension.number)
    base.message_type.extend(file.message_type)
    base.enum_type.extend(file.enum_type)
    return field


def check_free(base: FileDescriptorProto, file: FileDescriptorProto) -> None:
    """Raise CaffeError where a message, field or number of `file` is taken in `base`."""
    messages = {f".{PACKAGE}.{message.name}": message for message in base.message_type}
    taken = messages.keys() | {f".{PACKAGE}.{enum.name}" for enum in base.enum_type}
    for name in [*(message.name for message in file.message_type), *(enum.name for enum in file.enum_type)]:
        if f".{PACKAGE}.{name}" in taken:
            raise CaffeError(f"{file.name}: {PACKAGE}.{name} is declared already")
    for extension in file.extension:
        for field in messages[extension.extendee].field:
            if extension.name == field.name or extension.number == field.number:
                raise CaffeError(
                    f"{file.name}: {extension.name} = {extension.number} meets {field.name} = {field.number} of "
                    f"{extension.extendee[1:]}"
                )


def open_to_extensions(message: DescriptorProto) -> None:
    """Let fields come to a message later, under every number from FIRST_NUMBER on that is free."""
    start = FIRST_NUMBER
    for number in [*sorted(field.number for field in message.field if field.number >= start), _LAST_NUMBER + 1]:
        if number > start:
            message.extension_range.add(start=start, end=number)
        start = number + 1
