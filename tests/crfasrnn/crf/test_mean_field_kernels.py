"""Mean field with any kernels: the formula on explicit matrices, masks, volumes, and torch's own checks of the operator."""

from __future__ import annotations

import gc
import os
import shutil
import socket
from typing import Any

import pytest
import torch
from torch import Tensor

from crfasrnn.crf import functional as ops
from crfasrnn.crf import operator as mean_field_op
from crfasrnn.crf.functional import Kernel, mean_field, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.options import NORMALIZATIONS

ITERATIONS = 3


def example(batch: int, classes: int, *grid: int, kernels: int = 3) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """Random unary, q0, full weights and a full compatibility in float64."""
    rng = torch.Generator().manual_seed(sum(grid))

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    weights = [torch.eye(classes).double() + 0.3 * draw(classes, classes) for _ in range(kernels)]
    compatibility = -torch.eye(classes).double() + 0.3 * draw(classes, classes)
    return draw(batch, classes, *grid), draw(batch, classes, *grid), weights, compatibility


def channels(batch: int, count: int, *grid: int) -> Tensor:
    rng = torch.Generator().manual_seed(batch + count)
    return torch.rand(batch, count, *grid, generator=rng, dtype=torch.float64) * 5


def dense(features: Tensor, normalization: str) -> Tensor:
    """The normalised lattice filter at (points, d) as a matrix."""
    matrix = permutohedral_filter(torch.eye(len(features)).double(), features)
    d = matrix.sum(1)
    left, right = {"none": (0, 0), "before": (0, 1), "after": (1, 0), "symmetric": (0.5, 0.5)}[normalization]
    return d[:, None] ** -left * matrix * d[None] ** -right


def formula(
    unary: Tensor, q0: Tensor, matrices: list[Tensor], weights: list[Tensor], mu: Tensor, iterations: int = ITERATIONS
) -> Tensor:
    """The recurrence for one image, scores as (points, classes)."""
    scores = q0
    for _ in range(iterations):
        q = scores.softmax(1)
        scores = unary - sum(m @ q @ w.T for m, w in zip(matrices, weights)) @ mu.T
    return scores


def position(*grid: int) -> Tensor:
    """(points, axes), x first."""
    axes = torch.meshgrid(*(torch.arange(n).double() for n in grid), indexing="ij")
    return torch.stack([axis.flatten() for axis in reversed(axes)], 1)


