"""Masks of a promptable model (Segment Anything and its kin) brought in line with the picture, without any training.

    python examples/promptable_masks.py

Such models draw a mask of 256 x 256 however large the photograph is; what is enlarged from it has soft, wobbly edges. Its logits
are the scores of two classes, object or not, and the CRF lets the photograph's own edges decide.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from toy_pictures import batch

from crfasrnn import CrfRnn
from crfasrnn.crf import Bilateral, Spatial


def sam_logits(model: Any, pixels: Tensor, point: tuple[float, float]) -> Tensor:
    """The best mask's logits (h, w) for a prompt, by transformers' SamModel.

    model: SamModel.from_pretrained("facebook/sam-vit-base"), which downloads it. pixels: (1, 3, S, S), normalized, the whole
    photograph scaled and padded as SamProcessor does. point: x and y, in pixels of these, of something on the object.
    """
    with torch.inference_mode():
        found = model(pixel_values=pixels, input_points=torch.tensor(point).view(1, 1, 1, 2))
    logits: Tensor = found.pred_masks[0, 0, found.iou_scores[0, 0].argmax()]
    return logits


@torch.inference_mode()
def refine(logits: Tensor, image: Tensor, object_size: float = 20.0, colour: float = 25.0) -> Tensor:
    """The mask (H, W) bool of an image (3, H, W), RGB of 0 to 255, from logits (h, w) that cover it all.

    object_size: how far, in pixels, alike colours are taken for one thing. colour: how much, of 255, colours vary on it.
    """
    full = F.interpolate(logits[None, None], image.shape[1:], mode="bilinear", align_corners=False)[0, 0]
    crf = CrfRnn(
        2,
        [Spatial(theta=2.0, weight=1.0), Bilateral(object_size, colour, weight=4.0)],
        iterations=10,
        weights="shared",
        compatibility="potts",
    )
    refined = crf(torch.stack([torch.zeros_like(full), full])[None], image[None])
    return refined[0].argmax(0) == 1


def overlap(mask: Tensor, truth: Tensor) -> float:
    """Intersection over union."""
    return ((mask & truth).sum() / (mask | truth).sum().clamp(min=1)).item()


def main() -> tuple[float, float]:
    """The mean overlap with the truth, before and after, of masks at an eighth of the resolution with blobs missing."""
    torch.manual_seed(0)
    images, labels = batch(8, seed=1000)
    before, after, count = 0.0, 0.0, 0
    for image, truth in zip(images, labels == 1):
        if not truth.any():
            continue
        logits = 6 * F.avg_pool2d(truth[None].float(), 8)[0] - 3 + torch.randn(8, 8)
        enlarged = F.interpolate(logits[None, None], truth.shape, mode="bilinear", align_corners=False)[0, 0] > 0
        before += overlap(enlarged, truth)
        after += overlap(refine(logits, 255 * image), truth)
        count += 1
    return before / count, after / count


if __name__ == "__main__":
    print("overlap with the truth: {:.2f} -> {:.2f}".format(*main()))
