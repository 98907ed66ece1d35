"""The CUDA source, compiled for the host: every job and their sequence, without a GPU.

Loops over items take the place of kernel launches, and the standard library that of CUB; everything else is what runs on a
device. tests/core/test_cuda.py runs the device's build where there is a device.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.cuda_host import ALL, arguments, both_passes, core, draw
from support.reference_data import golden_cases
from torch import Tensor

from crfasrnn.crf import operator_cuda as cuda_op
from crfasrnn.crf.call import Call
from crfasrnn.crf.operator import filter_op, mean_field_backward_op, mean_field_op


def both_passes_of_cpu(args: list[Any]) -> list[Tensor]:
    scores, state, _ = mean_field_op(*args)
    grad = draw(*scores.shape, seed=8, dtype=scores.dtype)
    return [scores, *mean_field_backward_op(*Call(*args).gradient_call()._replace(grad=grad, state=state, wanted=ALL))]


def assert_close(actual: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * max(float(b.abs().max()), 1e-30), i


def error(actual: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(actual.numpy() - expected).max() / max(float(np.abs(expected).max()), 1e-30))


@pytest.mark.parametrize("path", golden_cases("meanfield"), ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    case = np.load(path)
    meta = json.loads(str(case["meta"]))
    unary, q0, image, mu = (torch.from_numpy(case[key]) for key in ("unary", "Q0", "image", "compat"))
    weights = torch.stack([torch.from_numpy(case[key]).reshape(mu.shape[-2:]) for key in ("spatial", "bilateral")])
    position = [meta["theta_gamma"], meta["theta_alpha"]]
    features = [image.new_empty(1, 0, *image.shape[2:]), image]
    scales = position, position, [1.0, meta["theta_beta"]]
    args = [
        unary,
        q0,
        features,
        weights,
        mu.reshape(mu.shape[-2:]),
        None,
        *scales,
        [2, 2],
        meta["T"],
        True,
        0,
        0.0,
        0.0,
    ]
    top, d_unary, d_q0, d_weights, d_mu = both_passes(args, torch.from_numpy(case["top_diff"]))
    # Image sizes that are no multiple of 4: see tests/crfasrnn/mean_field/test_mean_field.py.
    odd = image.shape[2] * image.shape[3] % 4 != 0
    assert error(top, case["top"]) < (1e-2 if odd else 1e-4)
    gradients = {
        "d_unary": d_unary,
        "d_Q0": d_q0,
        "d_spatial": d_weights[0],
        "d_bilateral": d_weights[1],
        "d_compat": d_mu,
    }
    for name, gradient in gradients.items():
        assert error(gradient.reshape(case[name].shape), case[name]) < (1e-2 if odd else 1e-3), name


@pytest.mark.parametrize("path", golden_cases("permutohedral"), ids=lambda path: path.stem)
def test_golden_filter(path: Path) -> None:
    case = np.load(path)
    features, values = torch.from_numpy(case["features"]), torch.from_numpy(case["values"].T.copy())
    points, padding = len(features), -len(features) % 4  # as in tests/core/test_permutohedral.py
    features = torch.cat([features, torch.zeros(padding, features.shape[1])])
    values = torch.cat([values, torch.zeros(padding, values.shape[1])])
    for reverse, name in ((False, "out"), (True, "out_reverse")):
        out = cuda_op.permutohedral_filter(core, values, features, reverse)[:points]
        assert error(out, case[name].T) < 1e-5


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=["32", "64"])
@pytest.mark.parametrize("mask", [False, True], ids=["", "mask"])
@pytest.mark.parametrize("normalization", range(4), ids=["none", "before", "after", "symmetric"])
@pytest.mark.parametrize("shape", [(1, 3, 6, 7), (2, 21, 17, 23), (3, 2, 1, 9)], ids=str)
def test_equals_cpu(
    shape: tuple[int, ...], normalization: int, mask: bool, dtype: torch.dtype, tolerance: float
) -> None:
    args = arguments(*shape, normalization, mask, dtype)
    assert_close(both_passes(args), both_passes_of_cpu(args), tolerance)


@pytest.mark.parametrize("classes", [1, 4, 5, 32, 127, 128, 129, 260])
def test_any_number_of_classes(classes: int) -> None:
    args = arguments(1, classes, 3, 4, dtype=torch.float64, iterations=2)
    assert_close(both_passes(args), both_passes_of_cpu(args), 1e-11)


def test_a_thousand_classes() -> None:
    args = arguments(1, 1028, 1, 3, dtype=torch.float64, iterations=2, keep_state=False)
    args[2], args[3] = args[2][1:2], args[3][1:2]
    args[6:10] = [values[1:2] for values in args[6:10]]
    assert_close([cuda_op.forward(core, Call(*args))[0]], [mean_field_op(*args)[0]], 1e-11)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (16, 15)], ids=str)
def test_any_size(shape: tuple[int, int]) -> None:
    args = arguments(2, 3, *shape, dtype=torch.float64)
    assert_close(both_passes(args), both_passes_of_cpu(args), 1e-12)


@pytest.mark.parametrize("pixels", [128, 129, 700])
def test_vertices_of_many_entries(pixels: int) -> None:
    """All pixels in one simplex: its vertices' sums are put together from pieces."""
    args = arguments(1, 3, 1, pixels, dtype=torch.float64)
    args[2][1].zero_()
    args[6:9] = [[1e4] * 3, [1e4] * 3, [1.0, 1.0, 1.0]]
    args[2][2].zero_()
    assert_close(both_passes(args), both_passes_of_cpu(args), 1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 5, 6, 9, 16, 17, 32])
