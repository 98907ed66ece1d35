"""What well-known programs for pycaffe and scripts around Caffe's tools do, written anew in few lines, call by call."""

from __future__ import annotations

import stat
import subprocess
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.caffe.digits import write_cifar, write_mnist
from support.warm import python

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2, text

# MNIST and CIFAR-10: the scripts that make their databases look for programs below build/, with the suffix of a Makefile's.

CREATE_MNIST = """#!/usr/bin/env sh
set -e
EXAMPLE=examples/mnist
DATA=data/mnist
BUILD=build/examples/mnist
BACKEND="lmdb"
echo "Creating ${BACKEND}..."
rm -rf $EXAMPLE/mnist_train_${BACKEND} $EXAMPLE/mnist_test_${BACKEND}
$BUILD/convert_mnist_data.bin $DATA/train-images-idx3-ubyte \\
  $DATA/train-labels-idx1-ubyte $EXAMPLE/mnist_train_${BACKEND} --backend=${BACKEND}
$BUILD/convert_mnist_data.bin $DATA/t10k-images-idx3-ubyte \\
  $DATA/t10k-labels-idx1-ubyte $EXAMPLE/mnist_test_${BACKEND} --backend=${BACKEND}
echo "Done."
"""
CREATE_CIFAR = """#!/usr/bin/env sh
set -e
EXAMPLE=examples/cifar10
DATA=data/cifar10
DBTYPE=lmdb
rm -rf $EXAMPLE/cifar10_train_$DBTYPE $EXAMPLE/cifar10_test_$DBTYPE
./build/examples/cifar10/convert_cifar_data.bin $DATA $EXAMPLE $DBTYPE
./build/tools/compute_image_mean -backend=$DBTYPE \\
  $EXAMPLE/cifar10_train_$DBTYPE $EXAMPLE/mean.binaryproto
echo "Done."
"""


