"""The `caffe` command: train, test, time and device_query, with the flags and log lines of BVLC's tool."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from types import FrameType

from caffe.errors import CaffeError
from caffe.logs.glog import number, signed
from caffe.tools.flags import run_tool

logger = signed("caffe.cpp")

USAGE = """caffe: command line brew
usage: caffe <command> <args>

commands:
  train           train or finetune a model
  test            score a model
  device_query    show GPU diagnostic information
  time            benchmark model execution time

flags (one or two dashes, "-flag value" or "-flag=value"):
  -solver FILE          solver definition (train)
  -model FILE           model definition (test, time)
  -weights FILE[,FILE]  weights to start from (train, test); not together with -snapshot
  -snapshot FILE        solver state to resume training from (train); the newest, PREFIX_iter_N.solverstate, always has
                        its weights beside it, even after a crash
  -iterations N         number of iterations to run (test, time; default 50)
  -phase TRAIN|TEST     network phase (time; default TRAIN)
  -inference            time whole passes as crfasrnn segment makes them, instead of layers (time; phase TEST)
  -precision float32|bf16   what wide convolutions multiply in (train, test, time; default float32); bf16 is
                        1.5 to 3 times as fast where the processor has such products, with 8 significant bits
  -level N              network level (default 0)
  -stage NAME[,NAME]    network stages
  -gpu ID[,ID]|all      run in GPU mode on these devices
  -log_json FILE        append what is logged to this file, one JSON object per line (train, test, time)
  -sigint_effect stop|snapshot|none   what Ctrl-C does while training (default stop)
  -sighup_effect stop|snapshot|none   what a hangup does while training (default snapshot)

environment:
  CAFFE_TIMEOUT SECONDS  where several processes train: how long one waits for a step, a tested batch or a snapshot of
                        another before it ends the run with an error (default 600)"""


@dataclass
class Flags:
    """The values of the command line's flags; names are gflags' spelling."""

    solver: str = ""
    model: str = ""
    weights: str = ""
    snapshot: str = ""
    iterations: int = 50
    phase: str = ""
    inference: bool = False
    precision: str = "float32"
    level: int = 0
    stage: str = ""
    gpu: str = ""
    log_json: str = ""
    sigint_effect: str = "stop"
    sighup_effect: str = "snapshot"

    def spelled(self) -> list[str]:
        """The flags that are not at their defaults, as a command line has them."""
        return [f"-{f.name}={getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) != f.default]

    @property
    def stages(self) -> list[str]:
        """The stages as a list."""
        return [s for s in self.stage.split(",") if s]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status (0 fine, 1 an error, whose message is on stderr)."""
    return run_tool(USAGE, Flags, (0, 1), _command, arguments)


def _command(words: list[str], flags: Flags) -> int:
    if not words:
        print(USAGE, file=sys.stderr)
        return 0
    if words[0] not in COMMANDS:
        listing = "".join(f"\n  {name}" for name in sorted(COMMANDS))
        raise CaffeError(f"Unknown action: {words[0]}. Available caffe actions:{listing}")
    from caffe import mode

    # -inference gives its precision to caffe.inference, which leaves the scores in float32.
    with mode.precision("float32" if flags.inference else flags.precision):
        return COMMANDS[words[0]](flags)


def _devices(gpu: str) -> list[int]:
    """The device numbers that -gpu names."""
    import torch

    if gpu in ("", "all"):
        return list(range(torch.cuda.device_count())) if gpu else []
    try:
        return [int(part) for part in gpu.split(",")]
    except ValueError:
        raise CaffeError(f"-gpu takes device numbers separated by commas, or all, not '{gpu}'") from None


def _use_device(gpu: str, solver_mode: str | None = None, device_id: int = 0) -> None:
    """Choose CPU or GPU mode from -gpu, else from the solver (its mode, or None where it states none)."""
    import torch

    from caffe import mode, parallel

    ids = _devices(gpu)
    if len(ids) > 1:
        ids = [parallel.own_device(ids)]
    if (not gpu and solver_mode == "GPU") or (not gpu and solver_mode is None and torch.cuda.is_available()):
        ids = [device_id]
    if not ids:
        if not gpu and solver_mode is None:
            logger.warning("The solver states no solver_mode and there is no CUDA device: using the CPU.")
        logger.info("Use CPU.")
        mode.set_mode_cpu()
        return
    logger.info("Using GPUs %s", ", ".join(map(str, ids)))
    mode.set_mode_gpu()
    mode.set_device(ids[0])


