"""CrfRnn behind SegFormer of transformers, trained end to end and used.

    pip install 'crfasrnn[examples]'
    python examples/transformers_segformer.py

Nothing is downloaded: the network starts from random weights and sees toy pictures. Yours go where `batch` is called.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_pictures import batch
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from crfasrnn import CrfRnn
from crfasrnn.crf import Bilateral, Spatial

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what its image processor subtracts and divides by


class Refined(nn.Module):
    """SegFormer and the CRF that refines its scores."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        # SegformerForSemanticSegmentation.from_pretrained("nvidia/segformer-b0-finetuned-ade-512-512") downloads a trained one.
        config = SegformerConfig(num_labels=num_classes, hidden_sizes=[16, 32, 80, 128], decoder_hidden_size=64)
        self.network = SegformerForSemanticSegmentation(config)
        # Widths in pixels and in grey levels of 255: about the size of the objects, and how much a colour varies on one.
        self.crf = CrfRnn(num_classes, [Spatial(theta=3.0), Bilateral(theta_alpha=20.0, theta_beta=25.0)])

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N, C, H, W) of images (N, 3, H, W), RGB of 0 to 1."""
        mean, deviation = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
        coarse = self.network((images - mean) / deviation).logits  # a quarter of the height and width
        scores = F.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False)
        refined: Tensor = self.crf(scores, 255 * images)  # the network wants normalized colours, the CRF those one sees
        return refined


def train(model: Refined, steps: int) -> list[float]:
    """End to end, with a rate of its own for the CRF's few matrices; the loss of every step."""
    groups = [{"params": model.network.parameters()}, {"params": model.crf.parameters(), "lr": 1e-2}]
    optimizer, losses = torch.optim.AdamW(groups, lr=1e-3), []
    model.train()
    for step in range(steps):
        images, labels = batch(4, seed=step)
        loss = F.cross_entropy(model(images), labels, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.inference_mode()
def segment(model: Refined, images: Tensor) -> Tensor:
    """Labels (N, H, W), after ten iterations instead of the five of training, as in the paper."""
    model.eval()
    model.crf.iterations = 10
    return model(images).argmax(1)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Refined(num_classes=3)
    losses = train(model, steps=30)
    images, labels = batch(8, seed=1000)
    right = (segment(model, images) == labels).double().mean()
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f}, {right:.1%} of the pixels right")