def install(program: Path) -> None:
    """The program under a path where a script looks for it; the installed command would be linked there."""
    program.parent.mkdir(parents=True, exist_ok=True)
    module = program.name.removesuffix(".bin")
    program.write_text(f'#!/bin/sh\nexec "{python()}" -m caffe.tools.{module} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def run_script(script: str, folder: Path) -> None:
    (folder / "create.sh").write_text(script)
    done = subprocess.run(["sh", "create.sh"], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Done.\n")


def test_mnist_as_the_first_tutorial_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The databases are made, made again, and a net trains on them."""
    monkeypatch.chdir(tmp_path)
    install(tmp_path / "build" / "examples" / "mnist" / "convert_mnist_data.bin")
    made = write_mnist(tmp_path / "data" / "mnist", {"train": 64, "t10k": 10})
    (tmp_path / "examples" / "mnist").mkdir(parents=True)
    for _ in range(2):
        run_script(CREATE_MNIST, tmp_path)
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=64,
        backend=P.Data.LMDB,
        source="examples/mnist/mnist_train_lmdb",
        transform_param={"scale": 1.0 / 255},
        ntop=2,
    )
    n.ip = L.InnerProduct(n.data, num_output=10, weight_filler={"type": "xavier"})
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    Path("net.prototxt").write_text(str(n.to_proto()))
    Path("solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "s"')
    solver = caffe.SGDSolver("solver.prototxt")
    solver.step(1)
    images, labels = made["train"]
    np.testing.assert_allclose(solver.net.blobs["data"].data[:, 0], images / 255, atol=1e-6)
    np.testing.assert_array_equal(solver.net.blobs["label"].data, labels)
    before = float(solver.net.blobs["loss"].data)
    solver.step(20)
    assert float(solver.net.blobs["loss"].data) < before / 2


def test_cifar_as_its_tutorial_does(tmp_path: Path) -> None:
    install(tmp_path / "build" / "examples" / "cifar10" / "convert_cifar_data.bin")
    install(tmp_path / "build" / "tools" / "compute_image_mean")
    train, _ = write_cifar(tmp_path / "data" / "cifar10", 4)
    (tmp_path / "examples" / "cifar10").mkdir(parents=True)
    run_script(CREATE_CIFAR, tmp_path)
    mean = caffe_pb2.BlobProto.FromString((tmp_path / "examples" / "cifar10" / "mean.binaryproto").read_bytes())
    pixels = np.array([list(record[1:]) for record in train]).reshape(-1, 3, 32, 32)
    np.testing.assert_allclose(caffe.io.blobproto_to_array(mean)[0], pixels.mean(axis=0), atol=1e-4)


# MobileNet-SSD: batch normalisations and scales are merged into the convolutions before them.

BLOCK = """
layer { name: "conv0" type: "Convolution" bottom: "data" top: "conv0" convolution_param { num_output: 4 kernel_size: 3
  pad: 1 BIAS weight_filler { type: "msra" } } } NORM0
layer { name: "conv1/dw" type: "Convolution" bottom: "conv0" top: "conv1/dw" convolution_param { num_output: 4 kernel_size: 3
  group: 4 BIAS engine: CAFFE weight_filler { type: "msra" } } } NORM1
layer { name: "fc" type: "Convolution" bottom: "conv1/dw" top: "fc" convolution_param { num_output: 2 kernel_size: 1
  weight_filler { type: "msra" } } }"""
INPUT = 'name: "m" input: "data" input_dim: 2 input_dim: 3 input_dim: 7 input_dim: 6'


def norm(name: str) -> str:
    return f"""
layer {{ name: "{name}/bn" type: "BatchNorm" bottom: "{name}" top: "{name}" }}
layer {{ name: "{name}/scale" type: "Scale" bottom: "{name}" top: "{name}" scale_param {{ bias_term: true }} }}"""


def merge_bn(net: caffe.Net, nob: caffe.Net) -> None:
    """Copy the parameters of `net` into `nob`, which has no normalisations."""
    for key in net.params:
        if type(net.params[key]) is not caffe._caffe.BlobVec or key.endswith(("/bn", "/scale")):
            continue
        conv = net.params[key]
        if key + "/bn" not in net.params:
            for i, w in enumerate(conv):
                nob.params[key][i].data[...] = w.data
            continue
        bn, scale = net.params[key + "/bn"], net.params[key + "/scale"]
        factor = 1.0 / bn[2].data if bn[2].data != 0 else bn[2].data
        rate = scale[0].data / np.sqrt(bn[1].data * factor + 1e-5)
        bias = conv[1].data if len(conv) > 1 else np.zeros(len(rate))
        nob.params[key][0].data[...] = conv[0].data * rate.reshape(-1, 1, 1, 1)
        nob.params[key][1].data[...] = (bias - bn[0].data * factor) * rate + scale[1].data


def test_mobilenets_normalisations_are_merged(tmp_path: Path) -> None:
    with_bn = (
        BLOCK.replace("BIAS", "bias_term: false").replace("NORM0", norm("conv0")).replace("NORM1", norm("conv1/dw"))
    )
    without = BLOCK.replace("BIAS", "").replace("NORM0", "").replace("NORM1", "")
    files = []
    for name, layers in (("train", with_bn), ("deploy", without)):
        files.append(str(tmp_path / f"{name}.prototxt"))
        Path(files[-1]).write_text(INPUT + layers)
    net = caffe.Net(files[0], caffe.TEST)
    random = np.random.default_rng(0)
    for name, blobs in net.params.items():
        if name.endswith(("/bn", "/scale")):
            for blob in blobs:
                blob.data[...] = random.uniform(0.5, 2, blob.data.shape)
    net.save(str(tmp_path / "train.caffemodel"))
    net = caffe.Net(files[0], str(tmp_path / "train.caffemodel"), caffe.TEST)
    nob = caffe.Net(files[1], caffe.TEST)
    merge_bn(net, nob)
    nob.save(str(tmp_path / "deploy.caffemodel"))
    merged = caffe.Net(files[1], str(tmp_path / "deploy.caffemodel"), caffe.TEST)
    image = random.normal(size=(2, 3, 7, 6)).astype(np.float32)
    np.testing.assert_allclose(merged.forward(data=image)["fc"], net.forward(data=image)["fc"], rtol=1e-3, atol=1e-4)


# open_nsfw: an upload's bytes are made smaller by Pillow, written as JPEG into memory, and loaded from there.


def test_open_nsfws_loader(tmp_path: Path) -> None:
    (tmp_path / "deploy.prototxt").write_text("""
input: "data" input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Flatten" bottom: "pool" top: "prob" }""")
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", np.array([104, 117, 123]))
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    upload = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 4), np.uint8), "RGBA").save(upload, "PNG")

    small = BytesIO()
    Image.open(upload).convert("RGB").resize((256, 256), resample=Image.BILINEAR).save(small, format="JPEG")
    small.seek(0)
    image = caffe.io.load_image(BytesIO(bytearray(small.read())))
    off = (256 - 224) // 2
    crop = image[off : off + 224, off : off + 224, :]
    transformed = transformer.preprocess("data", crop)
    transformed.shape = (1, *transformed.shape)
    scores = net.forward_all(blobs=["prob"], **{net.inputs[0]: transformed})["prob"][0].astype(float)

    seen = cv2.imdecode(np.frombuffer(small.getvalue(), np.uint8), cv2.IMREAD_COLOR)[off : off + 224, off : off + 224]
    np.testing.assert_allclose(scores, seen.mean(axis=(0, 1)) - [104, 117, 123], atol=0.1)


# The demo of 2015: the picture is made ready by hand and labelled by caffe.Segmenter.

CRF = """
name: "demo" input: "data" input_dim: 1 input_dim: 3 input_dim: 50 input_dim: 50
layers { name: "split" type: SPLIT bottom: "data" top: "image" top: "body" }
layers { name: "score" type: CONVOLUTION bottom: "body" top: "upscore" convolution_param { num_output: 3 kernel_size: 5 pad: 2
  weight_filler { type: "gaussian" std: 0.01 } } }
layers { name: "splitting" type: SPLIT bottom: "upscore" top: "unary" top: "Q0" }
layers { name: "inference1" type: MULTI_STAGE_MEANFIELD bottom: "unary" bottom: "Q0" bottom: "image" top: "pred"
  blobs_lr: 10000 blobs_lr: 10000 blobs_lr: 1000
  multi_stage_meanfield_param { num_iterations: 5 compatibility_mode: POTTS threshold: 2 theta_alpha: 16 theta_beta: 30
    theta_gamma: 3 spatial_filter_weight: 3 bilateral_filter_weight: 5 } }"""


