"""Solver definitions: the numbers of every training recipe, in one place."""

from __future__ import annotations

from typing import Any

from caffe.net_spec import assign_proto
from caffe.proto import caffe_pb2


def solver(nets: str, work: str, **settings: Any) -> Any:
    """A SolverParameter that trains `<nets>_train.prototxt`, tests `<nets>_val.prototxt` and snapshots to `<work>`.

    settings: fields of SolverParameter that differ from the common ones below. Paths are relative to the folder in
    which `caffe train` is started, as everywhere in Caffe.
    """
    fields: dict[str, Any] = {
        "train_net": f"{nets}_train.prototxt",
        "test_net": f"{nets}_val.prototxt",
        "test_initialization": False,
        "display": 20,
        "weight_decay": 0.0005,
        "iter_size": 1,
        "snapshot_prefix": work,
        "solver_mode": "CPU",
        "random_seed": 1,
    }
    message = caffe_pb2.SolverParameter()
    for name, value in {**fields, **settings}.items():
        assign_proto(message, name, value)
    return message


def published(nets: str, work: str, base_lr: float, max_iter: int = 100000) -> Any:
    """Training as in the papers: one image per step, summed loss, momentum 0.99, a fixed and tiny learning rate."""
    return solver(
        nets,
        work,
        base_lr=base_lr,
        lr_policy="fixed",
        momentum=0.99,
        max_iter=max_iter,
        test_iter=736,
        test_interval=10000,
        snapshot=4000,
        average_loss=20,
    )


def slim(nets: str, work: str, base_lr: float, max_iter: int = 3500, **more: Any) -> Any:
    """Training of the slim networks: loss averaged over the pixels, one image per step, rate falling to zero."""
    return solver(
        nets,
        work,
        base_lr=base_lr,
        lr_policy="poly",
        power=0.9,
        momentum=0.9,
        max_iter=max_iter,
        test_iter=231,
        test_interval=max_iter,
        snapshot=500,
        average_loss=20,
        **more,
    )


def deeplab(nets: str, work: str, base_lr: float, max_iter: int = 1000) -> Any:
    """Training of a network whose weights are good already, with batch normalisation folded in, which leaves them of very different
    sizes: steps that do not depend on it (Adam), no decay, rate falling to zero."""
    return slim(nets, work, base_lr, max_iter, type="Adam", momentum2=0.999, delta=1e-8, weight_decay=0)


def slim_short(nets: str, work: str, base_lr: float, max_iter: int = 1000) -> Any:
    """The same for a network that is trained on from another."""
    return slim(nets, work, base_lr, max_iter)


def carried_over(nets: str, work: str, base_lr: float, max_iter: int = 1000) -> Any:
    """The papers' fixed rate for a loss averaged over the pixels, with a momentum that so few steps have a use for."""
    param = slim(nets, work, base_lr, max_iter)
    param.lr_policy = "fixed"
    param.ClearField("power")
    return param
