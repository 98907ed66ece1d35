"""The variants of the paper's layer: untied iterations, ReLU, constrained weights; against the recurrence over dense matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import caffe
from caffe.errors import CaffeError
from crfasrnn import CrfRnn
from crfasrnn.crf.functional import Kernel, mean_field, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.module import Bilateral, Spatial

CLASSES, HEIGHT, WIDTH, ITERATIONS = 4, 6, 7, 3
THETAS = {"theta_alpha": 8.0, "theta_beta": 15.0, "theta_gamma": 2.0}


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_kernels(image: Tensor) -> list[Tensor]:
    """The normalised spatial and bilateral filters as matrices over the pixels of one image."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    place = torch.stack([columns, rows], -1).reshape(-1, 2).double()
    colours = image[0].flatten(1).T
    features = [
        place / THETAS["theta_gamma"],
        torch.cat([place / THETAS["theta_alpha"], colours / THETAS["theta_beta"]], 1),
    ]
    matrices = [permutohedral_filter(torch.eye(len(f), dtype=torch.float64), f) for f in features]
    return [m / m.sum(1, keepdim=True) for m in matrices]


def formula(unary: Tensor, q0: Tensor, image: Tensor, weights: list[Tensor], mu: Tensor, activation: str) -> Tensor:
    """scores_t = unary - mu_t sum_k W_k,t F_k(Q_t); matrices are (T, C, C)."""
    start, scores = (t[0].flatten(1).T for t in (unary, q0))
    for t in range(ITERATIONS):
        q = scores.relu() if activation == "relu" else scores.softmax(1)
        message = sum(kernel @ q @ w[t].T for kernel, w in zip(dense_kernels(image), weights))
        scores = start - message @ mu[t].T
    return scores.T.reshape(unary.shape)


@pytest.mark.parametrize("activation", ["softmax", "relu"])
@pytest.mark.parametrize("untied", ["none", "all", "compatibility"])
def test_scores_and_gradients_equal_the_formula(activation: str, untied: str) -> None:
    unary, q0 = draw(0, 1, CLASSES, HEIGHT, WIDTH), draw(1, 1, CLASSES, HEIGHT, WIDTH)
    image, grad = 20 * draw(2, 1, 3, HEIGHT, WIDTH), draw(3, 1, CLASSES, HEIGHT, WIDTH)
    shapes = [(ITERATIONS,) if untied == "all" else ()] * 2 + [() if untied == "none" else (ITERATIONS,)]
    matrices = [draw(4 + k, *sets, CLASSES, CLASSES) / 2 for k, sets in enumerate(shapes)]
    leaves = [t.requires_grad_() for t in (unary, q0, *matrices)]
    full = [m.expand(ITERATIONS, -1, -1) for m in matrices]
    expected = formula(unary, q0, image, full[:2], full[2], activation)
    actual = mean_field(unary, q0, image, *matrices, iterations=ITERATIONS, activation=activation, **THETAS)
    assert torch.allclose(actual, expected, rtol=1e-10, atol=1e-10)
    pairs = zip(torch.autograd.grad(actual, leaves, grad), torch.autograd.grad(expected, leaves, grad), strict=True)
    for a, e in pairs:
        assert torch.allclose(a, e, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ["softmax", "relu"])
def test_gradcheck_of_untied_iterations(activation: str) -> None:
    unary, q0 = draw(0, 1, 3, 3, 4).requires_grad_(), draw(1, 1, 3, 3, 4).requires_grad_()
    matrices = [(draw(4 + k, 2, 3, 3) / 2).requires_grad_() for k in range(3)]
    image = 20 * draw(2, 1, 3, 3, 4)

    def run(unary: Tensor, q0: Tensor, *matrices: Tensor) -> Tensor:
        return mean_field(unary, q0, image, *matrices, iterations=2, activation=activation, **THETAS)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(run, (unary, q0, *matrices))


