"""The lattice filter with derivatives of its values, and of the kernels themselves: standard deviations and what they compare.

The lattice filter is not the function to differentiate here. It is piecewise linear in the features, and its pieces are small:
with the paper's theta_gamma of 3 a change of theta by one percent moves the far corner of a 500-pixel image over more than one
lattice cell, so the derivative of the pieces says next to nothing about the Gaussian (it can be off by orders of magnitude and
have the wrong sign). The gradient of the Gaussian is known in closed form, though, and consists of Gaussian filters:

    L = sum_ij g_i v_j K_ij,  K_ij = exp(-|f_i - f_j|^2 / 2)
    dL/df_i = g_i (K(v f)_i - f_i K(v)_i) + v_i (K(g f)_i - f_i K(g)_i)

which the lattice computes as well as it computes everything else. This is what flows to the features, and through them by torch
to the thetas; gradients to the values stay the exact transpose of the filter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from crfasrnn import _core
from crfasrnn.crf.operator import differentiable_once, filter_op, is_recorded

# out = n^-ALPHA K(n^-BETA v) with n = K(1), by the index of crfasrnn.crf.options.NORMALIZATIONS.
_ALPHA = (0.0, 0.0, 1.0, 0.5)
_BETA = (0.0, 1.0, 0.0, 0.5)

Filter = Callable[[Tensor, bool], Tensor]


class Lattice:
    """The filter K, or K transposed, at features (d, H, W) in standard deviations; of values (C, H, W), same dtype."""

    def __init__(self, features: Tensor) -> None:
        self.features = features.detach().contiguous()
        self._kernel: Any = None
        if features.device.type == "cpu" and not is_recorded():
            bits = "32" if features.dtype == torch.float32 else "64"
            source = getattr(_core, "KernelSource" + bits)(self.features[None], 0.0, 0.0, 1.0, 0)
            self._kernel = getattr(_core, "GaussianKernel" + bits)(source, *features.shape[1:], torch.get_num_threads())

    @cached_property
    def response(self) -> Tensor:
        """The filter of ones, (1, H, W)."""
        return self(torch.ones_like(self.features[:1]), False)

    def __call__(self, values: Tensor, transpose: bool) -> Tensor:
        values = values.contiguous()
        if self._kernel is None or is_recorded():
            rows = filter_op(values.flatten(1).T, self.features.flatten(1).T, transpose)
            return rows.T.reshape(values.shape)
        out = torch.empty_like(values)
        self._kernel.filter(values, out, transpose, torch.get_num_threads())
        return out

    def double(self) -> Lattice:
        """In float64: sums of differences of far positions need it."""
        return self if self.features.dtype == torch.float64 else Lattice(self.features.double())


def pair_gradient(run: Filter, features: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """The gradient of sum_ij left_i . right_j K_ij with respect to the features (d, H, W); left, right: (C, H, W)."""
    # K depends on differences alone: small numbers lose less.
    centred = features - features.mean((1, 2), keepdim=True)
    to_right, to_left = run(right, False), run(left, True)
    parts = [
        (left * (run(right * f, False) - f * to_right) + right * (run(left * f, True) - f * to_left)).sum(0)
        for f in centred
    ]
    return torch.stack(parts)


class LinearFilter(torch.autograd.Function):
    """The filter of values (C, H, W) by a Lattice, or its transpose: with derivatives of any order, forward and backward."""

    @staticmethod
    def forward(values: Tensor, lattice: Any, transpose: bool) -> Tensor:
        return lattice(values, transpose)  # type: ignore[no-any-return]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Any, bool], output: Tensor) -> None:
        _, ctx.lattice, ctx.transpose = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return LinearFilter.apply(grad, ctx.lattice, not ctx.transpose), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # type: ignore[override]
        return LinearFilter.apply(tangent, ctx.lattice, ctx.transpose)  # type: ignore[no-any-return]

    @staticmethod
    def vmap(info: Any, in_dims: Any, values: Tensor, lattice: Any, transpose: bool) -> tuple[Tensor, int]:
        """Channels are filtered independently: what is mapped over becomes more of them."""
        mapped = values.movedim(in_dims[0], 0)
        filtered = LinearFilter.apply(mapped.flatten(0, 1), lattice, transpose)
        return filtered.reshape(mapped.shape), 0


def normalized_filter(values: Tensor, lattice: Any, normalization: int) -> Tensor:
    """The normalised filter of values (C, H, W); no derivative flows to the features."""
    after, before = _factors(lattice.response, normalization)
    return after * LinearFilter.apply(before * values, lattice, False)


class GaussianFilter(torch.autograd.Function):
    """As normalized_filter, at features (d, H, W) that get the gradients described above."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, features: Tensor, lattice: Any, normalization: int) -> Tensor:
        """lattice: a Lattice at the features, or what behaves like one."""
        ctx.lattice, ctx.normalization = lattice, normalization
        ctx.save_for_backward(values)
        after, before = _factors(lattice.response, normalization)
        return after * lattice(before * values, False)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        lattice, normalization = ctx.lattice, ctx.normalization
        (values,) = ctx.saved_tensors
        after, before = _factors(lattice.response, normalization)
        d_values = before * lattice(after * grad, True) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return d_values, None, None, None
        lattice, grad, v = lattice.double(), grad.double(), values.double()
        after, before = _factors(lattice.response, normalization)
        alpha, beta, n = _ALPHA[normalization], _BETA[normalization], lattice.response + 1e-20
        # The normalisers are filters of ones: one more pair of channels.
        d_response = torch.zeros_like(n)
        if alpha:
            d_response -= (alpha * n ** (-alpha - 1) * grad * lattice(before * v, False)).sum(0, keepdim=True)
        if beta:
            d_response -= (beta * n ** (-beta - 1) * v * lattice(after * grad, True)).sum(0, keepdim=True)
        left, right = torch.cat([after * grad, d_response]), torch.cat([before * v, torch.ones_like(n)])
        d_features = pair_gradient(lattice, lattice.features, left, right)
        return d_values, d_features.to(values.dtype), None, None


class FilterWithFeatures(torch.autograd.Function):
    """The filter of values (N, C) at features (N, d), or its transpose, with a gradient for the features too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, features: Tensor, reverse: bool) -> Tensor:
        ctx.save_for_backward(values, features)
        ctx.reverse = reverse
        return filter_op(values, features, reverse)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        values, features = ctx.saved_tensors
        d_values = filter_op(grad, features, not ctx.reverse) if ctx.needs_input_grad[0] else None
        d_features = None
        if ctx.needs_input_grad[1]:
            left, right, at = (t.double().T[:, None] for t in (grad, values, features))
            lattice = Lattice(at)
            run = (lambda x, transpose: lattice(x, not transpose)) if ctx.reverse else lattice
            d_features = pair_gradient(run, lattice.features, left, right)[:, 0].T.to(features.dtype)
        return d_values, d_features, None


def _factors(response: Tensor, normalization: int) -> tuple[Tensor, Tensor]:
    """What multiplies after and before the filter; the addend keeps points that nobody reaches, as in the compiled core."""
    n = response + 1e-20
    return n ** -_ALPHA[normalization], n ** -_BETA[normalization]
