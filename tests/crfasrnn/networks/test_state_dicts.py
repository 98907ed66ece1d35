"""VGG-16 from PyTorch's state dicts: the same scores of a photograph as where it comes from."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from support.crfasrnn.vgg16 import narrow_vgg16, reduced_names

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from crfasrnn.classes import MEAN_BGR
from crfasrnn.networks.state_dicts import read_state_dict


def caffe_scores(path: Path, image: np.ndarray, last: str) -> torch.Tensor:
    """What the layers of a file, run in their order as Caffe's VGG-16 does, say of an H x W x 3 BGR photograph up to `last`."""
    maps = torch.from_numpy((image - np.array(MEAN_BGR)).transpose(2, 0, 1)[None]).float()
    block = "1"
    for layer in read_state_dict(path):
        if layer.name[4:5] != block:
            maps, block = torch.nn.functional.max_pool2d(maps, 2, ceil_mode=True), layer.name[4:5]
        weight, bias = (torch.from_numpy(blob) for blob in layer.blobs)
        pad = 1 if layer.name.startswith("conv") else 0
        maps = torch.nn.functional.conv2d(maps, weight, bias, padding=pad)
        if layer.name == last:
            return maps
        maps = torch.relu(maps)
    raise AssertionError(last)


def torchvision_input(image: np.ndarray) -> torch.Tensor:
    """ToTensor and Normalize, as torchvision's examples write them, of a BGR photograph."""
    pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / deviation[:, None, None]


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A photograph of 224 x 224, BGR."""
    return np.ascontiguousarray(skimage.data.astronaut()[:224, 100:324, ::-1])


@pytest.mark.parametrize("wrapped", [False, True])
def test_torchvisions_network_says_the_same_on_caffes_input(tmp_path: Path, image: np.ndarray, wrapped: bool) -> None:
    model = narrow_vgg16()
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    # Old files, as torchvision's is, are no archives.
    torch.save(
        {"state_dict": state} if wrapped else model.state_dict(),
        tmp_path / "vgg16.pth",
        _use_new_zipfile_serialization=wrapped,
    )
    with torch.no_grad():
        expected = model.classifier[:4](torch.flatten(model.features(torchvision_input(image)), 1))
        scores = caffe_scores(tmp_path / "vgg16.pth", image, "fc7").flatten(1)
        inside = caffe_scores(tmp_path / "vgg16.pth", image, "conv1_1")[..., 1:-1, 1:-1]
        ours = model.features[0](torchvision_input(image))[..., 1:-1, 1:-1]
    np.testing.assert_allclose(inside, 57.63 * ours, rtol=1e-3, atol=1e-2)  # 255 times the mean deviation
    # Padding with zeros is another grey in both, which the whole net sees a little.
    np.testing.assert_allclose(scores, expected, atol=2e-3 * float(expected.abs().max()))
    swapped = np.ascontiguousarray(image[..., ::-1])
    assert float(
        (caffe_scores(tmp_path / "vgg16.pth", swapped, "fc7").flatten(1) - expected).abs().max()
    ) > 0.05 * float(expected.abs().max())


@pytest.mark.parametrize("nan", [False, True], ids=["SSD's names", "torchvision's names and a classifier of NaN"])
def test_the_reduced_network_takes_levels_of_rgb(tmp_path: Path, image: np.ndarray, nan: bool) -> None:
    model = narrow_vgg16()
    state = model.state_dict()
    if nan:
        state = {key: value * np.nan if key.startswith("classifier") else value for key, value in state.items()}
    else:
        state = reduced_names(state)
    torch.save(state, tmp_path / "vgg16_reducedfc.pth")
    layers = {layer.name: layer.blobs for layer in read_state_dict(tmp_path / "vgg16_reducedfc.pth")}
    assert ("fc6" in layers) == (not nan)
    with torch.no_grad():
        levels = torch.from_numpy(image[..., ::-1] - np.array([123.0, 117, 104])).permute(2, 0, 1)[None].float()
        expected = model.features[:-1](levels)
        found = torch.relu(caffe_scores(tmp_path / "vgg16_reducedfc.pth", image, "conv5_3"))
    np.testing.assert_allclose(found, expected, atol=5e-3 * float(expected.max()))


def test_a_copy_of_oxfords_weights_is_told_by_its_classifier(tmp_path: Path) -> None:
    """vgg16-00b39a1b.pth: a layer that flattens comes first in its classifier."""
    state = narrow_vgg16().state_dict()
    names = {"classifier.0": "classifier.1", "classifier.3": "classifier.4", "classifier.6": "classifier.7"}
    copy = {}
    for key, value in state.items():
        place, what = key.rsplit(".", 1)
        copy[f"{names.get(place, place)}.{what}"] = value
    torch.save(copy, tmp_path / "vgg16-00b39a1b.pth")
    layers = {layer.name: layer.blobs for layer in read_state_dict(tmp_path / "vgg16-00b39a1b.pth")}
    np.testing.assert_array_equal(layers["conv1_1"][0], state["features.0.weight"])
    np.testing.assert_array_equal(layers["fc6"][0].reshape(16, -1), state["classifier.0.weight"])
    np.testing.assert_array_equal(layers["fc7"][1], state["classifier.3.bias"])


def test_names_are_those_of_caffe_and_shapes_those_of_convolutions(tmp_path: Path) -> None:
    torch.save(narrow_vgg16().state_dict(), tmp_path / "vgg16.pt")
    layers = read_state_dict(tmp_path / "vgg16.pt")
    assert [layer.name for layer in layers[:3]] == ["conv1_1", "conv1_2", "conv2_1"]
    assert [layer.name for layer in layers[12:]] == ["conv5_3", "fc6", "fc7"]
    assert [blob.shape for blob in layers[-2].blobs] == [(16, 8, 7, 7), (16,)]
    assert [blob.shape for blob in layers[-1].blobs] == [(16, 16, 1, 1), (16,)]


class Evil:
    """Would run a command, were it loaded as pickles are."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def small_caffemodel() -> bytes:
    """A .caffemodel of one layer."""
    net = caffe_pb2.NetParameter(name="net", layer=[{"name": "conv", "type": "Convolution"}])
    net.layer[0].blobs.add(data=[1.0]).shape.dim.append(1)
    return bytes(net.SerializeToString())


