"""The layer on a CUDA device: numbers, streams, graphs, memory and precision. Skipped where there is none.

tests/core/test_cuda_host.py tests the same source, compiled for the host, everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.reference_data import golden_cases
from torch import Tensor

import caffe
from crfasrnn.crf import operator_cuda as cuda_op
from crfasrnn.crf.functional import Kernel, mean_field, mean_field_kernels, permutohedral_filter
from crfasrnn.crf.module import CrfRnn
from crfasrnn.crf.options import NORMALIZATIONS

if not torch.cuda.is_available():
    pytest.skip("no CUDA device: its layer cannot run", allow_module_level=True)
try:
    cuda_op.load_core()
except RuntimeError as problem:
    pytest.skip(str(problem), allow_module_level=True)

THETAS = {"theta_alpha": 8.0, "theta_beta": 15.0, "theta_gamma": 2.0}
Tensors = list[Tensor]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def example(batch: int, classes: int, height: int, width: int, dtype: torch.dtype = torch.float64) -> Tensors:
    """[unary, q0, image, spatial, bilateral, compatibility] on the CPU."""
    matrices = [draw(classes, classes, seed=seed, dtype=dtype) / classes**0.5 for seed in (3, 4, 5)]
    scores = [draw(batch, classes, height, width, seed=seed, dtype=dtype) for seed in (1, 2)]
    return [*scores, draw(batch, 3, height, width, seed=6, dtype=dtype) * 20, *matrices]


def with_gradients(inputs: Tensors, iterations: int = 3) -> Tensors:
    """Scores and the gradients of all inputs but the image, on the inputs' device."""
    leaves = [t.detach().clone().requires_grad_(i != 2) for i, t in enumerate(inputs)]
    out = mean_field(*leaves, iterations=iterations, **THETAS)
    top_diff = draw(*out.shape, seed=7, dtype=out.dtype).to(out.device)
    return [out.detach(), *torch.autograd.grad(out, [leaf for leaf in leaves if leaf.requires_grad], top_diff)]


def on_device(tensors: Tensors) -> Tensors:
    return [t.cuda() for t in tensors]


def assert_close(actual: Tensors, expected: Tensors, tolerance: float) -> None:
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert a.is_cuda
        assert (a.cpu() - b).abs().max() <= tolerance * max(float(b.abs().max()), 1e-30), i


# ------------------------------------------------------------------------------------------------- numbers


def error(actual: Tensor | None, expected: np.ndarray) -> float:
    assert actual is not None
    return float(np.abs(actual.detach().cpu().numpy() - expected).max() / max(float(np.abs(expected).max()), 1e-30))


@pytest.mark.parametrize("path", golden_cases("meanfield"), ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    case = np.load(path)
    meta = json.loads(str(case["meta"]))
    names = ("unary", "Q0", "spatial", "bilateral", "compat")
    leaves = [torch.from_numpy(case[name]).cuda().requires_grad_() for name in names]
    image = torch.from_numpy(case["image"]).cuda()
    thetas = {name: meta[name] for name in THETAS}
    top = mean_field(*leaves[:2], image, *leaves[2:], iterations=meta["T"], **thetas)
    top.backward(torch.from_numpy(case["top_diff"]).cuda())
    # Image sizes that are no multiple of 4: see tests/crfasrnn/mean_field/test_mean_field.py.
    odd = image.shape[2] * image.shape[3] % 4 != 0
    assert error(top, case["top"]) < (1e-2 if odd else 1e-4)
    for leaf, name in zip(leaves, names):
        assert error(leaf.grad, case[f"d_{name}"]) < (1e-2 if odd else 1e-3), name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
@pytest.mark.parametrize("shape", [(1, 3, 6, 7), (2, 21, 60, 70), (3, 130, 9, 8), (1, 1, 1, 1)], ids=str)
def test_equals_cpu(shape: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    inputs = example(*shape, dtype=dtype)
    assert_close(with_gradients(on_device(inputs)), with_gradients(inputs), tolerance)


@pytest.mark.parametrize("classes", [4, 5, 33, 127, 129, 260])
def test_any_number_of_classes(classes: int) -> None:
    inputs = example(1, classes, 5, 6)
    assert_close(with_gradients(on_device(inputs)), with_gradients(inputs), 1e-10)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("grid", [(90,), (9, 11), (4, 5, 6)], ids=["points", "image", "volume"])
def test_any_kernels_equal_cpu(grid: tuple[int, ...], normalization: str) -> None:
    def run(move: Callable[[Tensor], Tensor]) -> Tensor:
        kernels = [
            Kernel(2.0, None, 1.0, normalization),
            Kernel(4.0, move(draw(2, 3, *grid, seed=1)), 1.5, normalization),
            Kernel(None, move(draw(1, 1, *grid, seed=2)), 0.7, normalization),
        ]
        weights = [move(draw(3, 3, seed=seed)) for seed in (3, 4, 5)]
        unary, mask = move(draw(2, 3, *grid, seed=6)), move(draw(2, *grid, seed=7) > -0.5)
        eye = move(-torch.eye(3).double())
        return mean_field_kernels(unary, unary, kernels, weights, eye, iterations=3, mask=mask)

    assert_close([run(Tensor.cuda)], [run(lambda t: t)], 1e-10)


@pytest.mark.parametrize("activation", ["softmax", "relu"])
def test_untied_iterations_and_activations_equal_cpu(activation: str) -> None:
    def run(move: Callable[[Tensor], Tensor]) -> Tensors:
        scores, image = move(draw(1, 4, 9, 8)), move(draw(1, 3, 9, 8, seed=9) * 20)
        matrices = [move(draw(3, 4, 4, seed=seed) / 4) for seed in (1, 2, 3)]
        leaves = [t.clone().requires_grad_() for t in (scores, scores, *matrices)]
        out = mean_field(*leaves[:2], image, *leaves[2:], iterations=3, activation=activation, **THETAS)
        return [out.detach(), *torch.autograd.grad(out, leaves, move(draw(*out.shape, seed=4)))]

    assert_close(run(Tensor.cuda), run(lambda t: t), 1e-10)


def test_gradients_of_bandwidths_equal_cpu() -> None:
    def run(move: Callable[[Tensor], Tensor]) -> Tensors:
        thetas = [move(torch.tensor(value, dtype=torch.float64)).requires_grad_() for value in (2.0, 8.0, 15.0)]
        kernels = [Kernel(thetas[0]), Kernel(thetas[1], move(draw(1, 3, 9, 8, seed=9) * 20), thetas[2])]
        unary, eye = move(draw(1, 4, 9, 8)), move(torch.eye(4).double())
        out = mean_field_kernels(unary, unary, kernels, [eye, eye], -eye, iterations=2)
        return [out.detach(), *torch.autograd.grad(out, thetas, move(draw(*out.shape, seed=4)))]

    assert_close(run(Tensor.cuda), run(lambda t: t), 1e-8)


def test_vertices_of_many_entries() -> None:
    inputs = example(1, 3, 100, 120)
    inputs[2].zero_()
    wide = {"theta_alpha": 1e4, "theta_beta": 1.0, "theta_gamma": 1e4}
    expected = mean_field(*inputs, iterations=3, **wide)
    assert_close([mean_field(*on_device(inputs), iterations=3, **wide)], [expected], 1e-10)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 16, 32])
