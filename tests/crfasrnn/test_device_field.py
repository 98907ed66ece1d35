"""densecrf on a device of PyTorch: the numbers of the core's own path. Where there is no GPU, the device is torch's CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from caffe.errors import CaffeError
from crfasrnn import densecrf
from crfasrnn.device_field import DeviceField, cuda_device

HAS_CUDA = torch.cuda.is_available()
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device")),
]


def made(normalization: int, kind: Callable[..., densecrf.DenseCRF2D] = densecrf.DenseCRF2D) -> densecrf.DenseCRF2D:
    """Position; position and colour; 30 features of its own; full compatibilities; a label excluded at some pixels."""
    rng = np.random.default_rng(0)
    crf = kind(9, 7, 4)
    energies = rng.random((4, 63))
    energies[1, 5:9] = np.inf
    crf.setUnaryEnergy(energies)
    scale = 1 if normalization else 0.05
    crf.addPairwiseGaussian((2, 3), 3 * scale, normalization=normalization)
    colours = rng.integers(0, 256, (7, 9, 3))
    crf.addPairwiseBilateral(8, (60, 70, 80), colours, -scale * np.arange(4.0), normalization=normalization)
    crf.addPairwiseEnergy(rng.normal(size=(30, 63)) * 0.2, -scale * rng.random((4, 4)), normalization=normalization)
    return crf


@pytest.fixture(params=DEVICES)
def on_device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., densecrf.DenseCRF2D]:
    """DenseCRF2D that computes by a DeviceField; "cpu" alone would choose the core's own path."""
    if request.param == "cpu":
        monkeypatch.setattr("crfasrnn.device_field.cuda_device", lambda device: torch.device("cpu"))
    return lambda *sizes: densecrf.DenseCRF2D(*sizes, device="cuda")


@pytest.mark.parametrize("normalization", list(densecrf.NormalizationType), ids=lambda n: n.name.lower())
def test_equals_the_core(normalization: int, on_device: Callable[..., densecrf.DenseCRF2D]) -> None:
    here, there = made(normalization), made(normalization, on_device)
    for niter in (0, 1, 5):
        q = there.inference(niter)
        assert q.dtype == np.float32
        assert np.abs(q - here.inference(niter)).max() < 1e-5
        assert there.klDivergence(q) == pytest.approx(here.klDivergence(q), rel=1e-4)
    q, *work = there.startInference()
    for _ in range(5):
        there.stepInference(q, *work)
    assert np.abs(q - here.inference(5)).max() < 1e-5


def test_no_kernels(on_device: Callable[..., densecrf.DenseCRF2D]) -> None:
    assert np.allclose(on_device(3, 2, 4).inference(3), 0.25)


def test_features_that_cannot_be_used(on_device: Callable[..., densecrf.DenseCRF2D]) -> None:
    crf = on_device(3, 2, 2)
    with pytest.raises(ValueError, match="NaN or infinite"):
        crf.addPairwiseEnergy(np.full((1, 6), np.nan), 1)
    with pytest.raises(ValueError, match="1 to 32 features, the position included, got 33"):
        crf.addPairwiseEnergy(np.zeros((33, 6)), 1)
    with pytest.raises(ValueError, match="1 to 32 features, the position included, got 33"):
        crf.addPairwiseBilateral(1, 1, np.zeros((2, 3, 31)), 1)
    crf.addPairwiseEnergy(np.full((1, 6), 1e9), 1)
    with pytest.raises(ValueError, match="standard deviations from the origin"):
        crf.inference(1)


def test_scores_of_nan_name_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a CUDA device gives them for features that are too large, without an error of its own."""
    field = DeviceField(torch.device("cpu"), 2, (2, 3))
    field.add(np.zeros((1, 1, 2, 3)), (0.0, 0.0), 2, np.eye(2))
    monkeypatch.setattr("crfasrnn.device_field.mean_field_kernels", lambda unary, *_, **__: unary * float("nan"))
    with pytest.raises(ValueError, match="standard deviations from the origin"):
        field.mean_field(np.zeros((2, 6), np.float32), 1)


@pytest.mark.parametrize("device", ["meta", "nowhere", "cuda:x", None, 1.5])
def test_what_is_no_cuda_device(device: object) -> None:
    with pytest.raises(ValueError, match='device must be "cpu" or a CUDA device'):
        cuda_device(device)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(CaffeError, match=r'Cannot use device "cuda:99": PyTorch finds \d+ CUDA device'):
        densecrf.DenseCRF(4, 2, device="cuda:99")


def test_the_cpu_by_name() -> None:
    for device in ("cpu", torch.device("cpu")):
        assert densecrf.DenseCRF(4, 2, device=device).inference(0).shape == (2, 4)
