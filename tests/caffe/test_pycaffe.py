"""The rest of pycaffe's surface: constructors, hooks, blobs by number, legacy shapes, process-wide switches; wrong use."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import caffe
from caffe import draw, parallel
from caffe.proto import caffe_pb2, text

NET = """
name: "two" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fit" type: "InnerProduct" bottom: "data" top: "fit" inner_product_param { num_output: 4 weight_filler {
  type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "fit" top: "fit" include { stage: "rectified" } }
layer { name: "high" type: "Power" bottom: "fit" top: "high" include { min_level: 2 } }
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "net.caffemodel"))
    return str(tmp_path / "net.prototxt")


def test_every_form_of_the_constructor(path: str) -> None:
    weights = path.replace("prototxt", "caffemodel")
    expected = caffe.Net(path, weights, caffe.TEST).params["fit"][0].data
    for net in (
        caffe.Net(path, caffe.TEST, weights=weights),
        caffe.Net(network_file=path, phase=caffe.TEST, weights=weights),
        caffe.Net(path, caffe.TEST, 0, [], weights),
    ):
        np.testing.assert_array_equal(net.params["fit"][0].data, expected)
    layers = ["data", "fit", "relu", "high"]
    assert caffe.Net(path, caffe.TEST, 2, ["rectified"])._layer_names == layers
    assert caffe.Net(path, phase=caffe.TRAIN, stages=["rectified"], level=2)._layer_names == layers
    for arguments in ((path,), (path, 3), (path, weights), (path, caffe.TEST, 0, [], weights, 1)):
        with pytest.raises(TypeError):
            caffe.Net(*arguments)
    with pytest.raises(RuntimeError, match=r"nowhere\.prototxt"):
        caffe.Net("nowhere.prototxt", caffe.TEST)


@pytest.mark.usefixtures("compute")
def test_hooks_see_every_layer(path: str) -> None:
    net = caffe.Net(path, caffe.TEST, stages=["rectified"])
    seen: list[tuple[str, int]] = []
    for name in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, name)(lambda layer, name=name: seen.append((name, layer)))
    net.forward(data=np.ones((2, 3)))
    assert seen == [(f"{when}_forward", k) for k in range(3) for when in ("before", "after")]
    seen.clear()
    net.backward()
    assert seen == [(f"{when}_backward", k) for k in (2, 1, 0) for when in ("before", "after")]
    # A hook may look at what the layer has just computed, and change it.
    net.after_forward(lambda layer: net.blobs["fit"].data.fill(5) if layer == 1 else None)
    assert (net.forward()["fit"] == 5).all()


def test_blobs_by_number(path: str) -> None:
    net = caffe.Net(path, caffe.TEST, 2, ["rectified"])
    assert net._blob_names == list(net.blobs)
    assert [net._blob_names[i] for i in net._top_ids(1)] == net.top_names["fit"]
    assert [net._blob_names[i] for i in net._bottom_ids(3)] == net.bottom_names["high"]
    assert net._blobs[net._top_ids(1)[0]] is net.blobs["fit"]


@pytest.fixture
def own_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_solver_count", None)
    monkeypatch.setattr(parallel, "_solver_rank", None)


def test_processes_that_a_script_starts_share_the_data(own_processes: None, tmp_path: Path) -> None:
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
    (tmp_path / "rows.txt").write_text(f"{tmp_path}/rows.h5\n")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["x"] = np.arange(6.0)
    (tmp_path / "net.prototxt").write_text(
        f'layer {{ name: "x" type: "HDF5Data" top: "x" hdf5_data_param {{ source: "{tmp_path}/rows.txt" batch_size: 2 }} }}'
    )
    caffe.set_solver_count(3)
    caffe.set_solver_rank(1)
    caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank()) == (3, 1)
    assert caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN).forward()["x"].tolist() == [1, 4]
    assert caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).forward()["x"].tolist() == [0, 1]
    for call, value in ((caffe.set_solver_count, 0), (caffe.set_solver_rank, -1)):
        with pytest.raises(RuntimeError):
            call(value)


def test_log_writes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    caffe.init_log(0)
    caffe.log("halfway")
    assert capsys.readouterr().err.rstrip().endswith("] halfway")
    caffe.init_log(2, True)
    caffe.log("hidden")
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what happens without a GPU")
def test_gpu_mode_without_a_gpu_is_one_clear_error() -> None:
    for call in (caffe.set_mode_gpu, lambda: caffe.set_device(0)):
        with pytest.raises(RuntimeError, match="CUDA device"):
            call()


def test_names_that_scripts_import() -> None:
    names = """Net SGDSolver NesterovSolver AdaGradSolver RMSPropSolver AdaDeltaSolver AdamSolver Layer get_solver Blob
        layer_type_list set_mode_cpu set_mode_gpu set_device set_random_seed solver_count set_solver_count solver_rank
        set_solver_rank set_multiprocess has_nccl Timer init_log
        log TRAIN TEST Classifier Detector io layers params NetSpec to_proto coord_map"""
    assert [name for name in names.split() if not hasattr(caffe, name)] == []
    assert caffe_pb2.TEST == caffe.TEST
    assert callable(draw.draw_net_to_file)
    from caffe.pycaffe import Net, SGDSolver

    assert (Net, SGDSolver) == (caffe.Net, caffe.SGDSolver)
    assert caffe.has_nccl()


def test_the_compiled_modules_names_are_the_packages() -> None:
    from caffe import _caffe

    for name in COMPILED.split():
        assert getattr(_caffe, name) is getattr(caffe, name), name
        assert name in dir(_caffe)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _caffe.nothing  # noqa: B018
    net = caffe.Net(text.parse_net(TWO_LOSSES), caffe.TRAIN)
    assert type(net.params["ip"]) is caffe._caffe.BlobVec
    assert isinstance(net.layers[0], caffe._caffe.Layer)


# What BVLC's _caffe.cpp exports under names of its own.
COMPILED = """
    AdaDeltaSolver AdaGradSolver AdamSolver Blob Layer NCCL NesterovSolver Net RMSPropSolver SGDSolver Solver Timer get_solver
    has_nccl init_log layer_type_list log set_device set_mode_cpu set_mode_gpu set_multiprocess set_random_seed set_solver_count
    set_solver_rank solver_count solver_rank"""

TWO_LOSSES = """
layer { name: "x" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "constant" value: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" loss_weight: 2 }"""


def test_layers_run_by_their_numbers() -> None:
    net = caffe.Net(text.parse_net(TWO_LOSSES), caffe.TRAIN)
    assert dict(zip(net._blob_names, net._blob_loss_weights)) == {"x": 0, "y": 0, "ip": 0, "loss": 2}
    assert net._forward(0, 1) == 0
    assert net.blobs["ip"].data.tolist() == [[1.5] * 3] * 2
    # 2 x the sum of (1.5 - 1)^2 over 6 values, halved, per image.
    assert net._forward(2, 2) == pytest.approx(2 * 6 * 0.25 / 2 / 2)
    net._backward(2, 1)
    np.testing.assert_allclose(net.params["ip"][1].diff, 2 * 0.5)
