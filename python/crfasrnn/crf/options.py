"""The words for the layer's variants, in one vocabulary, and the constraints that they put on its matrices.

A word is written "per_class" in Python, "per-class" on the command line and PER_CLASS in prototxts. The paper's layer is "full",
"full", "softmax", tied, with kernels normalised "after" the filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DIMENSIONS = 32  # in which a kernel of the core compares, at most

# What of a kernel's C x C weights counts: all, the diagonal (section 4.2), or one number.
WEIGHTS = ("full", "per_class", "shared")

# The compatibility: learned (section 4.3), learned and kept symmetric, or minus the identity, not learned.
COMPATIBILITIES = ("full", "symmetric", "potts")

# How scores become the Q of the next iteration: a distribution over the classes, or max(0, score) (section 6).
ACTIVATIONS = ("softmax", "relu")

# What networks with a CRF are trained by: cross entropy, the robust log-likelihood, the Lovász-softmax, or the sum of two.
LOSSES = ("softmax", "robust", "lovasz", "softmax+lovasz")

# What refines a network's scores in a training: a CRF, or a convolutional GRU in its place.
REFINERS = ("crf", "gru")

# What a kernel is multiplied by, D being the diagonal of its responses to ones: nothing, D^-1 on the right, D^-1 on the left
# (the paper's weighted mean), D^-1/2 on both sides.
NORMALIZATIONS = ("none", "before", "after", "symmetric")


def are_thetas(values: Iterable[float]) -> bool:
    """Whether all can be standard deviations of a kernel: finite and greater than 0."""
    return all(math.isfinite(value) and value > 0 for value in values)


def check(name: str, word: str, words: Sequence[str]) -> None:
    """Raise ValueError if `word` is not one of the words for the option `name`."""
    if word not in words:
        raise ValueError(f"{name} must be one of {', '.join(words)}, got {word!r}")


def in_prototxt(word: str) -> str:
    """The name of a word's value in multi_stage_meanfield.proto."""
    return word.upper()


def from_prototxt(name: str) -> str:
    """The word of such a value."""
    return name.lower()


def on_command_line(words: Sequence[str]) -> tuple[str, ...]:
    """The words as options of commands spell them."""
    return tuple(word.replace("_", "-") for word in words)


def from_command_line(word: str) -> str:
    """The word of such an option."""
    return word.replace("-", "_")


def kernel_matrix(parameters: Tensor, weights: str, classes: int) -> Tensor:
    """The (..., C, C) matrix of a kernel from the parameters that its weights have: (..., C, C), (..., C) or (...)."""
    if weights == "shared":
        parameters = parameters[..., None].expand(*parameters.shape, classes)
    return parameters if weights == "full" else parameters.diag_embed()


def kernel_parameters(matrix: Tensor, weights: str) -> Tensor:
    """What counts of a (..., C, C) matrix: itself, its diagonal (..., C), or the diagonal's mean (...)."""
    if weights == "full":
        return matrix
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    return diagonal.mean(-1) if weights == "shared" else diagonal


def compatibility_matrix(parameters: Tensor, compatibility: str) -> Tensor:
    """The (..., C, C) matrix mu from its parameters, which have the same shape."""
    return (parameters + parameters.mT) / 2 if compatibility == "symmetric" else parameters
