"""The site of docs/ builds without a warning, loads nothing from elsewhere, has what it promises; each page has a test."""

from __future__ import annotations

import re
import subprocess
from html import unescape
from pathlib import Path

import pytest
from support.pages import SHELL, blocks
from support.reference_data import REPOSITORY
from support.warm import python

from crfasrnn.commands.main import COMMANDS

DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built strictly."""
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package, reason=f"the site needs {package}: make setup-docs")
    folder = tmp_path_factory.mktemp("site")
    command = [python(), "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html", str(DOCS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def text_of(page: Path) -> str:
    """What a page shows, without tags."""
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in PAGES:
        html = (site / page.relative_to(DOCS).with_suffix(".html")).read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"|<link\b[^>]*\bhref="([^"]+)"', html)
        outside = [target for pair in loaded for target in pair if re.match(r"(https?:)?//", target)]
        assert outside == [], page
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", sheet.read_text(encoding="utf-8")) == [], (
            sheet
        )


def test_what_docstrings_set_off_is_set_off(site: Path) -> None:
    """A `::` of a docstring's own is shown; `(N) int64` at the beginning of a text would be number N of a list."""
    for page in (site / "reference" / "python").glob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert re.findall(r"<pre>(?:<span></span>)?::\s*</pre>|<ol class=\"upperalpha[^>]*>", html) == [], page


def test_formulas_are_mathml(site: Path) -> None:
    source = (DOCS / "mathematics.md").read_text(encoding="utf-8")
    html = (site / "mathematics.html").read_text(encoding="utf-8")
    assert html.count("<math") == len(re.findall(r"\$\$.+?\$\$|\$[^$\n]+\$", source, re.DOTALL))
    assert html.count("<math") > 60
    assert "\\frac" not in html
    assert "system_message" not in html


def test_texts_from_elsewhere_are_pages(site: Path) -> None:
    assert "[0.1.0]" in text_of(site / "changelog.html")
    assert "Add a layer" in text_of(site / "contributing.html")
    benchmarks = (site / "benchmarks.html").read_text(encoding="utf-8")
    assert "Peak memory" in benchmarks
    card = (site / "models" / "voc-animals-slim.html").read_text(encoding="utf-8")
    assert re.search(r'href="\.\./results\.html"', card)
    assert re.search(r'src="\.\./_images/training\.png"', card)


def test_the_page_of_commands_has_their_help(site: Path) -> None:
    shown = " ".join(text_of(site / "reference" / "commands.html").split())
    assert [name for name in COMMANDS if f"usage: crfasrnn {name} " not in shown] == []
    assert "usage: crfasrnn data lmdb " in shown
    assert "--min-probability P" in shown
    assert "usage: convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME" in shown


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("crfasrnn", "crfasrnn.CrfRnn.forward crfasrnn.Segmenter.segment"),
        ("crf", "crfasrnn.crf.mean_field crfasrnn.crf.Kernel crfasrnn.crf.lovasz_softmax"),
        ("densecrf", "crfasrnn.densecrf.DenseCRF2D crfasrnn.utils.unary_from_softmax"),
        ("evaluation", "crfasrnn.evaluation.metrics.mean_iu crfasrnn.evaluation.bootstrap.compare"),
        ("../caffe", "caffe.Net.forward caffe.NetSpec caffe.SGDSolver caffe.coord_map.crop"),
    ],
)
def test_the_reference_has_public_names(page: str, names: str, site: Path) -> None:
    html = (site / "reference" / "python" / f"{page}.html").read_text(encoding="utf-8")
    assert [name for name in names.split() if f'id="{name}"' not in html] == []


def test_every_page_that_tells_what_to_type_is_run() -> None:
    """By a test of tests/docs that names it, by its path or by its stem in quotes."""
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    untested = [
        name
        for page in PAGES
        if any(block.language in (*SHELL, "python") for block in blocks(page.read_text(encoding="utf-8")))
        and (name := page.relative_to(REPOSITORY).as_posix()) not in tests
        and f'"{page.stem}"' not in tests
    ]
    assert untested == []
