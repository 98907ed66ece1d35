"""Caffe's interface (pycaffe, prototxt, caffemodel, solvers) on PyTorch.

`import caffe` gives what pycaffe gave: Net, Blob, Layer, the solvers, NetSpec, TRAIN and TEST, and the mode and device switches.
Each of these, and each module, is loaded when it is first asked for, so that what needs no torch does not wait for it.

>>> import caffe
>>> net = caffe.NetSpec()
>>> net.data = caffe.layers.Input(shape={"dim": [1, 3]})
>>> net.half = caffe.layers.Power(net.data, scale=0.5)
>>> print(net.to_proto().layer[1].type)
Power
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caffe import coord_map, io, layers
    from caffe._caffe.nccl import NCCL
    from caffe._caffe.timer import Timer
    from caffe.blob import Blob
    from caffe.classifier import Classifier
    from caffe.detector import Detector
    from caffe.errors import CaffeError
    from caffe.layers.base import Layer
    from caffe.layers.registry import layer_type_list, register_layer
    from caffe.logs.glog import init_log, log
    from caffe.mode import TEST, TRAIN, set_device, set_mode_cpu, set_mode_gpu, set_random_seed
    from caffe.net.net import Net
    from caffe.net_spec import NetSpec, params, to_proto
    from caffe.parallel import count as solver_count
    from caffe.parallel import has_nccl, set_multiprocess
    from caffe.parallel import rank as solver_rank
    from caffe.parallel import set_count as set_solver_count
    from caffe.parallel import set_rank as set_solver_rank
    from caffe.segmenter import Segmenter
    from caffe.solver.solver import (
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
        Solver,
        get_solver,
    )

# The version of Caffe whose interface this is, which scripts look at; the package's own is what `crfasrnn --version` prints.
__version__ = "1.0.0"

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "CaffeError",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Segmenter",
    "Solver",
    "Timer",
    "coord_map",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "register_layer",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]

# The module each public name comes from, and its name there where that is another.
_HOMES = {
    "_caffe.nccl": "NCCL",
    "_caffe.timer": "Timer",
    "blob": "Blob",
    "classifier": "Classifier",
    "detector": "Detector",
    "errors": "CaffeError",
    "layers.base": "Layer",
    "layers.registry": "layer_type_list register_layer",
    "logs.glog": "init_log log",
    "mode": "TEST TRAIN set_device set_mode_cpu set_mode_gpu set_random_seed",
    "net.net": "Net",
    "net_spec": "NetSpec params to_proto",
    "parallel": "has_nccl set_multiprocess solver_count=count solver_rank=rank set_solver_count=set_count set_solver_rank=set_rank",
    "segmenter": "Segmenter",
    "solver.solver": "AdaDeltaSolver AdaGradSolver AdamSolver NesterovSolver RMSPropSolver SGDSolver Solver get_solver",
}
_HOME = {
    name: (module, theirs or name)
    for module, names in _HOMES.items()
    for name, _, theirs in (entry.partition("=") for entry in names.split())
}


def __getattr__(name: str) -> Any:
    """What `caffe.<name>` is: a public name, or the module caffe.<name>. Python calls this once for each, and then finds it."""
    if name in _HOME:
        import_module(f"{__name__}.logs.glog").start()  # who uses pycaffe's names hears what pycaffe says
        module, theirs = _HOME[name]
        value = getattr(import_module(f"{__name__}.{module}"), theirs)
        globals()[name] = value
        return value
    # Programs for pycaffe write `import caffe` and then caffe.io, caffe.draw or caffe.proto.
    if name.startswith("__") or find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    from pkgutil import iter_modules

    modules = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return sorted({*__all__, *modules, *(name for name in globals() if name.startswith("__"))})
