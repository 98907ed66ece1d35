"""Caffe's interface (pycaffe, prototxt, caffemodel, solvers) on PyTorch.

`import caffe` gives what pycaffe gave: Net, Blob, Layer, the solvers, NetSpec, TRAIN and TEST, and the mode and device switches.
"""

from __future__ import annotations

from caffe import coord_map, io, layers
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
from caffe.tools.timer import Timer

__version__ = "0.1.0"

__all__ = [
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
