"""CrfRnn behind other libraries' networks: both learn, and the CRF sees scores and colours of every pixel."""

from __future__ import annotations

import importlib
import math
from typing import Any

import pytest
import torch
from toy_pictures import batch

NEEDS = {
    "torchvision_segmentation": ["torchvision"],
    "segmentation_models_unet": ["segmentation_models_pytorch"],
    "transformers_segformer": ["transformers"],
    "transformers_maskformer": ["transformers", "scipy"],
}


@pytest.fixture(params=NEEDS)
def example(request: pytest.FixtureRequest) -> Any:
    """An example whose library is here; others skip and say why, be it not installed or made for another torch."""
    for package in NEEDS[request.param]:
        try:
            importlib.import_module(package)
        except Exception as problem:
            pytest.skip(f"{package} cannot be imported ({problem}): pip install 'crfasrnn[examples]'")
    return importlib.import_module(request.param)


def test_network_and_crf_learn_together(example: Any) -> None:
    torch.manual_seed(0)
    model = example.Refined(num_classes=3)
    before = {name: value.clone() for name, value in model.named_parameters()}
    losses = example.train(model, steps=2)
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert {name for name in before if name.startswith("crf.")} <= changed
    assert sum(name.startswith("network.") for name in changed) > 0.9 * (len(before) - 3)


def test_every_pixel_is_labelled_from_its_colour(example: Any) -> None:
    torch.manual_seed(0)
    model = example.Refined(num_classes=3)
    images, _ = batch(2, seed=7)
    given: list[torch.Tensor] = []
    model.crf.register_forward_pre_hook(lambda _, arguments: given.extend(arguments))
    labels = example.segment(model, images)
    scores, colours = given
    assert labels.shape == (2, 64, 64)
    assert labels.unique().numel() > 0
    assert set(labels.unique().tolist()) <= {0, 1, 2}
    assert scores.shape == (2, 3, 64, 64)
    assert torch.equal(colours, 255 * images)
    assert model.crf.iterations == 10
    # Without its kernels the CRF gives the scores back: they are scores before the soft-max.
    with torch.no_grad():
        for weight in model.crf.weights:
            weight.zero_()
        assert torch.allclose(model.crf(scores, colours), scores, atol=1e-5)


def test_toy_pictures_are_what_they_say() -> None:
    images, labels = batch(20, seed=3, height=40, width=56)
    assert images.shape == (20, 3, 40, 56)
    assert (images.min() >= 0, images.max() <= 1) == (True, True)
    for label, share in ((1, 0.75), (2, 0.75)):
        assert abs(float((labels == label).flatten(1).any(1).float().mean()) - share) < 0.3
        assert images.movedim(1, 3)[labels == label].mean(0).argmax() == (0 if label == 1 else 2)
    assert torch.equal(images, batch(20, seed=3, height=40, width=56)[0])
