"""The module CrfRnn: beside the layer of caffe nets, its options, kernels of one's own, and training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.crfasrnn.module import randomised, scene
from torch.nn import functional

from crfasrnn import CrfRnn
from crfasrnn.crf.functional import mean_field, permutohedral_filter
from crfasrnn.crf.module import Bilateral, Features, Spatial


def test_starts_as_the_released_layer_does() -> None:
    unary, image = scene()
    eye = torch.eye(4)
    thetas = {"theta_alpha": 160.0, "theta_beta": 3.0, "theta_gamma": 3.0}
    assert torch.equal(
        CrfRnn(4)(unary, image), mean_field(unary, unary, image, 3 * eye, 5 * eye, -eye, iterations=5, **thetas)
    )


@pytest.mark.parametrize("weights", ["full", "per_class", "shared"])
@pytest.mark.parametrize("compatibility", ["full", "symmetric", "potts"])
def test_options_restrict_the_matrices(weights: str, compatibility: str) -> None:
    """All start from the same function; trained, they stay within what they allow; they round-trip."""
    unary, image = scene()
    crf = CrfRnn(4, weights=weights, compatibility=compatibility)
    assert torch.equal(crf(unary, image), CrfRnn(4)(unary, image))
    optimizer = torch.optim.SGD(crf.parameters(), lr=0.5)
    crf(unary, image)[:, 1].sum().backward()
    optimizer.step()
    (spatial, bilateral), mu = crf.matrices()
    assert not torch.allclose(spatial, torch.eye(4) * 3)
    assert not torch.allclose(bilateral, torch.eye(4) * 5)
    if weights != "full":
        assert torch.equal(spatial, torch.diag(spatial.diagonal()))
    assert (spatial.diagonal().unique().numel() == 1) == (weights == "shared")
    assert torch.equal(mu, -torch.eye(4)) == (compatibility == "potts")
    assert torch.allclose(mu, mu.T) == (compatibility != "full")
    again = CrfRnn(4, weights=weights, compatibility=compatibility)
    again.load_state_dict(crf.state_dict())
    assert torch.equal(again(unary, image), crf(unary, image))


def test_kernels_over_other_channels() -> None:
    """Beside the formula, with the lattice's filters as matrices: depth with position, two normals without."""
    unary = scene()[0].double()
    rng = torch.Generator().manual_seed(2)
    depth = torch.rand(1, 1, 9, 11, generator=rng).double() * 10
    normals = torch.rand(1, 2, 9, 11, generator=rng).double()
    kernels = [
        Features(2.0, theta_position=(5.0, 4.0), name="depth"),
        Features((0.5, 0.3), name="normals"),
        Spatial(2.0, 1.5),
    ]
    crf = randomised(CrfRnn(4, kernels)).double()
    out = crf(unary, extra={"depth": depth, "normals": normals})
    y, x = torch.meshgrid(torch.arange(9).double(), torch.arange(11).double(), indexing="ij")
    at = torch.stack([x.flatten(), y.flatten()], 1)
    d, n = depth[0].flatten(1).T, normals[0].flatten(1).T
    features = [
        torch.cat([at / torch.tensor([5.0, 4.0]), d / 2.0], 1),
        n / torch.tensor([0.5, 0.3], dtype=torch.float64),
        at / 2.0,
    ]
    weights, mu = crf.matrices()
    rows = scores = unary[0].flatten(1).T
    for _ in range(5):
        q = scores.softmax(1)
        message = torch.zeros_like(q)
        for f, w in zip(features, weights):
            message = message + permutohedral_filter(q, f) / permutohedral_filter(torch.ones_like(q[:, :1]), f) @ w.T
        scores = rows - message @ mu.T
    assert torch.allclose(out[0].flatten(1).T, scores, rtol=1e-9, atol=1e-9)


def test_number_of_iterations() -> None:
    unary, image = scene()
    ten = CrfRnn(4, iterations=10)(unary, image)
    crf = CrfRnn(4)
    assert not torch.equal(crf(unary, image), ten)
    assert torch.equal(crf(unary, image, iterations=10), ten)
    crf.iterations = 10
    assert torch.equal(crf(unary, image), ten)


def test_mask_makes_padding_harmless() -> None:
    unary, image = scene()
    padded = functional.pad(unary, (0, 5, 0, 7), value=9.0)
    mask = functional.pad(torch.ones(1, 9, 11), (0, 5, 0, 7)).bool()
    out = CrfRnn(4)(padded, functional.pad(image, (0, 5, 0, 7)), mask=mask)
    assert torch.allclose(out[:, :, :9, :11], CrfRnn(4)(unary, image), rtol=1e-4, atol=1e-4)
    assert (out[:, :, 9:] == 0).all()


def test_learns_with_the_network_before_it() -> None:
    """A module in a chain, compiled or not, whose loss falls."""
    torch.manual_seed(0)
    image = torch.zeros(2, 3, 12, 12)
    image[:, :, :, 6:] = 100
    target = torch.zeros(2, 12, 12, dtype=torch.long)
    target[:, :, 6:] = 1
    score, crf = torch.nn.Conv2d(3, 2, 1), CrfRnn(2, [Spatial(2.0, 1.0), Bilateral(10.0, 20.0, 1.0)], iterations=3)
    optimizer = torch.optim.Adam([*score.parameters(), *crf.parameters()], lr=0.05)
    losses = []
    for step in range(12):
        unary = score((image + torch.randn_like(image) * 5) / 50)
        loss = functional.cross_entropy(crf(unary, image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert all(p.grad is not None for p in crf.parameters()), step
    assert losses[-1] < 0.5 * losses[0]
    compiled = torch.compile(crf, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(unary, image), crf(unary, image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrfRnn(0), "num_classes must be an integer of 1 to 65536"),
        (lambda: CrfRnn(1), "nothing to choose.*a sigmoid"),
        (
            lambda: CrfRnn(3)(torch.zeros(1, 3, 5, 5).double()),
            r"unary is torch.float64, .* weights are torch.float32: use",
        ),
        (lambda: CrfRnn(3, []), "at least one of Spatial"),
        (lambda: CrfRnn(3, weights="diagonal"), "weights must be one of full, per_class, shared"),
        (lambda: CrfRnn(3, compatibility="none"), "compatibility must be one of full, symmetric, potts"),
        (lambda: CrfRnn(3)(torch.zeros(1, 4, 5, 5)), r"unary must be \(N, 3, ...\)"),
        (lambda: CrfRnn(3)(torch.zeros(1, 3, 5, 5)), "needs an image"),
        (lambda: CrfRnn(3, [Features(1.0)])(torch.zeros(1, 3, 5, 5)), "needs its channels"),
        (
            lambda: CrfRnn(3, [Features((1.0, 2.0))])(torch.zeros(1, 3, 5, 5), extra=torch.zeros(1, 1, 5, 5)),
            "for each channel",
        ),
        (lambda: CrfRnn(3, [Spatial(-1.0)])(torch.zeros(1, 3, 5, 5)), "must be finite and greater than 0"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("given", [5, Spatial()])
def test_what_is_no_sequence_of_kernels_is_told_so(given: Any) -> None:
    """crfasrnn_pytorch has the number of iterations in this place."""
    with pytest.raises(TypeError, match=r"kernels must be a sequence .*, not (int|Spatial); .* is iterations=5"):
        CrfRnn(21, given)
