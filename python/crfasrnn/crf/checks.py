"""What is checked of the tensors and numbers of a call: each error names the argument and says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe.inputs.arguments import has_axes, integer, number
from caffe.inputs.limits import MAX_ITERATIONS
from crfasrnn.crf import options

# By type of device. Half precision is computed in float32.
DTYPES = {
    "cpu": (torch.float32, torch.float64),
    "cuda": (torch.float32, torch.float64, torch.float16, torch.bfloat16),
}


def check_is_tensor(name: str, value: Any) -> None:
    """Raise TypeError unless it is a tensor, ValueError for a sparse or quantized one: most of torch's operations take none."""
    if not isinstance(value, Tensor):
        kind = f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
        raise TypeError(f"{name} must be a torch.Tensor, not {kind}")
    if value.layout is not torch.strided or value.is_quantized:
        raise ValueError(f"{name} is sparse or quantized: use {name}.to_dense() or {name}.dequantize()")


def at_full_precision(**tensors: Tensor) -> list[Tensor]:
    """Under autocast half-precision tensors as float32: exponentials and long sums need it. TypeError for what is no tensor."""
    for name, tensor in tensors.items():
        check_is_tensor(name, tensor)
    found = list(tensors.values())
    device = found[0].device.type
    if device not in DTYPES or not torch.is_autocast_enabled(device):
        return found
    return [t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for t in found]


def check_iterations(iterations: Any) -> int:
    """As an int; raise TypeError or ValueError unless it is an integer of 1 to MAX_ITERATIONS."""
    return integer("iterations", iterations, 1, MAX_ITERATIONS)


def check_theta(name: str, theta: Any) -> float | Tensor:
    """A float, or the tensor (scalar or one per axis) as it is; raise ValueError unless finite and positive, TypeError for else."""
    found = theta if isinstance(theta, Tensor) else number(name, theta)
    if isinstance(found, Tensor):
        check_is_tensor(name, found)
        if found.is_meta or not 0 < found.numel() <= options.DIMENSIONS:
            raise ValueError(f"{name} must be a number or a tensor of one for each axis, got {tuple(found.shape)}")
    values = found.detach().flatten().tolist() if isinstance(found, Tensor) else [found]
    if not options.are_thetas(values):
        raise ValueError(f"{name} must be finite and greater than 0, got {theta!r}")
    return found


def check_tensors(**tensors: Tensor) -> None:
    """Raise ValueError unless all are of a dtype and on a device that the operator knows, and on the first one's."""
    (first_name, first), *_ = tensors.items()
    for name, tensor in tensors.items():
        if tensor.device.type not in DTYPES:
            raise ValueError(f"{name} is on {tensor.device}, must be on a CPU or CUDA device: use {name}.cpu()")
        if tensor.device != first.device:
            raise ValueError(
                f"{name} is on {tensor.device} but {first_name} on {first.device}: use {name}.to({first_name}.device)"
            )
        if tensor.dtype not in DTYPES[tensor.device.type]:
            raise ValueError(f"{name} is {tensor.dtype}, must be torch.float32 or torch.float64: use {name}.float()")
        if tensor.dtype != first.dtype:
            raise ValueError(
                f"{name} is {tensor.dtype} but {first_name} is {first.dtype}: use {name}.to({first_name}.dtype)"
            )


def check_mean_field(unary: Tensor, q0: Tensor, image: Tensor, iterations: int, *weights: Tensor) -> None:
    """Raise ValueError unless scores, image and matrices of the paper's layer fit each other."""
    names = ("spatial_weights", "bilateral_weights", "compatibility")
    check_tensors(unary=unary, q0=q0, image=image, **dict(zip(names, weights)))
    if unary.ndim != 4 or 0 in unary.shape[1:]:
        raise ValueError(f"unary must be (N, C, H, W) with C, H, W >= 1, got {tuple(unary.shape)}")
    check_q0(unary, q0)
    if image.ndim != 4 or not 1 <= image.shape[1] <= options.DIMENSIONS - 2:
        raise ValueError(
            f"image must be (N, K, H, W) with 1 to {options.DIMENSIONS - 2} channels, got {tuple(image.shape)}"
        )
    if image.shape[0] != unary.shape[0]:
        raise ValueError(
            f"image has shape {tuple(image.shape)} but unary {tuple(unary.shape)}: there must be one image per unary"
        )
    if image.shape[2:] != unary.shape[2:]:
        raise ValueError(
            f"image has shape {tuple(image.shape)} but unary {tuple(unary.shape)}: height and width must be equal; "
            f"resize or crop one of them, e.g. F.interpolate(unary, size=image.shape[2:], mode='bilinear')"
        )
    check_matrices(unary, iterations, dict(zip(names, weights)))


def check_q0(unary: Tensor, q0: Tensor) -> None:
    """Raise ValueError unless it has the scores' shape."""
    if q0.shape != unary.shape:
        raise ValueError(
            f"q0 has shape {tuple(q0.shape)} but unary {tuple(unary.shape)}: they must be equal "
            f"(pass unary itself as q0 to start from the unaries)"
        )


def check_counts(iterations_run: Tensor, unary: Tensor) -> None:
    """Raise TypeError or ValueError unless it can hold a number for each image."""
    check_is_tensor("iterations_run", iterations_run)
    if iterations_run.dtype != torch.int64 or iterations_run.shape != unary.shape[:1]:
        raise ValueError(
            f"iterations_run must be int64 ({len(unary)},), one number for each image, got {iterations_run.dtype} "
            f"{tuple(iterations_run.shape)}"
        )
    if iterations_run.device != unary.device:
        raise ValueError(f"iterations_run is on {iterations_run.device} but unary on {unary.device}")


def check_matrices(unary: Tensor, iterations: int, matrices: dict[str, Tensor]) -> None:
    """Raise ValueError unless they are C x C, or one such for every iteration."""
    classes = unary.shape[1]
    square = (classes, classes)
    for name, weight in matrices.items():
        if tuple(weight.shape) not in (square, (1, 1, *square), (iterations, *square)):
            raise ValueError(
                f"{name} has shape {tuple(weight.shape)}, but unary {tuple(unary.shape)} has {classes} classes: "
                f"it must be ({classes}, {classes}) or (1, 1, {classes}, {classes}), "
                f"or ({iterations}, {classes}, {classes}) with a matrix for every iteration; "
                f"torch.eye({classes}) times a factor gives one weight for all classes"
            )


def per_axis(theta: float | Sequence[float] | Tensor, axes: int) -> tuple[Any, ...]:
    """One theta for each axis: numbers, or scalar tensors of a tensor."""
    if isinstance(theta, Tensor):
        return tuple(theta.expand(axes)) if theta.ndim == 0 else tuple(theta)
    return (float(theta),) * axes if isinstance(theta, (int, float)) else tuple(float(t) for t in theta)


def check_position(name: str, theta: Any, axes: int) -> list[float | Tensor]:
    """One theta for each axis; raises as check_theta, and ValueError for another number of them."""
    each = theta if has_axes(theta) else [theta] * axes
    if len(each) != axes:
        raise ValueError(f"{name} has {len(each)} numbers, but unary has {axes} axes")
    return [check_theta(name, one) for one in each]
