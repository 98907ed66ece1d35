"""Pseudo labels from class-activation maps: a classifier that saw only which objects are on a picture says where they are, and a
dense CRF brings that in line with the picture. What remains in doubt is void (255), which no training counts.

    python examples/pseudo_labels.py

For maps in files `crfasrnn densecrf photos/ cams/ -o labels/` does the same; convert_activation_maps.py makes them of pickles.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_pictures import batch

from crfasrnn.densecrf import DenseCRF2D
from crfasrnn.utils import unary_from_softmax

CLASSES = 2  # that the classifier knows: discs and squares; label 0 is the background


def classifier() -> nn.Sequential:
    """Convolutions, the last of which has a map for each class; its mean over the picture is the class's score."""
    layers: list[nn.Module] = []
    for inner, outer, stride in ((3, 16, 1), (16, 32, 2), (32, 32, 2)):
        layers += [nn.Conv2d(inner, outer, 3, stride, 1), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(32, CLASSES, 1))


def train(network: nn.Module, steps: int) -> None:
    """On whole pictures: which classes are there, nothing about where."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(steps):
        images, labels = batch(8, seed=step)
        present = torch.stack([(labels == label).flatten(1).any(1) for label in range(1, CLASSES + 1)], dim=1)
        loss = F.binary_cross_entropy_with_logits(network(images).mean((2, 3)), present.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def activation_maps(network: nn.Module, image: Tensor, present: Tensor) -> np.ndarray:
    """Maps (C, H, W) of 0 to 1, of an image (3, H, W); those of classes that are not `present` (C) are 0."""
    with torch.inference_mode():
        maps = F.interpolate(network(image[None]).relu(), image.shape[1:], mode="bilinear", align_corners=False)[0]
    maps = maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-6) * present[:, None, None]
    return maps.numpy()


def pseudo_labels(image: np.ndarray, maps: np.ndarray, sure: float = 0.7, power: float = 4.0) -> np.ndarray:
    """Labels (H, W) uint8 of an image (H, W, 3) uint8 RGB; 255 where no class reaches the probability `sure`.

    power: the background's share is (1 - the largest of the others) ** power: a higher one makes objects larger.
    """
    shares = np.concatenate([(1 - maps.max(0, keepdims=True)) ** power, maps])
    probabilities = (shares + 1e-3) / (shares + 1e-3).sum(0)
    field = DenseCRF2D(image.shape[1], image.shape[0], CLASSES + 1)
    field.setUnaryEnergy(unary_from_softmax(probabilities.astype(np.float32)))
    field.addPairwiseGaussian(sxy=2, compat=2)
    field.addPairwiseBilateral(sxy=20, srgb=25, rgbim=np.ascontiguousarray(image), compat=6)
    refined = np.asarray(field.inference(10)).reshape(shares.shape)
    return np.where(refined.max(0) >= sure, refined.argmax(0), 255).astype(np.uint8)


def overlap(labels: np.ndarray, truth: np.ndarray) -> list[float]:
    """Of each class: intersection over union; NaN for one that is not there. Void counts nowhere."""
    known, found = labels < 255, []
    for label in range(1, CLASSES + 1):
        both, either = (labels == label) & (truth == label), (labels == label) | (truth == label)
        found.append(both.sum() / (either & known).sum() if (truth == label).any() else np.nan)
    return found


def main(steps: int = 60) -> tuple[float, float]:
    """The mean overlap of the objects with the truth by the maps alone and of the pseudo labels, on pictures not trained on."""
    torch.manual_seed(0)
    network = classifier()
    train(network, steps)
    network.eval()
    overlaps = []
    images, truths = batch(8, seed=1000)
    for image, truth in zip(images, truths.numpy()):
        present = torch.tensor([bool((truth == label).any()) for label in range(1, CLASSES + 1)])
        maps = activation_maps(network, image, present)
        coarse = np.concatenate([np.full_like(maps[:1], 0.3), maps]).argmax(0)
        labels = pseudo_labels((255 * image).byte().permute(1, 2, 0).numpy(), maps)
        overlaps.append([overlap(coarse, truth), overlap(labels, truth)])
    before, after = np.nanmean(np.concatenate(overlaps, axis=1), axis=1).tolist()
    return before, after


if __name__ == "__main__":
    print("overlap with the truth: {:.2f} by the maps, {:.2f} of the pseudo labels".format(*main()))
