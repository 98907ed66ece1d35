"""The committed network definitions are what the programs write, and say what the papers say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from support.reference_data import REPOSITORY

from caffe.proto import caffe_pb2
from crfasrnn.networks import prototxts as catalogue

PROTOTXT = REPOSITORY / "prototxt"
PUBLISHED = [
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"),
    *("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7", "score-fr"),
    *("score2", "score-pool4", "score4", "score-pool3", "upsample", "inference1"),
]


def parse(text: str, name: str) -> Any:
    """The solver or net that a file holds."""
    message = caffe_pb2.SolverParameter() if "solver" in name else caffe_pb2.NetParameter()
    return text_format.Parse(text, message)


def committed(name: str) -> Any:
    """A file of prototxt/ as a message."""
    return parse((PROTOTXT / name).read_text(encoding="utf-8"), name)


def layer(net: Any, name: str) -> Any:
    """The layer of that name, which must be the only one."""
    (found,) = [entry for entry in net.layer if entry.name == name]
    return found


@pytest.mark.parametrize("name", sorted(catalogue.files()))
def test_committed_files_are_what_the_programs_write(name: str) -> None:
    text = (PROTOTXT / name).read_text(encoding="utf-8")
    made = catalogue.files()[name]
    assert text.splitlines()[0] == made.splitlines()[0]
    assert parse(text, name) == parse(made, name), "run `make prototxt`"


def test_nothing_else_is_committed() -> None:
    assert {str(path.relative_to(PROTOTXT)) for path in PROTOTXT.rglob("*.prototxt")} == set(catalogue.files())


def test_the_command_writes_them_all(tmp_path: Path) -> None:
    written = catalogue.write(tmp_path)
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in written} == catalogue.files()


def test_published_parameter_layers_by_name_and_order() -> None:
    net = committed("voc21/crfrnn_deploy.prototxt")
    kinds = {"Convolution", "Deconvolution", "MultiStageMeanfield"}
    assert [entry.name for entry in net.layer if entry.type in kinds] == PUBLISHED
    assert len(PUBLISHED) == 22


def test_published_learning_rates() -> None:
    net = committed("voc21/crfrnn_train.prototxt")
    for name in ("conv1_1", "fc6", "score-fr", "score2", "score-pool3"):
        assert [(p.lr_mult, p.decay_mult) for p in layer(net, name).param] == [(1, 1), (2, 0)]
    assert [p.lr_mult for p in layer(net, "score4").param] == [1]
    assert [p.lr_mult for p in layer(net, "upsample").param] == [0]
    assert [p.lr_mult for p in layer(net, "inference1").param] == [10000, 10000, 1000]


@pytest.mark.parametrize(("folder", "train", "deploy"), [("voc21", 5, 10), ("slim", 5, 10)], ids=["voc21", "slim"])
def test_five_iterations_to_train_and_ten_to_segment(folder: str, train: int, deploy: int) -> None:
    for name, iterations in (("train", train), ("val", train), ("deploy", deploy)):
        crf = layer(committed(f"{folder}/crfrnn_{name}.prototxt"), "inference1").multi_stage_meanfield_param
        assert crf.num_iterations == iterations
        assert (crf.theta_alpha, crf.theta_beta, crf.theta_gamma) == (160, 3, 3)


# A blob pixel at x lies at image coordinate scale * x + shift.
Map = tuple[Fraction, Fraction]


def coordinate_maps(net: Any) -> tuple[dict[str, Map], dict[str, Fraction]]:
    """Where the pixels of every blob lie, and the offset at which each Crop should cut.

    Derived from kernels, strides and paddings alone: a window's result lies at the window's centre.
    """
    maps: dict[str, Map] = {"data": (Fraction(1), Fraction(0))}
    offsets: dict[str, Fraction] = {}
    for entry in net.layer:
        if not entry.bottom:
            continue
        scale, shift = maps[entry.bottom[0]]
        if entry.type in ("Convolution", "Deconvolution"):
            param = entry.convolution_param
            kernel, stride = param.kernel_size[0], (param.stride or [1])[0]
            pad, hole = (param.pad or [0])[0], (param.dilation or [1])[0]
            centre = Fraction(hole * (kernel - 1), 2) - pad
        elif entry.type == "Pooling":
            stride, centre = entry.pooling_param.stride, Fraction(entry.pooling_param.kernel_size - 1, 2)
        else:
            stride, centre = 1, Fraction(0)
        if entry.type == "Deconvolution":
            scale /= stride
            shift -= scale * centre
        else:
            shift += scale * centre
            scale *= stride
        if entry.type == "Crop":
            other_scale, other_shift = maps[entry.bottom[1]]
            assert other_scale == scale
            offsets[entry.top[0]] = (other_shift - shift) / scale
            scale, shift = other_scale, other_shift
        if entry.type == "Eltwise":
            assert maps[entry.bottom[0]] == maps[entry.bottom[1]]
        for top in entry.top:
            maps[top] = (scale, shift)
    return maps, offsets


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("voc21/fcn32s_deploy", {"coarse": 19}),
        ("voc21/fcn16s_deploy", {"score-pool4c": 5, "coarse": 27}),
        ("voc21/fcn8s_deploy", {"score-pool4c": 5, "score-pool3c": 9, "coarse": 31}),
        ("voc21/crfrnn_deploy", {"score-pool4c": 5, "score-pool3c": 9, "coarse": 31}),
        ("slim/fcn8s_deploy", {"score2c": 0, "score4c": 0, "coarse": 0}),
    ],
)
def test_crops_cut_where_the_pixels_coincide(name: str, expected: dict[str, int]) -> None:
    net = committed(f"{name}.prototxt")
    _, offsets = coordinate_maps(net)
    written = {entry.top[0]: entry.crop_param.offset[0] for entry in net.layer if entry.type == "Crop"}
    assert written == expected
    assert offsets == expected


def test_any_number_of_classes(tmp_path: Path) -> None:
    files = catalogue.files(slim_classes=3)
    net = parse(files["slim/crfrnn_train.prototxt"], "net")
    for name in ("score-fr", "score-pool4", "score-pool3", "upsample"):
        assert layer(net, name).convolution_param.num_output == 3
    assert layer(net, "upsample").convolution_param.group == 3
    crf = layer(net, "inference1").multi_stage_meanfield_param
    assert (crf.spatial_filter_weights_str, crf.bilateral_filter_weights_str) == ("1.5 1.5 1.5", "3 3 3")


def test_the_slim_trunk_is_frozen_through_its_third_block() -> None:
    net = committed("slim/fcn8s_train.prototxt")
    rates = {entry.name: [p.lr_mult for p in entry.param] for entry in net.layer if entry.name.startswith("conv")}
    assert {name for name, rate in rates.items() if rate == [0, 0]} == {
        "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3",
    }  # fmt: skip
    assert {tuple(rate) for name, rate in rates.items() if name[4] in "45"} == {(1, 2)}


def test_the_slim_head_learns_fast_while_it_is_new() -> None:
    for name, rates in (("fcn8s", [10, 20]), ("crfrnn", [1, 2])):
        net = committed(f"slim/{name}_train.prototxt")
        for head in ("fc6", "fc7", "score-fr", "score-pool4", "score-pool3"):
            assert [p.lr_mult for p in layer(net, head).param] == rates


@pytest.mark.parametrize("name", sorted(name for name in catalogue.files() if "solver" in name))
def test_solvers_name_nets_that_exist_and_agree(name: str) -> None:
    solver = committed(name)
    train = committed(solver.train_net.removeprefix("prototxt/"))
    (test_net,) = solver.test_net
    val = committed(test_net.removeprefix("prototxt/"))
    deploy = committed(solver.train_net.removeprefix("prototxt/").replace("_train", "_deploy"))

    def learned(net: Any) -> list[tuple[str, int]]:
        return [(e.name, e.convolution_param.num_output) for e in net.layer if e.HasField("convolution_param")]

    assert learned(train) == learned(val) == learned(deploy)
    assert solver.lr_policy
    assert solver.max_iter % solver.snapshot == 0


def test_published_training() -> None:
    solver = committed("voc21/crfrnn_solver.prototxt")
    assert solver.base_lr == pytest.approx(1e-13)
    assert (solver.momentum, solver.lr_policy, solver.iter_size) == (pytest.approx(0.99), "fixed", 1)
    assert solver.weight_decay == pytest.approx(0.0005)
    loss = layer(committed("voc21/crfrnn_train.prototxt"), "loss").loss_param
    assert (loss.ignore_label, loss.HasField("normalize"), loss.normalize) == (255, True, False)
