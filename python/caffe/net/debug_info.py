"""The log lines of `debug_info: true`: mean magnitudes of blobs, parameters and gradients, layer by layer, in Caffe's words."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.blob import Blob
from caffe.logs.glog import number, signed
from caffe.net.node import Node

logger = signed("net.cpp")


def log_forward(node: Node) -> None:
    """Tell of a layer's tops and parameters after its forward."""
    for name, blob in zip(node.tops, node.top):
        _log("Forward", node.name, f"top blob {name} data", _mean(blob.asum_data(), blob))
    for k, blob in enumerate(node.layer.blobs):
        specs = node.layer.layer_param.param
        shown = (specs[k].name if k < len(specs) else "") or str(k)
        _log("Forward", node.name, f"param blob {shown} data", _mean(blob.asum_data(), blob))


def log_backward(node: Node) -> None:
    """Tell of a layer's gradients after its backward."""
    for name, blob, flag in zip(node.bottoms, node.bottom, node.layer.propagate_down):
        if flag:
            _log("Backward", node.name, f"bottom blob {name} diff", _mean(blob.asum_diff(), blob))
    for k, (blob, flag) in enumerate(zip(node.layer.blobs, node.layer.param_propagate_down)):
        if flag:
            _log("Backward", node.name, f"param blob {k} diff", _mean(blob.asum_diff(), blob))


def log_totals(learnable: Sequence[Blob]) -> None:
    """Tell the norms over all learnable parameters after a whole backward."""
    data = [sum(blob.asum_data() for blob in learnable), sum(blob.sumsq_data() for blob in learnable) ** 0.5]
    diff = [sum(blob.asum_diff() for blob in learnable), sum(blob.sumsq_diff() for blob in learnable) ** 0.5]
    # An error in Caffe too, so that it shows where information is hidden.
    logger.error(
        "    [Backward] All net params (data, diff): L1 norm = (%s, %s); L2 norm = (%s, %s)",
        *(number(value) for pair in zip(data, diff) for value in pair),
    )


def _mean(total: float, blob: Blob) -> float:
    return total / blob.count if blob.count else float("nan")


def _log(step: str, layer: str, what: str, value: float) -> None:
    logger.info("    [%s] Layer %s, %s: %s", step, layer, what, number(value))
