"""Layers of other packages: the entry points of the group "caffe.layers", and the messages that lie beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from caffe.proto.schema import snake_case

ENTRY_POINT_GROUP = "caffe.layers"


@cache
def entry_points_by_type() -> Mapping[str, EntryPoint]:
    """Layer type -> the entry point that offers its class, of the packages that were installed when it was first asked."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def message_files() -> Iterator[tuple[str, Path]]:
    """(layer type, its .proto file) of every entry point that has one.

    A layer of type MyLayer in module package.part.module may have its message in package/part/my_layer.proto: it is read without
    running any code of the package, so that `import caffe` stays quick and safe.
    """
    for layer_type, point in entry_points_by_type().items():
        folder = _folder(point.module)
        path = folder / f"{snake_case(layer_type)}.proto" if folder else None
        if path and path.is_file():
            yield layer_type, path


def _folder(module: str) -> Path | None:
    """The folder in which a module lies, found without importing any package."""
    package, *inner = module.split(".")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    for location in spec.submodule_search_locations or ():
        folder = Path(location, *inner[:-1])
        if folder.is_dir():
            return folder
    return Path(spec.origin).parent if spec.origin and not inner else None