def test_diagonal_matrices_are_scaled_as_full_ones_are_multiplied() -> None:
    """A Potts model with a weight per class takes a shorter way; a tiny element off the diagonal takes the long one."""
    unary, image = draw(0, 1, 30, 40, 50).float(), (40 * draw(1, 1, 3, 40, 50)).float()
    diagonal = torch.diag(draw(2, 30).float().abs())
    nearly = diagonal.clone()
    nearly[0, 1] = 1e-30
    for count in (4, 30):  # one group of channels, and two
        options: dict[str, Any] = {"iterations": 4, **THETAS}
        results = [
            mean_field(
                unary[:, :count],
                unary[:, :count],
                image,
                w[:count, :count],
                w[:count, :count],
                -torch.eye(count),
                **options,
            )
            for w in (diagonal, nearly)
        ]
        assert torch.allclose(*results, rtol=1e-4, atol=1e-4)
        assert not torch.equal(results[0], unary[:, :count])


def test_errors() -> None:
    unary, image, eye = draw(0, 1, 3, 4, 5), draw(1, 1, 3, 4, 5), torch.eye(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="activation must be one of softmax, relu, got 'tanh'"):
        mean_field(unary, unary, image, eye, eye, eye, iterations=2, activation="tanh", **THETAS)
    with pytest.raises(
        ValueError, match=r"spatial_weights has shape \(3, 3, 3\).*\(2, 3, 3\) with a matrix for every iteration"
    ):
        mean_field(unary, unary, image, eye.expand(3, 3, 3), eye, eye, iterations=2, **THETAS)
    crf = CrfRnn(3, iterations=2, untied=True).double()
    with pytest.raises(ValueError, match="2 iterations are untied: it cannot run 5"):
        crf(unary, image, iterations=5)
    with pytest.raises(ValueError, match="untied=False"):
        crf.save_caffemodel("never.caffemodel")


# ------------------------------------------------------------------------------------------------ modules and nets


def test_untied_module_has_parameters_for_every_iteration() -> None:
    crf = CrfRnn(
        CLASSES, [Spatial(2.0, 2.0), Bilateral(8.0, 15.0, 3.0)], ITERATIONS, untied=True, weights="per_class"
    ).double()
    assert crf.weights[0].shape == (ITERATIONS, CLASSES)
    with torch.no_grad():
        for k, p in enumerate((*crf.weights, crf.compatibility)):
            p += draw(k, *p.shape) / 3
    unary, image = draw(0, 1, CLASSES, HEIGHT, WIDTH), 20 * draw(2, 1, 3, HEIGHT, WIDTH)
    weights = [torch.diag_embed(w) for w in crf.weights]
    expected = formula(unary, unary, image, weights, crf.compatibility, "softmax")
    assert torch.allclose(crf(unary, image), expected, rtol=1e-9, atol=1e-9)


NET = """
force_backward: true
layer {{ name: "u" type: "Input" top: "u" input_param {{ shape {{ dim: 1 dim: 4 dim: 6 dim: 7 }} }} }}
layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 7 }} }} }}
layer {{ name: "crf" type: "MultiStageMeanfield" bottom: "u" bottom: "u" bottom: "d" top: "p" multi_stage_meanfield_param {{
  num_iterations: 3 {thetas} {options} }} }}
"""


def run_net(
    folder: Path, options: str, thetas: str = "theta_alpha: 8 theta_beta: 15 theta_gamma: 2"
) -> tuple[caffe.Net, list[np.ndarray]]:
    """A net with random parameters after forward and backward, and its parameters as they were."""
    (folder / "net.prototxt").write_text(NET.format(options=options, thetas=thetas))
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TRAIN)
    for k, blob in enumerate(net.params["crf"]):
        if blob.data.ndim == 4:
            blob.data[...] += (draw(k, *blob.data.shape) / 2).numpy()
    net.blobs["u"].data[...] = draw(5, 1, CLASSES, HEIGHT, WIDTH).numpy()
    net.blobs["d"].data[...] = 20 * draw(6, 1, 3, HEIGHT, WIDTH).numpy()
    net.forward()
    net.blobs["p"].diff[...] = draw(7, 1, CLASSES, HEIGHT, WIDTH).numpy()
    net.backward()
    return net, [blob.data.astype(np.float64) for blob in net.params["crf"]]


def shared(w: Tensor) -> Tensor:
    return torch.eye(CLASSES, dtype=w.dtype) * w.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]


def per_class(w: Tensor) -> Tensor:
    return torch.eye(CLASSES, dtype=w.dtype) * w


