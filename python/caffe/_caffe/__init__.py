"""pycaffe's compiled module, for scripts that take its classes from there (`isinstance(x, caffe._caffe.BlobVec)`).

Timer and NCCL are at home here: nothing but such scripts asks for them. The other names are those of package caffe.
"""

from caffe._caffe.nccl import NCCL
from caffe._caffe.timer import Timer
from caffe.blob import Blob, BlobVec
from caffe.layers.base import Layer
from caffe.layers.registry import layer_type_list
from caffe.logs.glog import init_log, log
from caffe.mode import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
from caffe.net.net import Net
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

__all__ = [
    "NCCL",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobVec",
    "Layer",
    "NesterovSolver",
    "Net",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "get_solver",
    "has_nccl",
    "init_log",
    "layer_type_list",
    "log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
]
