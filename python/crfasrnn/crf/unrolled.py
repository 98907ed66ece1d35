"""Mean field with its iterations unrolled in torch: several times slower than the compiled operator, and differentiable in more.

It is what computes where a kernel learns, and where someone asks for more than one gradient by autograd: in forward-mode
differentiation and in the transforms of torch.func (grad, jvp, jacfwd, hessian, vmap).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.autograd import forward_ad

from crfasrnn.crf.kernel_gradients import GaussianFilter, Lattice, normalized_filter


def has_tangent(tensor: Any) -> bool:
    """Whether it is a tensor with a derivative in forward mode."""
    return isinstance(tensor, Tensor) and forward_ad.unpack_dual(tensor).tangent is not None


def in_transform() -> bool:
    """Whether a transform of torch.func is at work."""
    return torch._C._are_functorch_transforms_active()


def constant_lattice(features: Tensor, make_lattice: Callable[[Tensor], Any] = Lattice) -> Any:
    """The lattice at features (d, H, W) without derivatives, made in plain torch whatever transforms are at work.

    Raises:
        NotImplementedError: torch.vmap maps over the features.
    """
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(features):
        if functorch.is_batchedtensor(features):
            raise NotImplementedError(
                "torch.vmap cannot map over an image or other features, because each has a lattice of its own: "
                "use the first axis of a batch, whose images are computed one by one in any case"
            )
        features = functorch.get_unwrapped(features)
    with temporarily_clear_interpreter_stack():
        lattice = make_lattice(features.detach())
        lattice.response  # noqa: B018  # made now, outside of the transforms, too
    return lattice


def unrolled_mean_field(
    unary: Tensor,
    q0: Tensor,
    coordinates: Sequence[Tensor],
    weights: Tensor,
    compatibility: Tensor,
    *,
    normalizations: Sequence[int],
    iterations: int,
    activate: Callable[[Tensor], Tensor],
    mask: Tensor | None = None,
    make_lattice: Callable[[Tensor], Any] = Lattice,
) -> Tensor:
    """Scores as crfasrnn.crf.mean_field_kernels, differentiable in everything; twice, and in forward mode, in all but coordinates.

    unary, q0: (N, C, H, W); coordinates: per kernel (N or 1, d, H, W) in standard deviations; weights: (kernels, C, C) or
    (kernels, iterations, C, C); compatibility: the same without kernels; mask: (N, H, W) bool or None. activate makes Q (C, H, W)
    of scores.
    """
    images = []
    for n in range(len(unary)):
        taken = None if mask is None else mask[n]
        scores, start = _points(unary[n], taken), _points(q0[n], taken)
        if not scores.numel():
            images.append(unary[n] * 0)
            continue
        features = [_points(c[n if len(c) > 1 else 0], taken) for c in coordinates]
        filters = [_filter(f, make_lattice, normalization) for f, normalization in zip(features, normalizations)]
        message, result = start, scores
        for t in range(iterations):
            q = activate(message)
            w, mu = (m[..., t, :, :] if compatibility.ndim == 3 else m for m in (weights, compatibility))
            mixed = sum(torch.einsum("ij,jhw->ihw", w[k], smooth(q)) for k, smooth in enumerate(filters))
            message = result = scores - torch.einsum("ij,jhw->ihw", mu, mixed)
        if taken is not None:
            result = torch.zeros_like(unary[n]).masked_scatter(taken, result)
        images.append(result)
    return torch.stack(images) if images else unary * 0


def _filter(features: Tensor, make_lattice: Callable[[Tensor], Any], normalization: int) -> Callable[[Tensor], Tensor]:
    """The normalised filter of one kernel; only where the features learn is it the one that takes their gradient."""
    lattice = constant_lattice(features, make_lattice)
    if features.requires_grad and torch.is_grad_enabled():
        return lambda q: GaussianFilter.apply(q, features, lattice, normalization)  # type: ignore[no-any-return]
    return lambda q: normalized_filter(q, lattice, normalization)


def _points(planes: Tensor, mask: Tensor | None) -> Tensor:
    """Planes (C, H, W), or the points that the mask keeps as (C, 1, points)."""
    return planes if mask is None else planes[:, mask][:, None]
