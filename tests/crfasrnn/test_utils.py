"""Unary energies and features under the names of pydensecrf.utils, against the formulas."""

from __future__ import annotations

import numpy as np

from crfasrnn import utils


def test_old_names_of_utils() -> None:
    labels = np.array([[0, 1], [2, 3]])
    assert np.array_equal(utils.compute_unary(labels, 3, 0.6), utils.unary_from_labels(labels, 3, 0.6))
    probabilities = np.array([[0.25, 1.0], [0.75, 0.0]])
    assert utils.softmax_to_unary(probabilities)[1, 1] == np.inf
    assert np.array_equal(utils.softmax_to_unary(probabilities, 0.8), utils.unary_from_softmax(probabilities, 0.8))


def test_unary_from_labels() -> None:
    right, wrong, unsure = -np.log([0.6, 0.2, 1 / 3])
    expected = [[unsure, right, wrong], [unsure, wrong, wrong], [unsure, wrong, right]]
    energies = utils.unary_from_labels(np.array([[0, 1, 3]]), 3, 0.6)
    assert energies.dtype == np.float32
    assert np.allclose(energies, expected)
    energies = utils.unary_from_labels(np.array([0, 2], np.uint8), 3, 0.6, zero_unsure=False)
    assert np.allclose(energies, [[right, wrong], [wrong, wrong], [wrong, right]])


def test_unary_from_softmax() -> None:
    probabilities = np.array([[[1.0, 0.5]], [[0.0, 0.5]]], np.float32)
    assert np.allclose(utils.unary_from_softmax(probabilities), -np.log([[1, 0.5], [1e-5, 0.5]]))
    assert np.allclose(utils.unary_from_softmax(probabilities, scale=0.8), -np.log([[0.9, 0.5], [0.1, 0.5]]))
    assert utils.unary_from_softmax(probabilities, clip=None)[1, 0] == np.inf


def test_features_of_utils() -> None:
    """Rows come first, other than in DenseCRF2D: the lattice differs a little with the order, the kernel does not."""
    assert np.array_equal(
        utils.create_pairwise_gaussian((2, 4), (2, 3)), [[0, 0, 0, 0.5, 0.5, 0.5], [0, 0.25, 0.5] * 2]
    )
    image = np.arange(12).reshape(2, 3, 2)
    features = utils.create_pairwise_bilateral((2, 4), (10, 5), image, chdim=2)
    assert np.array_equal(features[:2], utils.create_pairwise_gaussian((2, 4), (2, 3)))
    assert np.allclose(features[2:], [image[:, :, 0].ravel() / 10, image[:, :, 1].ravel() / 5])
    grey = utils.create_pairwise_bilateral((1, 1, 1), 2.0, np.arange(8).reshape(2, 2, 2))
    assert np.allclose(grey[3], np.arange(8) / 2)