LAYERS = {
    "": (lambda w: w, lambda mu: mu, "softmax"),
    "kernel_weights: PER_CLASS": (per_class, lambda mu: mu, "softmax"),
    "kernel_weights: SHARED": (shared, lambda mu: mu, "softmax"),
    "symmetric_compatibility: true": (lambda w: w, lambda mu: (mu + mu.mT) / 2, "softmax"),
    "activation: RELU": (lambda w: w, lambda mu: mu, "relu"),
    "untied: true": (lambda w: w, lambda mu: mu, "softmax"),
    "untied: true kernel_weights: SHARED symmetric_compatibility: true": (
        shared,
        lambda mu: (mu + mu.mT) / 2,
        "softmax",
    ),
}


@pytest.mark.parametrize("options", LAYERS)
def test_layer_options_equal_the_formula(tmp_path: Path, options: str) -> None:
    net, blobs = run_net(tmp_path, options)
    weight_of, mu_of, activation = LAYERS[options]
    sets = ITERATIONS if "untied" in options else 1
    assert all(blob.shape == (sets, 1, CLASSES, CLASSES) for blob in blobs)
    leaves = [torch.from_numpy(blob)[:, 0].requires_grad_() for blob in blobs]
    *weights, mu = (m.expand(ITERATIONS, -1, -1) for m in (*map(weight_of, leaves[:2]), mu_of(leaves[2])))
    unary, image, diff = (
        torch.from_numpy(a.astype(np.float64)) for a in (net.blobs["u"].data, net.blobs["d"].data, net.blobs["p"].diff)
    )
    expected = formula(unary, unary, image, weights, mu, activation)
    np.testing.assert_allclose(net.blobs["p"].data, expected.detach().numpy(), rtol=1e-4, atol=1e-4)
    gradients = torch.autograd.grad(expected, leaves, diff)
    for blob, gradient in zip(net.params["crf"], gradients, strict=True):
        np.testing.assert_allclose(blob.diff[:, 0], gradient.numpy(), rtol=1e-3, atol=1e-3)


SECOND, THIRD = (3.0, 40.0), (12.0, 9.0)
FURTHER = " ".join(f"bilateral {{ theta_alpha: {a} theta_beta: {b} weight: 2 }}" for a, b in (SECOND, THIRD))


@pytest.mark.parametrize("options", LAYERS)
def test_further_bilateral_kernels_are_summed(tmp_path: Path, options: str) -> None:
    """Each with weights of its own, after the compatibility, of which as much counts as of the first one's."""
    net, blobs = run_net(tmp_path, f"{options} {FURTHER}")
    weight_of, mu_of, activation = LAYERS[options]
    assert [blob.shape for blob in blobs] == [(ITERATIONS if "untied" in options else 1, 1, CLASSES, CLASSES)] * 5
    leaves = [torch.from_numpy(blob)[:, 0].requires_grad_() for blob in blobs]
    spatial, bilateral, mu, *further = leaves
    unary, image, diff = (
        torch.from_numpy(a.astype(np.float64)) for a in (net.blobs["u"].data, net.blobs["d"].data, net.blobs["p"].diff)
    )
    expected = mean_field_kernels(
        unary,
        unary,
        [Kernel(2.0), *(Kernel(alpha, image, beta) for alpha, beta in ((8.0, 15.0), SECOND, THIRD))],
        [weight_of(w).expand(ITERATIONS, -1, -1) for w in (spatial, bilateral, *further)],
        mu_of(mu).expand(ITERATIONS, -1, -1),
        iterations=ITERATIONS,
        activation=activation,
    )
    np.testing.assert_allclose(net.blobs["p"].data, expected.detach().numpy(), rtol=1e-4, atol=1e-4)
    for blob, gradient in zip(net.params["crf"], torch.autograd.grad(expected, leaves, diff), strict=True):
        np.testing.assert_allclose(blob.diff[:, 0], gradient.numpy(), rtol=1e-3, atol=1e-3)


