"""The torch operator: torch's own checks of it, and what of a forward pass lives how long."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from typing import Any

import mean_field_in_plain_torch as plain
import numpy as np
import pytest
import torch
from support.crfasrnn.mean_field import THETAS, error, example, image_features, run, with_gradients
from support.crfasrnn.mean_field_kernels import channels, kernels_example
from torch import Tensor

from crfasrnn.crf import functional as ops
from crfasrnn.crf import operator as mean_field_op
from crfasrnn.crf.functional import Kernel, mean_field, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.operator import live_state_bytes


def test_no_state_without_gradients() -> None:
    inputs, image = example()
    assert run(inputs, image).grad_fn is None
    inputs[2].requires_grad_()
    with torch.no_grad():
        assert run(inputs, image).grad_fn is None
    with torch.inference_mode():
        assert run(inputs, image).shape == inputs[0].shape


def test_state_is_freed_by_backward_unless_retained() -> None:
    inputs, image = example()
    inputs[0].requires_grad_()
    gc.collect()
    assert live_state_bytes() == 0
    out = run(inputs, image)
    assert out.grad_fn is not None
    assert live_state_bytes() > 0
    out.sum().backward(retain_graph=True)
    first = inputs[0].grad.clone()  # type: ignore[union-attr]
    out.sum().backward()
    assert torch.equal(inputs[0].grad, 2 * first)  # type: ignore[arg-type]
    gc.collect()
    assert live_state_bytes() == 0
    with pytest.raises(RuntimeError, match="second time"):
        out.sum().backward()


def test_denormals_count_as_zero_inside_and_not_outside() -> None:
    """Scores so far apart that probabilities are denormal, in whatever mode and number of threads: the same bits."""
    inputs, image = example(height=40, width=40, dtype=torch.float32)
    inputs[0] *= 40
    features = image_features(image[0], *THETAS.values())[1]
    results, tiny, small = [], torch.full((1600, 3), 1e-38), torch.full((1600, 3), 1e-34)
    before = torch.get_num_threads()
    try:
        for flush in (False, True):
            torch.set_flush_denormal(flush)
            for threads in (1, 2):
                torch.set_num_threads(threads)
                out, gradients = with_gradients(inputs, image, 5)
                results.append([out, *gradients])
                assert not permutohedral_filter(tiny, features).any()
                assert permutohedral_filter(small, features).all()
                assert bool((tiny * 0.5).any()) is not flush
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))
    exact = run([tensor.double() for tensor in inputs], image.double(), 5)
    assert error(results[0][0], exact.numpy()) < 1e-5


def test_an_iteration_keeps_its_q_and_the_vertices() -> None:
    inputs, image = example(height=40, width=40)  # several blocks, which share vertices
    inputs[0].requires_grad_()
    vertices = sum(len(plain.Lattice(features).vertices) for features in plain.image_features(image[0], **THETAS))
    bytes_at = {}
    for iterations in (1, 3):
        out = run(inputs, image, iterations)
        bytes_at[iterations] = live_state_bytes()
        del out
        gc.collect()
    assert bytes_at[3] - bytes_at[1] == 2 * (1600 + vertices) * 8 * 8  # rows of three float64, padded to eight


def test_state_does_not_see_later_changes() -> None:
    """Solvers write weights in place; the gradient belongs to the values the forward pass saw."""
    inputs, image = example()
    _, expected = with_gradients(inputs, image)
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    out = run(leaves, image)
    with torch.no_grad():
        for leaf in leaves:
            leaf.zero_()
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(out, leaves, weights), expected))


def _in_child(queue: Any) -> None:
    inputs, image = example(1, 3, 40, 41)
    queue.put(run(inputs, image).numpy())


def test_works_in_a_forked_process() -> None:
    """As in a DataLoader's worker: the parent's threads do not exist there."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inputs, image = example(1, 3, 40, 41)
        expected = run(inputs, image)
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
        assert np.array_equal(queue.get(timeout=60), expected.numpy())
        child.join(60)
        assert child.exitcode == 0
    finally:
        torch.set_num_threads(before)


def operator_arguments(grad: bool) -> tuple[Any, ...]:
    unary, q0, weights, mu = (t for t in kernels_example(2, 3, 5, 6, kernels=2))
    stacked = torch.stack(weights)
    leaves = [t.requires_grad_(grad) for t in (unary, q0, stacked, mu)]
    features = [torch.zeros(1, 0, 5, 6).double(), channels(2, 3, 5, 6)]
    mask = torch.rand(2, 5, 6) > 0.2
    return (*leaves[:2], features, *leaves[2:], mask, [2.0, 4.0], [2.0, 4.0], [1.0, 1.5], [2, 3], 2, grad, 0, 0.0, 0.0)


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
    unary, q0, weights, mu = kernels_example(1, 3, 5, 6, kernels=1)
    unary.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        out = ops.mean_field_kernels(unary, q0, [Kernel(2.0)], weights, mu, iterations=2)
    with pytest.raises(RuntimeError, match="copy does not carry it"):
        out.sum().backward()


LONG = """
import signal, time
import numpy as np, torch
from crfasrnn import CrfRnn, densecrf

def layer():
    crf = CrfRnn(21, iterations=10_000).requires_grad_(False)
    crf(torch.randn(1, 21, 200, 200), 255 * torch.rand(1, 3, 200, 200))

def dense():
    crf = densecrf.DenseCRF2D(200, 200, 21)
    crf.setUnaryEnergy(np.random.default_rng(0).random((21, 40_000), np.float32))
    crf.addPairwiseGaussian(3, 3)
    crf.inference(10_000)

for run in (layer, dense):
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    started = time.monotonic()
    try:
        run()
    except KeyboardInterrupt:
        print(run.__name__, time.monotonic() - started < 10)
"""


def test_ten_thousand_iterations_end_at_a_signal() -> None:
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout.split() == ["layer", "True", "dense", "True"], done.stderr
