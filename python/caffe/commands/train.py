"""caffe train: train or finetune a model."""

from __future__ import annotations

from contextlib import nullcontext

from caffe import mode, parallel
from caffe.commands import device
from caffe.commands.options import Flags
from caffe.errors import CaffeError
from caffe.logs.glog import signed
from caffe.logs.json_log import json_log
from caffe.logs.progress_bar import progress_bar
from caffe.proto import caffe_pb2, text
from caffe.solver.signals import Signals
from caffe.solver.solver import Solver, get_solver

logger = signed("caffe.cpp")


def run(flags: Flags) -> int:
    """Train as the flags say, in one process or several; returns the exit status."""
    if not flags.solver:
        raise CaffeError("Need a solver definition to train: caffe train -solver FILE")
    if flags.snapshot and flags.weights:
        raise CaffeError("Give a snapshot to resume training or weights to finetune but not both.")
    if not parallel.launched() and len(device.numbers(flags.gpu)) > 1:
        mode.set_mode_gpu()  # an error here is one message; in the processes it would be one from each
        return parallel.launch(len(device.numbers(flags.gpu)), ["train", *flags.spelled()])
    param = _solver_parameter(flags)
    _use_device(flags, param)
    backend = "nccl" if mode.device().type == "cuda" else "gloo"
    with (
        parallel.group(backend) if parallel.launched() else nullcontext(),
        Signals({"SIGINT": flags.sigint_effect, "SIGHUP": flags.sighup_effect}) as requested,
    ):
        solver = get_solver(param)
        solver.requested_action = requested
        solver.save_memory()
        if flags.snapshot:
            logger.info("Resuming from %s", flags.snapshot)
            solver.restore(flags.snapshot)
        _optimize(solver, flags.log_json)
    return 0


def _solver_parameter(flags: Flags) -> caffe_pb2.SolverParameter:
    """What the solver file says, and the flags in its stead."""
    param = text.read_solver(flags.solver)
    if flags.stage or flags.level:
        param.train_state.level = flags.level
        param.train_state.stage.extend(flags.stages)
    if flags.weights:
        del param.weights[:]
        param.weights.append(flags.weights)
    return param


def _use_device(flags: Flags, param: caffe_pb2.SolverParameter) -> None:
    modes = caffe_pb2.SolverParameter.SolverMode
    stated = modes.Name(param.solver_mode) if param.HasField("solver_mode") else None
    device.use(flags.gpu, stated, param.device_id)


def _optimize(solver: Solver, log: str) -> None:
    """Train to the end. Where several processes do, the first writes the JSON log and has the progress bar."""
    first = parallel.rank() == 0
    logger.info("Starting Optimization")
    with (
        json_log(log if first else "") as write,
        progress_bar(solver.param.max_iter, solver.iter, hidden=not first) as show,
    ):
        solver.add_listener(write)
        solver.add_callback(lambda: show(solver.iter), lambda: None)
        solver.solve()
        show(solver.iter)
    logger.info("Optimization Done.")
