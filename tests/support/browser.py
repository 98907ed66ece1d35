"""Debian's chromium through selenium, for tests of pages; and what they are skipped for where there is none."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1360,1200",
)


def missing() -> str:
    """What is not here that the page's tests need; nothing where all is."""
    lacking = [f"Python package {name}" for name in ("gradio", "selenium") if find_spec(name) is None]
    lacking += [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return ", ".join(lacking)


@contextmanager
def browser(downloads: Path) -> Iterator[Any]:
    """A browser without a window, with a profile of its own, that saves into `downloads` and logs its requests."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for option in _OPTIONS:
        options.add_argument(option)
    options.binary_location = shutil.which("chromium") or ""
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def eventually(ask: Callable[[], Found], seconds: float = 60) -> Found:
    """What `ask` gives as soon as that is something. Fails the test after so many seconds."""
    ends = time.monotonic() + seconds
    while True:
        found = ask()
        if found:
            return found
        assert time.monotonic() < ends, "it has not come"
        time.sleep(0.1)


def requested(driver: Any) -> set[str]:
    """The addresses that the browser has asked for since this was last called, but for those that are data themselves."""
    messages = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    asked = {
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    }
    return {address for address in asked if not address.startswith(("data:", "blob:"))}