def test_further_kernels_are_about_the_gaussians_that_the_lattice_stands_for(tmp_path: Path) -> None:
    net, blobs = run_net(tmp_path, FURTHER)
    scores = torch.from_numpy(net.blobs["u"].data.astype(np.float64))[0].flatten(1).T
    start, image = scores, torch.from_numpy(net.blobs["d"].data.astype(np.float64))[0]
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    place, colours = torch.stack([columns, rows], -1).reshape(-1, 2).double(), image.flatten(1).T
    features = [place / 2, *(torch.cat([place / a, colours / b], 1) for a, b in ((8, 15), SECOND, THIRD))]
    gaussians = [torch.exp(-0.5 * torch.cdist(f, f) ** 2) for f in features]
    spatial, bilateral, mu, *further = (torch.from_numpy(blob)[0, 0] for blob in blobs)

    def refined(count: int) -> np.ndarray:
        scores = start
        for _ in range(ITERATIONS):
            parts = zip(gaussians[:count], (spatial, bilateral, *further))
            q = scores.softmax(1)
            scores = start - sum(k / k.sum(1, keepdim=True) @ q @ w.T for k, w in parts) @ mu.T
        return scores.T.reshape(1, CLASSES, HEIGHT, WIDTH).numpy()

    errors = [float(np.abs(net.blobs["p"].data - refined(count)).mean()) for count in (4, 3, 2)]
    assert errors[0] < 0.3 * min(errors[1:]), errors


def test_bandwidths_of_further_kernels_are_learned_with_the_others(tmp_path: Path) -> None:
    plain, _ = run_net(tmp_path, FURTHER)
    net, blobs = run_net(tmp_path, f"learn_bandwidths: true {FURTHER}")
    np.testing.assert_allclose(blobs[5], np.log([8, 15, 2, *SECOND, *THIRD]), rtol=1e-6)
    np.testing.assert_allclose(net.blobs["p"].data, plain.blobs["p"].data, rtol=1e-4, atol=1e-4)
    for learned, fixed in zip(list(net.params["crf"])[:5], plain.params["crf"], strict=True):
        np.testing.assert_allclose(learned.diff, fixed.diff, rtol=1e-3, atol=1e-3)
    assert (net.params["crf"][5].diff != 0).all()
    net.params["crf"][5].data[5] = np.log(6)
    net.forward()
    other, _ = run_net(tmp_path, FURTHER.replace("theta_alpha: 12", "theta_alpha: 6"))
    np.testing.assert_allclose(net.blobs["p"].data, other.blobs["p"].data, rtol=1e-4, atol=1e-4)
    for wrong in ("theta_alpha: 0", "theta_beta: nan"):
        with pytest.raises(CaffeError, match=r"layer 'crf': bilateral\[1\].theta_\w+ must be a positive number, not"):
            run_net(tmp_path, f"bilateral {{ }} bilateral {{ {wrong} }}")


def test_layer_learns_bandwidths(tmp_path: Path) -> None:
    plain, _ = run_net(tmp_path, "")
    net, blobs = run_net(tmp_path, "learn_bandwidths: true")
    np.testing.assert_allclose(blobs[3], np.log([8, 15, 2]), rtol=1e-6)
    np.testing.assert_allclose(net.blobs["p"].data, plain.blobs["p"].data, rtol=1e-4, atol=1e-4)
    for learned, fixed in zip(list(net.params["crf"])[:3], plain.params["crf"], strict=True):
        np.testing.assert_allclose(learned.diff, fixed.diff, rtol=1e-3, atol=1e-3)
    assert (net.params["crf"][3].diff != 0).all()
    net.params["crf"][3].data[...] = np.log([4, 30, 1])
    net.forward()
    other, _ = run_net(tmp_path, "", "theta_alpha: 4 theta_beta: 30 theta_gamma: 1")
    np.testing.assert_allclose(net.blobs["p"].data, other.blobs["p"].data, rtol=1e-4, atol=1e-4)


def test_models_without_bandwidths_do_not_fit_a_layer_that_learns_them(tmp_path: Path) -> None:
    plain, _ = run_net(tmp_path, "")
    plain.save(str(tmp_path / "plain.caffemodel"))
    net, _ = run_net(tmp_path, "learn_bandwidths: true")
    with pytest.raises(CaffeError, match="crf"):
        net.copy_from(str(tmp_path / "plain.caffemodel"))
