"""Prototxt text read, and refused."""

from __future__ import annotations

from typing import Any

import pytest

from caffe.proto import text


def upgraded(content: str) -> Any:
    """The net that a prototxt becomes."""
    return text.parse_net(content, source="net.prototxt")


def error_of(content: str) -> str:
    """What is said of a prototxt that is wrong."""
    with pytest.raises(text.PrototxtError) as caught:
        upgraded(content)
    return str(caught.value)