@pytest.mark.parametrize("reverse", [False, True])
def test_filter_equals_cpu(dimension: int, reverse: bool) -> None:
    values, features = draw(500, 11), draw(500, dimension, seed=1) * 1.5
    out = permutohedral_filter(values.cuda(), features.cuda(), reverse=reverse)
    assert_close([out], [permutohedral_filter(values, features, reverse=reverse)], 1e-10)


def test_gradcheck() -> None:
    unary, q0, image, *matrices = on_device(example(1, 3, 4, 5))
    leaves = [t.requires_grad_() for t in (unary, q0, *matrices)]

    def run(unary: Tensor, q0: Tensor, *matrices: Tensor) -> Tensor:
        return mean_field(unary, q0, image, *matrices, iterations=2, **THETAS)

    assert torch.autograd.gradcheck(run, leaves)


def test_torch_s_checks_of_the_operator() -> None:
    unary, _, image, spatial, bilateral, mu = on_device(example(1, 3, 4, 5))
    features = [image.new_empty(1, 0, 4, 5), image]
    weights = torch.stack([spatial, bilateral])
    thetas = [2.0, 8.0], [2.0, 8.0], [1.0, 15.0]
    args = (unary, unary.clone(), features, weights, mu, None, *thetas, [2, 2], 2, False, 0, 0.0, 0.0)
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(torch.ops.crfasrnn.mean_field.default, args, test_utils=tests)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_and_out(dtype: torch.dtype) -> None:
    low = [t.to(dtype) for t in on_device(example(1, 5, 20, 21))]
    results = with_gradients(low)
    assert all(result.dtype == dtype for result in results)
    exact = mean_field(*(t.float() for t in low), iterations=3, **THETAS)
    assert torch.equal(results[0], exact.to(dtype))


def test_autocast_computes_in_float32() -> None:
    inputs = [t.half() for t in on_device(example(1, 5, 20, 21))]
    with torch.autocast("cuda"):
        assert mean_field(*inputs, iterations=2, **THETAS).dtype == torch.float32


# ------------------------------------------------------------------------------------------ streams, bits and graphs


def test_the_same_bits_in_every_run() -> None:
    inputs = on_device(example(2, 21, 120, 130, dtype=torch.float32))
    first = with_gradients(inputs)
    for _ in range(5):
        assert all(torch.equal(a, b) for a, b in zip(with_gradients(inputs), first))


def test_an_image_does_not_depend_on_its_batch() -> None:
    inputs = on_device(example(3, 7, 40, 41, dtype=torch.float32))
    whole = mean_field(*inputs, iterations=3, **THETAS)
    for n in range(3):
        one = [t[n : n + 1] if t.ndim == 4 else t for t in inputs]
        assert torch.equal(mean_field(*one, iterations=3, **THETAS)[0], whole[n])


