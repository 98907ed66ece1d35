"""The log lines of `debug_info: true`: mean magnitudes of blobs, parameters and gradients, layer by layer, in Caffe's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe.blob import Blob
from caffe.logs.glog import number, signed

if TYPE_CHECKING:
    from caffe.net.net import NetGraph

logger = signed("net.cpp")


def log_forward(net: NetGraph, index: int) -> None:
    """Tell of a layer's tops and parameters after its forward."""
    layer, name = net.layers[index], net._layer_names[index]
    for top in net._tops[index]:
        _log("Forward", name, f"top blob {top} data", _mean(net.blobs[top].asum_data(), net.blobs[top]))
    for k, blob in enumerate(layer.blobs):
        specs = layer.layer_param.param
        shown = (specs[k].name if k < len(specs) else "") or str(k)
        _log("Forward", name, f"param blob {shown} data", _mean(blob.asum_data(), blob))


def log_backward(net: NetGraph, index: int) -> None:
    """Tell of a layer's gradients after its backward."""
    layer, name = net.layers[index], net._layer_names[index]
    for bottom, flag in zip(net._bottoms[index], layer.propagate_down):
        if flag:
            _log(
                "Backward", name, f"bottom blob {bottom} diff", _mean(net.blobs[bottom].asum_diff(), net.blobs[bottom])
            )
    for k, (blob, flag) in enumerate(zip(layer.blobs, layer.param_propagate_down)):
        if flag:
            _log("Backward", name, f"param blob {k} diff", _mean(blob.asum_diff(), blob))


def log_totals(net: NetGraph) -> None:
    """Tell the norms over all parameters after a whole backward."""
    data = [sum(blob.asum_data() for blob in net.learnable), sum(blob.sumsq_data() for blob in net.learnable) ** 0.5]
    diff = [sum(blob.asum_diff() for blob in net.learnable), sum(blob.sumsq_diff() for blob in net.learnable) ** 0.5]
    # An error in Caffe too, so that it shows where information is hidden.
    logger.error(
        "    [Backward] All net params (data, diff): L1 norm = (%s, %s); L2 norm = (%s, %s)",
        *(number(value) for pair in zip(data, diff) for value in pair),
    )


def _mean(total: float, blob: Blob) -> float:
    return total / blob.count if blob.count else float("nan")


def _log(step: str, layer: str, what: str, value: float) -> None:
    logger.info("    [%s] Layer %s, %s: %s", step, layer, what, number(value))