@pytest.mark.parametrize("grid", [(90,), (9, 11), (4, 5, 6)], ids=["points", "image", "volume"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_equals_formula_on_explicit_matrices(grid: tuple[int, ...], normalization: str) -> None:
    """Forward and all gradients, batch of two, one kernel shared by the batch, one without position."""
    unary, q0, weights, mu = example(2, 3, *grid)
    colour, depth = channels(2, 3, *grid), channels(1, 1, *grid)
    thetas = [2.0 + axis for axis in range(len(grid))]
    kernels = [
        Kernel(thetas, normalization=normalization),
        Kernel(4.0, colour, 1.5, normalization),
        Kernel(None, depth, 0.7, normalization),
    ]
    leaves = [t.requires_grad_() for t in (unary, q0, *weights, mu)]
    out = mean_field_kernels(unary, q0, kernels, weights, mu, iterations=ITERATIONS)
    at = position(*grid)
    rows = []
    for n in range(2):
        features = [
            at / torch.tensor(thetas),
            torch.cat([at / 4.0, colour[n].flatten(1).T / 1.5], 1),
            depth[0].flatten(1).T / 0.7,
        ]
        matrices = [dense(f, normalization) for f in features]
        rows.append(formula(unary[n].flatten(1).T, q0[n].flatten(1).T, matrices, weights, mu).T)
    truth = torch.stack(rows).reshape(out.shape)
    assert torch.allclose(out, truth, rtol=1e-9, atol=1e-9)
    direction = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    pairs = zip(torch.autograd.grad(out, leaves, direction), torch.autograd.grad(truth, leaves, direction))
    assert all(torch.allclose(actual, expected, rtol=1e-8, atol=1e-8) for actual, expected in pairs)


def test_image_pair_is_two_kernels() -> None:
    unary, q0, weights, mu = example(2, 4, 12, 13, kernels=2)
    image = channels(2, 3, 12, 13)
    pair = mean_field(unary, q0, image, *weights, mu, iterations=4, theta_alpha=8.0, theta_beta=1.5, theta_gamma=2.0)
    kernels = [Kernel(2.0), Kernel(8.0, image, 1.5)]
    assert torch.equal(mean_field_kernels(unary, q0, kernels, weights, mu, iterations=4), pair)


def test_masked_pixels_have_no_influence() -> None:
    """Padding behind a mask, of any content, changes no bit of the result nor of a gradient."""
    unary, q0, weights, mu = example(2, 3, 20, 18)
    image = channels(2, 3, 20, 18)
    mask = torch.zeros(2, 20, 18, dtype=torch.bool)
    mask[0, :15, :16] = True  # and nothing of the second image

    def run(u: Tensor, q: Tensor, colours: Tensor, taken: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        leaves = [t.clone().requires_grad_() for t in (u, q, *weights, mu)]
        kernels = [Kernel(3.0), Kernel(6.0, colours, 1.5), Kernel(None, colours, 2.0)]
        out = mean_field_kernels(*leaves[:2], kernels, leaves[2:5], leaves[5], iterations=ITERATIONS, mask=taken)
        return out.detach(), list(torch.autograd.grad(out.square().sum(), leaves))

    unary[:, :, 15:] = torch.nan
    image[:, :, :, 16:] = torch.inf
    out, gradients = run(unary, q0, image, mask)
    inside = (slice(0, 1), slice(None), slice(0, 15), slice(0, 16))
    truth, expected = run(unary[inside], q0[inside], image[inside], None)
    assert torch.allclose(out[inside], truth, rtol=1e-12, atol=1e-12)
    for gradient, wanted in zip(gradients[:2], expected):
        assert torch.allclose(gradient[inside], wanted, rtol=1e-10, atol=1e-10)
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in zip(gradients[2:], expected[2:]))
    for result in (out, *gradients[:2]):
        assert (result[~mask[:, None].expand_as(result)] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": []}, "one weight for each of at least one kernel"),
        ({"kernels": [Kernel()]}, r"kernels\[0\] compares nothing"),
        ({"kernels": [Kernel(0.0)]}, r"kernels\[0\]: theta_position must be finite and greater than 0"),
        ({"kernels": [Kernel((1.0, 2.0, 3.0))]}, "theta_position has 3 numbers, but unary has 2 axes"),
        ({"kernels": [Kernel(1.0, normalization="both")]}, "none, before, after, symmetric"),
        ({"kernels": [Kernel(1.0, torch.zeros(1, 1, 5, 5).double())]}, r"must be \(N, d, 5, 6\)"),
        ({"kernels": [Kernel(1.0, torch.zeros(1, 15, 5, 6).double())]}, "1 to 16 features"),
        ({"kernels": [Kernel(1.0, torch.zeros(1, 1, 5, 6))]}, r"features is torch.float32 but unary is torch.float64"),
        ({"weights": [torch.zeros(3).double()]}, r"weights\[0\] has shape \(3,\)"),
        ({"mask": torch.ones(1, 5, 6)}, r"mask must be bool \(1, 5, 6\)"),
        ({"iterations": 0}, "iterations must be an integer of at least 1"),
    ],
)
def test_errors(change: dict[str, Any], message: str) -> None:
    unary, q0, weights, mu = example(1, 3, 5, 6, kernels=1)
    options: dict[str, Any] = {"kernels": [Kernel(1.0)], "weights": weights, "compatibility": mu, "iterations": 2}
    with pytest.raises(ValueError, match=message):
        mean_field_kernels(unary, q0, **(options | change))


# ----------------------------------------------------------------------------------------------- the torch operator


def operator_arguments(grad: bool) -> tuple[Any, ...]:
    unary, q0, weights, mu = (t for t in example(2, 3, 5, 6, kernels=2))
    stacked = torch.stack(weights)
    leaves = [t.requires_grad_(grad) for t in (unary, q0, stacked, mu)]
    features = [torch.zeros(1, 0, 5, 6).double(), channels(2, 3, 5, 6)]
    mask = torch.rand(2, 5, 6) > 0.2
    return (*leaves[:2], features, *leaves[2:], mask, [2.0, 4.0], [2.0, 4.0], [1.0, 1.5], [2, 3], 2, grad, 0)


@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(grad: bool) -> None:
    torch.library.opcheck(mean_field_op.mean_field_op, operator_arguments(grad))


def test_opcheck_of_the_filter() -> None:
    values = torch.randn(20, 3, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(mean_field_op.filter_op, (values, torch.randn(20, 2, dtype=torch.float64), False))


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.score = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.weights = torch.nn.ParameterList([torch.eye(4) * 2, torch.eye(4) * 3, -torch.eye(4)])

    def forward(self, image: Tensor) -> Tensor:
        unary = self.score(image / 50)
        thetas = {"theta_alpha": 8.0, "theta_beta": 15.0, "theta_gamma": 2.0}
        return mean_field(unary, unary, image, *self.weights, iterations=3, **thetas)


def gradients_of(net: torch.nn.Module, run: Any, image: Tensor) -> list[Tensor]:
    net.zero_grad()
    out = run(image)
    out.square().mean().backward()
    return [out.detach(), *(p.grad.clone() for p in net.parameters() if p.grad is not None)]


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles(backend: str) -> None:
    """One graph without breaks, the eager numbers, and no state left behind."""
    if backend == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler for torch's inductor")
    net, image = Net(), torch.rand(2, 3, 9, 10) * 100
    expected = gradients_of(net, net, image)
    compiled = torch.compile(net, backend=backend, fullgraph=True)
    actual = gradients_of(net, compiled, image)
    assert len(expected) == 6
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(actual, expected))
    with torch.no_grad():
        assert torch.allclose(compiled(image), expected[0], rtol=1e-5, atol=1e-6)
    gc.collect()
    assert mean_field_op.live_state_bytes() == 0


def test_autocast_computes_in_single_precision() -> None:
    net, image = Net(), torch.rand(1, 3, 9, 10) * 100
    with torch.autocast("cpu", torch.bfloat16):
        unary = net.score(image)
        assert unary.dtype == torch.bfloat16
        out = net(image)
    assert out.dtype == torch.float32
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    half = unary.detach()
    kernels, eye = [Kernel(2.0)], torch.eye(4)
    with torch.autocast("cpu", torch.bfloat16):
        result = mean_field_kernels(half, half, kernels, [eye], -eye, iterations=2)
    assert torch.equal(result, mean_field_kernels(half.float(), half.float(), kernels, [eye], -eye, iterations=2))


def _train_one(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    images = torch.rand(2, 3, 9, 10, generator=torch.Generator().manual_seed(1)) * 100
    net = Net()
    parallel = torch.nn.parallel.DistributedDataParallel(net)
    torch.save(gradients_of(net, parallel, images[rank : rank + 1])[1:], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes(tmp_path: Any) -> None:
    """The gradients of both DDP processes are those of the whole batch."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(_train_one, (port, str(tmp_path)), nprocs=2)
    images = torch.rand(2, 3, 9, 10, generator=torch.Generator().manual_seed(1)) * 100
    net = Net()
    expected = gradients_of(net, net, images)[1:]
    for rank in range(2):
        actual = torch.load(tmp_path / f"{rank}.pt")
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(actual, expected))


def test_a_copied_state_is_reported() -> None:
    unary, q0, weights, mu = example(1, 3, 5, 6, kernels=1)
    unary.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        out = ops.mean_field_kernels(unary, q0, [Kernel(2.0)], weights, mu, iterations=2)
    with pytest.raises(RuntimeError, match="copy does not carry it"):
        out.sum().backward()