def test_runs_on_the_current_stream() -> None:
    inputs = on_device(example(1, 21, 100, 110, dtype=torch.float32))
    expected = with_gradients(inputs)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)  # what runs on another stream would not wait for the inputs below
        moved = [t + 0 for t in inputs]
        results = with_gradients(moved)
    stream.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(results, expected))


def test_never_waits_for_the_device() -> None:
    inputs = on_device(example(1, 21, 60, 70, dtype=torch.float32))
    leaves = [t.requires_grad_(i != 2) for i, t in enumerate(inputs)]

    def step() -> None:
        out = mean_field(*leaves, iterations=3, **THETAS)
        torch.autograd.grad(out.sum(), [leaf for leaf in leaves if leaf.requires_grad])

    step()
    mode = torch.cuda.get_sync_debug_mode()
    try:
        torch.cuda.set_sync_debug_mode("error")
        step()
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    # The mode above sees torch's own waits. Ours would hold the host while the device sleeps.
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000_000)
    step()
    assert not torch.cuda.current_stream().query()
    torch.cuda.synchronize()


def test_allocates_nothing_anew_in_the_steady_state() -> None:
    inputs = on_device(example(1, 21, 60, 70, dtype=torch.float32))
    for _ in range(2):
        with_gradients(inputs)
    before = torch.cuda.memory_reserved()
    for _ in range(3):
        with_gradients(inputs)
    assert torch.cuda.memory_reserved() == before


def test_may_be_captured_into_a_graph() -> None:
    inputs = on_device(example(1, 5, 40, 41, dtype=torch.float32))
    mean_field(*inputs, iterations=3, **THETAS)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = mean_field(*inputs, iterations=3, **THETAS)
    inputs[0].copy_(draw(1, 5, 40, 41, seed=20))
    inputs[2].copy_(draw(1, 3, 40, 41, seed=21) * 20)  # another lattice, with other numbers of vertices
    graph.replay()
    assert torch.equal(out, mean_field(*inputs, iterations=3, **THETAS))


# ------------------------------------------------------------------------------------------ input, module and layer


def test_bad_features_give_nan_or_in_checked_mode_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = on_device(example(2, 3, 8, 9))
    inputs[2][1, 0, 3, 4] = torch.nan
    scores = mean_field(*inputs, iterations=2, **THETAS)
    assert torch.isnan(scores[1]).all()
    assert torch.isfinite(scores[0]).all()
    monkeypatch.setattr(cuda_op, "checked", True)
    with pytest.raises(ValueError, match=r"image 1 of the batch .*NaN or infinite"):
        mean_field(*inputs, iterations=2, **THETAS)


def test_mixed_devices_are_refused() -> None:
    inputs = example(1, 3, 8, 9)
    with pytest.raises(ValueError, match=r"q0 is on cpu but unary on cuda:0: use q0\.to"):
        mean_field(inputs[0].cuda(), *inputs[1:], iterations=2, **THETAS)


def test_a_saved_state_that_was_copied_is_refused() -> None:
    inputs = on_device(example(1, 3, 8, 9))
    inputs[0].requires_grad_()
    with torch.autograd.graph.save_on_cpu():
        out = mean_field(*inputs, iterations=2, **THETAS)
    with pytest.raises(RuntimeError, match="state of this mean_field call is gone"):
        out.sum().backward()


def test_module() -> None:
    crf = CrfRnn(4, iterations=3)
    unary, image = draw(2, 4, 30, 31, dtype=torch.float32), draw(2, 3, 30, 31, seed=1, dtype=torch.float32) * 40
    expected = crf(unary, image)
    assert_close([crf.cuda()(unary.cuda(), image.cuda()).detach()], [expected.detach()], 1e-4)


def test_caffe_layer(tmp_path: Path) -> None:
    text = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ dim: 1 dim: {channels} dim: 20 dim: 24 }} }} }}\n"
        for name, channels in (("unary", 5), ("q0", 5), ("data", 3))
    )
    text += (
        'layer { name: "crf" type: "MultiStageMeanfield" bottom: "unary" bottom: "q0" bottom: "data" top: "pred"\n'
        "  multi_stage_meanfield_param { num_iterations: 5 theta_alpha: 160 theta_beta: 3 theta_gamma: 3\n"
        "    spatial_filter_weight: 3 bilateral_filter_weight: 5 } }\n"
    )
    path = tmp_path / "crf.prototxt"
    path.write_text(text)
    arrays: dict[str, Any] = {"unary": draw(1, 5, 20, 24).numpy(), "data": draw(1, 3, 20, 24, seed=1).numpy() * 40}
    tops = []
    try:
        for set_mode in (caffe.set_mode_cpu, caffe.set_mode_gpu):
            set_mode()
            net = caffe.Net(str(path), caffe.TEST)
            for name, values in (*arrays.items(), ("q0", arrays["unary"])):
                net.blobs[name].data[...] = values
            tops.append(net.forward()["pred"].copy())
    finally:
        caffe.set_mode_cpu()
    np.testing.assert_allclose(tops[1], tops[0], rtol=1e-4, atol=1e-4)
