"""Write networks as short Python programs that turn into NetParameter messages, with pycaffe's NetSpec notation.

    from caffe import layers as L, params as P, NetSpec

    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 224, 224]))
    n.conv1 = L.Convolution(n.data, num_output=64, kernel_size=3, pad=1, param=[dict(lr_mult=1), dict(lr_mult=2)])
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    print(n.to_proto())

The name given to a top on the left becomes the layer's name too, unless the call says `name=...`. A keyword sets the
field of that name in the layer's own message (`num_output` in convolution_param) or else in the layer itself (`param`,
`include`, `loss_weight`, `phase`); a keyword ending in `_param` sets a whole message. Messages are dicts, repeated
messages lists of dicts; a single value is accepted for a repeated field.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from caffe.errors import CaffeError
from caffe.inputs.arguments import instance, integer
from caffe.proto import caffe_pb2, layer_messages

_MOST_TOPS = 1 << 16  # of one layer

# Layers whose message carries another layer's name; every other type uses the message <Type>Parameter.
_BORROWED_MESSAGES = {
    "Deconvolution": "convolution_param",
    "Im2col": "convolution_param",
    "SoftmaxWithLoss": "softmax_param",
    "EuclideanLoss": "loss_param",
    "SigmoidCrossEntropyLoss": "loss_param",
    "MultinomialLogisticLoss": "loss_param",
}


def param_name_dict() -> dict[str, str]:
    """Layer type -> name of its message field in LayerParameter without "_param", e.g. InnerProduct -> inner_product.

    >>> from caffe.net_spec import param_name_dict
    >>> param_name_dict()["Deconvolution"]
    'convolution'
    """
    table = {}
    for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields:
        if field.name.endswith("_param") and field.message_type is not None:
            table[field.message_type.name.removesuffix("Parameter")] = field.name
    table.update(_BORROWED_MESSAGES)
    table.update(layer_messages.fields_by_type())
    return {layer_type: name.removesuffix("_param") for layer_type, name in table.items()}


def assign_proto(proto: Message, name: str, value: Any) -> None:
    """Set field `name` of `proto` to a number, a string, an enum (by number or name), a dict, or a list of these.

    Raises CaffeError if the message has no such field or the value does not fit it.
    """
    instance("proto", proto, Message)
    instance("name", name, str)
    field = layer_messages.field(proto.DESCRIPTOR, name)
    if field is None:
        raise CaffeError(_unknown_field(name, [proto.DESCRIPTOR]))
    try:
        if hasattr(getattr(proto, name), "extend"):  # a repeated field, in every version of protobuf
            for item in value if isinstance(value, list | tuple) else [value]:
                _add_item(proto, field, item)
        elif field.message_type is not None:
            target = getattr(proto, name)
            target.SetInParent()  # an empty dict still writes the message
            _fill(target, value)
        else:
            setattr(proto, name, _scalar(field, value))
    except (TypeError, ValueError) as problem:
        raise CaffeError(f"cannot set {proto.DESCRIPTOR.name}.{name} to {value!r}: {problem}") from problem


def _add_item(proto: Message, field: FieldDescriptor, item: Any) -> None:
    container = getattr(proto, field.name)
    if field.message_type is None:
        container.append(_scalar(field, item))
    else:
        _fill(container.add(), item)


def _fill(target: Message, value: Any) -> None:
    if isinstance(value, Message):
        target.CopyFrom(value)
        return
    if not isinstance(value, Mapping):
        raise TypeError(f"a {target.DESCRIPTOR.name} is written as a dict")
    for key, entry in value.items():
        assign_proto(target, key, entry)


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is None or not isinstance(value, str):
        return value
    if value not in field.enum_type.values_by_name:
        raise ValueError(f"{field.enum_type.name} has the values {', '.join(field.enum_type.values_by_name)}")
    return field.enum_type.values_by_name[value].number


def _unknown_field(name: str, messages: list[Any]) -> str:
    near = difflib.get_close_matches(name, [field.name for message in messages for field in message.fields], n=1)
    owners = [message.name for message in messages]
    lacking = f"{owners[0]} has no field" if len(owners) == 1 else f"neither {' nor '.join(owners)} has a field"
    return f"{lacking} {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


class Top:
    """One output blob of a layer: what a network program passes on as another layer's input."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """The NetParameter that computes this blob."""
        return to_proto(self)

    def _to_proto(self, build: _Build) -> None:
        self.fn._to_proto(build)


class Function:
    """One layer: its type, the tops it reads, and the keywords of the call that made it."""

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: Mapping[str, Any]) -> None:
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(given)})")
        self.type_name = type_name
        self.inputs: tuple[Top, ...] = inputs
        self.params = dict(params)
        self.in_place = bool(self.params.pop("in_place", False))
        self.ntop = integer("ntop", self.params.pop("ntop", 1), 0, _MOST_TOPS)
        if self.in_place and not 1 <= self.ntop <= len(inputs):
            raise CaffeError(
                f"in_place writes each top over an input: {type_name} has {len(inputs)} input(s) and ntop = {self.ntop}"
            )
        self.tops = tuple(Top(self, index) for index in range(self.ntop))

    def _to_proto(self, build: _Build) -> None:
        if self in build.layers:
            return
        for top in self.inputs:
            top._to_proto(build)
        layer = caffe_pb2.LayerParameter()
        layer.type = self.type_name
        layer.bottom.extend(build.blob_name(top) for top in self.inputs)
        layer.top.extend(list(layer.bottom) if self.in_place else [build.blob_name(top) for top in self.tops])
        layer.name = build.layer_name(self)
        for key, value in self.params.items():
            self._set(layer, key, value)
        build.layers[self] = layer

    def _set(self, layer: Any, key: str, value: Any) -> None:
        layer_messages.load(self.type_name)
        stem = param_name_dict().get(self.type_name)
        own = None if stem is None else f"{stem}_param"
        known = None if own is None else layer_messages.field(getattr(layer, own).DESCRIPTOR, key)
        if own is not None and not key.endswith("param") and known is not None:
            assign_proto(getattr(layer, own), key, value)
        elif layer_messages.field(layer.DESCRIPTOR, key) is not None:
            assign_proto(layer, key, value)
        else:
            messages = [layer.DESCRIPTOR] if own is None else [getattr(layer, own).DESCRIPTOR, layer.DESCRIPTOR]
            raise CaffeError(f"layer {layer.name!r} ({self.type_name}): {_unknown_field(key, messages)}")


