"""The CRF as a recurrent network behind any network's scores (Zheng et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from crfasrnn.crf import options
from crfasrnn.crf.caffemodel import LAYER

ITERATIONS_TRAIN = 5
ITERATIONS_DEPLOY = 10


@dataclass(frozen=True)
class Kernels:
    """Widths of the two Gaussian kernels (pixels, pixels, grey levels) and their starting weights."""

    theta_alpha: float = 160
    theta_beta: float = 3
    theta_gamma: float = 3
    spatial_weight: float = 3
    bilateral_weight: float = 5


PUBLISHED = Kernels()


@dataclass(frozen=True)
class Bilateral:
    """One more bilateral kernel: its widths in pixels and grey levels."""

    theta_alpha: float
    theta_beta: float


@dataclass(frozen=True)
class Variant:
    """What the paper's section 7.1 varies, the activation of section 6, and what it leaves open.

    kernel_weights: one of crfasrnn.crf.options.WEIGHTS; the released layer's are "full".
    compatibility: one of COMPATIBILITIES there.
    untied: every iteration has parameters of its own.
    activation: one of ACTIVATIONS there.
    learn_bandwidths: the widths of all kernels are learned, too (by their logarithms).
    bilaterals: kernels beyond the two (section 4.2), each with weights of its own. All bilateral kernels start from equal weights,
        together as large as the one's would be.
    """

    kernel_weights: str = "full"
    compatibility: str = "full"
    untied: bool = False
    activation: str = "softmax"
    learn_bandwidths: bool = False
    bilaterals: tuple[Bilateral, ...] = ()

    def kernels(self, start: Kernels) -> Kernels:
        """Where training starts: without softmax, Q grows from iteration to iteration unless the weights sum to less than one."""
        if self.activation == "relu":
            start = replace(start, spatial_weight=0.3, bilateral_weight=0.5)
        return replace(start, bilateral_weight=start.bilateral_weight / (1 + len(self.bilaterals)))

    def fields(self, start: Kernels) -> dict[str, Any]:
        """What differs from the released layer, for multi_stage_meanfield_param. start: what `kernels` gave."""
        fields: dict[str, Any] = {}
        if self.kernel_weights != "full":
            fields["kernel_weights"] = options.in_prototxt(self.kernel_weights)
        if self.compatibility == "symmetric":
            fields["symmetric_compatibility"] = True
        if self.untied:
            fields["untied"] = True
        if self.activation != "softmax":
            fields["activation"] = options.in_prototxt(self.activation)
        if self.learn_bandwidths:
            fields["learn_bandwidths"] = True
        if self.bilaterals:
            fields["bilateral"] = [{**asdict(kernel), "weight": start.bilateral_weight} for kernel in self.bilaterals]
        return fields


def mean_field(
    n: NetSpec,
    scores: Top,
    num_classes: int,
    iterations: int,
    rates: Sequence[float] = (10000, 10000, 1000),
    kernels: Kernels | None = None,
    variant: Variant | None = None,
    bandwidth_rate: float = 10,
) -> Top:
    """Add the layer `inference1`: `iterations` mean-field updates of the scores, steered by the image; returns blob `pred`.

    rates: learning-rate factors of the spatial weights, the bilateral weights and the compatibilities.
    bandwidth_rate: that of the logarithms of the kernels' widths, where the variant learns them.
    """
    variant = variant or Variant()
    kernels = variant.kernels(kernels or PUBLISHED)
    if variant.compatibility == "potts":
        rates = (*rates[:2], 0)
    rates = [*rates, *[rates[1]] * len(variant.bilaterals), *([bandwidth_rate] if variant.learn_bandwidths else [])]
    n.unary, n.Q0 = L.Split(scores, ntop=2, name="splitting")
    n.pred = L.MultiStageMeanfield(
        n.unary,
        n.Q0,
        n.data,
        name=LAYER,
        param=[{"lr_mult": rate} if rate else {"lr_mult": 0, "decay_mult": 0} for rate in rates],
        multi_stage_meanfield_param={
            "num_iterations": iterations,
            "compatibility_mode": "POTTS",
            "threshold": 2,
            "theta_alpha": kernels.theta_alpha,
            "theta_beta": kernels.theta_beta,
            "theta_gamma": kernels.theta_gamma,
            "spatial_filter_weights_str": _per_class(kernels.spatial_weight, num_classes),
            "bilateral_filter_weights_str": _per_class(kernels.bilateral_weight, num_classes),
            **variant.fields(kernels),
        },
    )
    return n.pred


def _per_class(weight: float, num_classes: int) -> str:
    return " ".join([f"{weight:g}"] * num_classes)
