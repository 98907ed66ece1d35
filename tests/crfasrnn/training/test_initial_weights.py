"""Where trainings start: a choice of another model's classes, and weights that do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from support.crfasrnn.training import WIDTH as TRAINED_WIDTH
from support.crfasrnn.training import quiet, slim, weights_of
from support.crfasrnn.vgg16 import HIDDEN, VGG, WIDTH, narrow_vgg16, reduced_names

import caffe
from caffe.errors import CaffeError
from caffe.files import write_text
from caffe.net.weights import copy_weights
from caffe.proto import caffe_pb2
from caffe.proto.model_file import LayerBlobs, write_model_hdf5
from crfasrnn.classes import VOC_CLASSES, Classes
from crfasrnn.networks import recipes
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.networks.vgg import BLOCKS, narrowed
from crfasrnn.training import initial_weights
from crfasrnn.training.job import Job
from crfasrnn.training.train import train


@pytest.mark.parametrize("recipe", ["crfrnn", "slim-crfrnn"])
def test_choosing_classes_is_slicing(tmp_path: Path, recipe: str) -> None:
    options, rng = RecipeOptions(width=0.02), np.random.default_rng(1)
    nets = {}
    for count in (21, 4):
        path = tmp_path / f"{count}.prototxt"
        definition = recipes.deploy_net(recipes.recipe(recipe), count, options)
        path.write_text(text_format.MessageToString(definition))
        nets[count] = caffe.Net(str(path), caffe.TEST)
    for blobs in nets[21].params.values():
        for blob in blobs:
            blob.data[...] = rng.normal(size=blob.shape)
    source = [LayerBlobs(name, "", [blob.data.copy() for blob in blobs]) for name, blobs in nets[21].params.items()]
    ids = [VOC_CLASSES.index(name) for name in ("background", "dog", "cat")]
    kept = initial_weights.class_choice(("background", "dog", "yeti", "cat"), VOC_CLASSES)
    assert kept == [ids[0], ids[1], None, ids[2]]
    initial = {name: [blob.data.copy() for blob in blobs] for name, blobs in nets[4].params.items()}
    chosen = initial_weights.chosen(source, nets[4], kept, "source")
    copy_weights(nets[4].nodes, nets[4].parameters, chosen, "source", "net")
    known = [0, 1, 3]
    for name, blobs in nets[4].params.items():
        old = nets[21].params[name]
        for index, blob in enumerate(blobs):
            expected = initial[name][index]
            if name.startswith(("conv", "fc", "scale")):
                expected = old[index].data
            elif name == "inference1":
                expected[..., np.array(known)[:, None], known] = old[index].data[..., np.array(ids)[:, None], ids]
            elif name.startswith(("score2", "score4", "upsample")) and recipe == "crfrnn" and blob.data.ndim == 4:
                expected[np.array(known)[:, None], known] = old[index].data[np.array(ids)[:, None], ids]
            else:
                expected[known] = old[index].data[ids]
            np.testing.assert_array_equal(blob.data, expected, err_msg=f"{name} {index}")


def test_a_model_of_other_classes_starts_a_training(data: Path, fcn: Path, tmp_path: Path, warnings: list[str]) -> None:
    classes = Classes(("class 2", "class 0"), (2, 0))
    job = slim(data, tmp_path / "out", weights=fcn, classes=classes, steps=1)
    with pytest.raises(CaffeError, match="label"):  # the data have three
        train(job, show=quiet)
    more = Classes(("class 2", "new", "class 0", "class 1"), (2, 3, 0, 1))
    job = slim(data, tmp_path / "more", weights=fcn, classes=more, steps=1)
    train(job, show=quiet)
    assert any("does not know new: these classes start anew" in line for line in warnings)


def test_as_many_classes_in_another_order_are_refused_and_of_other_names_told(
    data: Path, fcn: Path, tmp_path: Path, warnings: list[str]
) -> None:
    weights = Path(shutil.copy(fcn, tmp_path / "known.caffemodel"))
    write_text(tmp_path / "classes.txt", "0 sky\n1 sea\n2 sand\n")

    def start(*names: str, from_classes: tuple[int, ...] | None = None) -> None:
        classes = Classes(names, (0, 1, 2))
        job = slim(data, tmp_path / "out", weights=weights, classes=classes, from_classes=from_classes, steps=1)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        train(job, show=quiet)

    order = r"as many classes as the data, but in another order \(sky, sea, sand\), which cannot be changed in weights"
    with pytest.raises(CaffeError, match=order):
        start("sea", "sky", "sand")
    with pytest.raises(CaffeError, match=order):
        start("sky", "sea", "sand", from_classes=(0, 2, 1))
    start("sky", "sea", "sand", from_classes=(0, 1, 2))
    assert not any("one for one" in line for line in warnings)
    start("sky", "lake", "sand")
    assert any("knows sky, sea, sand, here they are sky, lake, sand: taken one for one" in line for line in warnings)


def test_other_shapes_are_no_choice_of_classes() -> None:
    with pytest.raises(CaffeError, match=r"x: shape .* was it trained with another recipe"):
        initial_weights.take_classes(np.zeros((8, 3, 3, 3)), np.zeros((4, 3, 3, 3)), [0, 9, None, 1], "x")


# The published names, with so few channels that blobs stay small.
CONVOLUTIONS = [f"conv{block}_{i}" for block, widths in enumerate(BLOCKS, 1) for i in range(1, len(widths) + 1)]


def vgg16_arrays(fc6: tuple[int, ...], hidden: int = HIDDEN) -> dict[str, list[np.ndarray]]:
    """Random weights of Caffe's VGG-16, its fc6 of that shape but for the outputs, and fc8."""
    rng = np.random.default_rng(2)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(CONVOLUTIONS, (WIDTH, WIDTH, 3, 3))
    shapes["conv1_1"] = (WIDTH, 3, 3, 3)
    shapes["fc6"] = (hidden, *fc6)
    shapes["fc7"] = (hidden, hidden) if len(fc6) == 1 else (hidden, hidden, 1, 1)
    shapes["fc8"] = (5, hidden) if len(fc6) == 1 else (5, hidden, 1, 1)
    return {
        name: [rng.normal(size=size).astype(np.float32) for size in (shape, shape[:1])]
        for name, shape in shapes.items()
    }


