"""The blocks of docs/howto/export.md run in order, in a folder with a photograph: a small one, so that it does not take long."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import skimage.data
import torch
from support.commands import status
from support.reference_data import REPOSITORY

from crfasrnn.export.write import INPUT, OUTPUT
from crfasrnn.pictures.photographs import write_image

PAGE = (REPOSITORY / "docs" / "EXPORT.md").read_text(encoding="utf-8").replace("375 500", "48 64")


def test_it_names_input_and_output() -> None:
    assert f"`{INPUT}`" in PAGE
    assert f"`{OUTPUT}`" in PAGE


@pytest.mark.filterwarnings("ignore")
def test_its_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"the page needs {package}: pip install 'crfasrnn[onnx]'")
    monkeypatch.chdir(tmp_path)
    write_image("photo.jpg", skimage.data.cat()[:, :, ::-1].copy())
    torch.manual_seed(0)
    for command, block in re.findall(r"^    crfasrnn ([^\n]+)$|^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        if command:
            assert status(*command.split()) == 0
        else:
            exec(compile(block, "EXPORT.md", "exec"), {"__name__": "__main__"})
    assert "'cat'" in capsys.readouterr().out
    assert (tmp_path / "mine.onnx").stat().st_size > 1000
