"""CrfRnn behind MaskFormer of transformers, which scores masks instead of pixels, trained end to end and used.

    pip install 'crfasrnn[examples]'
    python examples/transformers_maskformer.py

Nothing is downloaded: the network starts from random weights and sees toy pictures. Yours go where `batch` is called.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_pictures import batch
from transformers import DetrConfig, MaskFormerConfig, MaskFormerForInstanceSegmentation, SwinConfig

from crfasrnn import CrfRnn
from crfasrnn.crf import Bilateral, Spatial

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what its image processor subtracts and divides by


class Refined(nn.Module):
    """MaskFormer and the CRF that refines what its masks say about each pixel; Mask2Former is used alike."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        # MaskFormerForInstanceSegmentation.from_pretrained("facebook/maskformer-swin-tiny-ade") downloads a trained one.
        stages = ["stage1", "stage2", "stage3", "stage4"]
        swin = SwinConfig(image_size=64, embed_dim=24, depths=[1] * 4, num_heads=[1, 2, 4, 8], out_features=stages)
        detr = DetrConfig(d_model=64, decoder_layers=2, num_queries=8, encoder_ffn_dim=128, decoder_ffn_dim=128)
        config = MaskFormerConfig(backbone_config=swin, decoder_config=detr, num_labels=num_classes)
        self.network = MaskFormerForInstanceSegmentation(config)
        # Widths in pixels and in grey levels of 255: about the size of the objects, and how much a colour varies on one.
        self.crf = CrfRnn(num_classes, [Spatial(theta=3.0), Bilateral(theta_alpha=20.0, theta_beta=25.0)])

    def forward(self, images: Tensor, **truth: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Scores (N, C, H, W) of images (N, 3, H, W), RGB of 0 to 1; and if the `truth` is given MaskFormer's own loss."""
        mean, deviation = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
        found = self.network((images - mean) / deviation, **truth)
        classes = found.class_queries_logits.softmax(-1)[..., :-1]  # (N, masks, C): without "no object"
        coarse = torch.einsum("nmc,nmhw->nchw", classes, found.masks_queries_logits.sigmoid())
        shares = F.interpolate(coarse, images.shape[2:], mode="bilinear", align_corners=False)
        # The CRF takes what a soft-max makes probabilities of: of shares that is their logarithm.
        scores = shares.clamp(min=1e-4).log()
        return self.crf(
            scores, 255 * images
        ), found.loss  # the network wants normalized colours, the CRF those one sees


def masks(labels: Tensor) -> dict[str, list[Tensor]]:
    """What MaskFormer learns from, of labels (N, H, W): for each image its classes and a mask for each of them."""
    classes = [one.unique() for one in labels]
    drawn = [(one == present[:, None, None]).float() for one, present in zip(labels, classes)]
    return {"mask_labels": drawn, "class_labels": classes}


def train(model: Refined, steps: int) -> list[float]:
    """End to end, with a rate of its own for the CRF's few matrices; the loss of every step."""
    groups = [{"params": model.network.parameters()}, {"params": model.crf.parameters(), "lr": 1e-2}]
    optimizer, losses = torch.optim.AdamW(groups, lr=1e-3), []
    model.train()
    for step in range(steps):
        images, labels = batch(4, seed=step)
        scores, own = model(images, **masks(labels))
        loss = own + F.cross_entropy(scores, labels, ignore_index=255)
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
    return model(images)[0].argmax(1)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Refined(num_classes=3)
    losses = train(model, steps=30)
    labels = segment(model, batch(8, seed=1000)[0])
    print(
        f"loss {losses[0]:.2f} -> {losses[-1]:.2f}; labels {tuple(labels.shape)} (a network from scratch needs far more steps)"
    )
