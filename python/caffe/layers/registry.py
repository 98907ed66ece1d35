"""Which class implements a layer type: built-in layers, `@caffe.register_layer`, and the entry-point group "caffe.layers"."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeVar

from caffe.errors import CaffeError

if TYPE_CHECKING:
    from caffe.layers.base import Layer

ENTRY_POINT_GROUP = "caffe.layers"

_classes: dict[str, type[Layer]] = {}
_LayerClass = TypeVar("_LayerClass", bound="type[Layer]")


def register_layer(layer_type: str) -> Callable[[_LayerClass], _LayerClass]:
    """Class decorator: make `layer_type` usable in prototxts. A type that is already taken raises CaffeError."""

    def register(cls: _LayerClass) -> _LayerClass:
        known = _classes.get(layer_type)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise CaffeError(f"Layer type {layer_type} already registered.")
        _classes[layer_type] = cls
        return cls

    return register


def layer_class(layer_type: str, layer_name: str) -> type[Layer]:
    """The class for `layer_type`; `layer_name` is for the message. Raises CaffeError for an unknown type or a broken plugin."""
    if layer_type in _classes:
        return _classes[layer_type]
    plugins = _plugins()
    if layer_type in plugins:
        try:
            cls: type[Layer] = plugins[layer_type].load()
        except Exception as error:
            raise CaffeError(
                f"Layer '{layer_name}': the plugin {plugins[layer_type].value} for type {layer_type} cannot be loaded: {error}"
            ) from error
        _classes[layer_type] = cls
        return cls
    raise CaffeError(unknown_type_message(layer_type, layer_name))


def find_layer_class(layer_type: str) -> type[Layer] | None:
    """The class for `layer_type`, None if there is none; for who asks what a layer says of itself. Raises as layer_class does."""
    return layer_class(layer_type, "") if layer_type in _classes or layer_type in _plugins() else None


def unknown_type_message(layer_type: str, layer_name: str) -> str:
    """What to tell a user whose net holds a layer of a type that nobody registered."""
    known = layer_type_list()
    lower = {name.lower(): name for name in known}
    near = [lower[name] for name in difflib.get_close_matches(layer_type.lower(), lower, n=3)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"Unknown layer type: {layer_type} (layer '{layer_name}').{hint} To add it, decorate a caffe.Layer subclass with "
        f"@caffe.register_layer(\"{layer_type}\") or offer it in the entry-point group '{ENTRY_POINT_GROUP}'. "
        f"Known types: {', '.join(known)}"
    )


def layer_type_list() -> list[str]:
    """All layer types that can be created, plugins' included, in alphabetical order."""
    return sorted({*_classes, *_plugins()})


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
