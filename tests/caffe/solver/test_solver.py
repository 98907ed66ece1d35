"""What a solver file's options do: averages, tests, snapshots, debug lines; callbacks and shared weights."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2

pytestmark = pytest.mark.usefixtures("compute")

NET = """
name: "line"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "fit" type: "InnerProduct" bottom: "x" top: "fit" inner_product_param { num_output: 1 weight_filler { value: 0.5 } } }
layer { name: "extra" type: "Reduction" bottom: "fit" top: "extra" include { phase: TEST stage: "detailed" } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fit" bottom: "y" top: "loss" }
"""


@pytest.fixture
def solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., caffe.Solver]:
    """Builds a solver of the small net; options are appended to its file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)

    def build(options: str, kind: type[caffe.Solver] | None = None) -> caffe.Solver:
        common = 'base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "s" random_seed: 3 '
        (tmp_path / "solver.prototxt").write_text('net: "net.prototxt" ' + common + options)
        return (kind or caffe.get_solver)("solver.prototxt")

    return build


def logged(caplog: pytest.LogCaptureFixture, pattern: str) -> list[str]:
    return [match[1] for record in caplog.records if (match := re.search(pattern, record.getMessage()))]


def test_average_loss_is_the_mean_of_the_last_ones(solver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caffe")
    solver("display: 1 average_loss: 3").step(8)
    single = [float(v) for v in logged(caplog, r"Train net output #0: loss = (\S+)")]
    shown = [float(v) for v in logged(caplog, r"Iteration \d+ \(.*loss = (\S+)")]
    means = [np.mean(single[max(0, i - 2) : i + 1]) for i in range(8)]
    np.testing.assert_allclose(shown, means, rtol=1e-4)
    with pytest.raises(caffe.CaffeError, match="average_loss should be at least 1"):
        solver("average_loss: 0")


def test_several_test_nets_with_stages(solver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caffe")
    options = (
        "test_iter: 2 test_iter: 3 test_interval: 2 test_initialization: false test_compute_loss: true max_iter: 4 "
    )
    trained = solver(options + 'test_state { } test_state { stage: "detailed" }')
    assert [net.outputs for net in trained.test_nets] == [["loss"], ["extra", "loss"]]
    trained.solve()
    assert logged(caplog, r"(Iteration \d+, Testing net \(#\d\))") == [
        f"Iteration {i}, Testing net (#{k})" for i in (2, 4) for k in (0, 1)
    ]
    losses = logged(caplog, r"Test loss: (\S+)")
    # The net's only loss has weight 1.
    assert losses == logged(caplog, r"Test net output #\d: loss = (\S+)")
    # One set of weights: the test nets look at those of the training net.
    trained.net.params["fit"][0].data[...] = 7
    assert (trained.test_nets[1].params["fit"][0].data == 7).all()
    for wrong, words in (
        ("test_state { }", "once per test net"),
        ("test_iter: 1", "test_interval must be greater than 0"),
        ('test_net: "net.prototxt" test_interval: 1', "test_iter must be specified for each test network"),
    ):
        with pytest.raises(caffe.CaffeError, match=words):
            solver(wrong if "test_state" not in wrong else options + wrong)


def test_test_nets_have_the_weights_of_the_trained_net_at_any_time(solver, tmp_path: Path) -> None:
    """From the start, after copy_from and after restore, not from the first test on."""
    options = "test_iter: 1 test_iter: 1 test_interval: 100"

    def same(trained: caffe.Solver) -> bool:
        fit = trained.net.params["fit"][0].data
        return all(np.array_equal(net.params["fit"][0].data, fit) for net in trained.test_nets)

    first = solver(options)
    assert same(first)
    first.step(2)
    assert same(first)
    model, state = first.snapshot()
    for load in (lambda new: new.net.copy_from(model), lambda new: new.restore(state)):
        new = solver(options)
        load(new)
        assert same(new)
        np.testing.assert_array_equal(new.net.params["fit"][0].data, first.net.params["fit"][0].data)


def test_a_poly_rate_of_a_script_that_gives_no_max_iter(solver) -> None:
    trained = solver("power: 0.9")
    trained.param.lr_policy = "poly"
    with pytest.raises(caffe.CaffeError, match="poly needs a max_iter"):
        trained.step(1)


def test_snapshot_after_train(solver, tmp_path: Path) -> None:
    solver("max_iter: 3 snapshot: 2 snapshot_after_train: false").solve()
    assert {path.name for path in tmp_path.glob("s_iter*")} == {"s_iter_2.caffemodel", "s_iter_2.solverstate"}
    solver("max_iter: 3 snapshot: 2 layer_wise_reduce: false").solve()
    assert (tmp_path / "s_iter_3.caffemodel").exists()


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_snapshot_diff_holds_the_last_update(solver, form: str) -> None:
    trained = solver(f"max_iter: 2 momentum: 0.9 snapshot_diff: true snapshot_format: {form}")
    trained.step(1)
    before = [blob.data.copy() for blob in trained.net.params["fit"]]
    trained.step(1)
    path = trained.snapshot()[0]
    if form == "HDF5":
        with h5py.File(path) as file:
            written = [(file[f"data/fit/{k}"][()], file[f"diff/fit/{k}"][()]) for k in range(2)]
    else:
        net = caffe_pb2.NetParameter.FromString(Path(path).read_bytes())
        (layer,) = [layer for layer in net.layer if layer.name == "fit"]
        written = [
            (np.array(b.data, np.float32).reshape(b.shape.dim), np.array(b.diff, np.float32).reshape(b.shape.dim))
            for b in layer.blobs
        ]
    for (data, diff), old in zip(written, before, strict=True):
        assert diff.any()
        np.testing.assert_array_equal(old - diff, data)
    # A reader of weights passes over the diffs.
    other = caffe.Net("net.prototxt", path, caffe.TEST)
    np.testing.assert_array_equal(other.params["fit"][0].data, trained.net.params["fit"][0].data)


def test_debug_info(solver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caffe")
    trained = solver("display: 2 debug_info: true max_iter: 2 test_iter: 1 test_interval: 5 test_initialization: false")
    assert trained.test_nets[0].debug_info
    trained.step(1)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("    [")]
    kinds = [re.sub(r": [-\d.e+]+$", "", line) for line in lines]
    assert kinds[:8] == [
        "    [Forward] Layer data, top blob x data",
        "    [Forward] Layer data, top blob y data",
        "    [Forward] Layer fit, top blob fit data",
        "    [Forward] Layer fit, param blob 0 data",
        "    [Forward] Layer fit, param blob 1 data",
        "    [Forward] Layer loss, top blob loss data",
        "    [Backward] Layer loss, bottom blob fit diff",
        "    [Backward] Layer fit, param blob 0 diff",
    ]
    net = trained.net
    assert f"    [Forward] Layer data, top blob x data: {np.abs(net.blobs['x'].data).mean():g}" in lines
    assert f"    [Backward] Layer loss, bottom blob fit diff: {np.abs(net.blobs['fit'].diff).mean():g}" in lines
    assert lines[3] == "    [Forward] Layer fit, param blob 0 data: 0.5"
    totals = re.fullmatch(
        r"    \[Backward\] All net params \(data, diff\): L1 norm = \((\S+), (\S+)\); L2 norm = \((\S+), (\S+)\)",
        lines[-1],
    )
    assert totals
    # The update is the learning rate times the gradient, of which the line told.
    update = np.concatenate([blob.diff.reshape(-1) for blob in net.learnable])
    assert [float(totals[k]) for k in (1, 3)] == pytest.approx([1.5, math.sqrt(0.75)], rel=1e-5)
    assert [float(totals[k]) for k in (2, 4)] == pytest.approx(
        [np.abs(update).sum() / 0.1, math.sqrt(np.square(update).sum()) / 0.1], rel=1e-4
    )
    caplog.clear()
    trained.step(1)
    assert not [record for record in caplog.records if "[Forward]" in record.getMessage()]


def test_callbacks_and_shared_weights(solver) -> None:
    trained = solver("iter_size: 2")
    seen: list[tuple[str, int, bool]] = []

    def note(what: str) -> Callable[[], None]:
        return lambda: seen.append((what, trained.iter, bool(trained.net.params["fit"][0].diff.any())))

    trained.add_callback(note("before"), note("after"))
    trained.step(2)
    assert seen == [("before", 0, False), ("after", 0, True), ("before", 1, False), ("after", 1, True)]
    other = caffe.Net("net.prototxt", caffe.TEST)
    trained.share_weights(other)
    trained.net.params["fit"][0].data[...] = 3
    assert (other.params["fit"][0].data == 3).all()


def test_forward_backward_and_apply_update_are_a_step(solver) -> None:
    whole, parts = solver("momentum: 0.9"), solver("momentum: 0.9")
    caffe.set_random_seed(1)
    whole.step(3)
    caffe.set_random_seed(1)
    for _ in range(3):
        parts.net.clear_param_diffs()
        parts.net.forward()
        parts.net.backward()
        parts.apply_update()
    assert parts.iter == 3
    np.testing.assert_array_equal(parts.net.params["fit"][0].data, whole.net.params["fit"][0].data)


def test_param_and_types(solver) -> None:
    trained = solver('type: "Adam" max_iter: 9 display: 0')
    assert isinstance(trained, caffe.AdamSolver)
    assert (trained.param.max_iter, trained.param.base_lr, trained.param.layer_wise_reduce) == (
        9,
        pytest.approx(0.1),
        True,
    )
    assert isinstance(solver("momentum: 0.9", caffe.NesterovSolver), caffe.NesterovSolver)
    for options, words in (
        ('type: "Sgd"', "Unknown solver type: Sgd"),
        ('type: "AdaGrad" momentum: 0.9', "Momentum cannot be used with AdaGrad"),
    ):
        with pytest.raises(caffe.CaffeError, match=words):
            solver(options)
