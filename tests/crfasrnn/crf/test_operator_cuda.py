"""The operator on a device, by the CUDA source's build for the host: precision, state, errors, a missing build."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import pytest
import torch
from support.cuda_host import ALL, arguments, both_passes, core, draw
from torch import Tensor

from crfasrnn.crf import operator_cuda as cuda_op
from crfasrnn.crf.call import Call


def test_one_gradient_alone_is_that_of_all() -> None:
    args = arguments(2, 5, 8, 9, normalization=3)
    _, *expected = both_passes(args)
    for i in range(4):
        scores, state, _ = cuda_op.forward(core, Call(*args))
        wanted, grad = [j == i for j in range(4)], draw(*scores.shape, seed=8)
        results = cuda_op.backward(core, Call(*args).gradient_call()._replace(grad=grad, state=state, wanted=wanted))
        assert torch.equal(results[i], expected[i])
        assert all(result.numel() == 0 for j, result in enumerate(results) if j != i)


def test_without_state_the_scores_are_the_same() -> None:
    args = arguments(2, 5, 8, 9)
    with_state, *_ = cuda_op.forward(core, Call(*args))
    without, state, _ = cuda_op.forward(core, Call(*args[:-4], False, 0, 0.0, 0.0))
    assert torch.equal(with_state, without)
    assert state.untyped_storage().nbytes() == 1


def test_all_iterations_are_run_whatever_the_tolerance() -> None:
    call = Call(*arguments(2, 5, 8, 9))._replace(keep_state=False)
    scores, _, run = cuda_op.forward(core, call._replace(tolerance=0.5))
    assert run.tolist() == [call.iterations] * 2
    assert torch.equal(scores, cuda_op.forward(core, call)[0])


def test_half_precision_is_computed_in_float32() -> None:
    args = arguments(1, 4, 8, 9)
    low = [t.bfloat16() if isinstance(t, Tensor) and t.is_floating_point() else t for t in args]
    low[2] = [f.bfloat16() for f in args[2]]
    exact = [t.float() if isinstance(t, Tensor) and t.is_floating_point() else t for t in low]
    exact[2] = [f.float() for f in low[2]]
    grad = draw(1, 4, 8, 9, seed=8).bfloat16()
    for actual, expected in zip(both_passes(low, grad), both_passes(exact, grad.float())):
        assert actual.dtype == torch.bfloat16
        assert torch.equal(actual, expected.bfloat16())


def spoiled(value: float) -> list[Any]:
    args = arguments(3, 4, 8, 9)
    args[2][1][1, 2, 3, 4] = value
    return args


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_bad_features_spoil_their_image_alone(value: float) -> None:
    clean = both_passes(arguments(3, 4, 8, 9))[0]
    scores = both_passes(spoiled(value))[0]
    assert torch.isnan(scores[1]).all()
    assert torch.equal(scores[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize(("value", "words"), [(float("nan"), "image 1 .*NaN or infinite"), (1e30, "larger standard")])
def test_checked_mode_says_what_is_wrong(value: float, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_op, "checked", True)
    both_passes(arguments(1, 4, 8, 9))
    with pytest.raises(ValueError, match=words):
        cuda_op.forward(core, Call(*spoiled(value)))
    with pytest.raises(ValueError, match=words.replace("image 1", "image 0")):
        cuda_op.permutohedral_filter(core, draw(3, 1), torch.full((3, 2), value), False)


def test_empty_batch() -> None:
    args = arguments(1, 3, 8, 9)
    args[0], args[1] = args[0][:0], args[1][:0]
    scores, d_unary, d_q0, d_weights, d_mu = both_passes(args)
    assert scores.shape == d_unary.shape == d_q0.shape == (0, 3, 8, 9)
    assert torch.equal(d_weights, torch.zeros(3, 3, 3))
    assert torch.equal(d_mu, torch.zeros(3, 3))


def test_a_copied_state_is_refused() -> None:
    args = arguments(1, 3, 8, 9)
    _, state, _ = cuda_op.forward(core, Call(*args))
    with pytest.raises(RuntimeError, match="state of this mean_field call is gone"):
        cuda_op.backward(
            core, Call(*args).gradient_call()._replace(grad=torch.zeros(1, 3, 8, 9), state=state.clone(), wanted=ALL)
        )


def test_an_installation_without_cuda_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crfasrnn._cuda", None)
    with pytest.raises(RuntimeError, match=r"built without CUDA .*CRFRNN_CUDA=ON"):
        cuda_op.load_core()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_module_loads_without_a_driver_and_names_what_fails() -> None:
    if not importlib.util.find_spec("crfasrnn._cuda"):
        pytest.skip("this installation was built without nvcc")
    device_core = cuda_op.load_core()
    with pytest.raises(RuntimeError, match="failed: "):
        cuda_op.forward(device_core, Call(*arguments(1, 3, 8, 9)))
