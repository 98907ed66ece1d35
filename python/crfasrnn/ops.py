"""The compiled layer as differentiable torch functions: mean-field inference and Gaussian filtering."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crfasrnn import cuda_op  # noqa: F401, makes the operators work on CUDA tensors
from crfasrnn.mean_field_op import filter_op, mean_field_op

# By type of device. Half precision is computed in float32.
_DTYPES = {
    "cpu": (torch.float32, torch.float64),
    "cuda": (torch.float32, torch.float64, torch.float16, torch.bfloat16),
}

# What a kernel is multiplied by, D being the diagonal of its responses to ones: nothing, D^-1 on the right, D^-1 on the left
# (the paper's weighted mean), D^-1/2 on both sides.
NORMALIZATIONS = ("none", "before", "after", "symmetric")


@dataclass(frozen=True, eq=False)
class Kernel:
    """One Gaussian kernel of a field: what it compares, and how it is normalised (Zheng et al., section 4.2).

    Attributes:
        theta_position: standard deviation of the position in pixels, one number or one per axis in the order x, y(, z, ...);
            None if the position does not matter.
        features: (N, d, *S) or (1, d, *S) channels compared in addition, e.g. colours, depth or normals; None for none.
            With the position at most 16 dimensions. No gradient flows to them.
        theta_features: standard deviation of the channels, in their units.
        normalization: one of NORMALIZATIONS.
    """

    theta_position: float | Sequence[float] | None = None
    features: Tensor | None = None
    theta_features: float = 1.0
    normalization: str = "after"


def permutohedral_filter(values: Tensor, features: Tensor, *, reverse: bool = False) -> Tensor:
    """Gaussian filter of `values` at the points `features`: out_i = sum_j exp(-|f_i - f_j|^2 / 2) v_j, approximately.

    The filter runs on the permutohedral lattice (Adams, Baek and Davis, "Fast high-dimensional filtering using the
    permutohedral lattice", Eurographics 2010); its cost grows with the dimension squared instead of exponentially.
    It is not normalised: divide by the filter of ones for a weighted mean. Differentiable with respect to `values`;
    the gradient is the same filter with the order of the blur axes turned round.

    Args:
        values: (N, C), float32 or float64 (on CUDA devices also float16, bfloat16).
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
    values, features = _at_full_precision(values, features)
    _check_tensors(values=values, features=features)
    if features.requires_grad:
        raise ValueError(
            "permutohedral_filter has no gradient with respect to its features: pass features.detach() "
            "if they are meant to be constant"
        )
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
) -> Tensor:
    """Mean-field inference in a fully connected CRF, as a recurrent network (Zheng et al., ICCV 2015, section 4).

    For t = 1..iterations::

        Q      = softmax(q0 if t == 1 else scores)
        M      = spatial_weights K_s(Q) / K_s(1) + bilateral_weights K_b(Q) / K_b(1)
        scores = unary - compatibility M

    where K_s is a Gaussian over (x, y) / theta_gamma and K_b one over (x, y) / theta_alpha and colour / theta_beta.
    The result is the last scores, not soft-maxed. Differentiable (once) with respect to everything but the image.

    Args:
        unary: (N, C, H, W) scores (negative energies), float32 or float64 (on CUDA devices also float16 and bfloat16, computed
            in float32).
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
            image holds NaN or infinite values (on CUDA devices such an image's scores are NaN: see crfasrnn.cuda_op).

    Under torch.autocast half-precision inputs are computed, and returned, in float32.
    """
    unary, q0, image, spatial_weights, bilateral_weights, compatibility = _at_full_precision(
        unary, q0, image, spatial_weights, bilateral_weights, compatibility
    )
    _check_mean_field(unary, q0, image, spatial_weights, bilateral_weights, compatibility)
    _check_iterations(iterations)
    thetas = {"theta_alpha": theta_alpha, "theta_beta": theta_beta, "theta_gamma": theta_gamma}
    for name, theta in thetas.items():
        _check_theta(name, theta)
    # The original has no gradient of the image either, and nets ask for one when they force backward.
    pair = [Kernel(theta_gamma), Kernel(theta_alpha, image.detach(), theta_beta)]
    return _run(unary, q0, pair, [spatial_weights, bilateral_weights], compatibility, None, iterations)


