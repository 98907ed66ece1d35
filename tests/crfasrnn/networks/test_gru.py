"""The GRU in the CRF's place: its recurrence, parameters, start, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from google.protobuf import text_format
from support.crfasrnn.refiner_nets import gru_net, scene
from torch import Tensor

import caffe
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2
from crfasrnn.networks.gru import PREFIX, conv_gru

SHARED = ("renewal_own", "side_own", "window", "same", "other")


def filled(net: caffe.Net, inputs: dict[str, np.ndarray]) -> caffe.Net:
    for name, values in inputs.items():
        net.blobs[name].data[...] = values
    return net


def learned(net: caffe.Net) -> dict[str, caffe.Blob]:
    """The parameters that learn, each once, by name."""
    of_gates = {
        f"{gate}_{part}": net.params[f"gru_{gate}"][k] for gate in ("renewal", "side") for k, part in enumerate("vb")
    }
    layers = ("renewal_own", "side_own", "same_window", "same_mixed", "other_mixed")
    return of_gates | {name: net.params[f"gru1_{layer}"][0] for name, layer in zip(SHARED, layers)}


# ------------------------------------------------------------------------------------------------------ the recurrence


def means(x: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(x, side, ceil_mode=True, count_include_pad=False)


def enlarged(x: Tensor, factor: int, like: Tensor) -> Tensor:
    at = (torch.arange(2 * factor, dtype=x.dtype) + 0.5) / factor - 1
    tent = 1 - at.abs()
    kernel = torch.outer(tent, tent).repeat(x.shape[1], 1, 1, 1)
    result = F.conv_transpose2d(x, kernel, stride=factor, padding=factor // 2, groups=x.shape[1])
    return result[:, :, : like.shape[2], : like.shape[3]]


def each(weights: Tensor) -> Tensor:
    return weights.view(1, -1, 1, 1)


def mixed(weights: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", weights.flatten(1), x)


def formula(p: dict[str, Tensor], scores: Tensor, image: Tensor, iterations: int) -> Tensor:
    image = means(image, 2)
    surroundings = enlarged(means(image, 8), 8, image) / enlarged(means(torch.ones_like(image), 8), 8, image)
    contrast = (image - surroundings) / 32
    of_image = {
        "renewal": mixed(p["renewal_v"], contrast.abs()) + each(p["renewal_b"]),
        "side": mixed(p["side_v"], contrast) + each(p["side_b"]),
    }
    u = h = means(scores, 2)

    def heard(name: str, x: Tensor) -> Tensor:
        x = F.conv2d(x, p["window"], padding=2, dilation=2, groups=x.shape[1])
        return 2 * x + mixed(p[name], x)

    for _ in range(iterations):
        q = h.softmax(1)
        z, r = (torch.sigmoid(each(p[f"{gate}_own"]) * q + of_image[gate]) for gate in ("renewal", "side"))
        candidate = r * heard("same", r * q) + (1 - r) * heard("other", (1 - r) * q)
        h = (1 - z) * h + z * (u + candidate)
    return scores + enlarged(h - u, 2, scores)


@pytest.mark.parametrize(("height", "width", "batch"), [(13, 18, 1), (8, 5, 2)])
def test_scores_and_gradients_equal_the_formula(height: int, width: int, batch: int) -> None:
    inputs = scene(3, height, width, batch)
    net = filled(caffe.Net(gru_net(3, 4, height, width, batch), caffe.TRAIN), inputs)
    rng = np.random.default_rng(1)
    for blob in learned(net).values():
        blob.data[...] += 0.3 * rng.normal(size=blob.data.shape)
    leaves = {
        name: torch.from_numpy(blob.data.astype(np.float64)).requires_grad_() for name, blob in learned(net).items()
    }
    scores = torch.from_numpy(inputs["scores"]).requires_grad_()
    expected = formula(leaves, scores, torch.from_numpy(inputs["data"]), 4)
    net.forward()
    np.testing.assert_allclose(net.blobs["pred"].data, expected.detach().numpy(), rtol=1e-4, atol=1e-4)
    diff = rng.normal(size=expected.shape)
    net.blobs["pred"].diff[...] = diff
    net.backward()
    *gradients, of_scores = torch.autograd.grad(expected, [*leaves.values(), scores], torch.from_numpy(diff))
    np.testing.assert_allclose(net.blobs["scores"].diff, of_scores.numpy(), rtol=1e-3, atol=1e-4)
    for (name, blob), gradient in zip(learned(net).items(), gradients, strict=True):
        largest = float(gradient.abs().max())
        np.testing.assert_allclose(blob.diff, gradient.numpy(), rtol=1e-3, atol=1e-4 * largest, err_msg=name)


# -------------------------------------------------------------------------------------------------- what it is made of


@pytest.mark.parametrize(("classes", "count"), [(21, 1281), (7, 231)])
def test_it_has_about_as_many_parameters_as_the_crf(classes: int, count: int) -> None:
    for iterations in (1, 5):
        net = caffe.Net(gru_net(classes, iterations, 16, 16), caffe.TEST)
        assert sum(blob.data.size for blob in learned(net).values()) == count
    assert 0.5 < count / (3 * classes**2) < 2


def test_only_its_own_parameters_learn_all_at_the_rate_but_the_windows() -> None:
    rates = {}
    for layer in gru_net(3, 2, 16, 16, rate=50).layer:
        assert not layer.param or layer.name.startswith(PREFIX)
        assert layer.type != "MultiStageMeanfield"
        for param in layer.param:
            assert param.decay_mult == 0
            rates.setdefault(layer.name.partition("_")[2], set()).add(param.lr_mult)
    fixed = {name for name, rate in rates.items() if rate == {0}}
    assert fixed == {"means_up", "weights_up", "gain_up"}
    assert {name: rate for name, rate in rates.items() if name not in fixed and rate != {50}} == {
        "same_window": {5},
        "other_window": {5},
    }


def test_its_start_is_a_mild_smoothing() -> None:
    inputs = scene(5, 61, 83)
    for iterations in (1, 5, 10):
        net = filled(caffe.Net(gru_net(5, iterations, 61, 83), caffe.TEST), inputs)
        refined = net.forward()["pred"][0]
        before, after, truth = inputs["scores"][0].argmax(0), refined.argmax(0), inputs["label"][0, 0]
        assert (before == after).mean() > 0.95
        assert (after == truth).mean() > (before == truth).mean() - 0.005


def test_places_listen_to_those_on_their_side_of_an_edge() -> None:
    """Scores of a class left of the edge do not spread to the right, as they do where there is none."""
    scores = np.zeros((1, 2, 32, 32))
    scores[:, 0, :, :16], scores[:, 1, :, 16:] = 3, 0.1
    flat, edge = np.zeros((1, 3, 32, 32)), np.zeros((1, 3, 32, 32))
    edge[..., :16] = 100
    spread = []
    for image in (flat, edge):
        net = filled(caffe.Net(gru_net(2, 5, 32, 32), caffe.TEST), {"data": image, "scores": scores})
        refined = net.forward()["pred"][0]
        spread.append(float((refined[0] - refined[1])[8:-8, 16:18].mean()))
    assert spread[1] < spread[0] - 0.1


# ----------------------------------------------------------------------------------------------------------- training


def test_training_lowers_the_loss_and_its_weights_serve_any_number_of_iterations(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "net.prototxt").write_text(text_format.MessageToString(gru_net(4, 3, 40, 48, rate=100, loss=True)))
    solver = caffe_pb2.SolverParameter(train_net=str(tmp_path / "net.prototxt"), type="Adam", lr_policy="fixed")
    solver.base_lr, solver.momentum, solver.momentum2, solver.max_iter = 1e-3, 0.9, 0.999, 30
    solver.snapshot_prefix = str(tmp_path / "net")
    (tmp_path / "solver.prototxt").write_text(text_format.MessageToString(solver))
    trainer = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    filled(trainer.net, scene(4, 40, 48))
    losses = []
    for _ in range(30):
        trainer.step(1)
        losses.append(float(trainer.net.blobs["loss"].data))
    assert losses[-1] < 0.8 * losses[0], losses
    trainer.net.save(str(tmp_path / "net.caffemodel"))
    (tmp_path / "longer.prototxt").write_text(text_format.MessageToString(gru_net(4, 10, 40, 48)))
    with caplog.at_level("WARNING", "caffe"):
        longer = caffe.Net(str(tmp_path / "longer.prototxt"), str(tmp_path / "net.caffemodel"), caffe.TEST)
    assert not caplog.records
    for layer in ("same_window", "other_mixed", "side_own"):
        for step in (1, 3, 10):
            expected = trainer.net.params[f"gru1_{layer}"][0].data
            np.testing.assert_array_equal(longer.params[f"gru{step}_{layer}"][0].data, expected)


def test_images_of_any_size_pass() -> None:
    for height, width in ((1, 1), (2, 7), (31, 9)):
        n = NetSpec()
        n.data = L.Input(shape={"dim": [1, 3, height, width]})
        n.scores = L.Convolution(n.data, num_output=2, kernel_size=1)
        conv_gru(n, n.scores, 2, 2, 1)
        assert caffe.Net(n.to_proto(), caffe.TEST).forward()["pred"].shape == (1, 2, height, width)
