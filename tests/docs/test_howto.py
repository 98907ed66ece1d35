"""The pages of docs/howto run, and what they say of other programs' layers agrees with those layers' formulas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from support.pages import Page
from support.reference_data import REPOSITORY
from support.workplace import workplace
from torch import Tensor
from torch.nn import functional as F

import caffe
from crfasrnn.crf import permutohedral_filter
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.segmentation.models import resource_folder
from crfasrnn.utils import unary_from_softmax

NARROW = 4  # channels of the published network, in place of 64 to 4096
BENCHMARK = {"python benchmarks/": "takes minutes: tests/docs/test_measurements.py runs it in small"}


# Pages by name: how many of their blocks run at least, what is not run and why, and what is run shorter.
Tables = dict[str, str]
LISTED: dict[str, tuple[int, Tables, Tables]] = {
    "data_sets": (
        4,
        {"sbatch": "needs a cluster", "torchrun": "needs GPUs"},
        {
            "--output segmented": "--processes 1 --output segmented",
            "-o refined": "-o refined --processes 1",
            "--predictions segmented": "--predictions segmented --processes 1",
            "--processes 2": "",
        },
    ),
    "from_caffe": (
        2,
        {},
        {
            "prototxt/voc21/crfrnn_deploy": "prototxt/slim/crfrnn_deploy",
            "TVG_CRFRNN_COCO_VOC.caffemodel": "models/voc-animals-slim/crfrnn.caffemodel.h5",
            "image = np.zeros((1, 3, 500, 500)": 'net.blobs["data"].reshape(1, 3, 40, 48)\nimage = np.zeros((1, 3, 40, 48)',
        },
    ),
    "from_crfasrnn_pytorch": (
        5,
        {"crfasrnn segment photo.jpg --model voc21/crfrnn --weights TVG": "a download of 540 MB"},
        {"--model voc21/crfrnn": "--model prototxt/voc21/crfrnn_deploy.prototxt", "--pad ": "--pad --size 64 "},
    ),
    "from_monai": (2, {}, {}),
    "from_pydensecrf": (2, {}, {}),
    "gpu": (
        1,
        {"torchrun": "needs GPUs", "pip install": "a download", "crfasrnn segment photos": "needs a GPU"},
        {},
    ),
    "large_images": (4, BENCHMARK, {"side: int = 2000, margin: int = 240": "side: int = 40, margin: int = 20"}),
    "masks": (4, {}, {}),
    "memory": (1, {}, {}),
    "one_class": (6, {}, {}),
    "parameters": (4, {}, {"--output tuned": "--output tuned --coarse 2 --fine 1 --folds 2 --processes 1"}),
    "worse": (5, BENCHMARK, {}),
}
PAGES = {
    name: (Page(f"docs/howto/{name}.md", omitted, shortened), least)
    for name, (least, omitted, shortened) in LISTED.items()
}


# ------------------------------------------------------------------------------------------------------------ they run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PAGES)
def test_it_runs(name: str, tmp_path: Path) -> None:
    page, least = PAGES[name]
    folder = workplace(tmp_path)
    (folder / "names.txt").write_text("p0\np1\n")
    (folder / "colours.txt").write_text("cat 70 130 180\nbackground #101010\n")
    _narrow_published(folder)
    assert page.run(folder) >= least


def functions(name: str, *omitted: str) -> dict[str, Any]:
    """What the Python blocks of a page define that begin with none of `omitted`."""
    found: dict[str, Any] = {}
    for block in PAGES[name][0].blocks():
        if block.language == "python" and not block.text.startswith(omitted):
            exec(compile(block.text, f"{name}.md:{block.line}", "exec"), found)
    return found


# ------------------------------------------------------------------------------------------ what they say of other programs


def _narrow_published(folder: Path) -> None:
    """The published network with few channels, and a state dict of crfasrnn_pytorch's names for it."""
    text = (resource_folder("prototxt") / "voc21" / "crfrnn_deploy.prototxt").read_text(encoding="utf-8")
    text = re.sub(r"num_output: (64|128|256|512|4096)$", f"num_output: {NARROW}", text, flags=re.MULTILINE)
    (folder / "prototxt" / "voc21" / "crfrnn_deploy.prototxt").write_text(text, encoding="utf-8")
    torch.save(_state_of_pytorch(), folder / "crfasrnn_weights.pth")