def train(flags: Flags) -> int:
    """caffe train: train or finetune a model."""
    if not flags.solver:
        raise CaffeError("Need a solver definition to train: caffe train -solver FILE")
    if flags.snapshot and flags.weights:
        raise CaffeError("Give a snapshot to resume training or weights to finetune but not both.")
    from caffe import mode, parallel
    from caffe.logs.json_log import json_log
    from caffe.logs.progress_bar import progress_bar
    from caffe.proto import caffe_pb2, text
    from caffe.solver.solver import get_solver

    if not parallel.launched() and len(_devices(flags.gpu)) > 1:
        mode.set_mode_gpu()  # an error here is one message; in the processes it would be one from each
        return parallel.launch(len(_devices(flags.gpu)), ["train", *flags.spelled()])
    param = text.read_solver(flags.solver)
    if flags.stage or flags.level:
        param.train_state.level = flags.level
        param.train_state.stage.extend(flags.stages)
    modes = caffe_pb2.SolverParameter.SolverMode
    stated = modes.Name(param.solver_mode) if param.HasField("solver_mode") else None
    _use_device(flags.gpu, stated, param.device_id)
    if flags.weights:
        del param.weights[:]
        param.weights.append(flags.weights)
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
        logger.info("Starting Optimization")
        with json_log(flags.log_json) as write, progress_bar(param.max_iter, solver.iter) as show:
            solver.add_listener(write)
            solver.add_callback(lambda: show(solver.iter), lambda: None)
            solver.solve()
            show(solver.iter)
    logger.info("Optimization Done.")
    return 0


class Signals:
    """While active, note SIGINT and SIGHUP; calling it tells (once) what the last one asks for, by the flags' effects."""

    def __init__(self, effects: dict[str, str]) -> None:
        for name, effect in effects.items():
            if effect not in ("stop", "snapshot", "none"):
                raise CaffeError(
                    f'Invalid signal effect "{effect}" was specified for -{name.lower()}_effect: use stop, snapshot, none.'
                )
        self._effects = {getattr(signal, name): effect for name, effect in effects.items() if hasattr(signal, name)}
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Callable[[], str]:
        for signum, effect in self._effects.items():
            if effect != "none":
                self._previous[signum] = signal.signal(signum, self._note)
        return self._take

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _: FrameType | None) -> None:
        self._received = number

    def _take(self) -> str:
        number, self._received = self._received, None
        return "none" if number is None else self._effects[number]


def test(flags: Flags) -> int:
    """caffe test: run a model for some iterations and report the mean of its outputs."""
    if not flags.model:
        raise CaffeError("Need a model definition to score: caffe test -model FILE -weights FILE")
    if not flags.weights:
        raise CaffeError("Need model weights to score: caffe test -model FILE -weights FILE")
    _positive(flags.iterations)
    import numpy as np

    from caffe import mode
    from caffe.logs.json_log import json_log
    from caffe.logs.progress_bar import progress_bar
    from caffe.net.net import Net
    from caffe.solver.solver import plain_outputs

    _use_device(flags.gpu, "CPU")
    net = Net(flags.model, mode.TEST, level=flags.level, stages=flags.stages)
    net.frees_blobs = True
    for path in flags.weights.split(","):
        net.copy_from(path)
    logger.info("Running for %d iterations.", flags.iterations)
    sums: dict[str, np.ndarray] = {}
    loss = 0.0
    with json_log(flags.log_json) as write, progress_bar(flags.iterations) as show:
        for i in range(flags.iterations):
            loss += net.run_forward()
            outputs = {name: net.blobs[name].tensor.double().cpu().numpy().reshape(-1) for name in net.outputs}
            for name, values in outputs.items():
                sums[name] = sums[name] + values if name in sums else values
                for value in values:
                    logger.info("Batch %d, %s = %s", i, name, number(value))
            write({"event": "batch", "batch": i, "outputs": plain_outputs(outputs)})
            show(i + 1)
        means = {name: total / flags.iterations for name, total in sums.items()}
        write({"event": "test", "loss": loss / flags.iterations, "outputs": plain_outputs(means)})
    logger.info("Loss: %s", number(loss / flags.iterations))
    for name, mean in means.items():
        weight = net.blob_loss_weights[name]
        for value in mean:
            part = f" (* {number(weight)} = {number(weight * value)} loss)" if weight else ""
            logger.info("%s = %s%s", name, number(value), part)
    return 0


def time_(flags: Flags) -> int:
    """caffe time: the time that each layer takes, forward and backward, or that inference takes."""
    if not flags.model:
        raise CaffeError("Need a model definition to time: caffe time -model FILE")
    _positive(flags.iterations)
    if flags.phase not in ("", "TRAIN", "TEST"):
        raise CaffeError(f'phase must be "TRAIN" or "TEST", not "{flags.phase}"')
    return _time_inference(flags) if flags.inference else _time_layers(flags)


