"""`crfasrnn export`: what it writes, prints and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.commands import refusal, run
from support.crfasrnn.models import save_net, with_crf

import crfasrnn.crf.operator  # noqa: F401  # what is exported calls it


@pytest.mark.filterwarnings("ignore")
def test_a_model_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prototxt, weights = save_net(tmp_path, with_crf)
    model = ("--model", prototxt, "--weights", weights)
    out = run(capsys, "export", tmp_path / "m.pt2", *model, "--shape", 12, 16)
    assert out.startswith(f"{tmp_path / 'm.pt2'}: image 1 x 3 x 12 x 16, scores of 3 classes, ")
    assert torch.export.load(tmp_path / "m.pt2").module()(torch.zeros(1, 3, 12, 16)).shape == (1, 3, 12, 16)


def test_wrong_endings_and_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "OUTPUT must end with .onnx or .pt2, not 'm.txt'" in refusal(capsys, "export", tmp_path / "m.txt")
    wrong = refusal(capsys, "export", tmp_path / "m.onnx", "--format", "aoti")
    assert "OUTPUT must end with .pt2, as --format aoti is, not 'm.onnx'" in wrong
    assert "no model 'nix'" in refusal(capsys, "export", tmp_path / "m.pt2", "--model", "nix")
    missing = refusal(capsys, "export", tmp_path / "none" / "m.pt2", "--shape", 12, 16)
    assert "cannot be written: No such file or directory" in missing
    assert list(tmp_path.iterdir()) == []