def _state_of_pytorch() -> dict[str, Tensor]:
    """Random weights under the names, and but for NARROW in the shapes, of crfasrnn_pytorch's CrfRnnNet."""
    rng = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def layer(name: str, *shape: int, bias: int = 0) -> None:
        state[f"{name}.weight"] = torch.randn(shape, generator=rng) * (2 / (shape[1] * shape[2] ** 2)) ** 0.5
        if bias:
            state[f"{name}.bias"] = 0.1 * torch.randn(bias, generator=rng)

    last = 3
    for stage, depth in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, depth + 1):
            layer(f"conv{stage}_{number}", NARROW, last, 3, 3, bias=NARROW)
            last = NARROW
    layer("fc6", NARROW, NARROW, 7, 7, bias=NARROW)
    layer("fc7", NARROW, NARROW, 1, 1, bias=NARROW)
    for name in ("score_fr", "score_pool3", "score_pool4"):
        layer(name, 21, NARROW, 1, 1, bias=21)
    layer("upscore2", 21, 21, 4, 4, bias=21)
    layer("upscore8", 21, 21, 16, 16)
    layer("upscore_pool4", 21, 21, 4, 4)
    for part in ("spatial_ker_weights", "bilateral_ker_weights", "compatibility_matrix"):
        state[f"crfrnn.{part}"] = torch.eye(21) + 0.1 * torch.randn(21, 21, generator=rng)
    return state


def _fcn8s(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """The scores of FCN-8s before its CRF by torch's own functions (Long et al. 2015)."""

    def conv(name: str, values: Tensor, padding: int = 0) -> Tensor:
        return F.conv2d(values, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)

    def enlarged(name: str, values: Tensor, stride: int) -> Tensor:
        return F.conv_transpose2d(values, state[f"{name}.weight"], state.get(f"{name}.bias"), stride)

    def cut(values: Tensor, offset: int, like: Tensor) -> Tensor:
        return values[:, :, offset : offset + like.shape[2], offset : offset + like.shape[3]]

    values, pools = image, []
    for stage, depth in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, depth + 1):
            name = f"conv{stage}_{number}"
            values = conv(name, values, 100 if name == "conv1_1" else 1).relu()
        values = F.max_pool2d(values, 2, 2, ceil_mode=True)
        pools.append(values)
    values = conv("fc7", conv("fc6", values).relu()).relu()
    values = enlarged("upscore2", conv("score_fr", values), 2)
    values = enlarged("upscore_pool4", values + cut(conv("score_pool4", pools[3]), 5, values), 2)
    values = enlarged("upscore8", values + cut(conv("score_pool3", pools[2]), 9, values), 8)
    return cut(values, 31, image)


def _mean(values: Tensor, features: Tensor) -> Tensor:
    """A weighted mean of (C, *S) values over points that are alike in (d, *S) features."""
    points = features.flatten(1).T.contiguous()
    ones = permutohedral_filter(torch.ones(len(points), 1), points)
    return (permutohedral_filter(values.flatten(1).T.contiguous(), points) / ones).T.reshape(values.shape)


