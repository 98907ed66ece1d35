"""The CRF-RNN layer: the module, the functions beneath it, and its loss. Names are loaded when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crfasrnn.crf.functional import Kernel, mean_field, mean_field_kernels, permutohedral_filter
    from crfasrnn.crf.losses import LovaszSoftmaxLoss, RobustLogLikelihoodLoss, lovasz_softmax, robust_log_likelihood
    from crfasrnn.crf.module import Bilateral, CrfRnn, Features, Spatial

_HOME = {
    "Bilateral": "module",
    "CrfRnn": "module",
    "Features": "module",
    "Kernel": "functional",
    "LovaszSoftmaxLoss": "losses",
    "RobustLogLikelihoodLoss": "losses",
    "Spatial": "module",
    "mean_field": "functional",
    "mean_field_kernels": "functional",
    "permutohedral_filter": "functional",
    "lovasz_softmax": "losses",
    "robust_log_likelihood": "losses",
}

__all__ = [
    "Bilateral",
    "CrfRnn",
    "Features",
    "Kernel",
    "LovaszSoftmaxLoss",
    "RobustLogLikelihoodLoss",
    "Spatial",
    "lovasz_softmax",
    "mean_field",
    "mean_field_kernels",
    "permutohedral_filter",
    "robust_log_likelihood",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"crfasrnn.crf.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
