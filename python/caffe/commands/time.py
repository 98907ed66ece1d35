"""caffe time: the time that each layer takes, forward and backward, or that inference takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from caffe import mode
from caffe._caffe.timer import Timer
from caffe.commands import device
from caffe.commands.options import Flags
from caffe.errors import CaffeError
from caffe.fastpath.inference import Inference
from caffe.logs.glog import number, signed
from caffe.logs.json_log import json_log
from caffe.logs.progress_bar import progress_bar
from caffe.net.net import Net

logger = signed("caffe.cpp")


def run(flags: Flags) -> int:
    """Time the model that the flags name; returns the exit status."""
    if not flags.model:
        raise CaffeError("Need a model definition to time: caffe time -model FILE")
    flags.check_iterations()
    if flags.phase not in ("", "TRAIN", "TEST"):
        raise CaffeError(f'phase must be "TRAIN" or "TEST", not "{flags.phase}"')
    return _time_inference(flags) if flags.inference else _time_layers(flags)


def _time_inference(flags: Flags) -> int:
    if flags.phase == "TRAIN":
        raise CaffeError("-inference is for phase TEST, not -phase TRAIN")
    device.use(flags.gpu, "CPU")
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
    device.use(flags.gpu, "CPU")
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
    timer = Timer()
    timer.start()
    call()
    timer.stop()
    return timer.ms
