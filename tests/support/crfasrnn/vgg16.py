"""VGG-16 as PyTorch has it, with few channels and random weights, and under the names of SSD's reduced one."""

from __future__ import annotations

import torch
from torch import nn

from crfasrnn.networks.vgg import BLOCKS

WIDTH, HIDDEN = 8, 16


class VGG(nn.Module):
    """torchvision.models.VGG without its average pooling, which changes nothing at 224 x 224."""

    def __init__(self, blocks: tuple[tuple[int, ...], ...], hidden: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        below = 3
        for widths in blocks:
            for width in widths:
                layers += [nn.Conv2d(below, width, 3, padding=1), nn.ReLU()]
                below = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(below * 49, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, classes),
        )  # fmt: skip


def narrow_vgg16() -> VGG:
    """In evaluation mode, the same whenever it is asked for."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = VGG(tuple((WIDTH,) * len(widths) for widths in BLOCKS), HIDDEN, 5).eval()
        for layer in model.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.normal_(layer.bias, std=0.2)
    return model


def reduced_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Its convolutions as vgg16_reducedfc.pth has them, with fc6 a 3 x 3 and fc7 a 1 x 1 convolution."""
    kept = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    shapes = {
        "31.weight": (HIDDEN, WIDTH, 3, 3),
        "31.bias": (HIDDEN,),
        "33.weight": (HIDDEN, HIDDEN, 1, 1),
        "33.bias": (HIDDEN,),
    }
    return {**kept, **{key: torch.ones(shape) for key, shape in shapes.items()}}
