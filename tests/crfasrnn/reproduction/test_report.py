"""Pages: ours beside the paper's figures, with the pictures."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pytest
from support.crfasrnn.reproduction import table_of

from caffe.errors import CaffeError
from crfasrnn.reproduction.report import markdown, write_docs


def test_page_of_results_shows_the_pictures(output: Path) -> None:
    shown = re.findall(r"^!\[.+\]\(results/slim_(\S+)\)$", (output / "RESULTS.md").read_text(), re.MULTILINE)
    assert shown == ["table1_cases.png", "table1_crf.png", "table1_training.png", "table1.png"]
    for name in shown:
        assert (output / "results" / f"slim_{name}").read_bytes() == (output / name).read_bytes()
        assert cv2.imread(str(output / name)) is not None


def test_the_page_shows_ours_and_the_papers(output: Path) -> None:
    page = (output / "table1.md").read_text()
    rows = {row["name"]: row for row in table_of(output, "table1")["rows"]}
    for name, papers in (("plain", "61.3 | 68.3"), ("plain-published", "63.7 | 69.5"), ("crfrnn", "69.6 | 72.9")):
        row, values = rows[name], [100 * run["mean_iu"] for run in rows[name]["runs"].values()]
        spread = f"{min(values):.2f} to {max(values):.2f}" if len(values) > 1 else ""
        assert f"| {row['title']} | {100 * row['mean_iu']:.2f} | {spread} | {len(values)} | {papers} |" in page
    assert "mean IU within so many pixels of void" in page
    assert page.split("\n", 1)[1] in (output / "RESULTS.md").read_text()
    for name in ("table1.png", "table1_training.png"):
        assert (output / name).read_bytes().startswith(b"\x89PNG")


def test_a_claim_stands_beside_its_interval_and_verdict(output: Path) -> None:
    page = (output / "table1.md").read_text()
    (item,) = (
        d for d in table_of(output, "table1")["differences"] if (d["first"], d["second"]) == ("untrained", "crf-only")
    )
    found = f"{100 * item['difference']:+.2f} ({100 * item['low']:+.2f} to {100 * item['high']:+.2f})"
    assert f"learning the CRF alone helps (section 7.1) | +1.0 | {found} | {item['verdict']} |" in page


def test_what_diverged_is_told(output: Path) -> None:
    content = table_of(output, "table1")
    content["diverged"] = {"ReLU": "iteration 3: the loss is nan"}
    assert "Without a result: ReLU (iteration 3: the loss is nan)" in markdown(content)


def test_without_tables_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match=r"no tables in .* yet"):
        write_docs([tmp_path], tmp_path / "RESULTS.md")
    assert not list(tmp_path.iterdir())
