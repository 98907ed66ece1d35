"""Which class implements a layer type: built-in layers, `@caffe.register_layer`, and the entry-point group "caffe.layers"."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from caffe.errors import CaffeError
from caffe.proto import layer_messages
from caffe.proto.plugins import ENTRY_POINT_GROUP, entry_points_by_type

if TYPE_CHECKING:
    from caffe.layers.base import Layer

_classes: dict[str, type[Layer]] = {}
_LayerClass = TypeVar("_LayerClass", bound="type[Layer]")


def register_layer(layer_type: str) -> Callable[[_LayerClass], _LayerClass]:
    """Class decorator: make `layer_type` usable in prototxts, with the options that the class's attribute `message` declares.

    `message` is proto text, "message PermuteParameter { repeated uint32 order = 1; }" (caffe.proto.layer_messages says more).
    Raises CaffeError for what is no caffe.Layer, for a type that is taken (by a built-in layer, too; the same class again, as in a
    notebook's cell, takes its own place), and for a message that is wrong or whose name or number is taken.

    >>> import caffe
    >>> @caffe.register_layer("Transpose")
    ... class Transpose(caffe.Layer):
    ...     message = "message TransposeParameter { repeated uint32 order = 1; }"
    ...     def setup(self, bottom, top):
    ...         self.order = list(self.layer_param.transpose_param.order)
    ...     def reshape(self, bottom, top):
    ...         top[0].reshape(*(bottom[0].shape[axis] for axis in self.order))
    ...     def forward(self, bottom, top):
    ...         top[0].data[...] = bottom[0].data.transpose(self.order)
    >>> n = caffe.NetSpec()
    >>> n.x = caffe.layers.Input(shape=dict(dim=[2, 3, 4]))
    >>> n.y = caffe.layers.Transpose(n.x, order=[2, 0, 1])
    >>> caffe.Net(n.to_proto(), caffe.TEST).blobs["y"].data.shape
    (4, 2, 3)
    """

    if not isinstance(layer_type, str) or not layer_type:
        raise CaffeError('register_layer needs the name of the layer type: @caffe.register_layer("MyType")')

    def register(cls: _LayerClass) -> _LayerClass:
        _check_is_layer(cls, f"what is registered for layer type {layer_type}")
        known = _classes.get(layer_type)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise CaffeError(f"Layer type {layer_type} already registered, by {known.__module__}.{known.__qualname__}.")
        layer_messages.adopt(layer_type, cls)
        _classes[layer_type] = cls
        return cls

    return register


def _check_is_layer(cls: object, what: str) -> None:
    from caffe.layers.base import Layer

    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise CaffeError(f"{what} must be a subclass of caffe.Layer, not {cls!r}")


def layer_class(layer_type: str, layer_name: str) -> type[Layer]:
    """The class for `layer_type`; `layer_name` is for the message. Raises CaffeError for an unknown type or a broken plugin."""
    if layer_type in _classes:
        return _classes[layer_type]
    plugins = entry_points_by_type()
    if layer_type in plugins:
        try:
            cls: type[Layer] = plugins[layer_type].load()
        except Exception as error:
            raise CaffeError(
                f"Layer '{layer_name}': the plugin {plugins[layer_type].value} for type {layer_type} cannot be loaded: {error}"
            ) from error
        _check_is_layer(cls, f"Layer '{layer_name}': the plugin {plugins[layer_type].value} for type {layer_type}")
        layer_messages.adopt(layer_type, cls)
        _classes[layer_type] = cls
        return cls
    raise CaffeError(unknown_type_message(layer_type, layer_name))


def find_layer_class(layer_type: str, layer_name: str) -> type[Layer] | None:
    """The class for `layer_type`, None if there is none; for who asks what a layer says of itself. Raises as layer_class does."""
    return (
        layer_class(layer_type, layer_name) if layer_type in _classes or layer_type in entry_points_by_type() else None
    )


def unknown_type_message(layer_type: str, layer_name: str) -> str:
    """What to tell a user whose net holds a layer of a type that nobody registered."""
    known = layer_type_list()
    lower = {name.lower(): name for name in known}
    near = [lower[name] for name in difflib.get_close_matches(layer_type.lower(), lower, n=3)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    if not entry_points_by_type():
        hint += " No installed package offers layer types; one that has this type must be installed, not on PYTHONPATH alone."
    return (
        f"Unknown layer type: {layer_type} (layer '{layer_name}').{hint} To add it, decorate a caffe.Layer subclass with "
        f"@caffe.register_layer(\"{layer_type}\") or offer it in the entry-point group '{ENTRY_POINT_GROUP}'; the class's "
        "attribute `message` declares options of its own. "
        f"Known types: {', '.join(known)}"
    )


def layer_type_list() -> list[str]:
    """All layer types that can be created, plugins' included, in alphabetical order."""
    return sorted({*_classes, *entry_points_by_type()})
