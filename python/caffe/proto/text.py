"""Reading and writing prototxt: nets and solvers as text."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from caffe.errors import FileError
from caffe.inputs.limits import MAX_TEXT
from caffe.inputs.reading import is_utf16, open_regular
from caffe.proto import blocks, caffe_pb2, layer_messages, upgrade

AnyMessage = TypeVar("AnyMessage", bound=Message)

_NO_FIELD = re.compile(r'Message type "([\w.]+)" has no field named "([^"]*)"')
_NO_VALUE = re.compile(r'Enum type "([\w.]+)" has no value named ([^\s]+)\.$')
# text_format repeats the whole line before some of its messages; the excerpt below the message shows it better.
_QUOTED_LINE = re.compile(r"^'.*': (?=[A-Z])", re.DOTALL)
_EXCERPT = 100


class PrototxtError(FileError):
    """A prototxt that cannot be read; the message starts with file:line:column and shows the line."""


def read_net(path: str | os.PathLike[str]) -> Any:
    """Read a net definition and bring it to the newest form (upgrade.upgrade_net); returns a caffe_pb2.NetParameter.

    Raises PrototxtError, which says where, for a file that is missing, no text, or no valid net.
    """
    return parse_net(_read_text(path), source=os.fspath(path))


def layer_types(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """(name, type) of every layer of a net definition, fields that the schema lacks ignored; for messages about such files."""
    net = caffe_pb2.NetParameter()
    try:
        text_format.Parse(_bracketed(_read_text(path), net).text, net, allow_unknown_field=True)
    except (text_format.ParseError, RecursionError, ValueError, TypeError):
        return []
    return [(layer.name, layer.type) for layer in net.layer]


def parse_net(text: str, source: str = "<string>") -> Any:
    """Like read_net for a net definition in a string; `source` stands for the file's name in messages."""
    net = _parse(text, caffe_pb2.NetParameter(), source)
    upgrade.upgrade_net(net, source)
    return net


def read_solver(path: str | os.PathLike[str]) -> Any:
    """Read a solver definition and bring it to the newest form; returns a caffe_pb2.SolverParameter.

    As in Caffe, snapshot_prefix is set: to the solver file's path without extension if it is missing, to a name inside it if it
    is a folder. Nets written inside the solver are upgraded too. Raises PrototxtError like read_net.
    """
    source = os.fspath(path)
    solver = _parse(_read_text(path), caffe_pb2.SolverParameter(), source)
    upgrade.upgrade_solver(solver, source)
    upgrade.complete_snapshot_prefix(solver, source)
    return solver


def read_message(path: str | os.PathLike[str], message: AnyMessage) -> AnyMessage:
    """Parse a text file into `message` as it stands, without any upgrade, and return it. Raises PrototxtError like read_net."""
    return _parse(_read_text(path), message, os.fspath(path))


# ------------------------------------------------------------------------------------------------------------------ writing


def to_text(message: Message) -> str:
    """The message as Caffe (C++) prints it: fields by number, floats with as few of 6 or 9 digits as keep the value.

    NetParameter.crop_aligns is left out, because genuine Caffe could not read it back.
    """
    lines: list[str] = []
    _print_message(message, "", lines)
    return "".join(line + "\n" for line in lines)


def _print_message(message: Message, indent: str, lines: list[str]) -> None:
    for field, value in message.ListFields():
        if field.full_name == upgrade.MARKER:
            continue
        for item in value if upgrade.is_repeated(value) else [value]:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                lines.append(f"{indent}{field.name} {{")
                _print_message(item, indent + "  ", lines)
                lines.append(indent + "}")
            else:
                lines.append(f"{indent}{field.name}: {_print_value(field, item)}")