def write_2014(path: Path, arrays: dict[str, list[np.ndarray]]) -> None:
    """A .caffemodel as Oxford's: layers of V1, every blob with num, channels, height and width."""
    net = caffe_pb2.NetParameter(name="VGG_ILSVRC_16_layers")
    for name, blobs in arrays.items():
        kinds = caffe_pb2.V1LayerParameter
        layer = net.layers.add(name=name, type=kinds.INNER_PRODUCT if blobs[0].ndim == 2 else kinds.CONVOLUTION)
        for blob in blobs:
            num, channels, height, width = (1,) * (4 - blob.ndim) + blob.shape
            layer.blobs.add(num=num, channels=channels, height=height, width=width, data=blob.ravel().tolist())
    path.write_bytes(net.SerializeToString())


def narrow_net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recipe: str) -> caffe.Net:
    """The net of a recipe with as few channels as the files above have."""
    monkeypatch.setattr("crfasrnn.networks.vgg.BLOCKS", tuple((WIDTH,) * len(widths) for widths in BLOCKS))
    monkeypatch.setattr("crfasrnn.networks.fcn.narrowed", lambda channels, width: HIDDEN)
    path = tmp_path / "net.prototxt"
    path.write_text(text_format.MessageToString(recipes.deploy_net(recipes.recipe(recipe), 3, RecipeOptions())))
    return caffe.Net(str(path), caffe.TEST)


def load(net: caffe.Net, weights: Path | None) -> None:
    """As a training of three classes begins."""
    names = ("background", "cat", "dog")
    job = Job("fcn32s", Path("data"), Path("out"), weights)
    initial_weights.load(net, job, Classes(names, tuple(range(len(names)))))


@pytest.mark.parametrize("fc6", [(WIDTH * 49,), (WIDTH, 7, 7)], ids=["Oxford's", "fully convolutional"])
def test_caffes_vgg16_starts_fcn32s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fc6: tuple[int, ...], warnings: list[str]
) -> None:
    arrays = vgg16_arrays(fc6)
    write_2014(tmp_path / "VGG_ILSVRC_16_layers.caffemodel", arrays)
    net = narrow_net(monkeypatch, tmp_path, "fcn32s")
    load(net, tmp_path / "VGG_ILSVRC_16_layers.caffemodel")
    for name in (*CONVOLUTIONS, "fc6", "fc7"):
        for blob, array in zip(net.params[name], arrays[name], strict=True):
            np.testing.assert_array_equal(blob.data, array.reshape(blob.data.shape), err_msg=name)
    assert any("has no weights for: score-fr" in line for line in warnings)


