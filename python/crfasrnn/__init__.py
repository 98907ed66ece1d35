"""CRF-RNN: semantic segmentation with conditional random fields as recurrent neural networks (Zheng et al. 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crfasrnn.crf.module import CrfRnn
    from crfasrnn.segmentation.segmenter import Segmentation, Segmenter

__all__ = ["CrfRnn", "Segmentation", "Segmenter"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `crfasrnn --help` should not wait for torch.
    if name == "CrfRnn":
        from crfasrnn.crf.module import CrfRnn

        return CrfRnn
    if name in __all__:
        from crfasrnn.segmentation import segmenter

        return getattr(segmenter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
