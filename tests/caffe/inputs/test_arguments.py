"""What counts as a number, and what the functions that take numbers say of anything else."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from caffe.inputs.arguments import array, below_one, has_axes, instance, integer, number
from crfasrnn import CrfRnn, densecrf, utils
from crfasrnn.crf import Bilateral, Features, Kernel, Spatial, mean_field, mean_field_kernels, robust_log_likelihood

KINDS = [int, float, np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64, np.array, torch.tensor, Fraction]
UNARY, IMAGE = torch.randn(1, 3, 6, 7), 255 * torch.rand(1, 3, 6, 7)
EYE = torch.eye(3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_number_is_one(kind: Callable[[int], Any]) -> None:
    assert number("theta", kind(3)) == 3.0
    assert type(number("theta", kind(3))) is float
    assert integer("w", kind(3)) == 3
    assert type(integer("w", kind(3))) is int


@pytest.mark.parametrize("value", [None, "3", b"3", True, np.bool_(True), 3j, [3], np.zeros(1), torch.zeros(1), object])
def test_what_is_no_number_is_named_with_its_argument(value: Any) -> None:
    with pytest.raises(TypeError, match=f"^theta must be a number, not {type(value).__name__} "):
        number("theta", value)
    with pytest.raises(TypeError, match=f"^w must be an integer of at least 0, not {type(value).__name__} "):
        integer("w", value)


def test_a_number_below_one() -> None:
    assert below_one("p", 0) == 0.0
    assert below_one("p", np.float32(0.5)) == 0.5
    for value in (-1e-9, 1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^p must be at least 0 and below 1, got "):
            below_one("p", value)
    with pytest.raises(TypeError, match=r"^p must be a number, not str "):
        below_one("p", "0.5")


@pytest.mark.parametrize("value", [16.5, -1, 11, float("nan"), float("-inf"), 10**400, np.float32(0.1)])
def test_integers_are_whole_and_within_bounds(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^w must be an integer of 0 to 10, got "):
        integer("w", value, 0, 10)


def test_numbers_beyond_a_double_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^theta is too large for a number: 1000"):
        number("theta", 10**400)


def test_arrays_keep_their_axes_and_hold_numbers() -> None:
    assert array("u", 3).shape == ()
    assert array("u", [[1, 2]]).dtype == np.float32
    assert array("u", np.zeros((2, 3)).T, np.float64).flags.c_contiguous
    kept = np.zeros(3, np.float32)
    assert array("u", kept) is kept
    for value in (None, "abc", [None], ["a"], 3j, object()):
        with pytest.raises(TypeError, match=r"^u must be an array of numbers, not "):
            array("u", value)
    with pytest.raises(ValueError, match=r"^u is no array: "):
        array("u", [[1, 2], [3]])


def test_what_has_axes() -> None:
    assert all(map(has_axes, ([1], (1, 2), np.zeros(1), torch.zeros(2))))
    assert not any(map(has_axes, (1, 2.5, "12", None, np.float32(1), np.array(1), torch.tensor(1))))


def one_iteration(**options: Any) -> torch.Tensor:
    given = {"iterations": 2, "theta_alpha": 30, "theta_beta": 13, "theta_gamma": 3} | options
    return mean_field(UNARY, UNARY, IMAGE, EYE, EYE, -EYE, **given)


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.array, float])
def test_functions_take_every_kind_of_number(kind: Callable[[int], Any]) -> None:
    """The same bits as for Python's own numbers."""
    same = one_iteration(iterations=kind(2), theta_alpha=kind(30), theta_beta=kind(13), theta_gamma=kind(3))
    assert torch.equal(same, one_iteration())
    for make in (
        lambda n: CrfRnn(n(3), [Spatial(n(3), n(2)), Bilateral(n(30), n(13))], n(2)),
        lambda n: CrfRnn(3, [Spatial((n(3), n(4)))], learn_bandwidths=True),
    ):
        assert torch.equal(make(kind)(UNARY, IMAGE), make(int)(UNARY, IMAGE))
    for theta in (lambda n: n(2), lambda n: (n(2), n(3), n(4))):
        results = [CrfRnn(3, [Features(theta(n), n(5))])(UNARY, extra=IMAGE) for n in (kind, int)]
        assert torch.equal(*results)

    def dense(n: Callable[[int], Any]) -> np.ndarray:
        crf = densecrf.DenseCRF2D(n(7), n(6), n(3))
        crf.setUnaryEnergy(utils.unary_from_labels(np.arange(42) % 4, n(3), 0.7))
        crf.addPairwiseGaussian(n(3), n(3))
        crf.addPairwiseBilateral((n(30), n(20)), n(13), np.asarray(IMAGE[0].permute(1, 2, 0)), n(5))
        return crf.inference(n(2))

    assert np.array_equal(dense(kind), dense(int))


