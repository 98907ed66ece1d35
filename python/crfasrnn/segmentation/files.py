"""Segmenting files: photographs from disk to label and overlay pictures on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from caffe.files import make_folder, refuse_to_overwrite
from caffe.inputs.arrays import write_npy
from crfasrnn.claims import digest
from crfasrnn.classes import Classes
from crfasrnn.many import cannot_be_written, carry_out, share, unfinished
from crfasrnn.pictures.colours import coloured
from crfasrnn.pictures.label_maps import made_from, write_labels
from crfasrnn.pictures.photographs import read_image, refuse_picture_as_folder, write_image
from crfasrnn.segmentation.models import find_model
from crfasrnn.segmentation.overlay import overlay
from crfasrnn.segmentation.segmenter import Segmentation, Segmenter


def segment_files(
    images: Sequence[Path],
    output: Path,
    model: str,
    weights: Path | None = None,
    *,
    size: int | str | None = None,
    pad: bool = False,
    probabilities: bool = False,
    precision: str = "float32",
    min_probability: float = 0.0,
    upright: bool = True,
    colours: Path | None = None,
    processes: int | None = None,
    part: tuple[int, int] = (1, 1),
    again: bool = False,
) -> int:
    """Write <image>_labels.png and <image>_overlay.png (and <image>_probabilities.npy) to `output` for every image.

    images: files whose names differ, as crfasrnn.datasets.photographs gives them.
    upright: turn photographs as their EXIF data asks; False takes them as stored.
    colours: a file of crfasrnn.pictures.colours; None takes VOC's.
    processes: to share the images among; None takes crfasrnn.many.best_number.
    part: (i, n) does every n-th image from the i-th on.
    again: also for images whose results are there, made from the same photograph and weights in the same way.
    A damaged image is told at the end, on stderr, and the others are still segmented. Returns the exit status: 1 if any failed.
    Raises CaffeError, before anything is written, if `output` is called like a picture, a result would overwrite an image, or the
    model does not load, and as soon as a result cannot be written.
    """
    refuse_picture_as_folder(output)
    refuse_to_overwrite((result for path in images for result in _results(output, path.stem)), images)
    segmenter = Segmenter(model, weights, size=size, pad=pad, precision=precision, min_probability=min_probability)
    classes = segmenter.classes if colours is None else coloured(segmenter.classes, colours)
    files, how = find_model(model, weights), (size, pad, precision, min_probability, upright, classes)
    work = _Segmenting(
        segmenter, classes, output, probabilities, upright, digest(how, files=[files.prototxt, files.weights])
    )
    tasks = share(images, part)
    left = tasks if again else unfinished(tasks, work.is_done)
    make_folder(output)
    return carry_out(work, left, processes, what="segment", done=len(tasks) - len(left))


@dataclass(frozen=True)
class _Segmenting:
    """What is done with every photograph. recipe: identifies the model and how it is used."""

    segmenter: Segmenter
    classes: Classes
    output: Path
    probabilities: bool
    upright: bool
    recipe: str

    def __call__(self, path: Path) -> str:
        """Write the results; returns a line that tells of them."""
        image = read_image(path, self.upright)
        result = replace(self.segmenter.segment(image, self.probabilities), classes=self.classes)
        origin = self._origin(path)
        with cannot_be_written():
            written = write_results(self.output, path.stem, image, result, origin)
        found = ", ".join(self.classes.names[label] for label in result.present())
        return f"{path}: {found} -> {', '.join(str(file) for file in written)}"

    def is_done(self, path: Path) -> bool:
        """Whether all results are there and made from this."""
        results = _results(self.output, path.stem)[: 3 if self.probabilities else 2]
        return all(result.is_file() for result in results) and made_from(results[0]) == self._origin(path)

    def _origin(self, path: Path) -> str:
        return digest(self.recipe, files=[path])


def _results(output: Path, stem: str) -> list[Path]:
    """Where labels, overlay and probabilities of an image go."""
    return [output / f"{stem}_{what}" for what in ("labels.png", "overlay.png", "probabilities.npy")]


def write_results(
    output: Path, stem: str, image: np.ndarray, result: Segmentation, origin: str | None = None
) -> list[Path]:
    """Write the pictures of one result; returns their paths.

    origin: what it is made from, which the label map will tell: it is written last, and one of another origin removed first, so
    that it stands for all.
    """
    labels, picture, planes = _results(output, stem)
    if made_from(labels) != origin:
        labels.unlink(missing_ok=True)
    write_image(picture, overlay(image, result))
    if result.probabilities is not None:
        write_npy(planes, result.probabilities)
    write_labels(labels, result.labels, result.palette, origin)
    return [labels, picture] if result.probabilities is None else [labels, picture, planes]
