"""VGG-16 as PyTorch's users publish it, a state dict in a .pth file, made the weights of Caffe's VGG-16.

Three are known. torchvision's `vgg16` (features.0.weight, ... classifier.0.weight) gets RGB, 0 to 1, minus ImageNet's mean and
divided by its deviation. The reduced one of SSD (0.weight, ... 33.weight), which torchvision has as `IMAGENET1K_FEATURES` with a
classifier of NaN, gets RGB, 0 to 255, minus (123, 117, 104). Johnson's copy of Oxford's weights (features.0.weight, ...
classifier.1.weight) gets what Caffe's networks get: BGR, 0 to 255, minus classes.MEAN_BGR.
"""

from __future__ import annotations

import errno
import os
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from caffe.errors import CaffeError, FileError
from caffe.inputs.reading import open_regular
from caffe.proto.binary_file import guessed
from caffe.proto.model_file import LayerBlobs, read_model
from crfasrnn.classes import MEAN_BGR
from crfasrnn.networks.vgg import BLOCKS

SUFFIXES = (".pth", ".pt")
_BEGINNINGS = (b"PK\x03\x04", b"\x80\x02")  # of torch.save's archives, and of the pickles that it wrote before
_OLD_PICKLES = 5  # in a file of these: number, version, machine, content, keys
_OPERATIONS, _LONGEST_NAME = 100_000, 4000  # of a pickle; VGG-16's has about a thousand


@dataclass(frozen=True)
class Input:
    """What a network takes for an image: (RGB - mean) / deviation, both for values from 0 to 255, in the order R, G, B."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


TORCHVISION = Input((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255))
SSD = Input((123.0, 117.0, 104.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Kind:
    """Names in a state dict: how those of convolutions begin, and fc6's and fc7's; and the input, None for Caffe's."""

    prefix: str
    fc6: str
    fc7: str
    made_for: Input | None


KINDS = (
    Kind("features.", "classifier.0", "classifier.3", TORCHVISION),
    Kind("features.", "classifier.1", "classifier.4", None),
    Kind("", "31", "33", SSD),
)


def read_state_dict(path: str | os.PathLike[str]) -> list[LayerBlobs]:
    """VGG-16's conv1_1 ... conv5_3, and fc6, fc7 as convolutions where the file has them, float32, for Caffe's input.

    Files from torch.save, of the state dict or of a checkpoint with one under "state_dict"; nothing but tensors is loaded of them.
    Raises CaffeError if the file is damaged, holds more, or is of another network.
    """
    name = os.fspath(path)
    weights = _tensors(_loaded(name), name)
    kind = _kind(weights)
    places = _convolutions(kind.prefix)
    _check_is_vgg16(weights, kind.prefix, places, name)
    head = {"fc6": kind.fc6, "fc7": kind.fc7}
    pairs = {
        layer: _pair(weights, place, layer)
        for layer, place in {**places, **head}.items()
        if {f"{place}.weight", f"{place}.bias"} <= set(weights)
    }
    made_for = kind.made_for
    if any(np.isnan(pairs[layer][0]).any() for layer in head if layer in pairs):
        pairs, made_for = {layer: pair for layer, pair in pairs.items() if layer not in head}, SSD
    if made_for is not None:
        pairs = for_caffe(pairs, made_for)
    return [LayerBlobs(layer, "Convolution", blobs) for layer, blobs in pairs.items()]


def for_caffe(pairs: Mapping[str, list[np.ndarray]], made_for: Input) -> dict[str, list[np.ndarray]]:
    """Weights and biases of a VGG-16 for another input, as those of one for Caffe's: the same scores of the same photograph.

    pairs: layer -> [weight O x I x H x W, bias O], with conv1_1 among them. The colours change their order, the mean moves into
    conv1_1's bias (exact but for the padding, which is grey by at most 0.6 of 255 levels another one), and the deviation into the
    maps: as Caffe's, those of all convolutions are larger by the mean deviation (57 for torchvision), which rates of training and
    the scales of slim networks are made for. ReLU and maxima let a positive factor pass, and fc6 takes it back.
    """
    deviation = np.array(made_for.deviation)
    scale = float(deviation.mean())
    result = {}
    for layer, (weight, bias) in pairs.items():
        if layer == "conv1_1":
            per_level = weight / deviation[:, None, None]
            shift = np.array(MEAN_BGR[::-1]) - made_for.mean
            bias = bias + (per_level * shift[:, None, None]).sum(axis=(1, 2, 3))
            weight = scale * per_level[:, ::-1]
        if layer.startswith("conv"):
            bias = scale * bias
        if layer == "fc6":
            weight = weight / scale
        result[layer] = [np.ascontiguousarray(blob, np.float32) for blob in (weight, bias)]
    return result


