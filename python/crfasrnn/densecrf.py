"""Dense CRFs as a step after any classifier, with the calls of pydensecrf: change the import and keep the script.

Model and inference: P. Krahenbuhl and V. Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials",
NIPS 2011. With unary energies U, kernels k and their label compatibilities mu_k (energies), each iteration computes

    Q = softmax(-U - sum_k mu_k K_k(Q))

where K_k filters with a Gaussian over features, normalised as asked. Nothing here learns; crfasrnn.CrfRnn does.

The numbers are pydensecrf's up to the rounding of float32. Two things make more of a difference: a feature so close to the
border of two cells of the lattice that rounding decides (single pixels), and a number of variables that is no multiple of 4,
which pydensecrf's lattice pads with points at the origin, whose vertices then take part in its blur.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from caffe.files import system
from caffe.inputs.arguments import array, below_one, integer
from caffe.inputs.limits import MAX_ITERATIONS
from caffe.net.memory import give_back_freed_memory
from crfasrnn import _core
from crfasrnn.crf.options import are_thetas

if TYPE_CHECKING:
    import torch

    from crfasrnn.device_field import DeviceField

Array = npt.NDArray[Any]


class KernelType(IntEnum):
    """Shapes of pydensecrf's feature transforms. They start as the identity and nothing here trains them: all are alike."""

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


class NormalizationType(IntEnum):
    """With D the diagonal of the filter's responses to ones: K, K D^-1, D^-1 K (a weighted mean), D^-1/2 K D^-1/2."""

    NO_NORMALIZATION = 0
    NORMALIZE_BEFORE = 1
    NORMALIZE_AFTER = 2
    NORMALIZE_SYMMETRIC = 3


CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = KernelType
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = NormalizationType


class Unary:
    """Unary energies for DenseCRF.setUnary: (nlabels, nvar) float32 in `energies`."""

    def __init__(self, energies: npt.ArrayLike) -> None:
        self.energies: Array = array("energies", energies).copy()


class ConstUnary(Unary):
    """The energies themselves, (nlabels, nvar)."""


class LogisticUnary(Unary):
    """Energies that are linear in features: L f, with weights L (nlabels, d) and features f (d, nvar).

    Raises ValueError if the shapes do not fit each other.
    """

    def __init__(self, L: npt.ArrayLike, f: npt.ArrayLike) -> None:
        weights, features = array("L", L), array("f", f)
        if weights.ndim != 2 or features.ndim != 2 or weights.shape[1] != len(features):
            raise ValueError(f"LogisticUnary needs (nlabels, d) and (d, nvar), got {weights.shape}, {features.shape}")
        super().__init__(weights @ features)


