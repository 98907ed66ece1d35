"""CRF-RNN's mean field in plain torch: the page to read first.

This is what `crfasrnn.crf.mean_field` computes, written to be read: Zheng et al., "Conditional Random Fields as Recurrent Neural
Networks", ICCV 2015, over the lattice of Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice",
Eurographics 2010. The tests hold the compiled layer to it: in float64 both give the same numbers to about 1e-10, scores and
gradients. For images and thetas autograd finds the lattice's gradients here; `crfasrnn.crf.kernel_gradients` has the Gaussian's.

A pixel i has a distribution Q_i over the classes and, for each kernel, a feature vector f_i: its position, or position and colour.
Every iteration tells it what the pixels like it believe, K(Q)_i = sum_j exp(-|f_i - f_j|^2 / 2) Q_j, and corrects its scores.

Shapes: N points or pixels, C classes, d dimensions of a feature vector, V vertices of the lattice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Filter = Callable[[Tensor], Tensor]  # (N, C) to (N, C)

# ---------------------------------------------------------------------------------------- the Gaussian filter, on a lattice


def embed(features: Tensor) -> tuple[Tensor, Tensor]:
    """The simplex of the lattice around each point (N, d).

    Returns its corners (N, d + 1, d + 1), d + 1 whole numbers for each of d + 1 vertices, and the point's barycentric coordinates
    (N, d + 1): how much each corner weighs. Section 3 of the paper. Pixels often lie on the border of two simplices, where rounding
    decides: the order of operations and of equal numbers is that of the compiled core, so that both fall to the same side.
    """
    d = features.shape[1]
    # Elevate: into the hyperplane of d + 1 dimensions whose coordinates sum to 0, scaled so that the blur below has unit variance.
    i = torch.arange(1, d + 1, dtype=torch.float64)
    scaled = features * (1 / (i * (i + 1)).sqrt() * (math.sqrt(2 / 3) * (d + 1))).to(features)
    sums = [features.new_zeros(len(features))]  # of the coordinates after the j-th, last j first
    for j in range(d - 1, -1, -1):
        sums.append(sums[-1] + scaled[:, j])
    own = torch.cat([features.new_zeros(len(features), 1), scaled * i.to(features)], 1)
    elevated = torch.stack(sums[::-1], 1) - own

    # Round to multiples of d + 1. Where these do not sum to 0 the coordinates that were rounded farthest go the other way.
    rounded = (elevated * (1 / (d + 1))).round()
    rank = (elevated - rounded * (d + 1)).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    rank = rank + rounded.sum(1, keepdim=True).long()
    wrap = (rank < 0).long() - (rank > d).long()
    rank, nearest = rank + wrap * (d + 1), (rounded.long() + wrap) * (d + 1)

    # Corner k is k more in every coordinate, and d + 1 less in the k coordinates of the highest ranks.
    k = torch.arange(d + 1)[:, None]
    corners = nearest[:, None] + k - (d + 1) * (rank[:, None] >= d + 1 - k)
    offset = ((elevated - nearest) * (1 / (d + 1))).gather(1, rank.argsort(dim=1)).flip(1)  # ascending
    return corners, torch.cat([1 - offset[:, -1:] + offset[:, :1], offset.diff(dim=1)], 1)


class Lattice:
    """The Gaussian filter over points at `features` (N, d), in standard deviations: splat, blur, slice.

    Points know only the vertices around them, vertices only their neighbours: the cost is N d^2, not the N^2 of all pairs.
    """

    def __init__(self, features: Tensor) -> None:
        d = features.shape[1]
        corners, self.weights = embed(features)  # weights (N, d + 1)
        # The vertices (V, d + 1) that some point touches, and the numbers of each point's corners among them (N, d + 1).
        self.vertices, numbers = corners.flatten(0, 1).unique(dim=0, return_inverse=True)
        self.corners = numbers.reshape(-1, d + 1)
        # A step along axis a is d + 1 down in coordinate a and one up in all: both neighbours (V + 1) by number, for each axis.
        # V is the number of a row that stays 0, for vertices that no point touches.
        number = {tuple(vertex): v for v, vertex in enumerate(self.vertices.tolist())}

        def find(vertices: Tensor) -> Tensor:
            return torch.tensor(
                [number.get(tuple(vertex), len(number)) for vertex in vertices.tolist()] + [len(number)]
            )

        steps = 1 - (d + 1) * torch.eye(d + 1, dtype=torch.long)
        self.neighbours = [(find(self.vertices + step), find(self.vertices - step)) for step in steps]

    def splat(self, values: Tensor) -> Tensor:
        """(N, C) to (V + 1, C): every point adds its values to its corners."""
        parts = (self.weights[:, :, None] * values[:, None]).flatten(0, 1)
        lattice = values.new_zeros(len(self.vertices) + 1, values.shape[1])
        return lattice.index_add(0, self.corners.flatten(), parts)

    def blur(self, lattice: Tensor) -> Tensor:
        """(V + 1, C) to (V + 1, C): (1/2, 1, 1/2) along each of the d + 1 axes in turn."""
        for ahead, behind in self.neighbours:
            lattice = lattice + (lattice[ahead] + lattice[behind]) / 2
        return lattice

    def slice(self, lattice: Tensor) -> Tensor:
        """(V + 1, C) to (N, C): every point reads its corners."""
        d = self.weights.shape[1] - 1
        return (self.weights[:, :, None] * lattice[self.corners]).sum(1) / (1 + 2**-d)

    def __call__(self, values: Tensor) -> Tensor:
        return self.slice(self.blur(self.splat(values)))


# ------------------------------------------------------------------------------------------------------------ the mean field


def weighted_mean(lattice: Filter, points: int, dtype: torch.dtype) -> Filter:
    """The filter divided by its response to ones: what a pixel gets is a mean of the others, at the border of the image too."""
    response = lattice(torch.ones(points, 1, dtype=dtype)) + 1e-20
    return lambda values: lattice(values) / response


def image_features(image: Tensor, theta_alpha: float, theta_beta: float, theta_gamma: float) -> tuple[Tensor, Tensor]:
    """What the two kernels of the paper compare in an image (K, H, W): position (H W, 2); position and colour (H W, 2 + K)."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=image.dtype) for n in image.shape[1:]), indexing="ij")
    position, colour = torch.stack([x.flatten(), y.flatten()], 1), image.flatten(1).T
    return position / theta_gamma, torch.cat([position / theta_alpha, colour / theta_beta], 1)


