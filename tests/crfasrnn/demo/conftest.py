"""The page, served once for all its tests, and browsers that visit it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.browser import browser, missing
from support.demo import demo


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the page is, with the bundled model."""
    if missing():
        pytest.skip(f"THE DEMO PAGE IS NOT TESTED: not here: {missing()}")
    with demo() as found:
        yield found


@pytest.fixture
def visitor(address: str, tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Opens a browser of its own at each call, which saves downloads into tmp_path."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(browser(tmp_path))
