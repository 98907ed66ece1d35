"""The layer as a plugin of genuine BVLC Caffe, in real processes of it; scripts/build_test_caffe.sh builds that Caffe.

All tests are skipped where there is none: `make test-caffe` builds it first.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from support.crfasrnn.refiner_nets import COMMON, NET
from support.genuine_caffe import STOCK, Genuine, build, error, run
from support.reference_data import REPOSITORY, TESTS, golden_cases

import caffe
from caffe.proto import caffe_pb2
from caffe.proto.model_file import read_model
from caffe.proto.text import parse_net, to_text
from crfasrnn.networks import prototxts as catalogue

PARAM = f'python_param {{ param_str: "{COMMON}" }}'

# ------------------------------------------------------------------------------------------------------- numbers


def test_gradients_in_double(genuine: Genuine, tmp_path: Path) -> None:
    options = 'python_param { param_str: "num_iterations: 3 theta_alpha: 8 theta_beta: 15 theta_gamma: 2" }'
    output = genuine.program("test_layer", options, cwd=tmp_path)
    print("\n".join(line for line in output.splitlines() if "error" in line))
    assert output.count("ok ") == 15


@pytest.mark.parametrize("path", golden_cases("meanfield"), ids=lambda path: path.stem)
def test_golden(genuine: Genuine, tmp_path: Path, path: Path) -> None:
    """The original's numbers, within the tolerances of test_mean_field.py."""
    case = np.load(path)
    meta = json.loads(str(case["meta"]))
    options = f"num_iterations: {meta['T']} " + " ".join(
        f"{key}: {meta[key]}" for key in meta if key.startswith("theta")
    )
    inputs = {"unary": "unary", "Q0": "Q0", "data": "image"}
    net = 'force_backward: true layer { name: "crf" type: "MultiStageMeanfield" bottom: "unary" bottom: "Q0" bottom: "data" '
    net += f"top: 'pred' python_param {{ param_str: '{options}' }} }}"
    for blob, key in inputs.items():
        case[key].astype(np.float32).tofile(tmp_path / f"data.{blob}")
        shape = " ".join(f"dim: {size}" for size in case[key].shape)
        net = f"layer {{ name: '{blob}' type: 'Input' top: '{blob}' input_param {{ shape {{ {shape} }} }} }}\n" + net
    for index, key in enumerate(("spatial", "bilateral", "compat")):
        case[key].astype(np.float32).tofile(tmp_path / f"data.crf.{index}")
    case["top_diff"].astype(np.float32).tofile(tmp_path / "diff.pred")
    (tmp_path / "net.prototxt").write_text(net)
    genuine.program("run_net", "net.prototxt", "TRAIN", tmp_path, cwd=tmp_path)

    odd = case["unary"].shape[2] * case["unary"].shape[3] % 4 != 0
    files = {"top": "data.pred", "d_unary": "diff.unary", "d_Q0": "diff.Q0"}
    files |= {f"d_{key}": f"diff.crf.{index}" for index, key in enumerate(("spatial", "bilateral", "compat"))}
    for key, name in files.items():
        difference = error(np.fromfile(tmp_path / name, np.float32), case[key].reshape(-1))
        print(f"{path.stem} {key}: relative error {difference:.1e}")
        assert difference < (1e-2 if odd else 1e-4 if key == "top" else 1e-3), key


# ------------------------------------------------------------------------------------------------------ training


def training_net() -> Any:
    """The slim CRF-RNN net on HDF5 data, without dropout, whose masks no two programs share."""
    net = parse_net(catalogue.files()["slim/crfrnn_train.prototxt"])
    kept = [layer for layer in net.layer if layer.type not in ("Data", "Dropout")]
    data = caffe_pb2.LayerParameter(name="data", type="HDF5Data", top=["data", "label"])
    data.hdf5_data_param.source, data.hdf5_data_param.batch_size = "data.txt", 1
    del net.layer[:]
    net.layer.extend([data, *kept])
    return net