def _positions(shape: tuple[int, ...]) -> list[Tensor]:
    """x, y(, z) of every place, as the lattice takes them."""
    return list(torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij"))[::-1]


def test_a_state_dict_of_crfasrnn_pytorch_computes_the_same(tmp_path: Path) -> None:
    """The network, converted as the page says, against torch's functions and the layer's formula with its sign."""
    (tmp_path / "prototxt" / "voc21").mkdir(parents=True)
    _narrow_published(tmp_path)
    page = functions("from_crfasrnn_pytorch", "state = torch.load")
    prototxt, weights = tmp_path / "prototxt" / "voc21" / "crfrnn_deploy.prototxt", tmp_path / "x.caffemodel.h5"
    state = _state_of_pytorch()
    page["to_caffemodel"](state, str(prototxt), str(weights))
    net = caffe.Net(str(prototxt), str(weights), caffe.TEST)
    image = 60 * torch.randn(1, 3, 40, 48, generator=torch.Generator().manual_seed(1))
    net.blobs["data"].reshape(*image.shape)
    result = torch.from_numpy(net.forward_all(data=image.numpy())["pred"])
    scores = _fcn8s(state, image)
    messages = [state[f"crfrnn.{part}_ker_weights"] for part in ("spatial", "bilateral")]
    x, y = _positions(image.shape[2:])
    features = [torch.stack([x / 3, y / 3]), torch.stack([x / 160, y / 160, *image[0] / 3])]
    refined = scores[0]
    for _ in range(10):
        q = refined.softmax(0)
        sums = sum(w @ _mean(q, f).flatten(1) for w, f in zip(messages, features))
        refined = scores[0] + (state["crfrnn.compatibility_matrix"] @ sums).reshape(q.shape)
    assert (result[0] - refined).abs().max() < 1e-4 * refined.abs().max()
    crf = page["load_crf"](page["CrfRnn"](21, iterations=10), state)
    assert (crf(scores, image)[0] - refined).abs().max() < 1e-4 * refined.abs().max()


def _as_monai(logits: Tensor, reference: Tensor, matrix: Tensor | None, numbers: dict[str, float]) -> Tensor:
    """The arithmetic of monai.networks.blocks.CRF 1.6 (its documentation) around a normalised filter, for one image."""
    places = torch.stack(_positions(logits.shape[2:]))
    alike = torch.cat([places / numbers["bilateral_spatial_sigma"], reference[0] / numbers["bilateral_color_sigma"]])
    near = places / numbers["gaussian_spatial_sigma"]
    q = logits[0].softmax(0)
    for _ in range(int(numbers["iterations"])):
        message = numbers["bilateral_weight"] * _mean(q, alike) + numbers["gaussian_weight"] * _mean(q, near)
        if matrix is not None:
            message = torch.einsum("i...,ij->j...", message, matrix)
        q = (logits[0] + numbers["update_factor"] * message).softmax(0)
    return q


@pytest.mark.parametrize("shape", [(12, 15), (5, 8, 7)])
def test_monais_numbers_mean_the_same(shape: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(0)
    logits, reference = torch.randn(1, 3, *shape, generator=rng), torch.rand(1, 1, *shape, generator=rng)
    numbers = {
        "iterations": 4, "bilateral_weight": 0.7, "gaussian_weight": 1.3, "bilateral_spatial_sigma": 4.0,
        "bilateral_color_sigma": 0.4, "gaussian_spatial_sigma": 2.0, "update_factor": 2.5,
    }  # fmt: skip
    page = functions("from_monai")
    crf = page["like_monai"](3, **numbers)
    assert (crf(logits, reference).softmax(1)[0] - _as_monai(logits, reference, None, numbers)).abs().max() < 1e-5
    with_matrix = page["CrfRnn"](3, crf.kernels, 4, weights="shared", compatibility="full")
    matrix = torch.tensor([[1.0, -0.3, 0.1], [0.2, 0.8, 0.0], [-0.5, 0.4, 1.2]])
    with torch.no_grad():
        with_matrix.compatibility.copy_(-matrix.T)
    expected = _as_monai(logits, reference, matrix, numbers)
    assert (with_matrix(logits, reference).softmax(1)[0] - expected).abs().max() < 1e-5


def test_names_of_pydensecrf_are_there() -> None:
    """The first column of the table name by name, beside the installed pydensecrf where there is one."""
    densecrf, utils = pytest.importorskip("crfasrnn.densecrf"), pytest.importorskip("crfasrnn.utils")
    text = (REPOSITORY / "docs" / "howto" / "from_pydensecrf.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| ", text.split("## Name by name")[1].split("## What differs")[0], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(?:utils\.)?([A-Za-z]\w+)(?:`|\()", row)}
    there = {name for module in (densecrf, utils, densecrf.DenseCRF2D) for name in dir(module)}
    missing = named - there - {"compat", "kernelGradient"}
    assert missing == set()
    assert {"DenseCRF2D", "addPairwiseBilateral", "unary_from_softmax", "NORMALIZE_AFTER"} <= named
    theirs = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed: pip install pydensecrf2")
    public = {name for name in (*dir(theirs), *dir(theirs.DenseCRF2D)) if name[0].isalpha() and "pyx" not in name}
    assert {
        name for name in public if re.match(r"(Dense|add|set|start|step|kl|inference|NORM|NO_|[A-Z]+_KERNEL)", name)
    } <= there


# ------------------------------------------------------------------------------------------------------ what they promise


def test_tiles_agree_with_the_whole_where_their_margin_is_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With kernels of 4 pixels and a margin of 30, and not without one."""
    monkeypatch.chdir(workplace(tmp_path))
    page = functions("large_images")
    monkeypatch.setitem(page, "CrfSettings", lambda **_: CrfSettings(spatial=(2, 3), bilateral=(4, 20, 10)))
    photo = np.ascontiguousarray(skimage.data.cat()[:150, 100:300, ::-1])
    likely = cv2.GaussianBlur((photo[..., 2] > photo[..., 2].mean()).astype(np.float32), (0, 0), 6)
    probabilities = np.stack([1 - likely, likely])
    whole = page["CrfSettings"]().labels(photo, unary_from_softmax(probabilities))
    apart = {margin: (page["by_tiles"](photo, probabilities, 50, margin) != whole).mean() for margin in (0, 30)}
    assert (whole != probabilities.argmax(0)).mean() > 0.01
    assert 5 * apart[30] < apart[0], apart
    assert (page["at_reduced_size"](photo, probabilities, 2) != probabilities.argmax(0)).mean() > 0.01


def test_looking_tells_what_is_odd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake has its line, and fine input only that of its certainty."""
    monkeypatch.chdir(workplace(tmp_path))
    look = functions("worse")["look"]
    image = np.ascontiguousarray(skimage.data.cat()[:60, :80])
    object_ = np.zeros((60, 80), np.float32)
    object_[20:40, 20:60] = 0.8
    fine = np.stack([1 - object_, 0.9 * object_, 0.1 * object_])

    def told(*given: np.ndarray) -> str:
        capsys.readouterr()
        look(*given)
        return capsys.readouterr().out

    assert re.fullmatch(r"83% of the pixels are surer than 0.999\n", told(image, fine))
    assert "shapes" in told(image, fine.transpose(1, 2, 0))
    assert "one class" in told(image, fine[:1])
    assert "no probabilities" in told(image, np.log(fine + 1e-5))
    assert "0 to 255" in told(image / 255, fine)
    assert "reshaped" in told(image, fine.transpose(1, 2, 0).reshape(fine.shape))
