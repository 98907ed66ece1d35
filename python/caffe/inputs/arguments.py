"""Numbers as callers have them: Python's, NumPy's, or in arrays and tensors without axes; errors name the argument."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt


def _plain(name: str, value: Any, wanted: str) -> int | float:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        try:
            value = value.item()
        except RuntimeError:  # a tensor that has no values
            raise TypeError(f"{name} must be {wanted}, not a tensor without values") from None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {wanted}, not {type(value).__name__} ({_shortened(value)})")
    return value if isinstance(value, int) else float(value)


def _shortened(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def number(name: str, value: Any) -> float:
    """The argument as a float, which may be NaN or infinite.

    Raises:
        TypeError: it is no number; bool, strings and arrays with axes are none.

    >>> import numpy as np
    >>> from caffe.inputs.arguments import number
    >>> number("theta", np.float32(3)), number("theta", np.array(2))
    (3.0, 2.0)
    """
    try:
        return float(_plain(name, value, "a number"))
    except OverflowError:
        raise ValueError(f"{name} is too large for a number: {_shortened(value)}") from None


def below_one(name: str, value: Any) -> float:
    """The argument as a float of at least 0 and below 1, such as the least probability that matters.

    Raises:
        TypeError: it is no number.
        ValueError: it is outside.
    """
    found = number(name, value)
    if not 0 <= found < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {found}")
    return found


def integer(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """The argument as an int; floats that are whole are accepted, as a division gives them.

    Raises:
        TypeError: it is no number.
        ValueError: it is not whole, or not within the bounds.

    >>> from caffe.inputs.arguments import integer
    >>> integer("w", 48 / 2)
    24
    """
    bounds = f"of at least {least}" if most is None else f"of {least} to {most}"
    plain = _plain(name, value, f"an integer {bounds}")
    whole = isinstance(plain, int) or plain.is_integer()
    if not whole or plain < least or (most is not None and plain > most):
        raise ValueError(f"{name} must be an integer {bounds}, got {_shortened(value)}")
    return int(plain)


def has_axes(value: Any) -> bool:
    """Whether it is a sequence, array or tensor of numbers rather than one number."""
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0


def instance(name: str, value: Any, *kinds: type[Any]) -> None:
    """Raise TypeError unless the argument is of one of these classes.

    >>> from caffe.inputs.arguments import instance
    >>> instance("net", [], str)
    Traceback (most recent call last):
        ...
    TypeError: net must be a str, not list ([])
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be a {wanted}, not {type(value).__name__} ({_shortened(value)})")


def array(name: str, value: Any, dtype: npt.DTypeLike | None = np.float32) -> npt.NDArray[Any]:
    """The argument as an array of that dtype (None: its own), C-contiguous; not copied where it is one already.

    Raises:
        TypeError: it holds something else than numbers.
        ValueError: its parts have different lengths.
    """
    try:
        found = np.asarray(value)
        if found.dtype.kind in "biuf":
            return np.asarray(found, dtype, order="C")
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}") from None
    except (
        TypeError,
        RuntimeError,
        OverflowError,
    ) as error:  # RuntimeError: a tensor with a gradient, or without memory
        raise TypeError(f"{name} is no array: {error}") from None
    raise TypeError(f"{name} must be an array of numbers, not {type(value).__name__} ({_shortened(value)})")


def byte_array(name: str, value: Any) -> npt.NDArray[np.uint8]:
    """The argument as a uint8 array; not copied where it is one already.

    Raises:
        TypeError, ValueError: as `array`, and for numbers that are not whole or not within 0 to 255.

    >>> from caffe.inputs.arguments import byte_array
    >>> byte_array("labels", [[0, 255]])
    array([[  0, 255]], dtype=uint8)
    """
    found = array(name, value, None)
    if found.dtype.kind == "f" or (found.size and not 0 <= int(found.min()) <= int(found.max()) <= 255):
        raise ValueError(f"{name} must be whole numbers of 0 to 255")
    return found.astype(np.uint8, copy=False)
