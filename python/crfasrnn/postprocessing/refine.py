"""Refining the results of any classifier with a dense CRF, from files to files: the command `crfasrnn densecrf`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import make_folder, refuse_to_overwrite
from caffe.logs.progress_bar import progress
from caffe.logs.wording import counted
from crfasrnn.classes import VOID
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.pictures.photographs import exif_remark, photographs_in, read_image
from crfasrnn.postprocessing.probabilities import ENDINGS, read_probabilities
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_labels, unary_from_softmax


@dataclass(frozen=True)
class Refinement:
    """How labels or probabilities are brought in line with a photograph.

    settings: of the CRF.
    classes: how many there are; None takes what a label map holds, and at least two.
    void: a label that means unknown, as 255 does; no pixel gets it.
    certainty: probability that a label of a label map is right, in (0, 1).
    upright: turn photographs as their EXIF data asks; False takes them as stored.
    palette: 256 x 3 RGB colours of what is written; None takes VOC's.
    """

    settings: CrfSettings = field(default_factory=CrfSettings)
    classes: int | None = None
    void: int = VOID
    certainty: float = 0.7
    upright: bool = True
    palette: np.ndarray | None = None

    def refine(self, image: str | os.PathLike[str], prediction: str | os.PathLike[str], output: Path) -> None:
        """Write the labels of `prediction`, brought in line with the photograph, as a palette PNG.

        Args:
            image: the photograph, H x W.
            prediction: a .npy or .npz of C x H x W probabilities, or a palette or grey PNG of H x W labels, 255 where unknown.
            output: the .png to write; its folder is made if need be.

        Raises:
            CaffeError: a file cannot be read or written, the output has another ending, sizes or numbers of classes differ, a value
                is out of range, or a label map says nothing: it is void all over, or 0 and void with `classes` not given, as
                masks are whose object is 255.
        """
        if output.suffix.lower() != ".png":
            raise CaffeError(f"{str(output)!r}: labels are written as PNG, so the name must end in .png")
        photograph = read_image(image, self.upright)
        height, width = photograph.shape[:2]
        name = os.fspath(prediction)
        probable = Path(name).suffix.lower() in (".npy", ".npz")
        energies, grid = self._from_probabilities(name) if probable else self._from_labels(name)
        if grid != (height, width):
            raise CaffeError(
                f"{name!r} is {grid[0]} x {grid[1]}, but the photograph {os.fspath(image)!r} is {height} x {width}"
                f"{exif_remark(image, self.upright)}"
            )
        refined = self.settings.labels(photograph, energies)
        make_folder(output.parent)
        write_labels(output, refined, self.palette)

    def _from_probabilities(self, name: str) -> tuple[np.ndarray, tuple[int, ...]]:
        probabilities = read_probabilities(name)
        if self.classes not in (None, len(probabilities)):
            raise CaffeError(
                f"{name!r} has probabilities of {len(probabilities)} classes, but there are {self.classes}"
            )
        return unary_from_softmax(probabilities), probabilities.shape[1:]

    def _from_labels(self, name: str) -> tuple[np.ndarray, tuple[int, ...]]:
        labels = read_labels(name)
        unknown = (labels == VOID) | (labels == self.void)
        highest = int(labels[~unknown].max(initial=0))
        self._check_says_something(name, unknown, highest)
        if self.classes is not None and highest >= self.classes:
            raise CaffeError(
                f"{name!r} has the label {highest}, but there are {self.classes} classes; if it means unknown: --void {highest}"
            )
        shifted = np.where(unknown, 0, labels.astype(np.int64) + 1)
        count = max(2, highest + 1 if self.classes is None else self.classes)
        try:
            energies = unary_from_labels(shifted, count, self.certainty)
        except ValueError as problem:
            raise CaffeError(str(problem)) from problem
        energies[self.void : self.void + 1] = np.inf
        return energies, labels.shape

    def _check_says_something(self, name: str, unknown: np.ndarray, highest: int) -> None:
        """Raise CaffeError for a label map whose result would be one label, whatever the photograph shows."""
        void = f"{VOID}" if self.void == VOID else f"{self.void} and {VOID}"
        if unknown.all():
            raise CaffeError(f"{name!r} holds nothing but {void}, which means unknown: there is nothing to start from")
        if self.classes is None and highest == 0 and unknown.any():
            raise CaffeError(
                f"{name!r} holds nothing but 0 and {void}, and {void} means unknown: if it marks an object, save that as 1; "
                "if 0 is meant to be all there is, say by --num-classes how many classes there are"
            )


def refine_folder(how: Refinement, images: Path, predictions: Path, output: Path) -> int:
    """Refine what a folder holds for the photographs of another, to `output`/<name>.png; returns the exit status.

    Photographs and predictions belong together by name, see pairs. What cannot be read is reported on stderr and the others are
    still refined; the status then is 1. Raises CaffeError, before anything is written, where nothing belongs together or a file
    that is to be read would be overwritten.
    """
    if output.suffix.lower() == ".png" and not output.is_dir():
        raise CaffeError(f"{str(output)!r}: the results of folders go to a folder, which is not called .png")
    found, alone = pairs(images, predictions)
    refuse_to_overwrite((output / f"{image.stem}.png" for image, _ in found), (path for pair in found for path in pair))
    make_folder(output)
    status = 0
    with progress(found, what="densecrf", unit="image") as bar:
        for image, prediction in bar:
            written = output / f"{image.stem}.png"
            try:
                how.refine(image, prediction, written)
            except CaffeError as problem:
                bar.write(f"error: {problem}", file=sys.stderr)
                status = 1
                continue
            with bar.external_write_mode():
                print(f"{image}, {prediction} -> {written}")
    if alone:
        print(
            f"note: nothing in {str(predictions)!r} for {counted(len(alone), 'photograph')}, e.g. {str(alone[0])!r}",
            file=sys.stderr,
        )
    return status


def pairs(images: Path, predictions: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """The photographs of a folder with the files in another that belong to them, and those without one.

    To x.jpg belongs the first that there is of x.npy, x.npz, x_probabilities.npy, x.png and x_labels.png.
    Raises CaffeError where there is none at all, or two photographs have one name.
    """
    found: dict[str, tuple[Path, Path]] = {}
    alone = []
    for image in photographs_in(images):
        files = [predictions / f"{image.stem}{end}" for end in (*ENDINGS, ".png", "_labels.png")]
        prediction = next((file for file in files if file.is_file() and not file.samefile(image)), None)
        if prediction is None:
            alone.append(image)
        elif image.stem in found:
            raise CaffeError(f"{str(found[image.stem][0])!r} and {str(image)!r} would write results of the same name")
        else:
            found[image.stem] = image, prediction
    if not found:
        named = " (x.npy, x.npz, x_probabilities.npy, x.png or x_labels.png for x.jpg)"
        raise FileError(f"nothing in {str(predictions)!r} belongs to a photograph in {str(images)!r}{named}")
    return list(found.values()), alone