@pytest.mark.parametrize("reverse", [False, True])
def test_filter_equals_cpu(dimension: int, reverse: bool) -> None:
    values, features = draw(90, 11, dtype=torch.float64), draw(90, dimension, seed=1, dtype=torch.float64) * 1.5
    out = cuda_op.permutohedral_filter(core, values, features, reverse)
    assert_close([out], [filter_op(values, features, reverse)], 1e-12)


def test_features_too_far_apart_to_pack() -> None:
    """16 coordinates of 14 bits or more do not fit into a key of 63 bits: keys are scattered instead."""
    centres = draw(5, 16, seed=1, dtype=torch.float64) * 1000
    features = (centres[:, None] + draw(5, 30, 16, seed=2, dtype=torch.float64) * 0.3).reshape(150, 16)
    values = draw(150, 3, dtype=torch.float64)
    out = cuda_op.permutohedral_filter(core, values, features, False)
    assert_close([out], [filter_op(values, features, False)], 1e-12)


def formula(args: list[Any]) -> Tensor:
    """The recurrence for one image in plain differentiable torch, over the kernels' dense matrices."""
    call = Call(*args)
    unary, q0, features, weights, mu = args[:5]
    theta, iterations, activation = call.theta, call.iterations, call.activation
    matrices = []
    for channels, width in zip(features, theta, strict=True):
        at = channels[0].flatten(1).T / width
        dense = cuda_op.permutohedral_filter(core, torch.eye(len(at), dtype=at.dtype), at, False)
        matrices.append(dense / dense.sum(1, keepdim=True))
    scores, start = q0[0].flatten(1).T, unary[0].flatten(1).T
    for t in range(iterations):
        q = scores.relu() if activation else scores.softmax(1)
        w, m = (weights[:, t], mu[t]) if mu.ndim == 3 else (weights, mu)
        scores = start - sum(matrix @ q @ w[k].T for k, matrix in enumerate(matrices)) @ m.T
    return scores.T.reshape(unary.shape)


@pytest.mark.parametrize("untied", [False, True], ids=["tied", "untied"])
@pytest.mark.parametrize("activation", [0, 1], ids=["softmax", "relu"])
@pytest.mark.parametrize("iterations", [1, 3])
def test_activations_and_untied_iterations_equal_the_formula(untied: bool, activation: int, iterations: int) -> None:
    args = arguments(1, 5, 6, 7, dtype=torch.float64, iterations=iterations, activation=activation)
    args[2] = [channels.clone() for channels in args[2][1:]]
    args[3] = args[3][1:]
    args[6:10] = [[0.0, 0.0], [0.0, 0.0], [15.0, 0.1], [2, 2]]
    if untied:
        args[3] = draw(2, iterations, 5, 5, seed=11, dtype=torch.float64) / 3
        args[4] = draw(iterations, 5, 5, seed=12, dtype=torch.float64) / 3
    leaves = [args[i].clone().requires_grad_() for i in (0, 1, 3, 4)]
    truth = formula([*leaves[:2], args[2], *leaves[2:], *args[5:]])
    grad = draw(*truth.shape, seed=8, dtype=torch.float64)
    assert_close(both_passes(args, grad), [truth.detach(), *torch.autograd.grad(truth, leaves, grad)], 1e-11)


