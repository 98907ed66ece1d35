"""The mean field as ONNX operators: every option run operator by operator, and a user's model exported by torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from caffe.errors import CaffeError
from crfasrnn import CrfRnn
from crfasrnn.crf import Bilateral, Features, Spatial
from crfasrnn.crf import operator as crf_operator
from crfasrnn.crf.call import Call
from crfasrnn.export.onnx_mean_field import onnx_translations

onnxscript = pytest.importorskip("onnxscript", reason="it makes the operators: pip install 'crfasrnn[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="it runs the operators: pip install 'crfasrnn[onnx]'")


def one_by_one(
    monkeypatch: pytest.MonkeyPatch, crf: CrfRnn, *arguments: Any, **named: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The scores by the operators of ONNX on what the module hands to its operator, and those of the module."""
    seen: list[Call] = []

    def record(call: Call) -> Any:
        seen.append(call)
        return crf_operator.forward_on_cpu(call)

    monkeypatch.setitem(crf_operator.KERNELS, "cpu", (record, crf_operator.backward_on_cpu))
    with torch.no_grad():
        expected = crf(*arguments, **named)

    def given(value: Any) -> Any:
        if isinstance(value, list):
            return [given(one) for one in value]
        return onnxscript.tensor.Tensor(value.detach().numpy()) if isinstance(value, Tensor) else value

    (translation,) = onnx_translations().values()
    scores = translation(*(given(value) for value in seen[0]))[0].value
    return np.array(scores).reshape(expected.shape), expected.numpy()


COLOURS = Bilateral(theta_alpha=8.0, theta_beta=40.0, weight=2.0)
VARIANTS: dict[str, dict[str, Any]] = {
    "the paper's": {},
    "untied": {"untied": True},
    "relu": {"activation": "relu", "kernels": [Spatial(weight=0.1), Bilateral(8.0, 40.0, weight=0.1)]},
    "per class, symmetric": {"weights": "per_class", "compatibility": "symmetric"},
    "none": {"kernels": [Spatial(normalization="none", weight=0.1), COLOURS]},
    "before": {"kernels": [Spatial(normalization="before"), COLOURS]},
    "symmetric": {"kernels": [Spatial(theta=(2.0, 3.0), normalization="symmetric"), COLOURS]},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_option(monkeypatch: pytest.MonkeyPatch, variant: dict[str, Any]) -> None:
    torch.manual_seed(0)
    images = 1 if variant else 2
    crf = CrfRnn(3, **{"iterations": 2, **variant})
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    actual, expected = one_by_one(monkeypatch, crf, torch.randn(images, 3, 9, 12), 255 * torch.rand(images, 3, 9, 12))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_features_of_ones_own_and_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    crf = CrfRnn(2, [Spatial((2.0, 2.0, 1.0)), Features(0.2, name="depth")], iterations=2)
    unary, depth = torch.randn(1, 2, 3, 6, 5), torch.rand(1, 1, 3, 6, 5)
    actual, expected = one_by_one(monkeypatch, crf, unary, extra={"depth": depth})
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_what_has_no_form_in_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    unary, mask = torch.randn(1, 2, 4, 5), torch.ones(1, 4, 5, dtype=torch.bool)
    crf = CrfRnn(2, [Spatial()], iterations=1)
    with pytest.raises(CaffeError, match="a CRF with a mask has no form in ONNX"):
        one_by_one(monkeypatch, crf, unary, mask=mask)
    with pytest.raises(CaffeError, match=r"float32, not .*: call .float\(\)"):
        one_by_one(monkeypatch, crf.double(), unary.double())
    crf = CrfRnn(2, [Features(0.2, theta_position=3.0)], iterations=1)
    with pytest.raises(CaffeError, match="kernel 0 compares 7 features; in ONNX 6 are possible"):
        one_by_one(monkeypatch, crf, unary, extra=torch.rand(1, 5, 4, 5))


class Segmentation(nn.Module):
    """A small network of the user's, and CRF-RNN on top."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Conv2d(3, 3, 3, padding=1)
        self.crf = CrfRnn(3, [Spatial(), COLOURS], iterations=2)

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.crf(self.network(image / 255), image)
        return scores


@pytest.mark.filterwarnings("ignore")
def test_a_model_for_photographs_of_any_size(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="torch.onnx.export needs it: pip install 'crfasrnn[onnx]'")
    torch.manual_seed(0)
    model, path = Segmentation().eval(), tmp_path / "model.onnx"
    size = ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)
    torch.onnx.export(
        model,
        (torch.rand(1, 3, 10, 14),),
        path,
        input_names=["image"],
        dynamic_shapes=size,
        custom_translation_table=onnx_translations(),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path))
    for height, width in ((10, 14), (21, 9)):
        image = 255 * torch.rand(1, 3, height, width)
        with torch.no_grad():
            expected = model(image).numpy()
        (actual,) = session.run(None, {"image": image.numpy()})
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)