def write_data(folder: Path, size: int = 96) -> None:
    """Four pieces of a photograph of a cat: the dark parts are labelled cat, the rest background, a strip is ignored."""
    photo = skimage.data.chelsea()[:, :, ::-1].astype(np.float32)
    pieces = [photo[y : y + size, x : x + size] for y in (0, 100) for x in (100, 250)]
    images = np.stack(pieces).transpose(0, 3, 1, 2)
    labels = (images.mean(1, keepdims=True) < 110).astype(np.float32)
    labels[:, :, :, -4:] = 255
    with h5py.File(folder / "data.h5", "w") as file:
        file["data"] = images - np.float32([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)
        file["label"] = labels
    (folder / "data.txt").write_text("data.h5\n")


SOLVER = """
train_net: "net.prototxt" base_lr: 0.00005 lr_policy: "poly" power: 0.9 momentum: 0.9 weight_decay: 0.0005 max_iter: 20 display: 1
iter_size: 2 snapshot_prefix: "{name}" snapshot_format: BINARYPROTO solver_mode: CPU
"""


def write_start() -> None:
    """Snapshot start_iter_0 of the bundled model; runs in a process of its own, in the folder of the net."""
    solver = caffe.get_solver("start_solver.prototxt")
    solver.net.copy_from(str(REPOSITORY / "models" / "voc-animals-slim" / "crfrnn.caffemodel.h5"))
    solver.snapshot()


def ours(*arguments: str | Path, cwd: Path, status: int = 0) -> str:
    """Run our own caffe command."""
    return run(sys.executable, "-m", "caffe", *arguments, cwd=cwd, status=status)


@pytest.fixture(scope="session")
def trained(genuine: Genuine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder in which both programs trained the net from the same weights, and what they printed."""
    folder = tmp_path_factory.mktemp("training")
    write_data(folder)
    (folder / "slim.prototxt").write_text(to_text(training_net()))
    run(*STOCK, "slim.prototxt", "net.prototxt", cwd=folder)
    for name in ("start", "ours", "genuine"):
        (folder / f"{name}_solver.prototxt").write_text(SOLVER.format(name=name))
    tests = {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "plugin")])}
    run(sys.executable, "-c", "import test_bvlc_plugin as test; test.write_start()", cwd=folder, env=tests)
    # As a snapshot, because this Caffe's `train` takes no notice of -weights.
    start = ("-snapshot", "start_iter_0.solverstate")
    logs = {
        name: command("train", "-solver", f"{name}_solver.prototxt", *start, cwd=folder)
        for name, command in {"ours": ours, "genuine": genuine.run}.items()
    }
    return folder, logs


def losses(log: str) -> npt.NDArray[np.float64]:
    """The loss of every iteration that a training log shows."""
    return np.array([float(loss) for loss in re.findall(r"Iteration \d+.*, loss = (\S+)", log)])


def weights(path: Path) -> dict[str, list[npt.NDArray[np.float32]]]:
    return {layer.name: layer.blobs for layer in read_model(path) if layer.blobs}


def test_training_agrees(trained: tuple[Path, dict[str, str]]) -> None:
    folder, logs = trained
    expected, actual = (losses(logs[name]) for name in ("genuine", "ours"))
    assert len(expected) == len(actual) >= 20
    np.testing.assert_allclose(actual, expected, rtol=1e-4)
    start, mine, theirs = (
        weights(folder / f"{name}.caffemodel") for name in ("start_iter_0", "ours_iter_20", "genuine_iter_20")
    )
    assert mine.keys() == theirs.keys() == start.keys()
    pairs = [(name, index) for name, blobs in mine.items() for index in range(len(blobs))]
    moved = {(name, index): error(mine[name][index], start[name][index]) for name, index in pairs}
    differences = {(name, index): error(theirs[name][index], mine[name][index]) for name, index in pairs}
    print(f"losses: largest relative difference {np.max(np.abs(actual / expected - 1)):.1e}")
    print(f"weights: largest relative difference {max(differences.values()):.1e}")
    assert max(differences.values()) < 1e-4, differences
    # Else equality would mean little.
    assert all(moved["inference1", index] > 2e-3 for index in range(3))
    assert moved["score-fr", 0] > 1e-2


def test_models_of_either_load_in_the_other(genuine: Genuine, trained: tuple[Path, dict[str, str]]) -> None:
    folder, _ = trained
    results = {}
    for name, command in {"ours": ours, "genuine": genuine.run}.items():
        for writer in ("ours", "genuine"):
            model = f"{writer}_iter_20.caffemodel"
            log = command("test", "-model", "net.prototxt", "-weights", model, "-iterations", "4", cwd=folder)
            results[name, writer] = float(re.findall(r"\bloss = (\S+)", log)[-1])
    for writer in ("ours", "genuine"):
        assert results["ours", writer] == pytest.approx(results["genuine", writer], rel=1e-4)
    log = genuine.run(
        "test", "-model", "net.prototxt", "-weights", "start_iter_0.caffemodel", "-iterations", "4", cwd=folder
    )
    assert float(re.findall(r"\bloss = (\S+)", log)[-1]) != pytest.approx(results["ours", "ours"], rel=1e-2)


# ---------------------------------------------------------------------------------------------- what goes wrong


def write_net(folder: Path, options: str, height: int = 6) -> Path:
    (folder / "net.prototxt").write_text(NET.format(options=options, width=height))
    return folder / "net.prototxt"


WRONG_OPTIONS = {
    "num_iterations: 0": "layer 'crf': num_iterations must be at least 1 and at most 10000, not 0.",
    "num_iterations: 4294967295": "layer 'crf': num_iterations must be at least 1 and at most 10000, not 4294967295.",
    "theta_beta: 0": "layer 'crf': theta_beta must be a positive number, not 0",
    "theta_gamma: nan": "layer 'crf': theta_gamma must be a positive number, not nan",
    "spatial_filter_weights_str: '3 3'": "layer 'crf': spatial_filter_weights_str has 2 numbers, but the unary has 3 classes",
    "bilateral_filter_weights_str: '3 3 x'": "layer 'crf': bilateral_filter_weights_str: could not convert string to float: 'x'",
    "num_iteration: 5": "layer 'crf': python_param.param_str is not a MultiStageMeanfieldParameter: 1:",
    "compatibility_mode: OTHER": "layer 'crf': python_param.param_str is not a MultiStageMeanfieldParameter: 1:",
    "theta_alpha { " * 50: "layer 'crf': python_param.param_str is not a MultiStageMeanfieldParameter: 1:",
}


@pytest.mark.parametrize(
    "option",
    [
        "kernel_weights: SHARED",
        "symmetric_compatibility: true",
        "activation: RELU",
        "untied: true",
        "learn_bandwidths: true",
        "bilateral { theta_alpha: 80 }",
    ],
)
def test_options_of_the_layer_in_python_alone_are_refused(genuine: Genuine, tmp_path: Path, option: str) -> None:
    net = write_net(tmp_path, f'python_param {{ param_str: "{COMMON} {option}" }}')
    log = genuine.run("time", "-model", net, "-iterations", "1", cwd=tmp_path, status=-1)
    name = re.split(r"\W", option)[0]
    assert (
        f"layer 'crf': {name} is an option of the layer in package crfasrnn alone, the plugin for Caffe lacks it."
        in log
    )
    neutral = f"{COMMON} kernel_weights: FULL activation: SOFTMAX untied: false"
    net = write_net(tmp_path, f'python_param {{ param_str: "{neutral}" }}')
    assert "Benchmark ends" in genuine.run("time", "-model", net, "-iterations", "1", cwd=tmp_path)


@pytest.mark.parametrize("options", WRONG_OPTIONS, ids=lambda options: options[:30])
def test_wrong_options_are_named_by_both(genuine: Genuine, tmp_path: Path, options: str) -> None:
    net = write_net(tmp_path, f'python_param {{ param_str: "{options}" }}')
    for command in (ours, genuine.run):
        assert WRONG_OPTIONS[options] in command("time", "-model", net, "-iterations", "1", cwd=tmp_path, status=-1)


def test_image_of_another_size_is_refused_by_both(genuine: Genuine, tmp_path: Path) -> None:
    net = write_net(tmp_path, PARAM, height=7)
    words = "layer 'crf': image bottom 'd' has shape (1, 3, 7, 8), but the unary bottom 'u' has (1, 3, 6, 8): number, height"
    for command in (ours, genuine.run):
        assert words in command("time", "-model", net, "-iterations", "1", cwd=tmp_path, status=-1)


def test_caffe_without_the_plugin_says_what_to_do(genuine: Genuine, tmp_path: Path) -> None:
    write_net(tmp_path, f"multi_stage_meanfield_param {{ {COMMON} }}")
    run(*STOCK, "net.prototxt", "stock.prototxt", cwd=tmp_path)
    assert "Benchmark ends" in genuine.run("time", "-model", "stock.prototxt", "-iterations", "1", cwd=tmp_path)
    log = genuine.run("time", "-model", "stock.prototxt", cwd=tmp_path, status=-1, preload="")
    told = "Unknown layer type: MultiStageMeanfield of libcrfrnn_caffe.so (load it with LD_PRELOAD, see docs/tutorials/plugin.md)"
    assert told in log
    assert "Average Forward pass" in ours("time", "-model", "stock.prototxt", "-iterations", "1", cwd=tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def copy_of_headers(genuine: Genuine, folder: Path) -> Path:
    """The tree of a Caffe of another version, to be changed by the test: its headers, its schema, its old library."""
    shutil.copytree(genuine.root / "include", folder / "include")
    shutil.copytree(
        genuine.root / ".temp_release" / "src" / "caffe" / "proto", folder / "build" / "src" / "caffe" / "proto"
    )
    (folder / "lib").mkdir()
    (folder / "lib" / "libcaffe.so").symlink_to(genuine.root / ".temp_release" / "lib" / "libcaffe.so")
    return folder


def assert_refused(genuine: Genuine, folder: Path, plugin: Path, reason: str) -> None:
    log = genuine.run("time", "-model", write_net(folder, PARAM), cwd=folder, status=-1, preload=plugin)
    assert f"crfrnn: the layer MultiStageMeanfield was not registered: {reason}" in log
    assert f"this process uses {genuine.root}" in log
    assert "make caffe-plugin CAFFE_ROOT=<folder of that Caffe>" in log


def test_plugin_for_another_class_layer_is_refused(genuine: Genuine, tmp_path: Path) -> None:
    other = copy_of_headers(genuine, tmp_path / "caffe")
    old = "virtual inline bool ShareInParallel() const { return false; }"
    edit(other / "include" / "caffe" / "layer.hpp", old, old + " virtual void Added() {}")
    plugin = build(other, tmp_path / "build", "-DCMAKE_BUILD_TYPE=Debug")
    assert_refused(genuine, tmp_path, plugin, "its class Layer has other functions")


def test_nets_that_genuine_caffe_would_compute_differently_are_not_rewritten(tmp_path: Path) -> None:
    crop = 'layer { name: "cut" type: "Crop" bottom: "u" bottom: "d" top: "c" }'
    net = write_net(tmp_path, PARAM)
    net.write_text(net.read_text() + crop)
    log = run(*STOCK, net, "stock.prototxt", cwd=tmp_path, status=1)
    assert "layer 'cut': genuine Caffe does not align crops by itself" in log
    assert "Traceback" not in log
    assert not (tmp_path / "stock.prototxt").exists()


FORK_FIELD = "optional MultiStageMeanfieldParameter multi_stage_meanfield_param = 100000;"
# What a layer needs of Caffe; compiling all of it would take minutes.
FORK_SOURCES = ("blob", "common", "layer", "layers/split_layer", "syncedmem", "util/math_functions")
FORK_LIBRARIES = ("glog", "gflags", "protobuf", "boost_system", "boost_thread", "openblas")


@pytest.fixture(scope="session")
def fork(genuine: Genuine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of a Caffe with multi_stage_meanfield_param in its schema, as the forks have it: the parts that a layer uses."""
    folder = tmp_path_factory.mktemp("fork")
    shutil.copytree(genuine.root / "include" / "caffe", folder / "include" / "caffe")
    schema = folder / "build" / "src" / "caffe" / "proto"
    schema.mkdir(parents=True)
    shutil.copy(genuine.root / "src" / "caffe" / "proto" / "caffe.proto", schema)
    ours = (REPOSITORY / "python" / "crfasrnn" / "crf" / "multi_stage_meanfield.proto").read_text()
    message = re.search(r"message MultiStageMeanfieldParameter \{.*?\n\}\n", ours, re.DOTALL)
    assert message is not None
    edit(schema / "caffe.proto", "message LayerParameter {", f"{message.group()}message LayerParameter {{ {FORK_FIELD}")
    run("protoc", f"--proto_path={schema}", f"--cpp_out={schema}", schema / "caffe.proto", cwd=folder)
    sources = [genuine.root / "src" / "caffe" / f"{name}.cpp" for name in FORK_SOURCES]
    flags = ["-w", "-O0", "-fPIC", "-shared", "-DCPU_ONLY", f"-I{folder}/build/src", f"-I{folder}/include"]
    libraries = [f"-l{name}" for name in FORK_LIBRARIES]
    (folder / "lib").mkdir()
    output = folder / "lib" / "libcaffe.so"
    run("g++", *flags, *sources, schema / "caffe.pb.cc", "-o", output, *libraries, cwd=folder)
    targets = ("crfrnn_caffe", "crfrnn_caffe_layer", "test_layer")
    build(folder, folder / "plugin", "-DCMAKE_BUILD_TYPE=Debug", "-DCRFRNN_BUILD_CAFFE_TESTS=ON", targets=targets)
    return folder


def test_options_of_a_fork(fork: Path) -> None:
    """multi_stage_meanfield_param, where the schema has it."""
    fields = "num_iterations: 3 theta_alpha: 8 theta_beta: 15 theta_gamma: 2 spatial_filter_weights_str: '1 2 3'"
    options = f"multi_stage_meanfield_param {{ {fields} }}"
    plugin = {"LD_PRELOAD": str(fork / "plugin" / "libcrfrnn_caffe.so")}
    output = run(fork / "plugin" / "test_layer", options, cwd=fork, env=plugin)
    assert output.count("ok ") == 15
    wrong = options.replace("1 2 3", "1 2")
    output = run(fork / "plugin" / "test_layer", wrong, cwd=fork, env=plugin, status=-1)
    assert "layer 'crf': spatial_filter_weights_str has 2 numbers, but the unary has 3 classes" in output


def test_plugin_for_another_schema_is_refused(genuine: Genuine, fork: Path, tmp_path: Path) -> None:
    assert_refused(
        genuine, tmp_path, fork / "plugin" / "libcrfrnn_caffe.so", "its schema differs: LayerParameter takes"
    )


def test_plugin_without_its_other_half_says_so(genuine: Genuine, tmp_path: Path) -> None:
    lonely = Path(shutil.copy(genuine.plugin, tmp_path))
    log = genuine.run("time", "-model", write_net(tmp_path, PARAM), cwd=tmp_path, status=-1, preload=lonely)
    assert "libcrfrnn_caffe_layer.so: cannot open shared object file" in log


def test_plugin_does_nothing_in_other_programs(genuine: Genuine, tmp_path: Path) -> None:
    output = run("cat", "/proc/self/maps", cwd=tmp_path, env={"LD_PRELOAD": str(genuine.plugin)})
    assert "libcrfrnn_caffe.so" in output
    assert "libcaffe.so" not in output


def test_loaded_in_python_the_plugin_brings_its_caffe(genuine: Genuine, tmp_path: Path) -> None:
    """As pycaffe's users load it, before `import caffe`."""
    program = (
        f"import ctypes; ctypes.CDLL('{genuine.plugin}', ctypes.RTLD_GLOBAL); print(open('/proc/self/maps').read())"
    )
    output = run(sys.executable, "-c", program, cwd=tmp_path)
    assert "libcrfrnn_caffe_layer.so" in output
    assert f"{genuine.root}/.temp_release/lib/libcaffe.so" in output
    assert "not registered" not in output
