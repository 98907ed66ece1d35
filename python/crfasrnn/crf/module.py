"""CRF-RNN as a torch module: mean-field inference with learnable weights, for any kernels (Zheng et al. 2015)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caffe.errors import CaffeError
from caffe.inputs.arguments import has_axes, integer, number
from caffe.logs.glog import signed
from crfasrnn.crf import caffemodel, options
from crfasrnn.crf.checks import check_is_tensor, check_iterations, check_theta
from crfasrnn.crf.functional import Kernel, mean_field_kernels

logger = signed("crfasrnn.py")


def _keep_numbers(kernel: Any, *thetas: str) -> None:
    """Make what a kernel was given for its thetas and weight floats, or tuples of them; raise as check_theta."""
    for name in thetas:
        theta = getattr(kernel, name)
        if theta is not None:
            if has_axes(theta) and not 0 < len(theta) <= options.DIMENSIONS:
                raise ValueError(f"{name} has {len(theta)} standard deviations, not 1 to {options.DIMENSIONS}")
            kept = tuple(float(check_theta(name, one)) for one in (theta if has_axes(theta) else [theta]))
            object.__setattr__(kernel, name, kept if has_axes(theta) else kept[0])
    object.__setattr__(kernel, "weight", number("weight", kernel.weight))


@dataclass(frozen=True)
class Spatial:
    """Compares positions: exp(-|p_i - p_j|^2 / 2 theta^2), which removes small isolated regions.

    Attributes:
        theta: standard deviation in pixels, one number or one per axis in the order x, y(, z).
        weight: what the weights of all classes start from (3 in the released network).
        normalization: "after" (the paper's weighted mean), "before", "symmetric" or "none".

    >>> from crfasrnn.crf import Spatial
    >>> Spatial(theta=2.0)
    Spatial(theta=2.0, weight=3.0, normalization='after')
    """

    theta: float | tuple[float, ...] = 3.0
    weight: float = 3.0
    normalization: str = "after"

    def __post_init__(self) -> None:
        _keep_numbers(self, "theta")


@dataclass(frozen=True)
class Bilateral:
    """Compares positions and the colours of `image`.

    Attributes:
        theta_alpha: standard deviation of the position in pixels, one number or one per axis in the order x, y(, z).
        theta_beta: standard deviation of the colours in units of the image; 3 goes with values of 0 to 255.
        weight: what the weights of all classes start from (5 in the released network).
        normalization: as for Spatial.

    >>> from crfasrnn.crf import Bilateral
    >>> Bilateral(theta_alpha=60.0)
    Bilateral(theta_alpha=60.0, theta_beta=3.0, weight=5.0, normalization='after')
    """

    theta_alpha: float | tuple[float, ...] = 160.0
    theta_beta: float = 3.0
    weight: float = 5.0
    normalization: str = "after"

    def __post_init__(self) -> None:
        _keep_numbers(self, "theta_alpha", "theta_beta")


@dataclass(frozen=True)
class Features:
    """Compares channels of your own: depth, infrared, spectra, normals, ..., together with the position or without.

    Attributes:
        theta: standard deviations in the channels' units, one for each channel or one number for all.
        theta_position: standard deviation of the position in pixels as in Spatial; None if the position does not matter.
        name: which entry of `extra` has the channels.
        weight: what the weights of all classes start from.
        normalization: as for Spatial.

    >>> import torch
    >>> from crfasrnn.crf import CrfRnn, Features
    >>> crf = CrfRnn(3, kernels=[Features(theta=0.1, theta_position=20.0, name="depth")])
    >>> crf(torch.randn(1, 3, 6, 7), extra={"depth": torch.rand(1, 1, 6, 7)}).shape
    torch.Size([1, 3, 6, 7])
    """

    theta: float | tuple[float, ...]
    theta_position: float | tuple[float, ...] | None = None
    name: str = "extra"
    weight: float = 1.0
    normalization: str = "after"

    def __post_init__(self) -> None:
        _keep_numbers(self, "theta", "theta_position")


KernelSpec = Spatial | Bilateral | Features


def _thetas(kernel: KernelSpec) -> list[float | tuple[float, ...]]:
    """The standard deviations that a kernel has, in the order of its attributes."""
    if isinstance(kernel, Spatial):
        return [kernel.theta]
    if isinstance(kernel, Bilateral):
        return [kernel.theta_alpha, kernel.theta_beta]
    return [kernel.theta] if kernel.theta_position is None else [kernel.theta, kernel.theta_position]


DEFAULT_KERNELS: tuple[KernelSpec, ...] = (Spatial(), Bilateral())


class CrfRnn(nn.Module):
    """Refines scores of classes by mean-field inference in a fully connected CRF; trains with the network before it.

    Every iteration filters the classes' probabilities with each kernel, weights them (`weights`, one C x C matrix W_k per
    kernel), mixes the classes (`compatibility`, mu) and subtracts the result from the scores (paper, section 4). With the
    default kernels and options, state_dict() holds `weights.0`, `weights.1` and `compatibility`, which are the three blobs
    of Caffe's MultiStageMeanfield layer in this order: see load_caffemodel and save_caffemodel.

    Args:
        num_classes: C >= 1.
        kernels: Spatial, Bilateral and Features, in any number and order.
        iterations: T >= 1; the paper trains with 5 and tests with 10. `crf.iterations = 10` changes it, and so does
            forward's argument for one call.
        weights: "full" (C x C for each kernel), "per_class" (its diagonal alone, section 4.2) or "shared" (one number).
        compatibility: "full" (learned, section 4.3), "symmetric" (learned, kept symmetric), or "potts" (fixed to minus the
            identity: different labels for alike pixels cost the same for any two classes).
        activation: "softmax", or "relu" for Q = max(0, scores) between iterations (section 6).
        untied: whether every iteration has weights and a compatibility of its own (section 7.1); parameters then have a leading
            axis of `iterations`, which cannot be changed afterwards.
        learn_bandwidths: whether the standard deviations are learned too: `log_thetas` holds the natural logarithms, kernel by
            kernel in the order of the kernels' attributes. Several times slower.

    Raises:
        ValueError: an option is not one of these.
        TypeError: kernels are no sequence, or a number is none.

    >>> import torch
    >>> from crfasrnn import CrfRnn
    >>> crf = CrfRnn(num_classes=21)
    >>> scores, image = torch.randn(2, 21, 12, 16, requires_grad=True), 255 * torch.rand(2, 3, 12, 16)
    >>> refined = crf(scores, image)
    >>> refined.logsumexp(1).sum().backward()
    >>> refined.shape, scores.grad.shape, sorted(crf.state_dict())
    (torch.Size([2, 21, 12, 16]), torch.Size([2, 21, 12, 16]), ['compatibility', 'weights.0', 'weights.1'])
    """

    def __init__(
        self,
        num_classes: int,
        kernels: Sequence[KernelSpec] = DEFAULT_KERNELS,
        iterations: int = 5,
        *,
        weights: str = "full",
        compatibility: str = "full",
        activation: str = "softmax",
        untied: bool = False,
        learn_bandwidths: bool = False,
    ) -> None:
        super().__init__()
        num_classes = integer("num_classes", num_classes, 1, 1 << 16)
        if num_classes == 1:
            raise ValueError(
                "num_classes is 1, beside which there is nothing to choose: make scores s of a sigmoid two classes, "
                "CrfRnn(2)(torch.cat([0 * s, s], 1), image)"
            )
        iterations = check_iterations(iterations)
        if not isinstance(kernels, Sequence):
            raise TypeError(
                f"kernels must be a sequence of Spatial, Bilateral and Features, not {type(kernels).__name__}; "
                "the number of iterations is iterations=5"
            )
        if not kernels or not all(isinstance(kernel, (Spatial, Bilateral, Features)) for kernel in kernels):
            raise ValueError(f"kernels must be at least one of Spatial, Bilateral and Features, got {kernels!r}")
        options.check("weights", weights, options.WEIGHTS)
        options.check("compatibility", compatibility, options.COMPATIBILITIES)
        self.num_classes = num_classes
        self.kernels = tuple(kernels)
        self.iterations = iterations
        self.activation = activation
        self._sets = (iterations,) if untied else ()
        self._shape_of_weights = weights
        self._kind_of_compatibility = compatibility
        self.weights = nn.ParameterList([nn.Parameter(self._start(kernel.weight)) for kernel in kernels])
        self.log_thetas = nn.ParameterList(
            [nn.Parameter(torch.tensor(t).log()) for kernel in kernels for t in _thetas(kernel)]
            if learn_bandwidths
            else []
        )
        potts = -torch.eye(num_classes).repeat(*self._sets, 1, 1)
        if compatibility == "potts":
            # No part of the state: there is nothing to save, and a full matrix must not slip in.
            self.register_buffer("compatibility", potts, persistent=False)
        else:
            self.compatibility = nn.Parameter(potts)

    def _start(self, weight: float) -> Tensor:
        matrix = weight * torch.eye(self.num_classes).repeat(*self._sets, 1, 1).reshape(
            *self._sets, -1, self.num_classes
        )
        return options.kernel_parameters(matrix, self._shape_of_weights).clone()

    def matrices(self) -> tuple[list[Tensor], Tensor]:
        """The W_k of all kernels and mu as (C, C), untied (iterations, C, C), functions of the parameters."""
        weights = [options.kernel_matrix(w, self._shape_of_weights, self.num_classes) for w in self.weights]
        return weights, options.compatibility_matrix(self.compatibility, self._kind_of_compatibility)

    def _bandwidths(self) -> list[list[Any]]:
        """The thetas of every kernel in the order of _thetas: numbers, or what the learned logarithms say."""
        learned = iter(self.log_thetas)
        return [
            [next(learned).exp() if len(self.log_thetas) else t for t in _thetas(kernel)] for kernel in self.kernels
        ]

    def forward(
        self,
        unary: Tensor,
        image: Tensor | None = None,
        *,
        extra: Tensor | Mapping[str, Tensor] | None = None,
        q0: Tensor | None = None,
        mask: Tensor | None = None,
        iterations: int | None = None,
        min_probability: float = 0.0,
        tolerance: float = 0.0,
        iterations_run: Tensor | None = None,
    ) -> Tensor:
        """Refined scores (N, C, *S), not soft-maxed, dtype of `unary`; each image of the batch on its own.

        Args:
            unary: (N, C, *S) scores before softmax, float32 or float64, on the CPU; S is height and width, or any grid.
            image: (N, K, *S) colours for Bilateral kernels; no gradient flows to it.
            extra: (N, d, *S) channels for Features kernels, or a mapping from their names to such tensors; no gradient.
            q0: (N, C, *S) scores whose softmax starts the first iteration; unary if None.
            mask: (N, *S) bool, False for padding: it influences nothing, its result and gradient are 0.
            iterations: T of this call in place of the module's.
            min_probability: where no gradient is wanted (torch.no_grad(); eval() is not enough), leave out classes whose
                probability is below this everywhere, see mean_field.
            tolerance: there, too, end an image's iterations where no probability changes by as much any more, see mean_field.
            iterations_run: int64 of shape (N,), is filled with how many iterations each image took.

        Raises:
            ValueError: a kernel's image or channels are missing, or as crfasrnn.crf.mean_field_kernels.
        """
        check_is_tensor("unary", unary)
        if unary.ndim < 3 or unary.shape[1] != self.num_classes:
            raise ValueError(f"unary must be (N, {self.num_classes}, ...), got {tuple(unary.shape)}")
        if {unary.dtype, self.weights[0].dtype} == {torch.float32, torch.float64}:
            raise ValueError(
                f"unary is {unary.dtype}, the module's weights are {self.weights[0].dtype}: use unary.to(crf.weights[0].dtype), "
                "or crf.to(unary.dtype) before"
            )
        kernels = [
            self._kernel(kernel, thetas, unary, image, extra)
            for kernel, thetas in zip(self.kernels, self._bandwidths(), strict=True)
        ]
        weights, mu = self.matrices()
        count = self.iterations if iterations is None else iterations
        start = unary if q0 is None else q0
        if self._sets and count != self._sets[0]:
            raise ValueError(f"this module's {self._sets[0]} iterations are untied: it cannot run {count}")
        return mean_field_kernels(
            unary, start, kernels, weights, mu, iterations=count, mask=mask, activation=self.activation,
            min_probability=min_probability, tolerance=tolerance, iterations_run=iterations_run,
        )  # fmt: skip

    def _kernel(
        self,
        kernel: KernelSpec,
        thetas: Sequence[Any],
        unary: Tensor,
        image: Tensor | None,
        extra: Tensor | Mapping[str, Tensor] | None,
    ) -> Kernel:
        if isinstance(kernel, Spatial):
            return Kernel(thetas[0], normalization=kernel.normalization)
        if isinstance(kernel, Bilateral):
            if image is None:
                raise ValueError(f"{kernel} needs an image: forward(unary, image)")
            check_is_tensor("image", image)
            return Kernel(thetas[0], image.to(unary.dtype), thetas[1], kernel.normalization)
        channels = extra.get(kernel.name) if isinstance(extra, Mapping) else extra
        if channels is None:
            raise ValueError(f"{kernel} needs its channels: forward(unary, image, extra={{{kernel.name!r}: ...}})")
        check_is_tensor("extra", channels)
        channels = channels.detach().to(unary.dtype)
        position = thetas[1] if len(thetas) > 1 else None
        if isinstance(kernel.theta, float):
            return Kernel(position, channels, thetas[0], kernel.normalization)
        if channels.ndim < 3 or channels.shape[1] != len(kernel.theta):
            raise ValueError(
                f"{kernel} must have a theta for each channel, and {kernel.name!r} is {tuple(channels.shape)}"
            )
        per_channel = torch.as_tensor(thetas[0], dtype=unary.dtype, device=unary.device)
        scaled = channels / per_channel.view(1, -1, *[1] * (channels.ndim - 2))
        return Kernel(position, scaled, 1.0, kernel.normalization, learn_features=len(self.log_thetas) > 0)

    def extra_repr(self) -> str:
        """What print() shows."""
        return f"{self.num_classes} classes, {list(self.kernels)}, iterations={self.iterations}"

    def load_caffemodel(self, path: str | os.PathLike[str], layer: str = caffemodel.LAYER) -> CrfRnn:
        """Copy the parameters of a MultiStageMeanfield layer from a .caffemodel or .caffemodel.h5; returns self.

        The layer's further bilateral kernels are the module's kernels after the second. Bandwidths that the module learns and the
        file does not have keep their values, with a warning in Caffe's log.

        Raises:
            CaffeError: the file cannot be read, has no such layer, the layer's blobs have other shapes, or it learned bandwidths
                and this module does not.
            ValueError: this module's weights or compatibility are not "full".
        """
        targets = self._blobs()
        matrices, learned = caffemodel.read_parameters(path, len(targets), layer)
        if matrices[0].shape != targets[0].shape:
            raise CaffeError(
                f"{os.fspath(path)}: layer {layer!r} has matrices of {len(matrices[0])} classes, this module "
                f"{self.num_classes}: another number of classes or of kernels"
            )
        thetas = self._layers_thetas()
        if learned is not None and len(learned) != len(thetas):
            raise CaffeError(
                f"{os.fspath(path)}: layer {layer!r} has learned {len(learned)} bandwidths, and this module {len(thetas)} of such: "
                "make CrfRnn with learn_bandwidths=True and the layer's kernels, a Spatial, then Bilaterals"
            )
        if learned is None and len(self.log_thetas):
            logger.warning("%s: no learned bandwidths there; the module's keep their values.", os.fspath(path))
        with torch.no_grad():
            for target, values in zip([*targets, *thetas], [*matrices, *([] if learned is None else learned)]):
                target.copy_(torch.from_numpy(np.array(values)))
        return self

    def save_caffemodel(self, path: str | os.PathLike[str], layer: str = caffemodel.LAYER) -> None:
        """Write the parameters as the layer of that name, for Caffe's `-weights` or Net.copy_from.

        Learned bandwidths of other kernels than the layer's (a Spatial, then Bilaterals, each with one number for both axes) are
        left out, with a warning in Caffe's log.

        Raises:
            CaffeError: the file cannot be written.
            ValueError: this module's weights or compatibility are not "full".
        """
        matrices, thetas = (
            [t.detach().float().cpu().numpy() for t in ts] for ts in (self._blobs(), self._layers_thetas())
        )
        if len(self.log_thetas) and not thetas:
            logger.warning("%s: model files have no place for learned bandwidths of these kernels.", os.fspath(path))
        caffemodel.write_parameters(path, matrices, np.array(thetas) if thetas else None, layer)

    def _blobs(self) -> list[Tensor]:
        """The matrices in the layer's order: the first two kernels', the compatibility, further kernels'."""
        if self._shape_of_weights != "full" or self._kind_of_compatibility != "full" or self._sets:
            raise ValueError(
                "Caffe's layer has full matrices for all iterations: make CrfRnn with weights='full', compatibility='full' "
                "and untied=False"
            )
        first, further = self.weights[:2], self.weights[2:]
        return [*first, self.compatibility, *further]

    def _layers_thetas(self) -> list[Tensor]:
        """The learned logarithms in the layer's order; none where the kernels are not the layer's."""
        first, *further = self.kernels
        learned = list(self.log_thetas)
        if (
            not isinstance(first, Spatial)
            or not further
            or not all(isinstance(kernel, Bilateral) for kernel in further)
        ):
            return []
        if any(t.ndim for t in learned):
            return []
        return [*learned[1:3], *learned[:1], *learned[3:]]
