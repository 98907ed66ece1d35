"""The nets that a solver file names: the one to train and those to test, with the weights they start from."""

from __future__ import annotations

import os
from collections.abc import Sequence

from caffe import mode
from caffe.errors import CaffeError
from caffe.logs.glog import signed
from caffe.net.net import Net
from caffe.proto import caffe_pb2

logger = signed("solver.cpp")


def train_net(p: caffe_pb2.SolverParameter) -> Net:
    """The net that a solver trains, with the weights it starts from. Raises CaffeError unless exactly one is named."""
    given = [f for f in ("train_net", "train_net_param", "net", "net_param") if p.HasField(f)]
    fields = "train_net, train_net_param, net, net_param"
    if not given:
        raise CaffeError(f"SolverParameter must specify a train net using one of these fields: {fields}")
    if len(given) > 1:
        raise CaffeError(
            f"SolverParameter must not contain more than one of these fields specifying a train_net: {fields}"
        )
    source = getattr(p, given[0])
    if given[0] in ("net", "train_net"):
        logger.info("Creating training net from %s file: %s", given[0], source)
    else:
        logger.info("Creating training net specified in %s.", given[0])
    net = Net(source, mode.TRAIN, level=p.train_state.level, stages=list(p.train_state.stage))
    for weights in p.weights:
        finetune([net], weights)
    return net


def test_nets(p: caffe_pb2.SolverParameter) -> list[Net]:
    """The nets that a solver tests, in the order of test_iter. Raises CaffeError where their options do not fit together."""
    sources: list[str | caffe_pb2.NetParameter] = [*p.test_net_param, *p.test_net]
    generic: str | caffe_pb2.NetParameter | None = None
    if p.HasField("net_param"):
        generic = p.net_param
    elif p.HasField("net"):
        generic = p.net
    if generic is not None:
        sources += [generic] * (len(p.test_iter) - len(sources))
    if len(p.test_iter) != len(sources):
        raise CaffeError(
            f"test_iter must be specified for each test network: {len(p.test_iter)} for {len(sources)} nets."
        )
    if p.test_state and len(p.test_state) != len(sources):
        raise CaffeError("test_state must be unspecified or specified once per test net.")
    if sources and p.test_interval <= 0:
        raise CaffeError("test_interval must be greater than 0 where there is a test net.")
    nets = []
    for i, source in enumerate(sources):
        field = "net" if i >= len(sources) - (generic is not None) else "test_net"
        name = f"{field} file: {source}" if isinstance(source, str) else f"{field}_param"
        logger.info("Creating test net (#%d) specified by %s", i, name)
        state = p.test_state[i] if p.test_state else caffe_pb2.NetState()
        net = Net(source, mode.TEST, level=state.level, stages=list(state.stage))
        for weights in p.weights:
            finetune([net], weights)
        net.debug_info = p.debug_info
        nets.append(net)
    return nets


def finetune(nets: Sequence[Net], weights: str) -> None:
    """Copy weights from one or more files (separated by commas) into nets."""
    for path in os.fspath(weights).split(","):
        logger.info("Finetuning from %s", path.strip())
        for net in nets:
            net.copy_from(path.strip())
