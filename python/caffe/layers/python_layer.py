"""Python: a layer that a user wrote as a subclass of caffe.Layer in a module of their own."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

from caffe.errors import CaffeError
from caffe.layers.base import Layer
from caffe.layers.registry import register_layer
from caffe.proto import caffe_pb2


def _told(error: Exception) -> str:
    """What is wrong in somebody's module, and at which line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file, line = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (frame.filename, frame.lineno)
    return f"since it raises {type(error).__name__} at {file}:{line}: {getattr(error, 'msg', None) or error}"


@register_layer("Python")
class PythonLayer(Layer):
    """Caffe layer Python: creating it creates the user's layer, python_param.layer of the module python_param.module.

    The module is looked for on sys.path and in the working directory. The layer's string python_param.param_str is its
    `param_str`. Bottoms, tops and gradients are the user's matter.
    """

    kind = "data"

    def __new__(cls, layer_param: caffe_pb2.LayerParameter, phase: int) -> Layer:  # type: ignore[misc]
        return python_layer_class(layer_param)(layer_param, phase)


def python_layer_class(layer_param: caffe_pb2.LayerParameter) -> type[Layer]:
    """The class that python_param names. Raises CaffeError, naming layer, module and what is missing."""
    param = layer_param.python_param
    where = f"layer '{layer_param.name}' (Python)"
    if not param.module or not param.layer:
        raise CaffeError(f"{where}: python_param must give module and layer.")
    working_directory = os.getcwd()
    if not {"", working_directory} & set(sys.path):
        sys.path.append(working_directory)
    try:
        module = importlib.import_module(param.module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{param.module}.".startswith(f"{error.name}."):
            raise CaffeError(
                f"{where}: cannot import module '{param.module}': {error}. Put its folder on PYTHONPATH, or start in that folder."
            ) from error
        raise CaffeError(f"{where}: module '{param.module}' cannot be imported, {_told(error)}") from error
    found = getattr(module, param.layer, None)
    if found is None:
        raise CaffeError(f"{where}: module '{param.module}' ({module.__file__}) has no class '{param.layer}'.")
    if not (isinstance(found, type) and issubclass(found, Layer)):
        raise CaffeError(f"{where}: {param.module}.{param.layer} must be a subclass of caffe.Layer.")
    return found