def made() -> densecrf.DenseCRF2D:
    return densecrf.DenseCRF2D(4, 3, 2)


WRONG = {
    "w": lambda bad: densecrf.DenseCRF2D(bad, 3, 2),
    "h": lambda bad: densecrf.DenseCRF2D(4, bad, 2),
    "nvar": lambda bad: densecrf.DenseCRF(bad, 2),
    "nlabels": lambda bad: densecrf.DenseCRF(12, bad),
    "niter": lambda bad: made().inference(bad),
    "sxy": lambda bad: made().addPairwiseGaussian(bad, 3),
    "srgb": lambda bad: made().addPairwiseBilateral(3, bad, np.zeros((3, 4, 3), np.uint8), 3),
    "rgbim": lambda bad: made().addPairwiseBilateral(3, 3, bad, 3),
    "compat": lambda bad: made().addPairwiseGaussian(3, bad),
    "u": lambda bad: made().setUnaryEnergy(bad),
    "features": lambda bad: made().addPairwiseEnergy(bad, 3),
    "Q": lambda bad: made().klDivergence(bad),
    "gt_prob": lambda bad: utils.unary_from_labels([1], 2, bad),
    "n_labels": lambda bad: utils.unary_from_labels([1], bad, 0.5),
    "labels": lambda bad: utils.unary_from_labels(bad, 2, 0.5),
    "sm": lambda bad: utils.unary_from_softmax(bad),
    "sdims": lambda bad: utils.create_pairwise_gaussian([bad, bad], (2, 2)),
    "schan": lambda bad: utils.create_pairwise_bilateral((1, 1), bad, np.zeros((2, 2, 3)), 2),
    "img": lambda bad: utils.create_pairwise_bilateral((1, 1), 3, bad, 2),
    "iterations": lambda bad: one_iteration(iterations=bad),
    "theta_alpha": lambda bad: one_iteration(theta_alpha=bad),
    "unary": lambda bad: mean_field(
        bad, UNARY, IMAGE, EYE, EYE, -EYE, iterations=1, theta_alpha=1, theta_beta=1, theta_gamma=1
    ),
    "weights\\[0\\]": lambda bad: mean_field_kernels(UNARY, UNARY, [Kernel(3)], [bad], -EYE, iterations=1),
    "kernels\\[0\\]: theta_position": lambda bad: mean_field_kernels(
        UNARY, UNARY, [Kernel(bad)], [EYE], -EYE, iterations=1
    ),
    "num_classes": lambda bad: CrfRnn(bad),
    "weight": lambda bad: CrfRnn(3, [Spatial(3, bad)]),
    "image": lambda bad: CrfRnn(3)(UNARY, bad),
    "extra": lambda bad: CrfRnn(3, [Features(3)])(UNARY, extra=bad),
    "robustness": lambda bad: robust_log_likelihood(UNARY[0], torch.zeros(3), bad),
    "scores": lambda bad: robust_log_likelihood(bad, torch.zeros(3)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kinds_are_type_errors_that_name_the_argument(name: str) -> None:
    for bad in ("three", 2j, object()):
        with pytest.raises(TypeError, match=f"^{name} must be"):
            WRONG[name](bad)


def test_tensors_that_are_no_numbers_are_named() -> None:
    for bad in (torch.empty((), device="meta"), torch.empty(2, device="meta"), torch.zeros(2, requires_grad=True)):
        with pytest.raises(TypeError, match=r"^u is no array: |^u must be an array of numbers"):
            array("u", bad)
    with pytest.raises(TypeError, match=r"^w must be an integer of at least 0, not a tensor without values"):
        integer("w", torch.empty((), device="meta"))


def test_tensors_of_special_kinds_are_refused() -> None:
    for special in (UNARY.to_sparse(), torch.quantize_per_tensor(UNARY, 0.1, 0, torch.quint8)):
        with pytest.raises(ValueError, match="unary is sparse or quantized"):
            CrfRnn(3)(special, IMAGE)
        with pytest.raises(ValueError, match="scores is sparse or quantized"):
            robust_log_likelihood(special, torch.zeros(1, 6, 7))
    for theta in (torch.ones(0), torch.ones(1).expand(1 << 30), torch.empty((), device="meta"), [1.0] * 33):
        with pytest.raises(ValueError, match="theta"):
            Spatial(theta)
    with pytest.raises(TypeError, match=r"kernels\[0\] must be a Kernel, not Spatial"):
        mean_field_kernels(UNARY, UNARY, [Spatial()], [EYE], -EYE, iterations=1)


def test_instances_are_of_one_of_the_classes() -> None:
    instance("net", 3, str, int)
    with pytest.raises(TypeError, match=r"^net must be a str or int, not list \(\[\]\)$"):
        instance("net", [], str, int)
