"""pycaffe's compiled module, for scripts that take its classes from there (`isinstance(x, caffe._caffe.BlobVec)`).

Timer and NCCL are at home here: nothing but such scripts asks for them. The other names are those of package caffe, and BlobVec.
"""

from typing import Any

import caffe


def __getattr__(name: str) -> Any:
    if name == "BlobVec":
        from caffe.blob import BlobVec

        return BlobVec
    if name not in caffe.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(caffe, name)


def __dir__() -> list[str]:
    return sorted({"BlobVec", *caffe.__all__})
