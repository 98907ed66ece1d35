"""Pages whose text stands elsewhere in the repository, and links that are right on the site as well as in the repository.

`elsewhere_pages` of conf.py names them: the page in docs/ is a line with a link, for who reads the repository; the site has its
text. Links to such a file lead to its page. Other files outside docs/ are downloads; folders are named without a link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def with_links(text: str, source: Path, page: Path, pages: Mapping[Path, Path]) -> str:
    """The text of `source` as that of `page`, with its relative links changed; `pages` has the pages that stand for files.

    All paths are absolute. Code blocks stay as they are.
    """

    def changed(link: re.Match[str]) -> str:
        image, label, target = link.groups()
        path, mark, fragment = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return link[0]
        file = Path(os.path.normpath(source.parent / path))
        if not image and file.is_dir():
            return label if label.startswith("`") else f"`{label}`"
        file = pages.get(file, file)
        return f"{image}[{label}]({Path(os.path.relpath(file, page.parent)).as_posix()}{mark}{fragment})"

    parts = re.split(r"(^```.*?^```$|^(?:    [^\n]*\n)+)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if number % 2 else _LINK.sub(changed, part) for number, part in enumerate(parts))


def _read(app: Any, name: str, content: list[str]) -> None:
    root, docs = Path(app.srcdir).parent, Path(app.srcdir)
    files = {docs / f"{page}.md": root / file for page, file in app.config.elsewhere_pages.items()}
    page = docs / f"{name}.md"
    source = files.get(page, page)
    if source != page:
        content[0] = source.read_text(encoding="utf-8")
        app.env.note_dependency(str(source))
    content[0] = with_links(content[0], source, page, {file: stub for stub, file in files.items()})


def setup(app: Any) -> dict[str, Any]:
    """Change each page as it is read."""
    app.add_config_value("elsewhere_pages", {}, "env")
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