def squeezed(archive: bytes) -> bytes:
    """The same archive with its members compressed."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return content.getvalue()


def test_other_files_are_refused_with_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = narrow_vgg16().state_dict()
    cases = {
        "resnet": (
            {"conv1.weight": torch.zeros(2, 3, 7, 7)},
            "another network's, not VGG-16.*features.0.weight or 0.weight; it holds conv1.weight",
        ),
        "vgg19": ({**state, "features.30.weight": torch.zeros(8, 8, 3, 3)}, "not VGG-16.*has features.30.weight, too"),
        "vgg16_bn": ({**state, "features.1.running_mean": torch.zeros(8)}, "batch normalisation"),
        "grey": ({**state, "features.0.weight": torch.zeros(8, 1, 3, 3)}, "1 colours"),
        "flat": ({**state, "features.5.weight": torch.zeros(8, 9)}, r"features.5.weight is no convolution's"),
        "list": ([torch.zeros(3)], "holds no state dict"),
        "evil": ({"features.0.weight": Evil()}, "tensors alone"),
        "module": (torch.nn.Linear(2, 2), r"as a whole model does: save torch.save\(model.state_dict\(\), path\)"),
        "short": ({"features.0.weight": torch.zeros(2, 3, 3, 3)}, r"lacks features\.0\.bias"),
    }
    for name, (content, message) in cases.items():
        torch.save(content, f"{name}.pth")
        with pytest.raises(CaffeError, match=rf"{name}.pth.*{message}"):
            read_state_dict(f"{name}.pth")
    assert not Path("ran").exists()
    whole = Path("vgg19.pth").read_bytes()
    torch.save(state, "old.pth", _use_new_zipfile_serialization=False)
    old = Path("old.pth").read_bytes()
    files = {
        "cut": (whole[: len(whole) // 2], "it is cut off or damaged"),
        "cut_soon": (old[:600], "it is cut off or damaged"),
        "cut_late": (old[:-100], "it is cut off or damaged"),
        "text": (b"nothing", "it is a text file"),
        "page": (b"<!DOCTYPE html><html>404</html>", "it is a web page, not the file itself"),
        "empty": (b"", "it is empty$"),
        "noise": (bytes(range(100, 200)), "it is damaged, or no file of torch.save"),
        "caffes": (small_caffemodel(), "it is a model file of Caffe"),
        "squeezed": (squeezed(whole), "it is compressed"),
    }
    for name, (content, message) in files.items():
        Path(f"{name}.pth").write_bytes(content)
        with pytest.raises(OSError, match=f"^cannot read '{name}.pth': {message}") as caught:
            read_state_dict(f"{name}.pth")
        assert "\x1b" not in str(caught.value)
    with pytest.raises(OSError, match=r"cannot read 'none.pth'"):
        read_state_dict("none.pth")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", ["name", "operations"])
def test_pickles_that_no_state_dict_has_are_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool, kind: str
) -> None:
    """A name of 40,000 characters and a pickle of endless operations: torch.load would think about them for minutes."""
    endless = b"\x80\x02" + (b"ctorch\n" + b"x" * 40_000 + b"\n." if kind == "name" else b"N0" * 60_000 + b"N.")
    path = tmp_path / "x.pth"
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=not old)
    if old:
        path.write_bytes(path.read_bytes()[:21] + endless)  # behind number and version
    else:
        with zipfile.ZipFile(path) as source:
            content = {name: source.read(name) for name in source.namelist()}
        with zipfile.ZipFile(path, "w") as target:
            for name, part in content.items():
                target.writestr(name, endless if name.endswith("data.pkl") else part)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(CaffeError, match="it holds more than tensors"):
        read_state_dict(path)
