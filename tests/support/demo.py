"""The command `crfasrnn demo` as a process, and its page as a visitor sees it."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.browser import eventually
from support.warm import python


@contextmanager
def demo(*arguments: str | Path, environment: dict[str, str] | None = None) -> Iterator[str]:
    """Run the command while the block runs; yields the page's address. It must end cleanly when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # nobody else's who tests at the same time
        port = free.getsockname()[1]
    command = [python(), "-m", "crfasrnn", "demo", "--port", str(port), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert " shows the page; Ctrl-C ends it" in line, process.communicate()[1]
        yield line.split()[0]
    finally:
        process.send_signal(signal.SIGTERM)  # does what Ctrl-C does, which a shell's background jobs ignore
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines() == ["interrupted"]


class Page:
    """One tab of the page in a browser; tab is "segment" or "own"."""

    def __init__(self, driver: Any, tab: str = "segment") -> None:
        self.driver, self.tab = driver, tab

    def all(self, selector: str) -> list[Any]:
        """The elements of a CSS selector."""
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def element(self, selector: str) -> Any:
        """The first one, as soon as there is one."""
        return eventually(lambda: self.all(selector))[0]

    def in_view(self, selector: str) -> Any:
        """The same, scrolled to where it can be clicked."""
        found = self.element(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
        return found

    def answers(self) -> int:
        """How many answers have been shown."""
        views = self.all(f"#crf-viewer-{self.tab} .crf-view:not(.empty)")
        return int(views[0].get_attribute("data-answer") or 0) if views else 0

    def strip(self) -> list[str]:
        """The pictures of Q."""
        program = "return [...document.querySelectorAll(arguments[0])].map((picture) => picture.src)"
        return list(self.driver.execute_script(program, f"#crf-strip-{self.tab} img"))

    @contextmanager
    def another_answer(self) -> Iterator[None]:
        """Wait, behind the block, for another answer than is there before it, and for its strip."""
        seen, strip = self.answers(), self.strip()
        yield
        eventually(lambda: self.answers() > seen)
        eventually(lambda: len(self.strip()) == 4 and self.strip() != strip)

    def upload(self, path: Path, where: str = "photograph") -> None:
        """Give a file to an upload: "photograph", or the second tab's "mask" or "planes"."""
        place = f"#crf-photograph-{self.tab}" if where == "photograph" else f"#crf-{where}"
        self.element(f"{place} input[type=file]").send_keys(str(path))

    def answer(self, path: Path, where: str = "photograph") -> None:
        """Give a file and wait for what comes of it."""
        with self.another_answer():
            self.upload(path, where)

    def shares(self) -> dict[str, str]:
        """What the legend says of each class."""
        return self._told("legend button", "b", "span")

    def facts(self) -> dict[str, str]:
        """The line below the legend."""
        return {name.strip(): value for name, value in self._told("facts span", "", "b").items()}

    def _told(self, each: str, name: str, value: str) -> dict[str, str]:
        """Pairs of texts within elements of the viewer; "" is what comes first."""
        program = """
            const [each, name, value] = arguments;
            const text = (element, inner) => (inner ? element.querySelector(inner) : element.firstChild).textContent;
            return [...document.querySelectorAll(each)].map((element) => [text(element, name), text(element, value)]);"""
        return dict(self.driver.execute_script(program, f"#crf-viewer-{self.tab} .crf-{each}", name, value))

    def complaint(self) -> str:
        """The sentence about what went wrong, as soon as there is one."""
        program = "return [...document.querySelectorAll('[role=alert]')].map((element) => element.textContent).join('')"
        return str(eventually(lambda: self.driver.execute_script(program)))

    def colours(self, side: str) -> int:
        """Of the canvas "before" or "after" a number that changes with what it shows."""
        program = """
            const [canvas] = arguments, data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return data.reduce((sum, value, i) => (31 * sum + value) % 1000003, 0);"""
        return int(self.driver.execute_script(program, self.element(f"#crf-viewer-{self.tab} canvas.crf-{side}")) or 0)


def opened(driver: Any, address: str, tab: str = "segment") -> Page:
    """Visit the page and go to one of its tabs, once the first has the answer that it opens with."""
    driver.get(address)
    page = Page(driver)
    eventually(lambda: page.answers() and page.strip())
    page.tab = tab
    if tab == "own":
        eventually(lambda: page.all("button[role=tab]"))[1].click()
        eventually(lambda: page.element("#crf-samples-own button.gallery-item").is_displayed())
    return page
