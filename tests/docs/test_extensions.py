"""What makes pages of docstrings and of files that stand elsewhere: small texts against what they must become."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.extensions.elsewhere import with_links
from docs.extensions.plain_docstrings import restructured

ROOT = Path("/repository")
PAGES = {
    ROOT / "CHANGELOG.md": ROOT / "docs" / "changelog.md",
    ROOT / "models" / "a" / "README.md": ROOT / "docs" / "a.md",
}


def changed(text: str, source: str, page: str) -> str:
    return with_links(text, ROOT / source, ROOT / page, PAGES)


def test_links_follow_their_files() -> None:
    text = "[new](CHANGELOG.md#on-a-gpu), [page](docs/how/to.md), ![picture](docs/a.png), [web](https://x.org/a.md), [here](#part)"
    assert changed(text, "README.md", "docs/how/readme.md") == (
        "[new](../changelog.md#on-a-gpu), [page](to.md), ![picture](../a.png), [web](https://x.org/a.md), [here](#part)"
    )
    assert changed("[its card](../../models/a/README.md)", "docs/how/to.md", "docs/how/to.md") == "[its card](../a.md)"
    assert changed("([a](docs/a.md)). `b` ([c](docs/c.md))", "X.md", "docs/x.md") == "([a](a.md)). `b` ([c](c.md))"


def test_links_in_code_stay() -> None:
    text = "    x[0](a.md)\n\n```python\ny[0](a.md)\n```\n[z](a.md)\n"
    assert changed(text, "README.md", "docs/readme.md") == text.replace("[z](a.md)", "[z](../a.md)")


def test_folders_lose_their_link(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    page = tmp_path / "docs" / "x.md"
    assert with_links("[examples](../examples) has it", page, page, {}) == "`examples` has it"


def test_docstrings_keep_what_looks_like_markup() -> None:
    assert restructured(["Sum of |x|*2 over `n`; see x_ and mu_k."]) == [
        "Sum of \\|x\\|\\*2 over ``n``; see x\\_ and mu_k."
    ]
    assert restructured(["As:", "", "    Q = |x|", "", ">>> a_ = 1", ">>> b*2", "2"]) == [
        "As:", "", "::", "", "    Q = |x|", "", ">>> a_ = 1", ">>> b*2", "2",
    ]  # fmt: skip


def test_arguments_without_a_title_get_one() -> None:
    lines = ["Do it.", "", "size: of all,", "    in pixels.", "pad: *n* more.", "Raises what it must."]
    assert restructured(lines) == [
        "Do it.", "", "Args:", "    size: of all,", "        in pixels.", "    pad: \\*n\\* more.", "", "Raises what it must.",
    ]  # fmt: skip
    with_title = ["Do it.", "", "Args:", "    size: |n|,", "        in pixels."]
    assert restructured(with_title) == ["Do it.", "", "Args:", "    size: \\|n\\|,", "        in pixels."]


def test_formulas_become_mathml() -> None:
    pytest.importorskip("sphinx", reason="the site needs sphinx: make setup-docs")
    from docs.extensions.mathml import mathml

    assert "<mfrac>" in mathml(r"\frac{1}{2}", block=True)
    assert 'display="block"' in mathml("a", block=True)
    assert 'display="block"' not in mathml("a", block=False)