def mean_field_kernels(
    unary: Tensor,
    q0: Tensor,
    kernels: Sequence[Kernel],
    weights: Sequence[Tensor],
    compatibility: Tensor,
    *,
    iterations: int,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean-field inference with any kernels over any grid (Zheng et al., section 4.2): as mean_field, with

        M = sum_k weights[k] K_k(Q)

    Args:
        unary: (N, C, *S) scores (negative energies), dtype as for mean_field; S has one axis (points, signals), two (images)
            or more (volumes).
        q0: (N, C, *S) scores that the first iteration soft-maxes; mostly `unary` itself.
        kernels: at least one Kernel, normalised as it says.
        weights: one (C, C) or (1, 1, C, C) matrix for each kernel.
        compatibility: (C, C) or (1, 1, C, C), mu; minus the identity is the Potts model.
        iterations: T >= 1.
        mask: (N, *S) bool, False where there is nothing, as in padding: scores and gradients are 0 there, and the other
            pixels get what they would get without these. None keeps all.

    Returns:
        (N, C, *S) scores as from mean_field, differentiable (once) with respect to unary, q0, weights and compatibility.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, iterations < 1, a theta is not finite and positive, or features
            are NaN, infinite, or too large to be resolved (on CUDA devices the scores become NaN: see crfasrnn.cuda_op).
    """
    if not kernels or len(kernels) != len(weights):
        raise ValueError(
            f"there must be one weight for each of at least one kernel, got {len(kernels)} and {len(weights)}"
        )
    unary, q0, compatibility, *weights = _at_full_precision(unary, q0, compatibility, *weights)
    named = {f"weights[{k}]": w for k, w in enumerate(weights)} | {"compatibility": compatibility}
    _check_tensors(unary=unary, q0=q0, **named)
    if unary.ndim < 3 or 0 in unary.shape[1:]:
        raise ValueError(f"unary must be (N, C, *S) with nothing empty but N, got {tuple(unary.shape)}")
    _check_q0(unary, q0)
    _check_matrices(unary, named)
    _check_iterations(iterations)
    grid = tuple(unary.shape[2:])
    checked = [_checked(k, kernel, unary) for k, kernel in enumerate(kernels)]
    if mask is not None and (mask.dtype != torch.bool or mask.shape != (unary.shape[0], *grid)):
        raise ValueError(f"mask must be bool {(unary.shape[0], *grid)}, got {mask.dtype} {tuple(mask.shape)}")
    if mask is not None and mask.device != unary.device:
        raise ValueError(f"mask is on {mask.device} but unary on {unary.device}: use mask.to(unary.device)")
    if len(grid) == 2:
        return _run(unary, q0, checked, weights, compatibility, mask, iterations)
    # The core knows planes: the last axis stays, the others become one, and the position becomes features.
    width = grid[-1]

    def plane(tensor: Tensor) -> Tensor:
        return tensor.reshape(*tensor.shape[:2], -1, width)

    flat = [
        Kernel(features=plane(_with_position(kernel, grid, unary)), normalization=kernel.normalization)
        for kernel in checked
    ]
    taken = None if mask is None else mask.reshape(len(mask), -1, width)
    return _run(plane(unary), plane(q0), flat, weights, compatibility, taken, iterations).reshape(unary.shape)


def _with_position(kernel: Kernel, grid: tuple[int, ...], unary: Tensor) -> Tensor:
    """All that the kernel compares as channels (N or 1, d, *S) in standard deviations."""
    parts = []
    if kernel.features is not None:
        parts.append(kernel.features / kernel.theta_features)
    if kernel.theta_position is not None:
        axes = torch.meshgrid(*(torch.arange(n, dtype=unary.dtype, device=unary.device) for n in grid), indexing="ij")
        thetas = _per_axis(kernel.theta_position, len(grid))
        position = torch.stack([axis / theta for axis, theta in zip(reversed(axes), thetas)])[None]
        parts.insert(0, position.expand(len(parts[0]) if parts else 1, *position.shape[1:]))
    return torch.cat(parts, 1)


def _per_axis(theta: float | Sequence[float], axes: int) -> tuple[float, ...]:
    return (float(theta),) * axes if isinstance(theta, (int, float)) else tuple(float(t) for t in theta)


def _checked(k: int, kernel: Kernel, unary: Tensor) -> Kernel:
    """The kernel with features that fit the scores, detached."""
    name, grid, features = f"kernels[{k}]", tuple(unary.shape[2:]), kernel.features
    if kernel.normalization not in NORMALIZATIONS:
        raise ValueError(
            f"{name}: normalization must be one of {', '.join(NORMALIZATIONS)}, got {kernel.normalization!r}"
        )
    if kernel.theta_position is not None:
        thetas = _per_axis(kernel.theta_position, len(grid))
        if len(thetas) != len(grid):
            raise ValueError(f"{name}: theta_position has {len(thetas)} numbers, but unary has {len(grid)} axes")
        for theta in thetas:
            _check_theta(f"{name}: theta_position", theta)
    elif features is None:
        raise ValueError(f"{name} compares nothing: give theta_position, features, or both")
    if features is None:
        return kernel
    _check_theta(f"{name}: theta_features", kernel.theta_features)
    (features,) = _at_full_precision(features.detach())
    _check_tensors(unary=unary, **{f"{name}.features": features})
    if features.ndim != unary.ndim or features.shape[0] not in (1, unary.shape[0]) or tuple(features.shape[2:]) != grid:
        raise ValueError(
            f"{name}: features must be (N, d, {', '.join(map(str, grid))}) or have N = 1, as unary {tuple(unary.shape)}, "
            f"got {tuple(features.shape)}"
        )
    return Kernel(kernel.theta_position, features, kernel.theta_features, kernel.normalization)


def _run(
    unary: Tensor,
    q0: Tensor,
    kernels: Sequence[Kernel],
    weights: Sequence[Tensor],
    compatibility: Tensor,
    mask: Tensor | None,
    iterations: int,
) -> Tensor:
    """Call the operator for planes (N, C, H, W)."""
    classes = unary.shape[1]
    matrices = torch.stack([weight.reshape(classes, classes) for weight in weights])
    mu = compatibility.reshape(classes, classes)
    nothing = unary.new_empty(1, 0, *unary.shape[2:])
    positions = [(0.0, 0.0) if k.theta_position is None else _per_axis(k.theta_position, 2) for k in kernels]
    keep_state = torch.is_grad_enabled() and any(t.requires_grad for t in (unary, q0, matrices, mu))
    scores, _ = mean_field_op(
        unary,
        q0,
        [nothing if kernel.features is None else kernel.features for kernel in kernels],
        matrices,
        mu,
        mask,
        [x for x, _ in positions],
        [y for _, y in positions],
        [float(kernel.theta_features) for kernel in kernels],
        [NORMALIZATIONS.index(kernel.normalization) for kernel in kernels],
        iterations,
        keep_state,
    )
    return scores


def _at_full_precision(*tensors: Tensor) -> list[Tensor]:
    """Under autocast half-precision tensors as float32: exponentials and long sums need it."""
    device = tensors[0].device.type
    if device not in _DTYPES or not torch.is_autocast_enabled(device):
        return list(tensors)
    return [t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for t in tensors]


def _check_iterations(iterations: int) -> None:
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"iterations must be an integer of at least 1, got {iterations!r}")


def _check_theta(name: str, theta: float) -> None:
    if not (math.isfinite(theta) and theta > 0):
        raise ValueError(f"{name} must be finite and greater than 0, got {theta!r}")


def _check_tensors(**tensors: Tensor) -> None:
    (first_name, first), *_ = tensors.items()
    for name, tensor in tensors.items():
        if tensor.device.type not in _DTYPES:
            raise ValueError(f"{name} is on {tensor.device}, must be on a CPU or CUDA device: use {name}.cpu()")
        if tensor.device != first.device:
            raise ValueError(
                f"{name} is on {tensor.device} but {first_name} on {first.device}: use {name}.to({first_name}.device)"
            )
        if tensor.dtype not in _DTYPES[tensor.device.type]:
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
    _check_q0(unary, q0)
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
    _check_matrices(unary, dict(zip(names, weights)))


def _check_q0(unary: Tensor, q0: Tensor) -> None:
    if q0.shape != unary.shape:
        raise ValueError(
            f"q0 has shape {tuple(q0.shape)} but unary {tuple(unary.shape)}: they must be equal "
            f"(pass unary itself as q0 to start from the unaries)"
        )


def _check_matrices(unary: Tensor, matrices: dict[str, Tensor]) -> None:
    classes = unary.shape[1]
    for name, weight in matrices.items():
        if tuple(weight.shape) not in ((classes, classes), (1, 1, classes, classes)):
            raise ValueError(
                f"{name} has shape {tuple(weight.shape)}, but unary {tuple(unary.shape)} has {classes} classes: "
                f"it must be ({classes}, {classes}) or (1, 1, {classes}, {classes}); "
                f"torch.eye({classes}) times a factor gives one weight for all classes"
            )
