"""Settings of the dense CRF: their files, and what they do to labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe.errors import CaffeError
from crfasrnn.postprocessing.probabilities import read_probabilities
from crfasrnn.postprocessing.search import Sample
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_softmax


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Expecting value"),
        ("[1]", 'no object with a field "settings"'),
        ('{"settings": {"spatial": 3}}', "lists of numbers"),
        ('{"settings": {"spatial": [3, "x"]}}', "spatial needs 1 positive"),
        ('{"settings": {"bilateral": [3, 0, 1]}}', "bilateral needs 2 positive"),
        ('{"settings": {"iterations": 1.5}}', "iterations must be 0 to 10000, not 1.5"),
        ('{"settings": {"gamma": 1}}', "fields bilateral, iterations, spatial"),
    ],
)
def test_settings_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(CaffeError, match=rf"cannot read settings '.*settings.json': .*{message}"):
        CrfSettings.read(tmp_path / "settings.json")


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match=r"^cannot read settings '.*nope.json': No such file or directory$"):
        CrfSettings.read(tmp_path / "nope.json")


def test_settings_come_back_from_their_json(tmp_path: Path) -> None:
    settings = CrfSettings((2.5, 1.0), (40.0, 8.0, 0.0), 3)
    (tmp_path / "settings.json").write_text(json.dumps({"settings": settings.to_json(), "mean_iu": 0.5}))
    assert CrfSettings.read(tmp_path / "settings.json") == settings
    assert CrfSettings.from_json({"iterations": 0}) == CrfSettings(iterations=0)


def test_without_iterations_the_most_probable_labels_stay() -> None:
    rng = np.random.default_rng(0)
    energies = rng.random((3, 20), np.float32)
    labels = CrfSettings(iterations=0).labels(rng.integers(0, 256, (4, 5, 3), np.uint8), energies)
    np.testing.assert_array_equal(labels, energies.argmin(0).reshape(4, 5))
    with pytest.raises(CaffeError):
        CrfSettings().labels(np.zeros((4, 6, 3), np.uint8), energies)


@pytest.mark.parametrize(
    "settings", [CrfSettings(iterations=0), CrfSettings(), CrfSettings((2.0, 4.0), (20.0, 9.0, 3.0), 5)]
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_torch_labels_as_the_dense_crf_does(settings: CrfSettings, device: str, samples: list[Sample]) -> None:
    """But for single pixels, where both kinds of arithmetic round to another label."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    wrong = []
    for sample in samples:
        energies = unary_from_softmax(read_probabilities(sample.probabilities))
        image = sample.example.image()
        wrong.append(
            (settings.labels_on(torch.device(device), image, energies) != settings.labels(image, energies)).mean()
        )
    assert np.mean(wrong) < 0.002