def test_order_of_the_items_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device items run in any order: a job that reads what another item of it writes would give other bits."""
    args = arguments(2, 5, 24, 25, mask=True, normalization=3)
    forward = both_passes(args)
    monkeypatch.setenv("CRFRNN_HOST_ORDER", "backward")
    for a, b in zip(both_passes(args), forward):
        assert torch.equal(a, b)


def test_an_image_does_not_depend_on_its_batch() -> None:
    args = arguments(3, 5, 20, 21, mask=True)
    whole = both_passes(args)
    grad = draw(3, 5, 20, 21, seed=8)
    for n in range(3):
        one = [t[n : n + 1] if i in (0, 1, 5) else t for i, t in enumerate(args)]
        one[2] = [f if len(f) == 1 else f[n : n + 1] for f in args[2]]
        scores, d_unary, d_q0, *_ = both_passes(one, grad[n : n + 1])
        assert torch.equal(scores[0], whole[0][n])
        assert torch.equal(d_unary[0], whole[1][n])
        assert torch.equal(d_q0[0], whole[2][n])


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks are NaN in the beginning, and nothing is written behind their ends."""
    blocks: list[tuple[Tensor, int]] = []

    def poisoned_bytes(like: Tensor, count: int) -> Tensor:
        block = torch.full((count + 4096,), 0xFF, dtype=torch.uint8)
        blocks.append((block, count))
        return block[:count]

    monkeypatch.setattr(cuda_op, "_bytes", poisoned_bytes)
    yield
    assert len(blocks) > 2
    assert all((block[count:] == 0xFF).all() for block, count in blocks)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("keep_state", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 6, 7), (2, 21, 17, 23)], ids=str)
def test_memory(shape: tuple[int, ...], keep_state: bool) -> None:
    for mask in (False, True):
        args = arguments(*shape, mask=mask, keep_state=keep_state)
        expected = both_passes_of_cpu([*args[:-4], True, 0, 0.0, 0.0])
        if keep_state:
            assert_close(both_passes(args), expected, 1e-5)
        else:
            assert_close([cuda_op.forward(core, Call(*args))[0]], expected[:1], 1e-5)
    cuda_op.permutohedral_filter(core, draw(30, 5), draw(30, 3), True)


def test_nan_score_stays_in_its_image() -> None:
    args = arguments(2, 3, 8, 9)
    clean = cuda_op.forward(core, Call(*args))[0]
    args[0][0, 1, 2, 3] = torch.nan
    scores = cuda_op.forward(core, Call(*args))[0]
    assert torch.isnan(scores[0]).any()
    assert torch.equal(scores[1], clean[1])


def test_minus_infinity_excludes_a_class() -> None:
    args = arguments(1, 4, 8, 9)
    args[0][0, 2, :4] = args[1][0, 2, :4] = -torch.inf
    scores, *gradients = both_passes(args)
    assert (scores[0, 2, :4] == -torch.inf).all()
    assert torch.isfinite(scores[0, 2, 4:]).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_tiny_thetas_of_the_position() -> None:
    args = arguments(2, 3, 8, 9)
    for theta in (1e-12, 1e-300):
        args[6] = args[7] = [theta, 8.0, 0.0]
        assert torch.isnan(cuda_op.forward(core, Call(*args))[0]).all()


def test_everything_masked() -> None:
    args = arguments(2, 3, 8, 9)
    args[5] = torch.zeros(2, 8, 9, dtype=torch.bool)
    for result in both_passes(args):
        assert torch.equal(result, torch.zeros_like(result))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({0: torch.zeros(1, 4097, 1, 1), 1: torch.zeros(1, 4097, 1, 1)}, "1 to 4096 channels"),
        ({6: [-1.0, 8.0, 0.0]}, "theta of the position must be finite"),
        ({8: [1.0, 0.0, 0.1]}, "theta of the features must be finite"),
        ({9: [4, 0, 0]}, "normalization must be 0 to 3"),
        ({12: 2}, "activation must be 0 or 1"),
        ({10: 0}, "iterations must be at least 1"),
        ({3: torch.zeros(3, 2, 3, 3), 4: torch.zeros(2, 3, 3)}, "2 sets of parameters, but 3 iterations"),
    ],
)
def test_errors(change: dict[int, Any], words: str) -> None:
    args = arguments(1, 3, 8, 9)
    for index, value in change.items():
        args[index] = value
    with pytest.raises(ValueError, match=words):
        cuda_op.forward(core, Call(*args))


def test_too_many_points_are_refused_before_memory_is_asked_for() -> None:
    field = core.Field32(3, 1, 20000, 20000, 1, [(0, 3, False, 3.0, 3.0, 1.0, 2)], 1, 0)
    with pytest.raises(ValueError, match="compute fewer images at a time"):
        field.forward_memory(False)


def test_memory_of_the_spatial_kernel_is_bounded_by_its_grid() -> None:
    """500 x 500 pixels, theta 3: 32,592 vertices, room for less than a tenth of the 750,000 corners."""
    spatial = core.Field32(1, 21, 500, 500, 10, [(0, 0, False, 3.0, 3.0, 1.0, 2)], 1, 0)
    _, workspace = spatial.forward_memory(False)
    q_and_scores = 2 * 500 * 500 * 24 * 4
    assert workspace < q_and_scores + 80e6