def _time_inference(flags: Flags) -> int:
    from caffe import mode
    from caffe.fastpath.inference import Inference
    from caffe.logs.json_log import json_log
    from caffe.logs.progress_bar import progress_bar
    from caffe.net.net import Net

    if flags.phase == "TRAIN":
        raise CaffeError("-inference is for phase TEST, not -phase TRAIN")
    _use_device(flags.gpu, "CPU")
    inference = Inference(Net(flags.model, mode.TEST, level=flags.level, stages=flags.stages), flags.precision)
    logger.info("Performing Forward")
    inference.forward()
    logger.info("*** Benchmark begins ***")
    logger.info("Testing for %d iterations.", flags.iterations)
    total = 0.0
    with progress_bar(flags.iterations) as show:
        for k in range(flags.iterations):
            lapse = _timed(inference.forward)
            total += lapse
            logger.info("Iteration: %d forward time: %s ms.", k + 1, number(lapse))
            show(k + 1)
    with json_log(flags.log_json) as write:
        write({"event": "time", "iterations": flags.iterations, "forward_ms": total / flags.iterations})
    logger.info("Average Forward pass: %s ms.", number(total / flags.iterations))
    logger.info("*** Benchmark ends ***")
    return 0


def _time_layers(flags: Flags) -> int:
    from caffe import mode
    from caffe.logs.json_log import json_log
    from caffe.logs.progress_bar import progress_bar
    from caffe.net.net import Net

    _use_device(flags.gpu, "CPU")
    net = Net(flags.model, mode.TEST if flags.phase == "TEST" else mode.TRAIN, level=flags.level, stages=flags.stages)
    logger.info("Performing Forward")
    logger.info("Initial loss: %s", number(net.run_forward()))
    logger.info("Performing Backward")
    net.run_backward()
    logger.info("*** Benchmark begins ***")
    logger.info("Testing for %d iterations.", flags.iterations)
    count = len(net.layers)
    forward, backward = [0.0] * count, [0.0] * count
    began = time.perf_counter()
    with progress_bar(flags.iterations) as show:
        for k in range(flags.iterations):
            start = time.perf_counter()
            for i in range(count):
                forward[i] += _timed(lambda i=i: net.run_forward(i, i))  # type: ignore[misc]
            for i in reversed(range(count)):
                backward[i] += _timed(lambda i=i: net.run_backward(i, i))  # type: ignore[misc]
            lapse = 1e3 * (time.perf_counter() - start)
            logger.info("Iteration: %d forward-backward time: %s ms.", k + 1, number(lapse))
            show(k + 1)
    total = 1e3 * (time.perf_counter() - began)
    with json_log(flags.log_json) as write:
        for name, there, back in zip(net._layer_names, forward, backward):
            times = {"forward_ms": there / flags.iterations, "backward_ms": back / flags.iterations}
            write({"event": "layer", "layer": name, **times})
        write({"event": "time", "iterations": flags.iterations, "forward_backward_ms": total / flags.iterations})
    logger.info("Average time per layer: ")
    for name, there, back in zip(net._layer_names, forward, backward):
        logger.info("%10s\tforward: %s ms.", name, number(there / flags.iterations))
        logger.info("%10s\tbackward: %s ms.", name, number(back / flags.iterations))
    logger.info("Average Forward pass: %s ms.", number(sum(forward) / flags.iterations))
    logger.info("Average Backward pass: %s ms.", number(sum(backward) / flags.iterations))
    logger.info("Average Forward-Backward: %s ms.", number(total / flags.iterations))
    logger.info("Total Time: %s ms.", number(total))
    logger.info("*** Benchmark ends ***")
    return 0


def _timed(call: Callable[[], object]) -> float:
    """Milliseconds that a call takes, the device's work included."""
    from caffe.tools.timer import Timer

    timer = Timer()
    timer.start()
    call()
    timer.stop()
    return timer.ms


def _positive(iterations: int) -> None:
    if iterations < 1:
        raise CaffeError(f"-iterations must be at least 1, not {iterations}")


def device_query(flags: Flags) -> int:
    """caffe device_query: what PyTorch says of the CUDA devices."""
    import torch

    count = torch.cuda.device_count()
    wanted = range(count) if flags.gpu in ("", "all") else [int(i) for i in flags.gpu.split(",") if i.isdigit()]
    logger.info("Querying GPUs %s", flags.gpu or "all")
    if not count:
        raise CaffeError("PyTorch finds no CUDA device.")
    for i in wanted:
        if i >= count:
            raise CaffeError(f"There is no GPU device {i}: PyTorch finds {count}.")
        properties = torch.cuda.get_device_properties(i)
        logger.info("Device id:                     %d", i)
        logger.info("Major revision number:         %d", properties.major)
        logger.info("Minor revision number:         %d", properties.minor)
        logger.info("Name:                          %s", properties.name)
        logger.info("Total global memory:           %d", properties.total_memory)
        logger.info("Number of multiprocessors:     %d", properties.multi_processor_count)
    return 0


COMMANDS: dict[str, Callable[[Flags], int]] = {
    "train": train,
    "test": test,
    "time": time_,
    "device_query": device_query,
}


if __name__ == "__main__":
    sys.exit(main())
