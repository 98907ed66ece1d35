"""Dense CRFs: pydensecrf2's numbers, recorded and (where it is installed) live on photographs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.crfasrnn.densecrf_photographs import MODES, PHOTOGRAPHS, marginals
from support.reference_data import TESTS, shared_path

from crfasrnn import densecrf, utils
from crfasrnn.pictures.photographs import read_image

RECORDED = TESTS / "data" / "densecrf" / "pydensecrf2.npz"


# As in the script that recorded: w x h = 12 x 9, three labels, Gaussian and bilateral kernel, three iterations; without
# normalisation the weights are a twentieth. "_kl" is the divergence after one step.
COMPATIBILITIES: dict[str, Any] = {
    "potts": 3.0,
    "diag": -np.array([1, 2, 3], np.float32),
    "full": -np.array([[1, 0.2, 0.3], [0.5, 1, 0.1], [0, 0.4, 2]], np.float32),
}


def recorded_crf(compatibility: str, normalization: int, kernel: int = densecrf.DIAG_KERNEL) -> densecrf.DenseCRF2D:
    case = np.load(RECORDED)
    crf = densecrf.DenseCRF2D(12, 9, 3)
    crf.setUnaryEnergy(case["unary"])
    compat = COMPATIBILITIES[compatibility] * np.float32(1 if normalization else 0.05)
    crf.addPairwiseGaussian(2, compat, kernel=kernel, normalization=normalization)
    colours = {"srgb": (30, 40, 50), "rgbim": case["image"]}
    crf.addPairwiseBilateral(sxy=(20, 10), **colours, compat=compat, kernel=kernel, normalization=normalization)
    return crf


@pytest.mark.parametrize("normalization", list(densecrf.NormalizationType), ids=lambda n: n.name.lower())
@pytest.mark.parametrize("compatibility", list(COMPATIBILITIES))
def test_recorded_numbers(compatibility: str, normalization: int) -> None:
    case = np.load(RECORDED)
    expected = case[f"{compatibility}_{int(normalization)}"]
    for kernel in densecrf.KernelType:
        q = recorded_crf(compatibility, normalization, kernel).inference(3)
        assert q.dtype == np.float32
        assert np.abs(q - expected).max() < 2e-6
    crf = recorded_crf(compatibility, normalization)
    q, *work = crf.startInference()
    crf.stepInference(q, *work)
    assert crf.klDivergence(q) == pytest.approx(float(case[f"{compatibility}_{int(normalization)}_kl"]), rel=1e-5)
    crf.stepInference(q, *work)
    crf.stepInference(q, *work)
    assert np.abs(q - expected).max() < 2e-6


def test_recorded_numbers_of_own_features() -> None:
    case = np.load(RECORDED)
    crf = densecrf.DenseCRF(108, 3)
    crf.setUnaryEnergy(case["unary"])
    crf.addPairwiseEnergy(case["features_in"], compat=3.0)
    assert np.abs(crf.inference(3) - case["features"]).max() < 2e-6


@pytest.mark.parametrize("normalization", list(densecrf.NormalizationType), ids=lambda n: n.name.lower())
@pytest.mark.parametrize("dimension", [20, 30])
def test_recorded_numbers_of_many_features(dimension: int, normalization: int) -> None:
    """60 points about six centres, three labels, three iterations of pydensecrf2 1.1."""
    with np.load(RECORDED.parent / "many_features.npz") as case:
        unary, features = case[f"unary_{dimension}"], case[f"features_{dimension}"]
        expected = case[f"q_{dimension}_{int(normalization)}"]
    crf = densecrf.DenseCRF(60, 3)
    crf.setUnaryEnergy(unary)
    crf.addPairwiseEnergy(features, compat=3.0 if normalization else 0.3, normalization=normalization)
    assert np.abs(crf.inference(3) - expected).max() < 1e-5


@pytest.mark.parametrize("number", [float, np.float32, np.float64, np.int64, np.uint8, np.array])
def test_numbers_as_programs_have_them(number: Any) -> None:
    """Every argument that is a number as a float, a scalar or an array without axes of numpy."""
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 3))

    def run(n: Any) -> np.ndarray:
        crf = densecrf.DenseCRF2D(n(4), n(3), n(2))
        crf.setUnaryEnergy(np.random.default_rng(1).random((2, 12)))
        crf.addPairwiseGaussian(n(2), n(3), n(1), n(3))
        crf.addPairwiseGaussian((n(2), n(1)), compat=[n(1), n(2)], kernel=n(0), normalization=n(2))
        crf.addPairwiseBilateral(n(8), n(13), image, n(5), kernel=n(2), normalization=n(1))
        crf.addPairwiseBilateral([n(8), n(4)], (n(13), n(14), n(15)), image, n(5))
        return crf.inference(n(2))

    assert np.array_equal(run(number), run(int))
    plain, other = densecrf.DenseCRF(12, 2), densecrf.DenseCRF(number(12), number(2))
    for crf, n in ((plain, int), (other, number)):
        crf.addPairwiseEnergy(image.reshape(3, 12) / 50, n(3), n(1), n(0))
    assert np.array_equal(other.inference(number(1)), plain.inference(1))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_as_pydensecrf_had_them(name: str) -> None:
    """All kernel types in all normalisations at full size, at pixels that were recorded."""
    image = read_image(shared_path("data", "VOCdevkit", "VOC2012", "JPEGImages", f"{name}.jpg"))
    with np.load(RECORDED.parent / "photographs.npz") as recorded:
        expected, pixels = recorded[name], recorded[f"{name}_pixels"]
    for (kernel, normalization), q in zip(MODES, expected):
        found = marginals(densecrf, image, kernel, normalization)[:, pixels]
        assert_alike(found, q)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_beside_pydensecrf(name: str) -> None:
    """The same at every pixel."""
    reference = pytest.importorskip(
        "pydensecrf.densecrf", reason="pydensecrf2 is not installed: pip install pydensecrf2"
    )
    image = read_image(shared_path("data", "VOCdevkit", "VOC2012", "JPEGImages", f"{name}.jpg"))
    for mode in MODES:
        assert_alike(marginals(densecrf, image, *mode), marginals(reference, image, *mode))


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    """Float accuracy, but for single pixels whose features lie on the border of two cells of the lattice."""
    difference = np.abs(found - expected).max(axis=0)
    assert difference.mean() < 1e-6
    assert (difference > 1e-4).sum() <= 1 + 1e-4 * difference.size
    assert (found.argmax(axis=0) != expected.argmax(axis=0)).mean() < 1e-5


def test_photographs_have_whole_fours_of_pixels() -> None:
    for name in PHOTOGRAPHS:
        image = read_image(shared_path("data", "VOCdevkit", "VOC2012", "JPEGImages", f"{name}.jpg"))
        assert image.shape[0] * image.shape[1] % 4 == 0


def test_unary_objects() -> None:
    rng = np.random.default_rng(0)
    energies, features = rng.random((3, 12)).astype(np.float32), rng.normal(size=(2, 12)).astype(np.float32)
    weights = rng.normal(size=(3, 2)).astype(np.float32)
    for unary, same in (
        (densecrf.ConstUnary(energies), energies),
        (densecrf.LogisticUnary(weights, features), weights @ features),
    ):
        crf, plain = made(), made()
        crf.setUnary(unary)
        plain.setUnaryEnergy(same)
        assert np.array_equal(crf.inference(2), plain.inference(2))
    crf.setUnaryEnergy(weights, features)  # pydensecrf's other way to say a LogisticUnary
    assert np.array_equal(crf.inference(2), plain.inference(2))
    with pytest.raises(TypeError, match="not ndarray; arrays: setUnaryEnergy"):
        made().setUnary(energies)  # type: ignore[arg-type]


def test_no_kernels_no_unary_no_iterations() -> None:
    crf = densecrf.DenseCRF(7, 4)
    assert np.allclose(crf.inference(3), 0.25)
    energies = np.random.default_rng(0).random((4, 7)).astype(np.float32)
    crf.setUnaryEnergy(energies)
    expected = np.exp(-energies) / np.exp(-energies).sum(0)
    assert np.allclose(crf.inference(3), expected, atol=1e-6)
    crf.addPairwiseEnergy(np.zeros((1, 7)), 2.0)
    assert np.allclose(crf.inference(0), expected, atol=1e-6)
    energies[:] = 0  # the CRF keeps its own
    assert np.allclose(crf.inference(0), expected, atol=1e-6)


@pytest.mark.parametrize("compat", [3.0, np.full((20, 20), -0.1, np.float32) - 2 * np.eye(20, dtype=np.float32)])
def test_labels_that_matter_nowhere_may_be_left_out(compat: Any) -> None:
    rng = np.random.default_rng(3)
    energies = rng.random((20, 600)).astype(np.float32) * 2
    energies[4:] += 14  # a probability of 1e-6 and less
    crf = densecrf.DenseCRF2D(30, 20, 20)
    crf.setUnaryEnergy(energies)
    crf.addPairwiseGaussian(2, compat)
    crf.addPairwiseBilateral(8, 20, rng.integers(0, 256, (20, 30, 3)), compat)
    exact, pruned = crf.inference(5), crf.inference(5, min_probability=1e-3)
    assert np.array_equal(crf.inference(5, min_probability=0), exact)
    if np.ndim(compat) == 0:  # classes that mix behind symmetric kernels are all computed
        assert not np.array_equal(pruned, exact)
    assert np.abs(pruned - exact).max() < 1e-4
    for wrong in (-0.1, 1.0):
        with pytest.raises(ValueError, match="min_probability must be at least 0 and below 1"):
            crf.inference(1, min_probability=wrong)


def test_excluded_labels_stay_excluded() -> None:
    energies = np.random.default_rng(0).random((3, 20)).astype(np.float32)
    energies[1, 5:9] = np.inf
    crf = densecrf.DenseCRF2D(5, 4, 3)
    crf.setUnaryEnergy(energies)
    crf.addPairwiseGaussian(2, 3)
    q = crf.inference(4)
    assert (q[1, 5:9] == 0).all()
    assert np.allclose(q.sum(0), 1, atol=1e-5)
    assert np.isfinite(crf.klDivergence(q))


def test_energy_falls_as_iterations_go_on() -> None:
    crf = recorded_crf("potts", densecrf.NORMALIZE_SYMMETRIC)
    q, *work = crf.startInference()
    divergences = []
    for _ in range(4):
        divergences.append(crf.klDivergence(q))
        crf.stepInference(q, *work)
    assert divergences == sorted(divergences, reverse=True)


def made(nvar: int = 12, nlabels: int = 3) -> densecrf.DenseCRF2D:
    return densecrf.DenseCRF2D(4, nvar // 4, nlabels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: densecrf.DenseCRF(0, 2), "nvar must be an integer of at least 1"),
        (
            lambda: made().setUnaryEnergy(np.zeros((2, 12))),
            r"Bad shape for unary energy \(Need \(3, 12\), got \(2, 12\)\)",
        ),
        (lambda: made().setUnaryEnergy(np.full((3, 12), np.nan)), "label 0 at variable 0 is nan"),
        (lambda: made().setUnaryEnergy(np.full((3, 12), np.inf)), "one must be possible"),
        (lambda: made().addPairwiseEnergy(np.zeros((2, 11)), 1), r"Bad shape for pairwise energy \(Need \(\?, 12\)"),
        (lambda: made().addPairwiseEnergy(np.full((2, 12), np.nan), 1), "NaN or infinite"),
        (lambda: made().addPairwiseEnergy(np.zeros((33, 12)), 1), "1 to 32 features"),
        (lambda: made().addPairwiseGaussian(0, 1), "sxy must be positive"),
        (lambda: made().addPairwiseGaussian((1, 2, 3), 1), "sxy must be positive, one number or"),
        (lambda: made().addPairwiseGaussian(1, np.zeros(2)), r"compat must be a number, \(3,\) or \(3, 3\)"),
        (lambda: made().addPairwiseGaussian(1, 1, normalization=4), "4 is not a valid NormalizationType"),
        (lambda: made().addPairwiseBilateral(1, 1, np.zeros((4, 3, 3)), 1), "Bad shape for pairwise bilateral"),
        (lambda: made().addPairwiseBilateral(1, 1, np.zeros((3, 4)), 1), r"a grey picture is rgbim\[..., None\]"),
        (
            lambda: made().addPairwiseBilateral(1, (1, 2), np.zeros((3, 4, 3)), 1),
            "srgb must be positive, one number or 3",
        ),
        (lambda: densecrf.LogisticUnary(np.zeros((3, 2)), np.zeros((3, 12))), r"needs \(nlabels, d\) and \(d, nvar\)"),
        (lambda: made().setUnary(densecrf.ConstUnary(np.zeros((2, 12)))), "Bad shape for unary energy"),
        (lambda: made().inference(-1), "niter must be an integer of 0 to 10000"),
        (lambda: made().inference(2**31), "niter must be an integer of 0 to 10000"),
        (lambda: made().klDivergence(np.zeros((3, 11))), r"Q must be \(3, 12\)"),
        (lambda: utils.unary_from_labels([0, 5], 4, 0.5), "label 5 is not one of 1 to 4"),
        (lambda: utils.unary_from_labels([0, 1], 4, 1.0), r"gt_prob must be in \(0, 1\)"),
        (lambda: utils.unary_from_softmax(np.ones((2, 3)), scale=0), r"scale must be in \(0, 1\]"),
        (lambda: utils.create_pairwise_gaussian((1,), (3, 4)), "one standard deviation per axis"),
        (
            lambda: utils.create_pairwise_bilateral((1, 1), (1, 2), np.zeros((3, 4, 3)), 2),
            "schan must be one number or 3",
        ),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


SIZES = """
import numpy as np
from crfasrnn.densecrf import DenseCRF2D

random = np.random.default_rng(0)

def run(height, width):
    crf = DenseCRF2D(width, height, 5)
    crf.setUnaryEnergy(random.random((5, height * width)))
    crf.addPairwiseGaussian(3, 3)
    crf.addPairwiseBilateral(30, 13, random.integers(0, 256, (height, width, 3)), 5)
    crf.inference(2)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

one_size = max(run(240, 240) for _ in range(4))
print(max(run(*random.integers(60, 240, 2)) for _ in range(60)) / one_size)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's count of resident memory")
def test_many_sizes_need_little_more_than_the_largest() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SIZES], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.35