def test_the_demo_of_2015(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("TVG.prototxt").write_text(CRF)
    caffe.set_random_seed(2)
    caffe.Net("TVG.prototxt", caffe.TEST).save("TVG.caffemodel")
    picture = np.kron(np.random.default_rng(1).integers(0, 256, (4, 5, 3)), np.ones((10, 8, 1))).astype(np.uint8)
    Image.fromarray(picture).save("input.png")

    caffe.set_mode_cpu()
    net = caffe.Segmenter("TVG.prototxt", "TVG.caffemodel", False)
    image = np.array(Image.fromarray(np.uint8(255 * caffe.io.load_image("input.png"))))
    im = image[:, :, ::-1] - np.array([103.939, 116.779, 123.68], dtype=np.float32).reshape(1, 1, 3)
    height, width, _ = im.shape
    im = np.pad(im, pad_width=((0, 50 - height), (0, 50 - width), (0, 0)), mode="constant", constant_values=0)
    segmentation = net.predict([im])
    result = Image.fromarray(segmentation[0:height, 0:width])
    result.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    result.save("output.png")

    saved = np.array(Image.open("output.png"))
    assert saved.shape == (40, 40)
    plain = caffe.Net("TVG.prototxt", "TVG.caffemodel", caffe.TEST)
    np.testing.assert_array_equal(image, picture)
    bgr = np.zeros((1, 3, 50, 50), np.float32)
    bgr[0, :, :40, :40] = cv2.imread("input.png").transpose(2, 0, 1) - np.array([[[103.939]], [[116.779]], [[123.68]]])
    scores = plain.forward(data=bgr)["pred"]
    np.testing.assert_array_equal(saved, scores[0].argmax(0)[:40, :40])
    assert len(np.unique(saved)) > 1


# pynetbuilder: a class around each layer call, defaults from a file, tops assigned by name.


class Lego:
    """A layer to be attached to a net, with defaults for its type."""

    defaults = {  # noqa: RUF012  # as the builder has it
        "Convolution": {
            "weight_filler": {"type": "msra"},
            "bias_term": False,
            "param": [{"lr_mult": 1, "decay_mult": 1}],
        },
        "ReLU": {"in_place": True},
        "ImageData": {"ntop": 2},
    }

    def __init__(self, kind: str, params: dict) -> None:
        self.kind, self.params = kind, {**params, **self.defaults.get(kind, {})}

    def attach(self, netspec: caffe.NetSpec, bottom: list) -> object:
        layer = getattr(L, self.kind)(*bottom, **self.params)
        netspec[self.params["name"]] = layer
        return layer


def test_pynetbuilders_legos(tmp_path: Path) -> None:
    n = caffe.NetSpec()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png 1\n")
    source = {"source": str(tmp_path / "list.txt"), "root_folder": f"{tmp_path}/", "batch_size": 1}
    # Two tops are kept under one name, until the next line gives each its own.
    data, label = Lego("ImageData", {"name": "data", "include": {"phase": caffe.TEST}, **source}).attach(n, [])
    n["data"], n["label"] = data, label
    conv = Lego("Convolution", {"name": "conv1", "num_output": 4, "kernel_size": 3, "pad": 1}).attach(n, [n.data])
    relu = Lego("ReLU", {"name": "relu1"}).attach(n, [conv])
    fused = Lego("Eltwise", {"name": "sum", "eltwise_param": {"operation": P.Eltwise.SUM}}).attach(n, [relu, conv])
    fc = Lego("InnerProduct", {"name": "fc", "num_output": 2}).attach(n, [fused])
    Lego("SoftmaxWithLoss", {"name": "loss", "include": {"phase": caffe.TEST}}).attach(n, [fc, n.label])
    definition = text.parse_net(str(n.to_proto()))
    assert [(layer.name, list(layer.bottom), list(layer.top)) for layer in definition.layer] == [
        ("data", [], ["data", "label"]),
        ("conv1", ["data"], ["conv1"]),
        ("relu1", ["conv1"], ["conv1"]),
        ("sum", ["conv1", "conv1"], ["sum"]),
        ("fc", ["sum"], ["fc"]),
        ("loss", ["fc", "label"], ["loss"]),
    ]
    # Its measure of a net: parameters, and multiplications of the convolutions.
    (tmp_path / "net.prototxt").write_text(str(n.to_proto()))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    sizes = {name: blobs[0].data.size for name, blobs in net.params.items()}
    assert sizes == {"conv1": 4 * 3 * 9, "fc": 2 * 4 * 8 * 8}
    assert sizes["conv1"] * net.blobs["conv1"].data.shape[2] * net.blobs["conv1"].data.shape[3] == 108 * 64
    np.testing.assert_allclose(net.forward()["loss"], np.log(2), rtol=1e-5)
