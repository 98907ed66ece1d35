"""The compiled layer as differentiable torch functions: mean-field inference and Gaussian filtering."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from crfasrnn import _core

_DTYPES = (torch.float32, torch.float64)


def permutohedral_filter(values: Tensor, features: Tensor, *, reverse: bool = False) -> Tensor:
    """Gaussian filter of `values` at the points `features`: out_i = sum_j exp(-|f_i - f_j|^2 / 2) v_j, approximately.

    The filter runs on the permutohedral lattice (Adams, Baek and Davis, "Fast high-dimensional filtering using the
    permutohedral lattice", Eurographics 2010); its cost grows with the dimension squared instead of exponentially.
    It is not normalised: divide by the filter of ones for a weighted mean. Differentiable with respect to `values`;
    the gradient is the same filter with the order of the blur axes turned round.

    Args:
        values: (N, C), float32 or float64, on the CPU.
        features: (N, d) with 1 <= d <= 16, same dtype, already divided by the standard deviations. No gradient.
        reverse: take the blur axes in reverse order, i.e. apply the transposed operator.

    Returns:
        (N, C), dtype of `values`. The same bits for any number of threads (torch.get_num_threads() are used).

    Raises:
        ValueError: shapes or dtypes do not fit, or features are NaN, infinite, or too large to be resolved.
    """
    if values.ndim != 2 or features.ndim != 2 or values.shape[0] != features.shape[0]:
        raise ValueError(
            f"values must be (N, C) and features (N, d) with the same N, "
            f"got {tuple(values.shape)} and {tuple(features.shape)}"
        )
    _check_tensors(values=values, features=features)
    if features.requires_grad:
        raise ValueError(
            "permutohedral_filter has no gradient with respect to its features: pass features.detach() "
            "if they are meant to be constant"
        )
    result: Tensor = _Filter.apply(values, features, reverse)
    return result


def mean_field(
    unary: Tensor,
    q0: Tensor,
    image: Tensor,
    spatial_weights: Tensor,
    bilateral_weights: Tensor,
    compatibility: Tensor,
    *,
    iterations: int,
    theta_alpha: float,
    theta_beta: float,
    theta_gamma: float,
) -> Tensor:
    """Mean-field inference in a fully connected CRF, as a recurrent network (Zheng et al., ICCV 2015, section 4).

    For t = 1..iterations::

        Q      = softmax(q0 if t == 1 else scores)
        M      = spatial_weights K_s(Q) / K_s(1) + bilateral_weights K_b(Q) / K_b(1)
        scores = unary - compatibility M

    where K_s is a Gaussian over (x, y) / theta_gamma and K_b one over (x, y) / theta_alpha and colour / theta_beta.
    The result is the last scores, not soft-maxed. Differentiable (once) with respect to everything but the image.

    Args:
        unary: (N, C, H, W) scores (negative energies), float32 or float64, on the CPU.
        q0: (N, C, H, W) scores that the first iteration soft-maxes; mostly `unary` itself.
        image: (N, K, H, W), 1 <= K <= 14, as the network sees it (no further scaling). No gradient flows to it.
        spatial_weights: (C, C) or (1, 1, C, C), W_s.
        bilateral_weights: (C, C) or (1, 1, C, C), W_b.
        compatibility: (C, C) or (1, 1, C, C), mu; minus the identity is the Potts model.
        iterations: T >= 1. The paper trains with 5 and tests with 10.
        theta_alpha: standard deviation of the bilateral kernel in pixels.
        theta_beta: standard deviation of the bilateral kernel in units of the image.
        theta_gamma: standard deviation of the spatial kernel in pixels.

    Returns:
        (N, C, H, W) scores, dtype of `unary`. Each image is computed on its own, with the same bits in any batch and
        for any number of threads (torch.get_num_threads() are used). Scores of -inf in `unary` and `q0` exclude a
        class at a pixel; NaN, +inf, or a pixel whose q0 is -inf for all classes makes that image's result NaN.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, iterations < 1, a theta is not finite and positive, or the
            image holds NaN or infinite values.
    """
    _check_mean_field(unary, q0, image, spatial_weights, bilateral_weights, compatibility)
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"iterations must be an integer of at least 1, got {iterations!r}")
    thetas = {"theta_alpha": theta_alpha, "theta_beta": theta_beta, "theta_gamma": theta_gamma}
    for name, theta in thetas.items():
        if not (math.isfinite(theta) and theta > 0):
            raise ValueError(f"{name} must be finite and greater than 0, got {theta!r}")
    inputs = (unary, q0, spatial_weights, bilateral_weights, compatibility)
    keep_state = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    result: Tensor = _MeanField.apply(
        unary,
        q0,
        image.detach(),  # the original has no gradient here either, and nets ask for one when they force backward
        spatial_weights,
        bilateral_weights,
        compatibility,
        iterations,
        (float(theta_alpha), float(theta_beta), float(theta_gamma)),
        keep_state,
    )
    return result


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, features: Tensor, reverse: bool) -> Tensor:
        ctx.save_for_backward(features)
        ctx.reverse = reverse
        return _filter(values, features, reverse)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (features,) = ctx.saved_tensors
        return _filter(grad, features, not ctx.reverse), None, None


def _filter(values: Tensor, features: Tensor, reverse: bool) -> Tensor:
    values = values.detach().contiguous()
    out = torch.empty_like(values)
    _core.permutohedral_filter(values, features.detach().contiguous(), out, reverse, torch.get_num_threads())
    return out


class _StateHolder(Tensor):
    """An empty tensor that carries the state of a forward pass.

    Autograd frees saved tensors as soon as backward has used them, unless retain_graph asks otherwise; attributes of
    the context live as long as the output does. The lattices are large, hence they travel with a saved tensor.
    """

    state: Any


class _MeanField(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        unary: Tensor,
        q0: Tensor,
        image: Tensor,
        spatial_weights: Tensor,
        bilateral_weights: Tensor,
        compatibility: Tensor,
        iterations: int,
        thetas: tuple[float, float, float],
        keep_state: bool,
    ) -> Tensor:
        classes = unary.shape[1]
        scores, start, colours = (tensor.detach().contiguous() for tensor in (unary, q0, image))
        w_s, w_b, mu = (
            weight.detach().reshape(classes, classes).contiguous()
            for weight in (spatial_weights, bilateral_weights, compatibility)
        )
        out = torch.empty_like(scores)
        threads = torch.get_num_threads()
        state = _core.mean_field_forward(
            scores, start, colours, w_s, w_b, mu, out, iterations, *thetas, keep_state, threads
        )
        if keep_state:
            holder = torch.empty(0).as_subclass(_StateHolder)
            holder.state = state
            ctx.save_for_backward(holder)
            ctx.weight_shapes = (spatial_weights.shape, bilateral_weights.shape, compatibility.shape)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (holder,) = ctx.saved_tensors
        grad = grad.contiguous()
        classes = grad.shape[1]
        needs_unary, needs_q0, _, *needs_weights = ctx.needs_input_grad[:6]
        d_unary = torch.empty_like(grad) if needs_unary else None
        d_q0 = torch.empty_like(grad) if needs_q0 else None
        d_weights = [grad.new_empty(classes, classes) if needed else None for needed in needs_weights]
        holder.state.backward(grad, d_unary, d_q0, *d_weights, torch.get_num_threads())
        shaped = [d if d is None else d.reshape(shape) for d, shape in zip(d_weights, ctx.weight_shapes)]
        return (d_unary, d_q0, None, *shaped, None, None, None)


def _check_tensors(**tensors: Tensor) -> None:
    (first_name, first), *_ = tensors.items()
    for name, tensor in tensors.items():
        if tensor.device.type != "cpu":
            raise ValueError(f"{name} is on {tensor.device}: this version computes on the CPU only, use {name}.cpu()")
        if tensor.dtype not in _DTYPES:
            raise ValueError(f"{name} is {tensor.dtype}, must be torch.float32 or torch.float64: use {name}.float()")
        if tensor.dtype != first.dtype:
            raise ValueError(
                f"{name} is {tensor.dtype} but {first_name} is {first.dtype}: use {name}.to({first_name}.dtype)"
            )


def _check_mean_field(unary: Tensor, q0: Tensor, image: Tensor, *weights: Tensor) -> None:
    names = ("spatial_weights", "bilateral_weights", "compatibility")
    _check_tensors(unary=unary, q0=q0, image=image, **dict(zip(names, weights)))
    if unary.ndim != 4 or 0 in unary.shape[1:]:
        raise ValueError(f"unary must be (N, C, H, W) with C, H, W >= 1, got {tuple(unary.shape)}")
    if q0.shape != unary.shape:
        raise ValueError(
            f"q0 has shape {tuple(q0.shape)} but unary {tuple(unary.shape)}: they must be equal "
            f"(pass unary itself as q0 to start from the unaries)"
        )
    if image.ndim != 4 or not 1 <= image.shape[1] <= 14:
        raise ValueError(f"image must be (N, K, H, W) with 1 to 14 channels, got {tuple(image.shape)}")
    if image.shape[0] != unary.shape[0]:
        raise ValueError(
            f"image has shape {tuple(image.shape)} but unary {tuple(unary.shape)}: there must be one image per unary"
        )
    if image.shape[2:] != unary.shape[2:]:
        raise ValueError(
            f"image has shape {tuple(image.shape)} but unary {tuple(unary.shape)}: height and width must be equal; "
            f"resize or crop one of them, e.g. F.interpolate(unary, size=image.shape[2:], mode='bilinear')"
        )
    classes = unary.shape[1]
    for name, weight in zip(names, weights):
        if tuple(weight.shape) not in ((classes, classes), (1, 1, classes, classes)):
            raise ValueError(
                f"{name} has shape {tuple(weight.shape)}, but unary {tuple(unary.shape)} has {classes} classes: "
                f"it must be ({classes}, {classes}) or (1, 1, {classes}, {classes}); "
                f"torch.eye({classes}) times a factor gives one weight for all classes"
            )
