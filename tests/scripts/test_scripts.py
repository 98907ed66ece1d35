"""The scripts do what their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.reference_data import REPOSITORY

import caffe
from caffe.proto.model_file import read_model, write_model_hdf5
from crfasrnn.networks import prototxts as catalogue
from crfasrnn.networks import vgg
from crfasrnn.pictures.photographs import read_image

SCRIPTS = REPOSITORY / "scripts"


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the Python scripts."""
    return subprocess.run(
        [sys.executable, str(SCRIPTS / script), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def write_trunk(path: Path) -> dict[str, np.ndarray]:
    """Random weights for VGG-16's convolutions, in the form that convert_vgg_trunk.py reads; returns them."""
    rng = np.random.default_rng(0)
    arrays, channels = {}, 3
    for block, widths in enumerate(vgg.BLOCKS, 1):
        for index, width in enumerate(widths, 1):
            scale = np.sqrt(2 / (9 * channels))
            arrays[f"conv{block}_{index}_w"] = (scale * rng.standard_normal((width, channels, 3, 3))).astype(np.float16)
            arrays[f"conv{block}_{index}_b"] = rng.standard_normal(width).astype(np.float16)
            channels = width
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return arrays


def test_the_trunk_loads_into_the_slim_net(tmp_path: Path) -> None:
    arrays = write_trunk(tmp_path / "trunk.npz")
    done = run("convert_vgg_trunk.py", tmp_path / "trunk.npz", tmp_path / "trunk.caffemodel.h5")
    assert done.returncode == 0, done.stderr
    (tmp_path / "deploy.prototxt").write_text(catalogue.files()["slim/fcn8s_deploy.prototxt"])
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), str(tmp_path / "trunk.caffemodel.h5"), caffe.TEST)
    for name in ("conv1_1", "conv3_3", "conv5_3"):
        np.testing.assert_array_equal(net.params[name][0].data, arrays[f"{name}_w"].astype(np.float32))
        np.testing.assert_array_equal(net.params[name][1].data, arrays[f"{name}_b"].astype(np.float32))


def test_files_that_are_no_trunk_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "text.npz").write_text("nothing")
    for name, message in (("other.npz", "pairs of arrays"), ("text.npz", "cannot read"), ("none.npz", "cannot read")):
        done = run("convert_vgg_trunk.py", tmp_path / name, tmp_path / "out.caffemodel.h5")
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
    assert not (tmp_path / "out.caffemodel.h5").exists()


def test_exported_weights_are_half_precision_and_load(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).standard_normal((4, 3, 5, 5)).astype(np.float32)
    write_model_hdf5(tmp_path / "full.caffemodel.h5", ["conv", "relu"], [[weights, np.ones(4, np.float32)], []])
    done = run("export_model.py", tmp_path / "full.caffemodel.h5", tmp_path / "half.caffemodel.h5")
    assert done.returncode == 0, done.stderr
    (layer,) = read_model(tmp_path / "half.caffemodel.h5")
    assert layer.name == "conv"
    np.testing.assert_array_equal(layer.blobs[0], weights.astype(np.float16).astype(np.float32))
    with h5py.File(tmp_path / "half.caffemodel.h5") as file:
        assert file["data/conv/0"].dtype == np.float16
        assert file["data/conv/0"].compression == "gzip"


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    write_model_hdf5(tmp_path / "full.caffemodel.h5", ["conv"], [[np.array([1e6], np.float32)]])
    done = run("export_model.py", tmp_path / "full.caffemodel.h5", tmp_path / "half.caffemodel.h5")
    assert done.returncode == 1
    assert "layer 'conv', blob 0, holds values beyond float16" in done.stderr
    assert not (tmp_path / "half.caffemodel.h5").exists()


LOG = """\
I1122 12:00:00.000000 1 solver.cpp:218] Iteration {0} (3 iter/s, 0s/3 iters), loss = {1}
I1122 12:00:00.000000 1 solver.cpp:237]     Train net output #0: loss = 99 (* 1 = 99 loss)
I1122 12:00:00.000000 1 sgd_solver.cpp:105] Iteration {0}, lr = 0.0001
"""


def test_the_loss_curve_is_drawn_and_read_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = "".join(LOG.format(iteration, 300 / (1 + iteration)) for iteration in range(0, 60, 3))
    log += LOG.format(57, 8.5)  # a resumed run repeats an iteration
    log += "I1122 12:00:00.000000 1 solver.cpp:165] Iteration 60, loss = 2.5\n"
    (tmp_path / "net.log").write_text(log)
    done = run("plot_log.py", tmp_path / "net.log", tmp_path / "net.log", "-o", tmp_path / "loss.png")
    assert done.returncode == 0, done.stderr
    picture = read_image(tmp_path / "loss.png")
    assert picture.shape[1] > 2 * picture.shape[0]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20

    monkeypatch.syspath_prepend(str(SCRIPTS))
    import plot_log

    iterations, values = plot_log.losses(tmp_path / "net.log")
    assert iterations.tolist() == list(range(0, 61, 3))
    assert values[[0, 1, -2, -1]].tolist() == [300, 75, 8.5, 2.5]
    constant = np.full(100, 3.0)
    np.testing.assert_allclose(plot_log.smoothed(constant), constant)
    ramp = np.arange(200.0)
    np.testing.assert_allclose(plot_log.smoothed(ramp), ramp)  # a centred window does not shift the curve


def test_a_log_without_losses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.log").write_text("nothing\n")
    for name, message in (("net.log", "has no line"), ("none.log", "cannot read log")):
        done = run("plot_log.py", tmp_path / name, "-o", tmp_path / "loss.png")
        assert done.returncode == 1
        assert message in done.stderr
    assert not (tmp_path / "loss.png").exists()
