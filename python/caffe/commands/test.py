"""caffe test: run a model for some iterations and report the mean of its outputs."""

from __future__ import annotations

from caffe import mode
from caffe.commands import device
from caffe.commands.options import Flags
from caffe.errors import CaffeError
from caffe.logs.glog import number, signed
from caffe.logs.json_log import json_log
from caffe.logs.progress_bar import progress_bar
from caffe.net.net import Net
from caffe.solver.outputs import OutputMeans, described, plain_outputs, scalars

logger = signed("caffe.cpp")


def run(flags: Flags) -> int:
    """Score the model that the flags name; returns the exit status."""
    if not flags.model:
        raise CaffeError("Need a model definition to score: caffe test -model FILE -weights FILE")
    if not flags.weights:
        raise CaffeError("Need model weights to score: caffe test -model FILE -weights FILE")
    flags.check_iterations()
    device.use(flags.gpu, "CPU")
    net = Net(flags.model, mode.TEST, level=flags.level, stages=flags.stages)
    net.frees_blobs = True
    for path in flags.weights.split(","):
        net.copy_from(path)
    logger.info("Running for %d iterations.", flags.iterations)
    means = OutputMeans(net)
    with json_log(flags.log_json) as write, progress_bar(flags.iterations) as show:
        for i in range(flags.iterations):
            outputs = means.run()
            for name, value in scalars(outputs):
                logger.info("Batch %d, %s = %s", i, name, number(value))
            write({"event": "batch", "batch": i, "outputs": plain_outputs(outputs)})
            show(i + 1)
        write({"event": "test", "loss": means.loss, "outputs": plain_outputs(means.outputs)})
    logger.info("Loss: %s", number(means.loss))
    for line in described(means.outputs, net):
        logger.info("%s", line)
    return 0
