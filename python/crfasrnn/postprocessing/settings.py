"""The settings of dense CRF post-processing: what `crfasrnn tune` finds and `crfasrnn densecrf --settings` reads."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from caffe import mode
from caffe.errors import CaffeError, FileError
from caffe.inputs.limits import MAX_ITERATIONS
from caffe.inputs.reading import read_text
from crfasrnn.crf.options import are_thetas
from crfasrnn.densecrf import DenseCRF2D

if TYPE_CHECKING:
    import torch

_LIMIT = 1 << 20  # bytes of a settings file


@dataclass(frozen=True)
class CrfSettings:
    """Kernels and iterations of a dense CRF over the pixels of a photograph.

    spatial: theta_gamma, the standard deviation of the position in pixels, and the weight of the kernel that compares positions.
    bilateral: theta_alpha and theta_beta, the standard deviations of the position in pixels and of the colours (0 to 255),
        and the weight of the kernel that compares both.
    iterations: of mean field; with 0 the labels are the most probable ones as they are.

    Raises CaffeError for a standard deviation that is not positive and a negative weight or number of iterations.
    """

    spatial: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0)
    iterations: int = 10

    def __post_init__(self) -> None:
        for name, values, count in (("spatial", self.spatial, 2), ("bilateral", self.bilateral, 3)):
            numbers = len(values) == count and all(isinstance(value, int | float) for value in values)
            if not numbers or not are_thetas(values[:-1]) or not 0 <= values[-1] < math.inf:
                raise CaffeError(
                    f"{name} needs {count - 1} positive standard deviation(s) and a weight of at least 0, not {values}"
                )
        if not isinstance(self.iterations, int) or not 0 <= self.iterations <= MAX_ITERATIONS:
            raise CaffeError(f"iterations must be 0 to {MAX_ITERATIONS}, not {self.iterations!r}")

    def labels(self, photograph: np.ndarray, energies: np.ndarray, min_probability: float = 0.0) -> np.ndarray:
        """The most probable labels, H x W, for H x W x 3 uint8 BGR and unary energies (C, H W). Raises CaffeError.

        They are computed on the CUDA device that caffe.mode says, or on the CPU, there with min_probability (DenseCRF.inference).
        """
        height, width = photograph.shape[:2]
        try:
            if mode.uses_gpu():
                return self.labels_on(mode.device(), photograph, energies)
            crf = DenseCRF2D(width, height, len(energies))
            crf.setUnaryEnergy(energies)
            crf.addPairwiseGaussian(sxy=self.spatial[0], compat=self.spatial[1])
            rgb = photograph[:, :, ::-1]
            crf.addPairwiseBilateral(self.bilateral[0], self.bilateral[1], rgbim=rgb, compat=self.bilateral[2])
            labels: np.ndarray = (
                crf.inference(self.iterations, min_probability=min_probability).argmax(axis=0).reshape(height, width)
            )
        except ValueError as problem:
            raise CaffeError(str(problem)) from problem
        return labels

    def labels_on(self, device: torch.device, photograph: np.ndarray, energies: np.ndarray) -> np.ndarray:
        """The same by crfasrnn.crf on a device of torch's. Raises ValueError and CaffeError."""
        import torch

        from crfasrnn.crf.functional import Kernel, mean_field_kernels

        height, width = photograph.shape[:2]
        unary = torch.from_numpy(-energies).reshape(1, -1, height, width).to(device)
        if self.iterations:
            colours = np.ascontiguousarray(photograph[:, :, ::-1].transpose(2, 0, 1), np.float32)
            image = torch.from_numpy(colours)[None].to(device)
            kernels = [
                Kernel(self.spatial[0], normalization="symmetric"),
                Kernel(self.bilateral[0], image, self.bilateral[1], normalization="symmetric"),
            ]
            eye = torch.eye(unary.shape[1], device=device)
            weights = [self.spatial[1] * eye, self.bilateral[2] * eye]
            unary = mean_field_kernels(unary, unary, kernels, weights, -eye, iterations=self.iterations)
        labels: np.ndarray = unary[0].argmax(0).cpu().numpy()
        return labels

    def to_json(self) -> dict[str, Any]:
        """As the object "settings" in files."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> CrfSettings:
        """The inverse; fields that are absent have their defaults. Raises CaffeError for anything else."""
        known = {"spatial", "bilateral", "iterations"}
        if not isinstance(content, dict) or not set(content) <= known:
            raise CaffeError(f"settings are an object with the fields {', '.join(sorted(known))}")
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
        }
        if not all(isinstance(fields.get(name, ()), tuple) for name in ("spatial", "bilateral")):
            raise CaffeError("spatial and bilateral are lists of numbers")
        return cls(**fields)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> CrfSettings:
        """Read the object "settings" of a JSON file, as `crfasrnn tune` writes it. Raises CaffeError naming the file."""
        try:
            content = json.loads(read_text(path, _LIMIT))
            if not isinstance(content, dict) or "settings" not in content:
                raise CaffeError('no object with a field "settings"')
            return cls.from_json(content["settings"])
        except OSError as problem:
            raise FileError(f"cannot read settings {os.fspath(path)!r}: {problem.strerror or problem}") from problem
        except (ValueError, RecursionError, CaffeError) as problem:
            raise FileError(f"cannot read settings {os.fspath(path)!r}: {problem}") from problem
