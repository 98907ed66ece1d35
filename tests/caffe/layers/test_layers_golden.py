"""Every layer against the numbers of genuine Caffe: forward, gradients of bottoms and parameters, running statistics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.reference_data import golden_cases

import caffe.layers  # noqa: F401  # registers the built-in types
from caffe import mode
from caffe.blob import Blob
from caffe.net.net import Net

CASES = golden_cases("layers")


def _close(name: str, actual: np.ndarray, expected: np.ndarray, relative: float) -> None:
    """Equal within `relative` of the largest expected magnitude; cells that are NaN in genuine Caffe say nothing."""
    assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, expected {expected.shape}"
    stated = np.isfinite(expected)
    assert np.isfinite(actual).all(), f"{name} is not finite"
    scale = max(float(np.abs(expected[stated]).max(initial=0.0)), 1e-6)
    worst = float(np.abs(actual - expected, where=stated, out=np.zeros(actual.shape)).max(initial=0.0))
    assert worst <= relative * scale, f"{name}: off by {worst:g}, largest value {scale:g}"


def _entries(case: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key[len(prefix) :]: value for key, value in case.items() if key.startswith(prefix)}


def _param(net: Net, key: str) -> Blob:
    layer, _, index = key.rpartition(".")
    return net.params[layer][int(index)]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_layer_computes_what_caffe_computes(path: Path, compute: str) -> None:
    # The GPU adds up in another order.
    relative = 1e-5 if compute == "cpu" else 1e-4
    with np.load(path) as stored:
        case = {key: stored[key] for key in stored.files}
    meta = json.loads(str(case.pop("meta")))
    net = Net(path.with_suffix(".prototxt"), getattr(mode, meta["phase"]))
    assert net.outputs == meta["outputs"]
    for key, value in _entries(case, "param.").items():
        assert _param(net, key).shape == value.shape
        _param(net, key).data[...] = value
    wrapped = meta["back"].partition("wrap:")[2].split(",")
    inputs = {name: f"{name}_in" if name in wrapped else name for name in _entries(case, "in.")}
    for name, value in _entries(case, "in.").items():
        name = inputs[name]
        net.blobs[name].reshape(*value.shape)
        net.blobs[name].data[...] = value

    net.forward()
    for name, value in _entries(case, "blob.").items():
        _close(name, net.blobs[name].data, value, relative)
    for key, value in _entries(case, "param_after.").items():
        _close(f"{key} after forward", _param(net, key).data, value, relative)

    if meta["back"] == "none":
        return
    for name, value in _entries(case, "topdiff.").items():
        if meta["back"] == "loss":
            _close(f"gradient of {name}", net.blobs[name].diff, value, relative)
        else:
            net.blobs[name].diff[...] = value
    net.clear_param_diffs()
    net.backward()
    for name, value in _entries(case, "indiff.").items():
        _close(f"gradient of {name}", net.blobs[name].diff, value, relative)
    if path.stem == "parameter_layer":
        # Caffe's top shares its diff with the parameter, so that clearing the parameter's diff erased the recorded one.
        case["paramdiff.p.0"] = case["topdiff.y"]
    for key, value in _entries(case, "paramdiff.").items():
        _close(f"gradient of {key}", _param(net, key).diff, value, relative)


def test_there_are_cases() -> None:
    assert CASES, "no golden layer cases found"
