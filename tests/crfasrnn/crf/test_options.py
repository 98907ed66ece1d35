"""The words for the layer's variants in every dialect, and the matrices that they allow."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from caffe.proto import caffe_pb2
from crfasrnn.crf import options


def test_words_are_those_of_the_schema() -> None:
    message = caffe_pb2.MultiStageMeanfieldParameter
    assert {options.in_prototxt(word) for word in options.WEIGHTS} == set(message.KernelWeights.keys())
    assert {options.in_prototxt(word) for word in options.ACTIVATIONS} == set(message.Activation.keys())
    for word in (*options.WEIGHTS, *options.ACTIVATIONS):
        assert options.from_prototxt(options.in_prototxt(word)) == word
    assert [options.from_command_line(word) for word in options.on_command_line(options.WEIGHTS)] == [*options.WEIGHTS]


def test_a_word_that_is_none_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="activation must be one of softmax, relu, got 'tanh'"):
        options.check("activation", "tanh", options.ACTIVATIONS)


@pytest.mark.parametrize("sets", [(), (4,)], ids=["tied", "untied"])
def test_matrices(sets: tuple[int, ...]) -> None:
    full = torch.arange(9.0).repeat(*sets, 1).reshape(*sets, 3, 3)  # the diagonal is 0, 4, 8
    for weights, expected in (
        ("full", full),
        ("per_class", torch.diag(torch.tensor([0.0, 4.0, 8.0])).expand(*sets, 3, 3)),
        ("shared", 4 * torch.eye(3).expand(*sets, 3, 3)),
    ):
        parameters = options.kernel_parameters(full, weights)
        assert torch.equal(options.kernel_matrix(parameters, weights, 3), expected)
    symmetric = options.compatibility_matrix(full, "symmetric")
    assert torch.equal(symmetric, symmetric.mT)
    assert torch.equal(symmetric.sum((-1, -2)), full.sum((-1, -2)))
    for kept in ("full", "potts"):
        assert options.compatibility_matrix(full, kept) is full


def test_thetas_are_finite_and_positive() -> None:
    assert options.are_thetas([1e-30, 3, 1e30])
    for value in (0.0, -1.0, float("nan"), float("inf")):
        assert not options.are_thetas([1.0, value])


def test_commands_get_the_words_without_torch() -> None:
    program = "import sys, crfasrnn.crf.options; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"