def test_torchvisions_vgg16_starts_fcn32s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = narrow_vgg16()
    torch.save(model.state_dict(), tmp_path / "vgg16-397923af.pth")
    net = narrow_net(monkeypatch, tmp_path, "fcn32s")
    load(net, tmp_path / "vgg16-397923af.pth")
    np.testing.assert_array_equal(net.params["conv2_1"][0].data, model.features[5].weight.detach())
    np.testing.assert_array_equal(net.params["fc7"][1].data, model.classifier[3].bias.detach())


def test_a_training_from_torchvisions_vgg16(data: Path, tmp_path: Path) -> None:
    """Of the width that the tests' trainings have; frozen blocks stay as they came."""
    blocks = tuple(tuple(narrowed(channels, TRAINED_WIDTH) for channels in widths) for widths in BLOCKS)
    model = VGG(blocks, HIDDEN, 5)
    torch.save(model.state_dict(), tmp_path / "vgg16.pth")
    job = slim(data, tmp_path / "out", weights=tmp_path / "vgg16.pth", steps=2)
    train(job, show=quiet)
    trained = weights_of(job.final)
    np.testing.assert_array_equal(trained["conv3_3"][0], model.features[14].weight.detach())
    assert not np.array_equal(trained["conv5_3"][0], model.features[28].weight.detach())
    assert [path.name for path in (tmp_path / "out").glob(".*")] == []


@pytest.mark.parametrize("suffix", [".caffemodel", ".pth"])
def test_the_reduced_vgg16_starts_slim_networks_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, warnings: list[str]
) -> None:
    path = tmp_path / f"vgg16_reduced{suffix}"
    if suffix == ".pth":
        torch.save(reduced_names(narrow_vgg16().state_dict()), path)
    else:
        write_2014(path, vgg16_arrays((WIDTH, 3, 3)))
    net = narrow_net(monkeypatch, tmp_path, "slim-fcn8s")
    fc6 = net.params["fc6"][0].data.copy()
    load(net, path)
    assert all(net.params[name][0].data.any() for name in CONVOLUTIONS)
    np.testing.assert_array_equal(net.params["fc6"][0].data, fc6)
    assert any("fc6 is not taken" in line and "512 x 8 x 3 x 3" in line for line in warnings)
    with pytest.raises(CaffeError, match=r"fc6 is missing or of another shape than 16 x 8 x 7 x 7.*slim recipe"):
        load(narrow_net(monkeypatch, tmp_path, "fcn32s"), path)


def test_files_of_other_networks_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, path = narrow_net(monkeypatch, tmp_path, "slim-fcn8s"), tmp_path / "other.caffemodel.h5"
    write_model_hdf5(path, ["conv1", "fc6"], [[np.ones((2, 3, 7, 7), np.float32)], [np.ones((2, 2), np.float32)]])
    with pytest.raises(
        CaffeError, match=r"none of its layers \(conv1, fc6\) fits one of the network, which has conv1_1, "
    ):
        load(net, path)
    write_model_hdf5(path, ["conv1_1"], [[np.ones((64, 3, 3, 3), np.float32), np.ones(64, np.float32)]])
    with pytest.raises(
        CaffeError, match=r"'conv1_1' has 64 x 3 x 3 x 3 and 64, the network 8 x 3 x 3 x 3 and 8: .*another"
    ):
        load(net, path)


def test_a_part_of_vgg16_that_leaves_zeros_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = vgg16_arrays((WIDTH, 7, 7))
    trunk = {f"{name}_{kind}": blob for name in CONVOLUTIONS for kind, blob in zip("wb", arrays[name], strict=True)}
    path = tmp_path / "vgg16_trunk.npz"
    np.savez(path, **trunk)  # type: ignore[arg-type]
    load(narrow_net(monkeypatch, tmp_path, "slim-fcn8s"), path)
    with pytest.raises(CaffeError, match="fc6, fc7 is missing"):
        load(narrow_net(monkeypatch, tmp_path, "fcn32s"), path)
    np.savez(path, **{key: trunk[key] for key in list(trunk)[:-2]})  # type: ignore[arg-type]
    with pytest.raises(CaffeError, match="conv5_3 is missing"):
        load(narrow_net(monkeypatch, tmp_path, "slim-fcn8s"), path)


@pytest.mark.parametrize("recipe", ["fcn32s", "slim-fcn8s"])
def test_without_weights_the_convolutions_are_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    net = narrow_net(monkeypatch, tmp_path, recipe)
    load(net, None)
    for name in (*CONVOLUTIONS, "fc6", "fc7"):
        assert net.params[name][0].data.std() > 0, name
    assert not net.params["score-fr"][0].data.any()
