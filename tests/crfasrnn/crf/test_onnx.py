"""Export: a model with the layer as a torch.export program; torch.onnx.export needs the translations of crfasrnn.export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from crfasrnn import CrfRnn

ANY_SIZE = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}  # height and width of N x C x H x W


class Segmentation(nn.Module):
    """A small network of the user's, and CRF-RNN on top."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fcn = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 5, 1),
            nn.ConvTranspose2d(5, 5, 4, stride=2, padding=1),
        )
        self.crf = CrfRnn(5, iterations=10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.crf(self.fcn(image), image)


@pytest.fixture
def model() -> Segmentation:
    return Segmentation().eval()


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.rand(1, 3, *size, generator=generator) * 2 for size in ((40, 56), (64, 80)))  # type: ignore[return-value]


def test_without_the_translations_the_exporter_says_so(model: Segmentation, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason=f"torch.onnx.export needs {package}: pip install '.[onnx]'")
    with pytest.raises(Exception, match=r"No ONNX function found for <OpOverload\(op='crfasrnn.mean_field'"):
        torch.onnx.export(model, (images()[0],), tmp_path / "whole.onnx", verbose=False)


def test_the_whole_model_is_saved_and_loaded_as_an_exported_program(model: Segmentation, tmp_path: Path) -> None:
    small, large = images()
    with torch.no_grad():
        program = torch.export.export(model, (small,), dynamic_shapes=(ANY_SIZE,))
        torch.export.save(program, tmp_path / "model.pt2")
        loaded = torch.export.load(tmp_path / "model.pt2").module()
        for image in (small, large):
            torch.testing.assert_close(loaded(image), model(image))
