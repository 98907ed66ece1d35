"""What mistakes before a dense CRF cost: python benchmarks/bench_mistakes.py VOCdevkit/VOC2012 [--every 3]

Mean IU over the classes of --mean-over on VOC's list val, labels compared at the photographs' size. The probabilities are those of
the bundled model's network without its last layer; the dense CRF has the settings that `crfasrnn tune` found for it on other
photographs (models/voc21-deeplab/README.md). Each row but the first two makes one mistake, or what is taken for one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import caffe
from crfasrnn.datasets import voc
from crfasrnn.densecrf import DenseCRF2D
from crfasrnn.evaluation.metrics import confusion_matrix, per_class_iu
from crfasrnn.segmentation.models import DEFAULT, find_model, resource_folder
from crfasrnn.segmentation.segmenter import Segmenter
from crfasrnn.utils import unary_from_labels, unary_from_softmax

SPATIAL, BILATERAL, ITERATIONS = (4.2, 0.9), (31.0, 5.5, 4.0), 5
IMAGENET_MEAN, IMAGENET_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True, eq=False)
class Case:
    """A photograph, H x W x 3 uint8 RGB, and what a classifier says of it, C x H x W."""

    photograph: np.ndarray
    probabilities: np.ndarray

    def labels(
        self,
        energies: np.ndarray | None = None,
        image: np.ndarray | None = None,
        reach: float = 1.0,
        weight: float = 1.0,
    ) -> np.ndarray:
        """H x W labels by the dense CRF, with energies (C, H W), an image and factors in place of the right ones."""
        classes, height, width = self.probabilities.shape
        crf = DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(unary_from_softmax(self.probabilities) if energies is None else energies)
        crf.addPairwiseGaussian(sxy=reach * SPATIAL[0], compat=weight * SPATIAL[1])
        crf.addPairwiseBilateral(
            sxy=reach * BILATERAL[0],
            srgb=BILATERAL[1],
            rgbim=self.photograph if image is None else image,
            compat=weight * BILATERAL[2],
        )
        q = crf.inference(ITERATIONS, min_probability=1e-3)
        return q.argmax(0).reshape(height, width)

    def from_labels(self, certainty: float, zero_unsure: bool = False) -> np.ndarray:
        """Labels alone in place of probabilities."""
        labels = self.probabilities.argmax(0)
        return self.labels(unary_from_labels(labels, len(self.probabilities), certainty, zero_unsure))

    def flat(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(len(self.probabilities), -1)


def softmax(values: np.ndarray) -> np.ndarray:
    exponentials = np.exp(values - values.max(axis=0))
    return exponentials / exponentials.sum(axis=0)


def sharpened(case: Case, factor: float) -> np.ndarray:
    """The probabilities of logits that are `factor` times as far apart."""
    return softmax(factor * np.log(np.maximum(case.probabilities, 1e-12)))


def shuffled(case: Case) -> np.ndarray:
    """H x W x C that was reshaped to C x H W without being transposed."""
    return case.flat(case.probabilities.transpose(1, 2, 0))


WAYS: dict[str, Callable[[Case], np.ndarray]] = {
    "the classifier alone": lambda case: case.probabilities.argmax(0),
    "with the dense CRF": lambda case: case.labels(),
    "channels of the photograph in the other order": lambda case: case.labels(image=case.photograph[..., ::-1]),
    "photograph of 0 to 1": lambda case: case.labels(image=case.photograph / 255),
    "photograph normalised for the network": lambda case: case.labels(
        image=(case.photograph - np.array(IMAGENET_MEAN)) / IMAGENET_DEVIATION
    ),
    "photograph in grey": lambda case: case.labels(image=cv2.cvtColor(case.photograph, cv2.COLOR_RGB2GRAY)[..., None]),
    "photograph mirrored, the probabilities not": lambda case: case.labels(image=case.photograph[:, ::-1]),
    "log p as energies: the sign is missing": lambda case: case.labels(case.flat(np.log(case.probabilities + 1e-5))),
    "p as energies": lambda case: case.labels(case.flat(case.probabilities)),
    "-p as energies: the logarithm is missing": lambda case: case.labels(-case.flat(case.probabilities)),
    "the soft-max taken twice": lambda case: case.labels(unary_from_softmax(softmax(case.probabilities))),
    "H x W x C reshaped, not transposed": lambda case: case.labels(unary_from_softmax(shuffled(case))),
    "logits 4 times as far apart (too certain)": lambda case: case.labels(unary_from_softmax(sharpened(case, 4))),
    "logits a quarter as far apart": lambda case: case.labels(unary_from_softmax(sharpened(case, 0.25))),
    "labels with certainty 0.5": lambda case: case.from_labels(0.5),
    "labels with certainty 0.7": lambda case: case.from_labels(0.7),
    "labels with certainty 0.99": lambda case: case.from_labels(0.99),
    "labels, 0 taken for unknown": lambda case: case.from_labels(0.7, zero_unsure=True),
    "widths of a photograph 4 times as large": lambda case: case.labels(reach=4),
    "widths of a photograph a quarter as large": lambda case: case.labels(reach=0.25),
    "weights times 4": lambda case: case.labels(weight=4),
    "weights times 20": lambda case: case.labels(weight=20),
    "weights divided by 4": lambda case: case.labels(weight=0.25),
}


def mean_iu(cases: Sequence[tuple[Case, np.ndarray]], way: Callable[[Case], np.ndarray], over: Sequence[int]) -> float:
    """In per cent, of cases with their true labels."""
    counts = sum(confusion_matrix(truth, way(case), len(case.probabilities)) for case, truth in cases)
    return 100 * float(np.nanmean(per_class_iu(np.asarray(counts))[list(over)]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voc", type=Path)
    parser.add_argument("--list", default="val")
    parser.add_argument("--every", type=int, default=3, help="take every N-th photograph (3)")
    parser.add_argument(
        "--mean-over", type=lambda text: [int(n) for n in text.split(",")], default=[0, 8, 10, 12, 13, 15, 17]
    )
    arguments = parser.parse_args()
    caffe.init_log(2)
    model = find_model(DEFAULT)
    network = Segmenter(resource_folder("prototxt") / "deeplab" / "deeplab_deploy.prototxt", model.weights, model.size)
    cases = []
    for example in list(voc(arguments.voc, [arguments.list]))[:: arguments.every]:
        photograph = example.image()
        probabilities = network.segment(photograph, probabilities=True).probabilities
        assert probabilities is not None
        cases.append((Case(np.ascontiguousarray(photograph[..., ::-1]), probabilities), example.labels()))
    print(f"{len(cases)} photographs\n\n| what is done | mean IU (%) |\n| --- | --- |")
    for title, way in WAYS.items():
        print(f"| {title} | {mean_iu(cases, way, arguments.mean_over):.1f} |", flush=True)


if __name__ == "__main__":
    main()