class DenseCRF:
    """A fully connected CRF over `nvar` variables, each of which takes one of `nlabels` labels.

    Arrays go in and out as numpy; everything is computed in float32, with the same bits for any number of threads.

    Args:
        nvar: variables (points, pixels, voxels, ...), at least 1.
        nlabels: labels, at least 1.
        device: where to compute: "cpu", or a CUDA device as torch names it ("cuda", "cuda:1"). There the numbers are those of
            the CPU up to rounding, and features too large to be resolved are an error of the inference.

    Raises:
        TypeError, ValueError: a number is none, not whole, or below 1, or the device is of another kind.
        CaffeError: PyTorch finds no such CUDA device, or this installation was built without CUDA.

    >>> import numpy as np
    >>> from crfasrnn.densecrf import DenseCRF
    >>> crf = DenseCRF(4, 2)  # four points, two labels
    >>> crf.setUnaryEnergy(np.array([[0.1, 0.1, 0.9, 2.0], [2.0, 2.0, 0.8, 0.1]], np.float32))
    >>> crf.addPairwiseEnergy(np.array([[0.0, 0.1, 0.2, 50.0]], np.float32), compat=3)
    >>> np.argmax(crf.inference(5), axis=0).tolist()  # the third is like the first two
    [0, 0, 0, 1]
    """

    _last_grid: ClassVar[tuple[int, int] | None] = None

    def __init__(self, nvar: int, nlabels: int, *, device: str | torch.device = "cpu") -> None:
        self._init((1, integer("nvar", nvar, 1)), nlabels, device)

    def _init(self, grid: tuple[int, int], nlabels: int, device: str | torch.device) -> None:
        if DenseCRF._last_grid != grid:
            give_back_freed_memory()  # nothing fits what one of another size left
            DenseCRF._last_grid = grid
        self._grid = grid
        self._labels = integer("nlabels", nlabels, 1)
        self._variables = grid[0] * grid[1]
        self._unary: Array = np.zeros((self._labels, self._variables), np.float32)
        self._kernels: list[_core.GaussianKernel32] = []
        self._compatibilities: list[Array] = []  # energies, label by label
        self.iterations_run: int | None = None  # of the last inference
        self._elsewhere: DeviceField | None = None if str(device) == "cpu" else self._field_on(device)

    def _field_on(self, device: str | torch.device) -> DeviceField:
        from crfasrnn.device_field import DeviceField, cuda_device  # torch takes a second to import

        return DeviceField(cuda_device(device), self._labels, self._grid)

    def setUnaryEnergy(self, u: npt.ArrayLike, f: npt.ArrayLike | None = None) -> None:
        """Set the energies (negative logarithms of probabilities) of each label for each variable: (nlabels, nvar).

        With features f, u holds weights, as LogisticUnary has them.
        Raises ValueError for another shape, and for NaN or -inf; +inf excludes a label.
        """
        if f is not None:
            return self.setUnary(LogisticUnary(u, f))
        energy = array("u", u)
        if energy.shape != self._unary.shape:
            raise ValueError(f"Bad shape for unary energy (Need {self._unary.shape}, got {energy.shape})")
        bad = np.isnan(energy) | (energy == -np.inf)
        if bad.any():
            label, variable = np.argwhere(bad)[0]
            raise ValueError(f"the unary energy of label {label} at variable {variable} is {energy[label, variable]}")
        excluded = (energy == np.inf).all(axis=0)
        if excluded.any():
            raise ValueError(
                f"the unary energy of all labels at variable {np.argmax(excluded)} is inf: one must be possible"
            )
        self._unary = energy.copy() if energy is u else energy

    def setUnary(self, u: Unary) -> None:
        """Set the energies from a ConstUnary or LogisticUnary; raises TypeError for anything else, and as setUnaryEnergy."""
        if not isinstance(u, Unary):
            raise TypeError(
                f"setUnary takes a ConstUnary or LogisticUnary, not {type(u).__name__}; arrays: setUnaryEnergy"
            )
        self.setUnaryEnergy(u.energies)

    def addPairwiseEnergy(
        self,
        features: npt.ArrayLike,
        compat: float | npt.ArrayLike,
        kernel: KernelType | int = DIAG_KERNEL,
        normalization: NormalizationType | int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a Gaussian kernel over features of your own.

        Args:
            features: (d, nvar), 1 <= d <= 32, already divided by the standard deviations.
            compat: a number w, the Potts model that rewards alike labels with w; (nlabels,), the energies of alike labels; or
                (nlabels, nlabels), the energies of all pairs, of which the symmetric part counts.
            kernel: taken for compatibility, see KernelType.
            normalization: a NormalizationType.

        Raises:
            ValueError: a shape does not fit, or a feature is NaN, infinite, or too large to be resolved.
        """
        at = array("features", features)
        if at.ndim != 2 or at.shape[1] != self._variables:
            raise ValueError(f"Bad shape for pairwise energy (Need (?, {self._variables}), got {at.shape})")
        self._add(at, (0.0, 0.0), compat, kernel, normalization)

    def _add(
        self,
        features: Array | None,
        theta: tuple[float, float],
        compat: float | npt.ArrayLike,
        kernel: KernelType | int,
        normalization: NormalizationType | int,
    ) -> None:
        KernelType(kernel)
        normalized = int(NormalizationType(normalization))
        energies = self._energies(compat)
        planes = None if features is None else features.reshape(1, -1, *self._grid)
        if self._elsewhere:
            self._elsewhere.add(planes, theta, normalized, energies)
        else:
            source = _core.KernelSource32(planes, *theta, 1.0, normalized)
            self._kernels.append(_core.GaussianKernel32(source, *self._grid, _threads()))
        self._compatibilities.append(energies)

    def _energies(self, compat: float | npt.ArrayLike) -> Array:
        given: Array = array("compat", compat)
        shapes: list[tuple[int, ...]] = [(), (self._labels,), (self._labels, self._labels)]
        if given.shape not in shapes:
            raise ValueError(f"compat must be a number, {shapes[1]} or {shapes[2]}, got an array of {given.shape}")
        if not np.isfinite(given).all():
            raise ValueError("compat holds NaN or infinite values")
        if given.ndim == 0:
            return -float(given) * np.eye(self._labels, dtype=np.float32)
        return np.diag(given) if given.ndim == 1 else (given + given.T) / np.float32(2)

    def inference(self, niter: int, *, min_probability: float = 0.0, tolerance: float = 0.0) -> Array:
        """Q after `niter` iterations from softmax(-U): probabilities (nlabels, nvar), float32.

        `np.argmax(Q, axis=0)` are the labels. min_probability: labels are left out, iteration by iteration, whose probability is
        below this for every variable, see crfasrnn.crf.mean_field; 0 computes all, as CUDA devices always do.
        tolerance: the iterations end with the one after the first that changed no probability by as much as this; 0 runs all, as
        CUDA devices always do. `iterations_run` is how many were run.
        Raises ValueError if niter is not an integer of 0 to caffe.inputs.limits.MAX_ITERATIONS, or min_probability or tolerance not
        in [0, 1), TypeError if one is no number.
        """
        niter = integer("niter", niter, 0, MAX_ITERATIONS)
        min_probability, tolerance = below_one("min_probability", min_probability), below_one("tolerance", tolerance)
        run = np.full(1, niter, np.int64)
        scores: Array = -self._unary
        if niter > 0 and self._compatibilities and self._elsewhere:
            scores = self._elsewhere.mean_field(scores, niter)
        elif niter > 0 and self._compatibilities:
            unary = scores.reshape(1, self._labels, *self._grid)
            out = np.empty_like(unary)
            _core.mean_field_forward(
                unary,
                unary,
                self._kernels,
                np.stack(self._compatibilities)[:, None],
                np.eye(self._labels, dtype=np.float32)[None],
                None,
                out,
                run,
                niter,
                0,  # soft-max
                False,
                _threads(),
                min_probability,
                tolerance,
            )
            scores = out.reshape(scores.shape)
        self.iterations_run = int(run[0])
        return _softmax(scores)

    def startInference(self) -> tuple[Array, Array, Array]:
        """Q before the first iteration, and two arrays of its shape for stepInference to work in."""
        q = _softmax(-self._unary)
        return q, np.empty_like(q), np.empty_like(q)

    def stepInference(self, Q: Array, tmp1: Array, tmp2: Array) -> None:
        """One iteration, in place in Q (nlabels, nvar) float32; the contents of tmp1 and tmp2 are lost.

        Raises ValueError unless all three are such arrays.
        """
        for name, given in (("Q", Q), ("tmp1", tmp1), ("tmp2", tmp2)):
            if self._checked(given, name) is not given:
                raise ValueError(f"{name} is changed in place: it must be a C-contiguous float32 array")
        np.negative(self._unary, out=tmp1)
        for k in range(len(self._compatibilities)):
            tmp2[...] = self._pairwise(k, Q)
            tmp1 -= tmp2
        Q[...] = _softmax(tmp1)

    def klDivergence(self, Q: Array) -> float:
        """The Kullback-Leibler divergence of Q (nlabels, nvar) from the CRF's distribution, but for the constant log Z."""
        q = self._checked(Q)
        possible = q > 0
        entropy = np.sum(q * np.log(np.maximum(q, np.float32(1e-20))), dtype=np.float64)
        unary = np.sum(self._unary[possible] * q[possible], dtype=np.float64)
        pairwise = sum(np.sum(q * self._pairwise(k, q), dtype=np.float64) for k in range(len(self._compatibilities)))
        return float(entropy + unary + pairwise)

    def _pairwise(self, k: int, Q: Array) -> Array:
        """mu_k K_k(Q)."""
        values = self._checked(Q)
        if self._elsewhere:
            return self._compatibilities[k] @ self._elsewhere.filter(k, values)
        out = np.empty_like(values)
        grid = (self._labels, *self._grid)
        self._kernels[k].filter(values.reshape(grid), out.reshape(grid), False, _threads())
        return self._compatibilities[k] @ out

    def _checked(self, Q: Array, name: str = "Q") -> Array:
        q = array(name, Q)
        if q.shape != self._unary.shape:
            raise ValueError(f"{name} must be {self._unary.shape}, got {q.shape}")
        return q


class DenseCRF2D(DenseCRF):
    """A DenseCRF over the pixels of an image, row by row: variable y * w + x is the pixel (x, y).

    Args:
        w: width in pixels. Mind the order.
        h: height in pixels.
        nlabels: labels.
        device: as for DenseCRF.

    >>> import numpy as np
    >>> from crfasrnn.densecrf import DenseCRF2D
    >>> from crfasrnn.utils import unary_from_labels
    >>> image = np.zeros((8, 8, 3), np.uint8)
    >>> image[:, 4:] = 200
    >>> labels = np.repeat([[1, 1, 1, 1, 2, 2, 2, 2]], 8, 0)
    >>> labels[3, 2] = 2  # a speck
    >>> crf = DenseCRF2D(8, 8, 2)
    >>> crf.setUnaryEnergy(unary_from_labels(labels, 2, gt_prob=0.7))
    >>> crf.addPairwiseBilateral(sxy=8, srgb=13, rgbim=image, compat=5)
    >>> np.argmax(crf.inference(5), axis=0).reshape(8, 8)[3].tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """

    def __init__(self, w: int, h: int, nlabels: int, *, device: str | torch.device = "cpu") -> None:
        self._init((integer("h", h, 1), integer("w", w, 1)), nlabels, device)

    def addPairwiseGaussian(
        self,
        sxy: float | Sequence[float],
        compat: float | npt.ArrayLike,
        kernel: KernelType | int = DIAG_KERNEL,
        normalization: NormalizationType | int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel that compares positions; sxy: standard deviation in pixels, one number or (x, y).

        Raises ValueError for standard deviations that are not positive and as addPairwiseEnergy.
        """
        self._add(None, _pair(sxy), compat, kernel, normalization)

    def addPairwiseBilateral(
        self,
        sxy: float | Sequence[float],
        srgb: float | Sequence[float],
        rgbim: npt.ArrayLike,
        compat: float | npt.ArrayLike,
        kernel: KernelType | int = DIAG_KERNEL,
        normalization: NormalizationType | int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel that compares positions and colours.

        Args:
            sxy: standard deviation of the position in pixels, one number or (x, y).
            srgb: standard deviation of the colours in the image's units, one number or one per channel.
            rgbim: (h, w, channels), any numbers (pydensecrf: uint8 and 3 channels), 1 to 30 channels.
            compat, kernel, normalization: as for addPairwiseEnergy.

        Raises:
            ValueError: a standard deviation is not positive, and as addPairwiseEnergy.
        """
        image = array("rgbim", rgbim)
        if image.ndim != 3 or image.shape[:2] != self._grid or image.shape[2] < 1:
            grey = ": a grey picture is rgbim[..., None]" if image.shape == self._grid else ""
            raise ValueError(f"Bad shape for pairwise bilateral (Need {(*self._grid, 3)}, got {image.shape}){grey}")
        deviations = array("srgb", srgb)
        if deviations.shape not in ((), image.shape[2:]) or not are_thetas(deviations.ravel()):
            raise ValueError(f"srgb must be positive, one number or {image.shape[2]}, got {srgb!r}")
        channels = np.ascontiguousarray(np.moveaxis(image / deviations, 2, 0))
        self._add(channels, _pair(sxy), compat, kernel, normalization)


def _pair(sxy: float | Sequence[float]) -> tuple[float, float]:
    values = array("sxy", sxy, np.float64)
    values = np.broadcast_to(values, 2) if values.ndim == 0 else values
    if values.shape != (2,) or not are_thetas(values):
        raise ValueError(f"sxy must be positive, one number or (x, y), got {sxy!r}")
    return float(values[0]), float(values[1])


def _softmax(scores: Array) -> Array:
    exponentials = np.exp(scores - scores.max(axis=0))
    exponentials /= exponentials.sum(axis=0)
    return exponentials


def _threads() -> int:
    # torch takes a second to import and is not needed here; but where it is in use, its setting holds.
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(asked)) if asked.isdecimal() else system.processors()