class _Build:
    """One conversion to a NetParameter: the names given to tops and layers so far, and the layers in order."""

    def __init__(self, names: Mapping[Top | Function, str]) -> None:
        self.names: dict[Top | Function, str] = dict(names)
        self.layers: dict[Function, Any] = {}
        self._counts: Counter[str] = Counter()

    def _automatic(self, function: Function) -> str:
        self._counts[function.type_name] += 1
        return f"{function.type_name}{self._counts[function.type_name]}"

    def top_name(self, top: Top) -> str:
        """The name the program gave to this top, or the next free <Type><number>."""
        if top not in self.names:
            self.names[top] = self._automatic(top.fn)
        return self.names[top]

    def blob_name(self, top: Top) -> str:
        """The blob that holds this top: an in-place layer's tops are its bottoms' blobs."""
        return self.blob_name(top.fn.inputs[top.n]) if top.fn.in_place else self.top_name(top)

    def layer_name(self, function: Function) -> str:
        if function in self.names:
            return self.names[function]
        return self.top_name(function.tops[0]) if function.tops else self._automatic(function)

    def net(self, items: Mapping[str, Top | Function] | tuple[Top | Function, ...]) -> Any:
        for item in items.values() if isinstance(items, Mapping) else items:
            instance("what becomes a net", item, Top, Function)
            item._to_proto(self)
        net = caffe_pb2.NetParameter()
        net.layer.extend(self.layers.values())
        return net


def to_proto(*tops: Top) -> Any:
    """The NetParameter that computes `tops`; layers and blobs get the names <Type>1, <Type>2, ..."""
    return _Build({}).net(tops)


class NetSpec:
    """A network under construction: assign tops (or layers that have none) to its attributes or items, in order.

    `n['score-fr'] = ...` serves names that are no identifiers. Assigning a name again replaces the earlier top. A tuple of tops may
    be kept under a name for a while; each needs its own before to_proto.

    >>> import caffe
    >>> from caffe import layers as L
    >>> n = caffe.NetSpec()
    >>> n.data = L.Input(shape={"dim": [1, 3, 20, 20]})
    >>> n.score = L.Convolution(n.data, kernel_size=3, num_output=2)
    >>> [(layer.name, layer.type) for layer in n.to_proto().layer]
    [('data', 'Input'), ('score', 'Convolution')]
    """

    def __init__(self) -> None:
        object.__setattr__(self, "tops", {})

    tops: dict[str, Top | Function | tuple[Top, ...]]

    def __setattr__(self, name: str, value: Any) -> None:
        several = isinstance(value, tuple) and all(isinstance(top, Top) for top in value)
        if not several and not isinstance(value, Top | Function):
            raise TypeError(f"n.{name} = ... takes what a layer call returns, not {type(value).__name__}")
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name == "tops" or name.startswith("__"):  # while a copy is being made
            raise AttributeError(name)
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"the network has no top named {name!r}") from None

    def __delattr__(self, name: str) -> None:
        try:
            del self.tops[name]
        except KeyError:
            raise AttributeError(f"the network has no top named {name!r}") from None

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tops

    def __iter__(self) -> Iterator[str]:
        return iter(self.tops)

    def __copy__(self) -> NetSpec:
        spec = NetSpec()
        spec.tops.update(self.tops)
        return spec

    def to_proto(self) -> Any:
        """The NetParameter of all layers that the assigned tops need, in the order of assignment.

        Raises CaffeError where several tops are still under one name.
        """
        tops: dict[str, Top | Function] = {}
        for name, item in self.tops.items():
            if isinstance(item, tuple):
                raise CaffeError(f"n.{name} holds the {len(item)} tops of a layer: give each a name, n.a, n.b = ...")
            tops[name] = item
        return _Build({item: name for name, item in tops.items()}).net(tops)


class Layers:
    """`layers.<Type>(*bottoms, **fields)` makes a layer of any type, known to this package or not.

    Returns a Top; with ntop=0 the Function itself; with ntop > 1 a tuple of Tops.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer(*inputs: Top, **params: Any) -> Any:
            function = Function(name, inputs, params)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        layer.__name__ = name
        return layer


class Parameters:
    """`params.<Type>.<VALUE>` is an enum value of <Type>Parameter, e.g. params.Pooling.MAX or params.Data.LMDB."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"the schema has no message {name}Parameter")
        return _Values(message)


class _Values:
    """The enum values of a message."""

    def __init__(self, message: Any) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._message, name)
        except AttributeError:
            kinds = self._message.DESCRIPTOR.enum_types
            known = "; ".join(f"{kind.name}: {', '.join(kind.values_by_name)}" for kind in kinds) or "it has none"
            raise AttributeError(f"{self._message.__name__} has no value {name!r} ({known})") from None


layers = Layers()
params = Parameters()