def _print_value(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else str(value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return "true" if value else "false"
    if field.type == FieldDescriptor.TYPE_FLOAT:
        # 9 digits always identify a float; Caffe's own 8 in some versions do not.
        short = f"{value:.6g}"
        return short if _as_float32(float(short)) == value or value != value else f"{value:.9g}"
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        short = f"{value:.15g}"
        return short if float(short) == value or value != value else f"{value:.17g}"
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return '"' + "".join(_escape(byte) for byte in value) + '"'
    return str(value)


def _as_float32(value: float) -> float:
    blob = caffe_pb2.FillerParameter(value=value)
    return float(blob.value)


def _escape(byte: int) -> str:
    special = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x22: '\\"', 0x27: "\\'", 0x5C: "\\\\"}
    if byte in special:
        return special[byte]
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


# ------------------------------------------------------------------------------------------------------------------ reading


def _read_text(path: str | os.PathLike[str]) -> str:
    name = os.fspath(path)
    if Path(path).is_dir():
        raise PrototxtError(f"{name}: is a directory, a prototxt file is needed")
    try:
        with open_regular(path) as file:
            head = file.read(4096)
            # Seen before the rest is read: a model file given by mistake has hundreds of megabytes.
            if is_utf16(head):
                raise PrototxtError(f"{name}: is not UTF-8 text: it is UTF-16, save it as UTF-8")
            if b"\0" in head:
                raise PrototxtError(f"{name}: is a binary file (a caffemodel?), a prototxt file is needed")
            content = head + file.read(MAX_TEXT)
            if len(content) > MAX_TEXT:
                raise PrototxtError(f"{name}: has more than {MAX_TEXT} bytes, which no prototxt needs")
    except PrototxtError:
        raise
    except FileNotFoundError:
        raise PrototxtError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise PrototxtError(f"{name}: cannot be read: {error}") from error
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "\n".join(_decode_line(line, number, name) for number, line in enumerate(content.split(b"\n"), 1))


def _decode_line(line: bytes, number: int, name: str) -> str:
    """One line of a file that is not all UTF-8. Caffe takes any bytes in comments, and people write theirs in Latin-1 or GBK."""
    code = re.match(rb"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^#"'])*""", line)
    try:
        return line.decode() if code is None or b"#" not in line[code.end() :] else line[: code.end()].decode()
    except UnicodeDecodeError as error:
        raise PrototxtError(
            f"{name}:{number}:{error.start + 1}: not UTF-8 text (byte 0x{line[error.start]:02x})"
        ) from None


def _bracketed(text: str, message: Message) -> blocks.Bracketed:
    one_layer = message.DESCRIPTOR is caffe_pb2.LayerParameter.DESCRIPTOR
    return blocks.Bracketed(text, layer_messages.late_fields(), one_layer)


def _parse(text: str, message: AnyMessage, source: str) -> AnyMessage:
    written = _bracketed(text, message)
    try:
        text_format.Parse(written.text, message)
    except text_format.ParseError as error:
        if _NO_FIELD.search(str(error)) and layer_messages.load_named(text):
            message.Clear()
            return _parse(text, message, source)
        raise PrototxtError(_explain(error, text, written, source)) from None
    except RecursionError:
        raise PrototxtError(f"{source}: messages are nested too deep") from None
    except (ValueError, UnicodeError, TypeError) as error:
        raise PrototxtError(f"{source}: {error}") from error
    if not message.IsInitialized():
        missing = message.FindInitializationErrors()  # type: ignore[attr-defined]
        raise PrototxtError(f"{source}: {message.DESCRIPTOR.name} lacks required fields: {', '.join(missing)}")
    return message


def _explain(error: text_format.ParseError, text: str, written: blocks.Bracketed, source: str) -> str:
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    message = _QUOTED_LINE.sub("", re.sub(r"^\d+:\d+ : ", "", str(error)))
    lines = text.split("\n")
    start_of_line = sum(len(before) + 1 for before in lines[: line - 1])
    written_start = sum(len(before) + 1 for before in written.text.split("\n")[: line - 1])
    offset = written.original(written_start + column - 1)
    column = offset - start_of_line + 1
    shown = lines[line - 1].replace("\t", " ").rstrip() if line <= len(lines) else ""
    start = max(0, min(column - 1 - _EXCERPT // 2, len(shown) - _EXCERPT))
    excerpt = shown[start : start + _EXCERPT]
    if len(message) > 300:
        message = message[:300] + " ..."
    layer = blocks.layer_at(text, offset)[:_EXCERPT]
    where = f" In layer '{layer}'." if layer else ""
    caret = " " * (column - 1 - start) + "^"
    return f"{source}:{line}:{column}: {message}{_suggest(message)}{where}\n  {excerpt}\n  {caret}"


def _suggest(message: str) -> str:
    """The names that were probably meant, for an unknown field or enum value."""
    pool = caffe_pb2.DESCRIPTOR.pool
    field, value = _NO_FIELD.search(message), _NO_VALUE.search(message)
    try:
        if field:
            owner = pool.FindMessageTypeByName(field[1])
            wanted, names = field[2], [f.name for f in owner.fields if f.full_name != upgrade.MARKER]
            if owner is caffe_pb2.LayerParameter.DESCRIPTOR:
                names += layer_messages.late_fields()
        elif value:
            wanted, names = value[2], [v.name for v in pool.FindEnumTypeByName(value[1]).values]
        else:
            return ""
    except KeyError:
        return ""
    # Case counts little: `phase: test` and `type: Convolution` are the usual slips.
    folded = {name.lower(): name for name in names}
    close = [folded[name] for name in difflib.get_close_matches(wanted.lower(), folded, n=3)]
    if close:
        return f" Did you mean {' or '.join(close)}?"
    if field and owner is caffe_pb2.LayerParameter.DESCRIPTOR and wanted.endswith("_param"):
        return " The class of a layer of one's own declares it, see caffe.proto.layer_messages."
    if value and len(names) <= 12:
        return f" It has {', '.join(names)}."
    return ""