def _loaded(name: str) -> Any:
    try:
        with open_regular(name) as file:
            _check_is_plain(file)
            return torch.load(file, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as problem:  # torch.load raises what its pickles and archives make it, EINVAL for one that is cut off
        if isinstance(problem, OSError) and problem.errno != errno.EINVAL:
            raise FileError(f"cannot read {name!r}: {problem.strerror or problem}") from problem
        raise FileError(f"cannot read {name!r}: it {_why(name, problem)}") from problem


def _why(name: str, problem: Exception) -> str:
    """Why torch.load refused a file, told by its content: PyTorch's own words are about its options."""
    if isinstance(problem, _NoStateDictError) or "GLOBAL" in str(problem):
        return (
            "holds more than tensors, as a whole model does: save torch.save(model.state_dict(), path), tensors alone"
        )
    try:
        with open_regular(name) as file:
            head = file.read(512)
    except OSError as refusal:
        return str(refusal.strerror).removeprefix("it ")
    if not head:
        return "is empty"
    if isinstance(problem, _CompressedError):
        return "is compressed, which torch.save does not do"
    if head.startswith(_BEGINNINGS):
        return "is cut off or damaged: fetch it again"
    if _is_caffes(name):
        return "is a model file of Caffe: let its name end in .caffemodel or .caffemodel.h5"
    return guessed(head) or "is damaged, or no file of torch.save(model.state_dict(), path)"


def _is_caffes(name: str) -> bool:
    try:
        return bool(read_model(name))
    except CaffeError:
        return False


class _CompressedError(ValueError):
    pass


class _NoStateDictError(ValueError):
    pass


def _check_is_plain(file: Any) -> None:
    """torch.save does not compress; what does may unpack to anything. Its pickles are short, and so is every name in them."""
    if zipfile.is_zipfile(file):
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise _CompressedError
            for info in archive.infolist():
                if info.filename.endswith("data.pkl"):
                    with archive.open(info) as pickled:
                        _check_is_short(pickled)
    else:
        file.seek(0)
        for _ in range(_OLD_PICKLES):
            if not _check_is_short(file):
                break
    file.seek(0)


def _check_is_short(file: Any) -> bool:
    """Whether a pickle is whole; raises for many operations and for a long name, over whose refusal torch.load ponders long."""
    try:
        for count, (_, argument, _) in enumerate(pickletools.genops(file)):
            if count > _OPERATIONS or (isinstance(argument, str | bytes) and len(argument) > _LONGEST_NAME):
                raise _NoStateDictError
    except _NoStateDictError:
        raise
    except Exception:  # pickletools fails in many ways; torch.load says what is wrong
        return False
    return True


def _tensors(content: Any, name: str) -> dict[str, torch.Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise FileError(f"{name!r} holds no state dict: save model.state_dict() of VGG-16")
    return {
        str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, torch.Tensor)
    }


def _kind(weights: Mapping[str, Any]) -> Kind:
    """Told by the classifier's names, which differ; without a classifier by the convolutions', as torchvision's or SSD's."""
    by_classifier = [kind for kind in KINDS if f"{kind.fc6}.weight" in weights]
    features = any(key.startswith("features.") for key in weights)
    return by_classifier[0] if by_classifier else KINDS[0] if features else KINDS[-1]


def _convolutions(prefix: str) -> dict[str, str]:
    """Caffe's names of the convolutions -> theirs in a Sequential with a ReLU behind each and a pooling behind each block."""
    places, index = {}, 0
    for block, widths in enumerate(BLOCKS, 1):
        for number in range(1, len(widths) + 1):
            places[f"conv{block}_{number}"] = f"{prefix}{index}"
            index += 2
        index += 1
    return places


def _check_is_vgg16(weights: Mapping[str, Any], prefix: str, places: Mapping[str, str], name: str) -> None:
    if any(key.endswith("running_mean") for key in weights):
        raise FileError(f"{name!r} is a network with batch normalisation, which ours lack: take VGG-16 without (vgg16)")
    wanted = {f"{place}.{what}" for place in places.values() for what in ("weight", "bias")}
    if places["conv1_1"] + ".weight" not in weights:
        raise FileError(
            f"{name!r} is another network's, not VGG-16's as torchvision or SSD publishes it, whose first weight is "
            f"features.0.weight or 0.weight; it holds {', '.join(list(weights)[:4]) or 'no tensor'} ..."
        )
    beyond = {key for key in weights if prefix and key.startswith(prefix)} - wanted
    missing = sorted(wanted - set(weights))
    if missing or beyond:
        raise FileError(
            f"{name!r} is not VGG-16 as torchvision or SSD publishes it: "
            + (f"it lacks {', '.join(missing[:4])}" if missing else f"it has {', '.join(sorted(beyond)[:4])}, too")
            + f"; it holds {', '.join(list(weights)[:4]) or 'no tensor'} ..."
        )
    for place in places.values():
        weight, bias = weights[f"{place}.weight"], weights[f"{place}.bias"]
        if weight.ndim != 4 or bias.shape != weight.shape[:1] or not weight.is_floating_point():
            raise FileError(f"{name!r}: {place}.weight is no convolution's: {tuple(weight.shape)}, {weight.dtype}")
    if weights[f"{prefix}0.weight"].shape[1] != 3:
        raise CaffeError(f"{name!r}: {prefix}0.weight has {weights[f'{prefix}0.weight'].shape[1]} colours, not 3")


def _pair(weights: Mapping[str, torch.Tensor], place: str, layer: str) -> list[np.ndarray]:
    """Weight and bias; those of a fully connected layer as a 1 x 1 convolution's, or 7 x 7 where it follows pool5."""
    weight, bias = (weights[f"{place}.{what}"].to(torch.float32).numpy() for what in ("weight", "bias"))
    size = 7 if layer == "fc6" else 1
    if weight.ndim == 2 and weight.shape[1] % size**2 == 0:
        weight = weight.reshape(len(weight), -1, size, size)
    return [weight, bias]