def recurrence(
    unary: Tensor,
    q0: Tensor,
    filters: Sequence[Filter],
    weights: Sequence[Tensor],
    compatibility: Tensor,
    iterations: int,
) -> Tensor:
    """The paper's section 4 for one image: scores `unary` and `q0` (N, C), a matrix (C, C) for each filter, and mu (C, C)."""
    scores = q0
    for _ in range(iterations):
        q = scores.softmax(1)
        # Message passing, and the weights of the filters.
        message = torch.stack([filter_(q) @ w.T for filter_, w in zip(filters, weights, strict=True)]).sum(0)
        # Compatibility transform, and the unaries again. The result is not soft-maxed: a loss does that.
        scores = unary - message @ compatibility.T
    return scores


def mean_field(
    unary: Tensor,
    q0: Tensor,
    image: Tensor,
    spatial_weights: Tensor,
    bilateral_weights: Tensor,
    compatibility: Tensor,
    *,
    iterations: int,
    theta_alpha: float,
    theta_beta: float,
    theta_gamma: float,
) -> Tensor:
    """`crfasrnn.crf.mean_field`: scores (B, C, H, W), images (B, K, H, W), matrices (C, C), to scores (B, C, H, W)."""
    results = []
    for n in range(len(unary)):
        features = image_features(image[n], theta_alpha, theta_beta, theta_gamma)
        filters = [weighted_mean(Lattice(f), len(f), f.dtype) for f in features]
        start, first = unary[n].flatten(1).T, q0[n].flatten(1).T
        scores = recurrence(start, first, filters, [spatial_weights, bilateral_weights], compatibility, iterations)
        results.append(scores.T.reshape(unary[n].shape))
    return torch.stack(results)


def main() -> None:
    """Scores of a disc before a background, half hidden in noise: how many pixels are right before and after."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    truth = ((x - 45).hypot(y - 28) < 18).long()
    image = (60 + 120 * truth + 4 * torch.randn(3, 60, 80))[None]
    unary = (torch.stack([1 - truth, truth]) + torch.randn(2, 60, 80))[None]
    eye = torch.eye(2)
    scores = mean_field(
        unary, unary, image, 3 * eye, 5 * eye, -eye, iterations=5, theta_alpha=20.0, theta_beta=20.0, theta_gamma=3.0
    )
    for name, result in (("scores alone", unary), ("after the mean field", scores)):
        print(f"{name}: {(result[0].argmax(0) == truth).double().mean():.1%} of the pixels right")


if __name__ == "__main__":
    main()
