"""The compiled layer as differentiable torch functions: mean-field inference and Gaussian filtering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from caffe.inputs.arguments import below_one, instance
from crfasrnn.crf import operator_cuda, options  # noqa: F401  # operator_cuda makes the operators work on CUDA tensors
from crfasrnn.crf.call import Call
from crfasrnn.crf.checks import (
    at_full_precision,
    check_counts,
    check_is_tensor,
    check_iterations,
    check_matrices,
    check_mean_field,
    check_position,
    check_q0,
    check_tensors,
    check_theta,
    per_axis,
)
from crfasrnn.crf.kernel_gradients import FilterWithFeatures, LinearFilter
from crfasrnn.crf.operator import filter_op, run_mean_field
from crfasrnn.crf.unrolled import constant_lattice, has_tangent, in_transform, unrolled_mean_field

_NO_TRANSFORM = (
    "there is no derivative of {} in forward mode and in transforms of torch.func: use torch.autograd (backward), "
    "or tensors without gradient"
)


@dataclass(frozen=True, eq=False)
class Kernel:
    """One Gaussian kernel of a field: what it compares, and how it is normalised (Zheng et al., section 4.2).

    Attributes:
        theta_position: standard deviation of the position in pixels, one number or one per axis in the order x, y(, z, ...);
            None if the position does not matter. A tensor (scalar or one per axis) that requires a gradient gets one.
        features: (N, d, *S) or (1, d, *S) channels compared in addition, e.g. colours, depth or normals; None for none.
            With the position at most 32 dimensions.
        theta_features: standard deviation of the channels, in their units. A scalar tensor that requires a gradient gets one.
        normalization: one of crfasrnn.crf.options.NORMALIZATIONS.
        learn_features: whether a gradient flows to `features`, if they require one.

    With a gradient for a theta or for features, all iterations are unrolled in torch, which takes several times as long as the
    compiled operator; the gradient is that of the Gaussian, not of the lattice (see crfasrnn.crf.kernel_gradients).

    >>> import torch
    >>> from crfasrnn.crf import Kernel
    >>> depth = torch.rand(1, 1, 8, 8)
    >>> Kernel(theta_position=3.0), Kernel(20.0, depth, 0.1).normalization
    (Kernel(theta_position=3.0, features=None, theta_features=1.0, normalization='after', learn_features=False), 'after')
    """

    theta_position: float | Sequence[float] | Tensor | None = None
    features: Tensor | None = None
    theta_features: float | Tensor = 1.0
    normalization: str = "after"
    learn_features: bool = False

    def _learning(self) -> list[Tensor]:
        """The tensors to which a derivative may flow."""
        thetas = (self.theta_position, self.theta_features)
        return [t for t in (*thetas, self.features if self.learn_features else None) if isinstance(t, Tensor)]

    def learns(self) -> bool:
        """Whether a theta or the features want a gradient."""
        return torch.is_grad_enabled() and any(t.requires_grad for t in self._learning())

    def has_tangent(self) -> bool:
        """Whether a theta or the features have a derivative in forward mode."""
        return any(has_tangent(t) for t in self._learning())


def permutohedral_filter(values: Tensor, features: Tensor, *, reverse: bool = False) -> Tensor:
    """Gaussian filter of `values` at the points `features`: out_i = sum_j exp(-|f_i - f_j|^2 / 2) v_j, approximately.

    The filter runs on the permutohedral lattice (Adams, Baek and Davis, "Fast high-dimensional filtering using the
    permutohedral lattice", Eurographics 2010); its cost grows with the dimension squared instead of exponentially.
    It is not normalised: divide by the filter of ones for a weighted mean. Differentiable with respect to `values`, by the same
    filter with the order of the blur axes turned round, and to `features`, by the gradient of the Gaussian that the lattice
    approximates (see crfasrnn.crf.kernel_gradients).

    Args:
        values: (N, C), float32 or float64 (on CUDA devices also float16, bfloat16).
        features: (N, d) with 1 <= d <= 32, same dtype, already divided by the standard deviations.
        reverse: take the blur axes in reverse order, i.e. apply the transposed operator.

    Returns:
        (N, C), dtype of `values`. The same bits for any number of threads (torch.get_num_threads() are used).

    Raises:
        ValueError: shapes or dtypes do not fit, or features are NaN, infinite, or too large to be resolved.

    >>> import torch
    >>> from crfasrnn.crf import permutohedral_filter
    >>> far_apart = torch.tensor([[0.0, 0.0], [0.0, 0.0], [90.0, 90.0]])
    >>> sums = permutohedral_filter(torch.tensor([[1.0], [2.0], [4.0]]), far_apart)
    >>> bool(sums[0] == sums[1] < sums[2])  # points at one place see each other's values, 1 + 2 < 4
    True
    """
    values, features = at_full_precision(values=values, features=features)
    if values.ndim != 2 or features.ndim != 2 or values.shape[0] != features.shape[0]:
        raise ValueError(
            f"values must be (N, C) and features (N, d) with the same N, "
            f"got {tuple(values.shape)} and {tuple(features.shape)}"
        )
    check_tensors(values=values, features=features)
    reverse = bool(reverse)
    learns = features.requires_grad and torch.is_grad_enabled()
    transformed = in_transform() or has_tangent(values)
    if has_tangent(features) or (learns and transformed):
        raise NotImplementedError(_NO_TRANSFORM.format("the features"))
    if transformed:
        planes: Tensor = LinearFilter.apply(values.T[:, None], constant_lattice(features.T[:, None]), reverse)
        return planes[:, 0].T
    if learns:
        filtered: Tensor = FilterWithFeatures.apply(values, features, reverse)
        return filtered
    return filter_op(values, features, reverse)


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
    activation: str = "softmax",
    min_probability: float = 0.0,
    tolerance: float = 0.0,
    iterations_run: Tensor | None = None,
) -> Tensor:
    """Mean-field inference in a fully connected CRF, as a recurrent network (Zheng et al., ICCV 2015, section 4).

    For t = 1..iterations:

        Q      = softmax(q0 if t == 1 else scores)
        M      = spatial_weights K_s(Q) / K_s(1) + bilateral_weights K_b(Q) / K_b(1)
        scores = unary - compatibility M

    where K_s is a Gaussian over (x, y) / theta_gamma and K_b one over (x, y) / theta_alpha and colour / theta_beta.
    The result is the last scores, not soft-maxed. Differentiable with respect to everything but the image: once by autograd
    (backward), and at any order by torch.func.grad, jvp, jacfwd, hessian and vmap and in forward mode, several times slower
    (see crfasrnn.crf.unrolled).

    Args:
        unary: (N, C, H, W) scores (negative energies), float32 or float64 (on CUDA devices also float16 and bfloat16, computed
            in float32).
        q0: (N, C, H, W) scores that the first iteration soft-maxes; mostly `unary` itself.
        image: (N, K, H, W), 1 <= K <= 30, as the network sees it (no further scaling). No gradient flows to it.
        spatial_weights: (C, C) or (1, 1, C, C), W_s; (iterations, C, C) if every iteration has its own (untied), which the
            other two may then have or not.
        bilateral_weights: (C, C) or (1, 1, C, C), W_b.
        compatibility: (C, C) or (1, 1, C, C), mu; minus the identity is the Potts model.
        iterations: T >= 1. The paper trains with 5 and tests with 10.
        theta_alpha: standard deviation of the bilateral kernel in pixels.
        theta_beta: standard deviation of the bilateral kernel in units of the image.
        theta_gamma: standard deviation of the spatial kernel in pixels.
        activation: "softmax", or "relu" for Q = max(0, scores) in its place (section 6).
        min_probability: on the CPU where no gradient is wanted (under torch.no_grad() or inference_mode(); eval() of a module is
            not enough) classes are left out, iteration by iteration, whose probability is below this at
            every pixel: they send no messages, which changes the scores of one iteration by at most 2 C min_probability times the
            sum over the kernels of the largest |mu W|, and what follows from that; a class that rises comes back. 0 computes all.
        tolerance: there, too, the iterations of an image end, before the T-th, with the one after the first that
            changed no Q by as much as this; the result is that of so many iterations, bit for bit. 0 runs all.
        iterations_run: int64 of shape (N,) on unary's device, filled with how many iterations each image took; None: not asked.

    Returns:
        (N, C, H, W) scores, dtype of `unary`. Each image is computed on its own, with the same bits in any batch and
        for any number of threads (torch.get_num_threads() are used). Scores of -inf in `unary` and `q0` exclude a
        class at a pixel; NaN, +inf, or a pixel whose q0 is -inf for all classes makes that image's result NaN.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, iterations < 1, a tolerance for untied iterations, a theta is not
            finite and positive, or the image holds NaN or infinite values (on CUDA devices such an image's scores are NaN: see
            crfasrnn.crf.operator_cuda).

    Under torch.autocast half-precision inputs are computed, and returned, in float32.

    >>> import torch
    >>> from crfasrnn.crf import mean_field
    >>> unary = torch.zeros(1, 2, 8, 8)
    >>> unary[0, 1, 2:6, 2:6] = 1.0
    >>> unary[0, 1, 3, 3] = -0.1  # one pixel of doubt
    >>> image, eye = torch.full((1, 3, 8, 8), 128.0), torch.eye(2)
    >>> thetas = {"theta_alpha": 8.0, "theta_beta": 3.0, "theta_gamma": 1.0}
    >>> scores = mean_field(unary, unary, image, 3 * eye, 5 * eye, -eye, iterations=5, **thetas)
    >>> scores.shape, int(unary[0, :, 3, 3].argmax()), int(scores[0, :, 3, 3].argmax())
    (torch.Size([1, 2, 8, 8]), 0, 1)
    """
    unary, q0, image, spatial_weights, bilateral_weights, compatibility = at_full_precision(
        unary=unary,
        q0=q0,
        image=image,
        spatial_weights=spatial_weights,
        bilateral_weights=bilateral_weights,
        compatibility=compatibility,
    )
    iterations = check_iterations(iterations)
    check_mean_field(unary, q0, image, iterations, spatial_weights, bilateral_weights, compatibility)
    options.check("activation", activation, options.ACTIVATIONS)
    alpha, beta, gamma = (
        check_theta(name, theta)
        for name, theta in (("theta_alpha", theta_alpha), ("theta_beta", theta_beta), ("theta_gamma", theta_gamma))
    )
    # The original has no gradient of the image either, and nets ask for one when they force backward.
    pair = [Kernel(gamma), Kernel(alpha, image.detach(), beta)]
    matrices = [spatial_weights, bilateral_weights]
    return _run(
        unary, q0, pair, matrices, compatibility, iterations=iterations, activation=activation,
        min_probability=min_probability, tolerance=tolerance, iterations_run=iterations_run,
    )  # fmt: skip


def mean_field_kernels(
    unary: Tensor,
    q0: Tensor,
    kernels: Sequence[Kernel],
    weights: Sequence[Tensor],
    compatibility: Tensor,
    *,
    iterations: int,
    mask: Tensor | None = None,
    activation: str = "softmax",
    min_probability: float = 0.0,
    tolerance: float = 0.0,
    iterations_run: Tensor | None = None,
) -> Tensor:
    """Mean-field inference with any kernels over any grid (Zheng et al., section 4.2): as mean_field, with

        M = sum_k weights[k] K_k(Q)

    Args:
        unary: (N, C, *S) scores (negative energies), dtype as for mean_field; S has one axis (points, signals), two (images)
            or more (volumes).
        q0: (N, C, *S) scores that the first iteration soft-maxes; mostly `unary` itself.
        kernels: at least one Kernel, normalised as it says.
        weights: one (C, C) or (1, 1, C, C) matrix for each kernel; any of them, and the compatibility, may be (iterations, C, C)
            for untied iterations.
        compatibility: (C, C) or (1, 1, C, C), mu; minus the identity is the Potts model.
        iterations: T >= 1.
        mask: (N, *S) bool, False where there is nothing, as in padding: scores and gradients are 0 there, and the other
            pixels get what they would get without these. None keeps all.
        min_probability: as for mean_field. Where classes mix (mu W is not diagonal) behind a kernel that is not normalised
            "after", nothing is left out.
        tolerance, iterations_run: as for mean_field.

    Returns:
        (N, C, *S) scores as from mean_field, differentiable as there with respect to unary, q0, weights and compatibility.

    Raises:
        ValueError: as from mean_field, or features are too large to be resolved.

    >>> import torch
    >>> from crfasrnn.crf import Kernel, mean_field_kernels
    >>> unary, depth = torch.randn(1, 3, 6, 7), torch.rand(1, 1, 6, 7)
    >>> kernels = [Kernel(theta_position=2.0), Kernel(theta_position=9.0, features=depth, theta_features=0.1)]
    >>> weights = [3 * torch.eye(3), 5 * torch.eye(3)]
    >>> mean_field_kernels(unary, unary, kernels, weights, -torch.eye(3), iterations=5).shape
    torch.Size([1, 3, 6, 7])
    """
    for k, kernel in enumerate(kernels):
        instance(f"kernels[{k}]", kernel, Kernel)
    if not kernels or len(kernels) != len(weights):
        raise ValueError(
            f"there must be one weight for each of at least one kernel, got {len(kernels)} and {len(weights)}"
        )
    given = {f"weights[{k}]": w for k, w in enumerate(weights)}
    unary, q0, compatibility, *weights = at_full_precision(unary=unary, q0=q0, compatibility=compatibility, **given)
    named = dict(zip(given, weights)) | {"compatibility": compatibility}
    check_tensors(unary=unary, q0=q0, **named)
    if unary.ndim < 3 or 0 in unary.shape[1:]:
        raise ValueError(f"unary must be (N, C, *S) with nothing empty but N, got {tuple(unary.shape)}")
    check_q0(unary, q0)
    iterations = check_iterations(iterations)
    options.check("activation", activation, options.ACTIVATIONS)
    check_matrices(unary, iterations, named)
    grid = tuple(unary.shape[2:])
    checked = [_checked(k, kernel, unary) for k, kernel in enumerate(kernels)]
    if mask is not None:
        check_is_tensor("mask", mask)
    if mask is not None and (mask.dtype != torch.bool or mask.shape != (unary.shape[0], *grid)):
        raise ValueError(f"mask must be bool {(unary.shape[0], *grid)}, got {mask.dtype} {tuple(mask.shape)}")
    if mask is not None and mask.device != unary.device:
        raise ValueError(f"mask is on {mask.device} but unary on {unary.device}: use mask.to(unary.device)")
    how: dict[str, Any] = {
        "iterations": iterations, "activation": activation,
        "min_probability": min_probability, "tolerance": tolerance, "iterations_run": iterations_run,
    }  # fmt: skip
    if len(grid) == 2:
        return _run(unary, q0, checked, weights, compatibility, mask=mask, **how)
    # The core knows planes: the last axis stays, the others become one, and the position becomes features.
    width = grid[-1]

    def plane(tensor: Tensor) -> Tensor:
        return tensor.reshape(*tensor.shape[:2], -1, width)

    flat = [
        replace(
            kernel,
            theta_position=None,
            features=plane(_with_position(kernel, grid, unary)),
            theta_features=1.0,
            learn_features=kernel.learns(),
        )
        for kernel in checked
    ]
    taken = None if mask is None else mask.reshape(len(mask), -1, width)
    scores = _run(plane(unary), plane(q0), flat, weights, compatibility, mask=taken, **how)
    return scores.reshape(unary.shape)


def _with_position(kernel: Kernel, grid: tuple[int, ...], unary: Tensor) -> Tensor:
    """All that the kernel compares as channels (N or 1, d, *S) in standard deviations."""
    parts = []
    if kernel.features is not None:
        parts.append(kernel.features / kernel.theta_features)
    if kernel.theta_position is not None:
        axes = torch.meshgrid(*(torch.arange(n, dtype=unary.dtype, device=unary.device) for n in grid), indexing="ij")
        thetas = per_axis(kernel.theta_position, len(grid))
        position = torch.stack([axis / theta for axis, theta in zip(reversed(axes), thetas)])[None]
        parts.insert(0, position.expand(len(parts[0]) if parts else 1, *position.shape[1:]))
    return torch.cat(parts, 1)


def _is_exporting() -> bool:
    return bool(getattr(torch.compiler, "is_exporting", bool)())  # torch 2.4 does not know


def _checked(k: int, kernel: Kernel, unary: Tensor) -> Kernel:
    """The kernel with features that fit the scores; detached, and with numbers for thetas, where nothing is learned."""
    name, grid, features = f"kernels[{k}]", tuple(unary.shape[2:]), kernel.features
    options.check(f"{name}: normalization", kernel.normalization, options.NORMALIZATIONS)
    if kernel.theta_position is None and features is None:
        raise ValueError(f"{name} compares nothing: give theta_position, features, or both")
    if kernel.has_tangent():
        raise NotImplementedError(_NO_TRANSFORM.format(f"{name}'s thetas and features"))
    learns = kernel.learns()
    position = kernel.theta_position
    if not learns and _is_exporting() and any(isinstance(t, Tensor) for t in (position, kernel.theta_features)):
        raise NotImplementedError(
            f"{name}: torch.export must know the bandwidths as numbers, and these were learned: export a CrfRnn whose kernels have "
            "the numbers, exp(log_thetas), and the same weights"
        )
    if position is not None:
        each = check_position(f"{name}: theta_position", position, len(grid))
        position = position if learns and isinstance(position, Tensor) else tuple(map(float, each))
    if features is None:
        return replace(kernel, theta_position=position, theta_features=1.0, learn_features=False)
    theta_features = check_theta(f"{name}: theta_features", kernel.theta_features)
    theta_features = theta_features if learns else float(theta_features)
    check_is_tensor(f"{name}.features", features)
    (features,) = at_full_precision(features=features if kernel.learn_features else features.detach())
    check_tensors(unary=unary, **{f"{name}.features": features})
    if features.ndim != unary.ndim or features.shape[0] not in (1, unary.shape[0]) or tuple(features.shape[2:]) != grid:
        raise ValueError(
            f"{name}: features must be (N, d, {', '.join(map(str, grid))}) or have N = 1, as unary {tuple(unary.shape)}, "
            f"got {tuple(features.shape)}"
        )
    return replace(kernel, theta_position=position, features=features, theta_features=theta_features)


def _run(
    unary: Tensor,
    q0: Tensor,
    kernels: Sequence[Kernel],
    weights: Sequence[Tensor],
    compatibility: Tensor,
    *,
    iterations: int,
    activation: str,
    min_probability: float,
    tolerance: float,
    iterations_run: Tensor | None,
    mask: Tensor | None = None,
) -> Tensor:
    """Call the operator for planes (N, C, H, W)."""
    classes = unary.shape[1]
    min_probability, tolerance = below_one("min_probability", min_probability), below_one("tolerance", tolerance)
    if iterations_run is not None:
        check_counts(iterations_run, unary)
        iterations_run.fill_(iterations)
    sets = [iterations] if any(m.ndim == 3 for m in (*weights, compatibility)) else []
    if sets and tolerance:
        raise ValueError("untied iterations are all run: tolerance must be 0")
    *matrices, mu = (
        (m if m.ndim == 3 else m.reshape(classes, classes)).expand(*sets, classes, classes)
        for m in (*weights, compatibility)
    )
    stacked = torch.stack(matrices)
    normalization = [options.NORMALIZATIONS.index(kernel.normalization) for kernel in kernels]
    learns = any(kernel.learns() for kernel in kernels)
    transformed = in_transform() or any(map(has_tangent, (unary, q0, stacked, mu)))
    if learns and transformed:
        raise NotImplementedError(_NO_TRANSFORM.format("kernels' thetas and features"))
    if learns or transformed:
        return unrolled_mean_field(
            unary,
            q0,
            [_with_position(kernel, tuple(unary.shape[2:]), unary) for kernel in kernels],
            stacked,
            mu,
            normalizations=normalization,
            iterations=iterations,
            activate=torch.relu if activation == "relu" else partial(torch.softmax, dim=0),
            mask=mask,
        )
    nothing = unary.new_empty(1, 0, *unary.shape[2:])
    positions = [(0.0, 0.0) if k.theta_position is None else per_axis(k.theta_position, 2) for k in kernels]
    call = Call(
        unary=unary,
        q0=q0,
        features=[nothing if kernel.features is None else kernel.features for kernel in kernels],
        weights=stacked,
        compatibility=mu,
        mask=mask,
        theta_x=[x for x, _ in positions],
        theta_y=[y for _, y in positions],
        theta=[float(kernel.theta_features) for kernel in kernels],
        normalization=normalization,
        iterations=iterations,
        keep_state=torch.is_grad_enabled()
        and not torch.jit.is_tracing()
        and any(t.requires_grad for t in (unary, q0, stacked, mu)),
        activation=options.ACTIVATIONS.index(activation),
        min_probability=min_probability,
        tolerance=tolerance,
    )
    scores, run = run_mean_field(call)
    if iterations_run is not None:
        iterations_run.copy_(run)
    return scores
