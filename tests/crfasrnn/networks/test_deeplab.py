"""DeepLabv3 on MobileNetV2: the published weights' own logits, and images of any size against PyTorch's operations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.reference_data import shared_path

import caffe
from caffe.fastpath.inference import Inference
from caffe.net_spec import NetSpec
from caffe.proto.model_file import read_model
from crfasrnn.classes import MEAN_BGR
from crfasrnn.networks import data_and_loss, deeplab, recipes
from crfasrnn.networks.weight_files import convert_trunk
from crfasrnn.segmentation.models import find_model

# How many of the pixels of a photograph the original 8-bit file labels as a float run of its weights does.
AGREEMENT = {"astronaut": 95.0, "chelsea": 91.6, "coffee": 92.4, "camera": 98.1, "rocket": 100.0}


def blob(image: np.ndarray) -> np.ndarray:
    """An RGB photograph of any values as the nets take it."""
    return (image[..., ::-1] - np.array(MEAN_BGR)).transpose(2, 0, 1)[None].astype(np.float32)


def net_of(classes: int = 21, width: float = 1) -> caffe.Net:
    n = NetSpec()
    data_and_loss.deploy_input(n)
    deeplab.deeplab(n, classes, width)
    return caffe.Net(n.to_proto(), caffe.TEST)


def forward(net: caffe.Net, image: np.ndarray) -> dict[str, np.ndarray]:
    data = blob(image)
    net.blobs["data"].reshape(*data.shape)
    net.blobs["data"].data[...] = data
    net.forward()
    return {name: net.blobs[name].data.copy() for name in ("logits_semantic", "coarse")}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> caffe.Net:
    """The network with the published weights."""
    weights = shared_path("weights", "deeplabv3_mobilenetv2_voc21.npz")
    target = tmp_path_factory.mktemp("deeplab") / "deeplab.caffemodel.h5"
    assert convert_trunk(weights, target) == 56
    net = net_of()
    net.copy_from(str(target))
    return net


@pytest.mark.parametrize("name", AGREEMENT)
def test_the_published_weights_give_their_own_logits_and_labels(published: caffe.Net, name: str) -> None:
    golden = {kind: np.load(shared_path("golden", "deeplab", f"{kind}.npz")) for kind in ("images", "float_logits")}
    labels = np.load(shared_path("golden", "deeplab", "litert_uint8.npz"))[f"{name}.labels"]
    image = golden["images"][name]
    square = np.full((513, 513, 3), 127.5)
    square[: image.shape[0], : image.shape[1]] = image
    found = forward(published, square)
    expected = golden["float_logits"][name]
    assert np.abs(found["logits_semantic"][0] - expected).max() <= 1e-4 * np.abs(expected).max()
    inside = np.s_[: image.shape[0], : image.shape[1]]
    same = 100 * np.mean(found["coarse"][0].argmax(0)[inside] == labels[inside])
    assert same >= AGREEMENT[name] - 0.06


def test_every_layer_of_the_bundled_model_was_trained_on(published: caffe.Net) -> None:
    """Its weights are the published ones no more, not even where steps were small and float16 is coarse."""
    bundled = {layer.name: layer.blobs for layer in read_model(find_model("voc21-deeplab").weights)}
    learned = {
        name: blobs
        for name, blobs in published.params.items()
        if name not in ("points", "extent", "framed", "upsample")
    }
    assert len(learned) == 56
    for name, blobs in learned.items():
        for mine, theirs in zip(bundled[name], blobs):
            rounded = theirs.data.astype(np.float16) if theirs.data.ndim > 1 else theirs.data
            assert np.mean(mine == rounded) < 0.95, name


def in_torch(net: caffe.Net, image: np.ndarray) -> np.ndarray:
    """Scores of an RGB image by the net's weights: continued by grey, convolved, interpolated, cut."""
    weights = {name: [torch.from_numpy(part.data.copy()) for part in blobs] for name, blobs in net.params.items()}

    def conv(x: torch.Tensor, name: str, stride: int = 1, dilation: int = 1) -> torch.Tensor:
        weight, *bias = weights[name]
        pad = dilation * (weight.shape[2] // 2)
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(x, weight, bias[0] if bias else None, stride, pad, dilation, groups)

    height, width = image.shape[:2]
    rows, columns = (16 * -(-(size - 1) // 16) + 1 for size in (height, width))
    x = torch.from_numpy((image - 127.5) / 127.5).float().permute(2, 0, 1)[None]
    x = F.pad(x, (0, columns - width, 0, rows - height))
    x = F.relu6(conv(x, "Conv", stride=2))
    strides = (1, 2, 1, 2, 1, 1, 2, *[1] * 10)
    for index, stride in enumerate(strides):
        name, before = f"expanded_conv_{index}" if index else "expanded_conv", x
        if index:
            x = F.relu6(conv(x, f"{name}_expand"))
        x = F.relu6(conv(x, f"{name}_depthwise", stride, 2 if index > 13 else 1))
        x = conv(x, f"{name}_project")
        if index and before.shape == x.shape:
            x = x + before
    average = F.relu(conv(x.mean((2, 3), keepdim=True), "image_pooling"))
    x = F.relu(conv(F.relu(conv(x, "aspp0")), "concat_projection") + conv(average, "concat_projection_image"))
    x = F.interpolate(conv(x, "logits_semantic"), (rows, columns), mode="bilinear", align_corners=True)
    return x[0, :, :height, :width].numpy()


@pytest.mark.parametrize("size", [(1, 1), (16, 17), (18, 15), (33, 70), (97, 48)], ids=str)
def test_any_size_gives_what_pytorch_gives(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    net = net_of(classes=4, width=0.25)
    for name, blobs in net.params.items():
        if name in ("points", "extent", "framed", "upsample"):
            continue  # fixed
        fan_in = blobs[0].data[0].size
        blobs[0].data[...] = rng.normal(0, np.sqrt(2 / fan_in), blobs[0].data.shape)
        for bias in list(blobs)[1:]:
            bias.data[...] = rng.normal(0, 0.3, bias.data.shape)
    image = rng.uniform(0, 255, (*size, 3))
    expected = in_torch(net, image)
    found = forward(net, image)["coarse"][0]
    assert found.shape == (4, *size)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    fast = Inference(net).forward()["coarse"][0]
    assert np.abs(fast - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_layers_are_bvlcs_own() -> None:
    """Known to BVLC Caffe, in whose last version is Clip, but for the mean field."""
    options = recipes.RecipeOptions()
    net = recipes.deploy_net(recipes.recipe("deeplab-crfrnn"), 21, options)
    assert {layer.type for layer in net.layer} == {
        *("Input", "Slice", "Power", "Concat", "Convolution", "Deconvolution", "Crop", "Clip", "Eltwise"),
        *("Pooling", "ReLU", "Flatten", "Bias", "Split", "MultiStageMeanfield"),
    }


def test_the_table_of_layers_is_the_published_one() -> None:
    path: Path = shared_path("weights", "deeplabv3_mobilenetv2_voc21.json")
    net = recipes.deploy_net(recipes.recipe("deeplab"), 21, recipes.RecipeOptions())
    mine = {layer.name: layer.convolution_param for layer in net.layer if layer.type == "Convolution"}
    for row in json.loads(path.read_text()):
        if row["op"] not in ("conv", "depthwise"):
            continue
        param = mine[row["name"]]
        assert param.num_output == row["channels"]
        assert (list(param.kernel_size), list(param.stride) or [1], list(param.dilation) or [1]) == (
            [row["kernel"]],
            [row["stride"]],
            [row["dilation"]],
        )
        assert (param.group == row["channels"]) == (row["op"] == "depthwise")
