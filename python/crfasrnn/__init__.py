"""CRF-RNN: semantic segmentation with conditional random fields as recurrent neural networks (Zheng et al. 2015)."""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from importlib.util import find_spec
from pkgutil import iter_modules
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
    if name == "__version__":
        return metadata.version(__name__)
    if name == "_core" and find_spec(f"{__name__}._core") is None:
        raise _not_built()
    if not name.isidentifier() or name.startswith("_") or find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def _not_built() -> ImportError:
    """What is wrong where the compiled core is missing; a CaffeError, too, so that commands say it in one sentence."""
    from caffe.errors import CaffeError

    class NotBuiltError(CaffeError, ImportError):
        pass

    return NotBuiltError(
        f"crfasrnn has no compiled core for this Python ({sys.executable}): {__path__[0]!r} is a source tree that was not built; "
        "run `make setup` in the checkout and use its .venv/bin/python, or `pip install .` there"
    )


def __dir__() -> list[str]:
    modules = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return sorted({*__all__, *modules, *(name for name in globals() if name.startswith("__"))})
