"""Solver.save_memory: the same weights bit by bit, with less in memory on the way; without it every blob stays readable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.reference_data import PEAK_KIB

import caffe
import caffe.net.graph
import caffe.solver.solver
from caffe import mode
from caffe.proto import model_file

NET = """
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 2 dim: 3 dim: 9 dim: 8 } shape { dim: 2 dim: 4 dim: 4 dim: 4 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "conv1" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "drop" type: "Dropout" bottom: "conv2" top: "conv2" }
layer { name: "pool" type: "Pooling" bottom: "conv2" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv3" type: "Convolution" bottom: "pool" top: "conv3"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "conv4" type: "Convolution" bottom: "pool" top: "conv4" param { lr_mult: 0 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "conv3" bottom: "conv4" top: "sum" }
layer { name: "square" type: "Python" bottom: "sum" bottom: "conv4" top: "square"
  python_param { module: "square_layer" layer: "Square" } }
layer { name: "loss" type: "EuclideanLoss" bottom: "square" bottom: "y" top: "loss" loss_weight: 1e-3 }
"""
SQUARE = """
import caffe
class Square(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data ** 2
    def backward(self, top, propagate_down, bottom):
        # The second bottom is looked at here alone.
        bottom[0].diff[...] = 2 * bottom[0].data * top[0].diff * bottom[1].data
"""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "square_layer.py").write_text(SQUARE)
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path


def trained(options: str, lean: bool) -> caffe.Solver:
    common = 'net: "net.prototxt" lr_policy: "fixed" snapshot_prefix: "s" random_seed: 3 test_interval: 2 test_iter: 1 '
    Path("solver.prototxt").write_text(common + options)
    solver = caffe.get_solver("solver.prototxt")
    if lean:
        solver.save_memory()
    solver.step(5)
    return solver


OPTIONS = {
    "sgd": "base_lr: 1e-6 momentum: 0.9 weight_decay: 0.01 iter_size: 2",
    "clipped": 'base_lr: 1e-6 momentum: 0.9 clip_gradients: 0.1 regularization_type: "L1" weight_decay: 0.01',
    "debug": "base_lr: 1e-6 debug_info: true display: 1",
    "adam": 'base_lr: 1e-6 momentum: 0.9 type: "Adam"',
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_weights_are_the_same(workplace: Path, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    monkeypatch.setattr(
        caffe.net.graph, "_HUGE_PARAMETER", 10
    )  # the weights of all layers wait for the end of backward
    plain, lean = trained(options, lean=False), trained(options, lean=True)
    assert all(np.isfinite(blob.data).all() for blob in plain.net.learnable)
    for name, blobs in plain.net.params.items():
        for mine, other in zip(blobs, lean.net.params[name], strict=True):
            np.testing.assert_array_equal(other.data, mine.data, err_msg=name)
    for mine, other in zip(plain.history, lean.history, strict=True):
        np.testing.assert_array_equal(other.data, mine.data)
    assert lean.net.blobs["loss"].data == plain.net.blobs["loss"].data


def test_what_is_let_go_of_and_what_stays(workplace: Path) -> None:
    plain, lean = (trained("base_lr: 1e-6 momentum: 0.9", lean) for lean in (False, True))
    for name in ("conv1", "conv2", "pool", "conv3"):
        assert plain.net.blobs[name].data.any()
        assert plain.net.blobs[name].diff.any()
        assert not lean.net.blobs[name].data.any(), name
        assert not lean.net.blobs[name].diff.any(), name
    for name in ("x", "y", "loss", "square"):
        np.testing.assert_array_equal(lean.net.blobs[name].data, plain.net.blobs[name].data)
    assert lean.test_nets[0].blobs["loss"].data
    assert not lean.test_nets[0].blobs["conv2"].data.any()


def test_snapshots_hold_the_last_update(workplace: Path) -> None:
    for lean in (False, True):
        solver = trained("base_lr: 1e-6 momentum: 0.9 snapshot: 5 snapshot_diff: true", lean)
        Path("s_iter_5.caffemodel").rename(f"lean_{lean}.caffemodel")
        assert np.array_equal(solver.net.params["conv3"][0].diff, solver.history[2].data)
    assert Path("lean_True.caffemodel").read_bytes() == Path("lean_False.caffemodel").read_bytes()
    assert model_file.read_model("lean_True.caffemodel")


@pytest.mark.parametrize("type_", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_updates_do_not_depend_on_the_slices(workplace: Path, monkeypatch: pytest.MonkeyPatch, type_: str) -> None:
    momentum = "" if type_ in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    options = f'base_lr: 1e-6 {momentum} weight_decay: 0.01 type: "{type_}" rms_decay: 0.9 clip_gradients: 0.1'
    whole = trained(options, lean=False)
    monkeypatch.setattr(caffe.solver.solver, "_SLICE", 8)
    sliced = trained(options, lean=False)
    for mine, other in zip(whole.net.learnable, sliced.net.learnable, strict=True):
        np.testing.assert_allclose(other.data, mine.data, rtol=1e-6, atol=1e-7)


MAPS = (
    PEAK_KIB
    + """
import sys, caffe
from caffe.proto import caffe_pb2
net = caffe_pb2.NetParameter()
data = net.layer.add(name="data", type="DummyData", top=["d0"])
data.dummy_data_param.shape.add(dim=[1, 8, 1024, 1024])
for i in range(6):
    c = net.layer.add(name=f"c{i}", type="Convolution", bottom=[f"d{i}"], top=[f"d{i + 1}"]).convolution_param
    c.num_output, c.kernel_size[:] = 8, [1]
    c.weight_filler.type = "msra"
    net.layer.add(name=f"r{i}", type="ReLU", bottom=[f"d{i + 1}"], top=[f"d{i + 1}"])
net.layer.add(name="loss", type="Reduction", bottom=["d6"], top=["loss"], loss_weight=[1])
solver = caffe_pb2.SolverParameter(base_lr=1e-9, lr_policy="fixed")
solver.net_param.CopyFrom(net)
solver = caffe.get_solver(solver)
if sys.argv[1:]:
    solver.save_memory()
before, had_sympy = peak_kib(), "sympy" in sys.modules
solver.step(2)
assert had_sympy or "sympy" not in sys.modules, "autograd.grad loads it to compare shapes: 32 MB"
print((peak_kib() - before) / (8 * 1024 * 4))
"""
)


def test_a_map_is_held_once() -> None:
    """Six convolutions with their ReLUs, in units of one map, which is 32 MiB: maps and their diffs are 14."""
    kept, lean = (
        float(subprocess.run([sys.executable, "-c", MAPS, *words], check=True, capture_output=True).stdout)
        for words in ((), ("lean",))
    )
    assert lean < 13  # seven maps, a diff with its successor and what a convolution copies meanwhile
    assert kept > lean + 4


COLUMNS = (
    PEAK_KIB
    + """
import caffe, caffe.solver.memory
from caffe.proto import caffe_pb2
caffe.solver.memory.return_large_blocks()
net = caffe_pb2.NetParameter(force_backward=True)
net.layer.add(name="x", type="Input", top=["x"]).input_param.shape.add(dim=[1, 64, 34, 34])
for i in range(8):
    layer = net.layer.add(name=f"c{i}", type="Convolution", bottom=["x"], top=[f"c{i}"])
    layer.param.add(name="weight")
    c = layer.convolution_param
    c.num_output, c.kernel_size[:], c.bias_term = 520, [16], False
open("net.prototxt", "w").write(str(net))
net = caffe.Net("net.prototxt", caffe.TRAIN)
net.forward(end="c0")
before = peak_kib()
net.forward()
print((peak_kib() - before) / (64 * 16 * 16 * 19 * 19 * 4 / 1024))
"""
)


def test_columns_are_not_kept_for_backward(tmp_path: Path) -> None:
    """Eight convolutions that go by their columns, in units of one's columns, which are 24 MB."""
    grown = subprocess.run([sys.executable, "-c", COLUMNS], check=True, capture_output=True, cwd=tmp_path).stdout
    assert float(grown) < 3


FROZEN = """
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 2 dim: 3 dim: 33 dim: 40 } shape { dim: 2 dim: 4 dim: 9 dim: 10 }
  data_filler { type: "gaussian" std: 30 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "conv1" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 40 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 48 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv3" type: "Convolution" bottom: "pool2" top: "conv3"
  convolution_param { num_output: 64 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "score" type: "Convolution" bottom: "conv3" top: "score"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "side" type: "Convolution" bottom: "pool2" top: "side"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "score" bottom: "side" top: "sum" }
layer { name: "loss" type: "EuclideanLoss" bottom: "sum" bottom: "y" top: "loss" loss_weight: 1e-3 }
"""


@pytest.mark.parametrize("band", [None, 3000], ids=["whole", "bands"])
def test_frozen_layers_run_at_once_in_bfloat16(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, band: int | None
) -> None:
    if band is not None:
        monkeypatch.setattr("caffe.fastpath.chain._BAND_BYTES", band)
    Path("net.prototxt").write_text(FROZEN)
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 1e-6 lr_policy: "fixed" random_seed: 3 test_interval: 2 test_iter: 1 snapshot_prefix: "s"'
    )

    def trained(lean: bool, precision: str) -> tuple[caffe.Solver, set[str]]:
        solver = caffe.get_solver("solver.prototxt")
        if lean:
            solver.save_memory()
        ran: set[str] = set()
        solver.net.after_forward(lambda layer: ran.add(solver.net._layer_names[layer]))
        with mode.precision(precision):
            solver.step(5)
        return solver, ran

    def movement(solver: caffe.Solver) -> dict[str, np.ndarray]:
        start = caffe.get_solver("solver.prototxt").net.params
        return {name: solver.net.params[name][0].data - start[name][0].data for name in start}

    (plain, everything), (lean, ran) = trained(False, "bf16"), trained(True, "bf16")
    assert everything - ran == {"conv1", "relu1", "pool1", "conv2", "pool2"}
    assert trained(True, "float32")[1] == everything
    for name, moved in movement(plain).items():
        assert moved.any() == (name not in ("conv1", "conv2"))
        # The order of sums may round a value of a map to bfloat16's next one: 2^-8 of it.
        assert np.abs(movement(lean)[name] - moved).max() <= 2**-7 * np.abs(moved).max(), name
    found, expected = (float(solver.test_nets[0].blobs["loss"].data) for solver in (lean, plain))
    assert found == pytest.approx(expected, rel=1e-3)
