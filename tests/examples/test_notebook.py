"""The notebook: every code cell runs, in order, and says what it should; it is stored without results."""

from __future__ import annotations

import json
import os
from typing import Any

import matplotlib.pyplot as plt
import pytest
from support.reference_data import REPOSITORY

NOTEBOOK = json.loads((REPOSITORY / "examples" / "crfasrnn.ipynb").read_text(encoding="utf-8"))


def test_it_is_a_notebook_without_results() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    cells = NOTEBOOK["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        assert cell["cell_type"] in ("code", "markdown")
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


def test_its_cells_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(
        "LD_LIBRARY_PATH", os.environ.get("LD_LIBRARY_PATH", "")
    )  # which OpenCV changes where it is imported first
    drawn = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plt.gcf()))
    plt.switch_backend("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(NOTEBOOK["cells"]):
        # What is installed there is what is being tested here.
        source = "".join(line for line in cell["source"] if not line.startswith("%"))
        if cell["cell_type"] == "code":
            exec(compile(source, f"cell {number}", "exec"), names)
    assert "'cat'" in capsys.readouterr().out
    assert len(drawn) == 2
    assert names["after"] > names["before"]
    assert names["losses"][-1] < names["losses"][0]
    assert names["right"] > 0.97
    plt.close("all")
