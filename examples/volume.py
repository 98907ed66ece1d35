"""A volume (CT, MR, microscopy): a network of 3-D convolutions and the CRF over all voxels, trained end to end and used.

    python examples/volume.py

The CRF takes grids of any number of axes. Slices are often further apart than pixels within them: say so by widths for each axis,
x, y and z, in voxels. In memory a volume is (N, channels, depth, height, width).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crfasrnn import CrfRnn
from crfasrnn.crf import Bilateral, Spatial

SPACING = (1.0, 1.0, 3.0)  # millimetres between voxels along x, y and z


def scan(seed: int, depth: int = 12, height: int = 32, width: int = 32) -> tuple[Tensor, Tensor]:
    """A ball in noise: intensities (1, 1, D, H, W) of about 0 to 255, and labels (1, D, H, W)."""
    rng = torch.Generator().manual_seed(seed)
    axes = [torch.arange(size) * step for size, step in zip((depth, height, width), reversed(SPACING))]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    centre = (0.35 + 0.3 * torch.rand(3, generator=rng)) * torch.tensor([axis[-1] for axis in axes])
    labels = ((z - centre[0]).square() + (y - centre[1]).square() + (x - centre[2]).square() < 9**2).long()
    volume = 100 + 50 * labels + 20 * torch.randn(labels.shape, generator=rng)
    return volume[None, None], labels[None]


def widths(millimetres: float) -> tuple[float, ...]:
    """A standard deviation in voxels along x, y and z."""
    return tuple(millimetres / step for step in SPACING)


class Refined(nn.Module):
    """Two classes by small 3-D convolutions, refined by the CRF."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.InstanceNorm3d(1), nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 2, 1))
        self.crf = CrfRnn(
            2, [Spatial(widths(3.0), weight=1.0), Bilateral(widths(8.0), theta_beta=40.0, weight=2.0)], iterations=5
        )

    def forward(self, volume: Tensor) -> Tensor:
        """Scores (N, 2, D, H, W) of intensities (N, 1, D, H, W)."""
        refined: Tensor = self.crf(self.network(volume), volume)
        return refined


def train(model: nn.Module, steps: int) -> list[float]:
    """The loss of every step."""
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-2), []
    for step in range(steps):
        volume, labels = scan(seed=step)
        loss = F.cross_entropy(model(volume), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def dice(labels: Tensor, truth: Tensor) -> float:
    """2 |A and B| / (|A| + |B|) of label 1."""
    return (2 * ((labels == 1) & (truth == 1)).sum() / ((labels == 1).sum() + (truth == 1).sum())).item()


def main(steps: int = 40) -> tuple[float, float]:
    """Dice of the network alone and of both, on a volume that was not trained on."""
    torch.manual_seed(0)
    model = Refined()
    train(model.network, steps)  # first alone: a CRF smooths away what a network says that knows nothing yet
    train(model, steps // 2)
    volume, truth = scan(seed=1000)
    with torch.inference_mode():
        alone, refined = model.network(volume), model(volume)
    return dice(alone.argmax(1), truth), dice(refined.argmax(1), truth)


if __name__ == "__main__":
    print("Dice: {:.3f} by the network alone, {:.3f} with the CRF".format(*main()))
