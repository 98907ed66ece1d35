"""Refining the results of any classifier with a dense CRF, from files to files: the command `crfasrnn densecrf`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import make_folder, refuse_to_overwrite
from caffe.logs.wording import counted
from crfasrnn.claims import digest
from crfasrnn.classes import VOID
from crfasrnn.many import cannot_be_written, carry_out, share, unfinished
from crfasrnn.pictures.label_maps import made_from, read_labels, write_labels
from crfasrnn.pictures.photographs import exif_remark, read_image, refuse_picture_as_folder
from crfasrnn.postprocessing.probabilities import (
    ENDINGS,
    are_activation_maps,
    read_activation_maps,
    read_probabilities,
    transposed_remark,
)
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
    scores: what .npy and .npz files hold are scores before the soft-max, not probabilities.
    background: of activation maps without one, see read_activation_maps.
    min_probability: labels whose probability is below this at every pixel are left out, see DenseCRF.inference.
    """

    settings: CrfSettings = field(default_factory=CrfSettings)
    classes: int | None = None
    void: int = VOID
    certainty: float = 0.7
    upright: bool = True
    palette: np.ndarray | None = None
    scores: bool = False
    background: float = 4.0
    min_probability: float = 0.0

    def refine(self, image: str | os.PathLike[str], prediction: str | os.PathLike[str], output: Path) -> None:
        """Write the labels of `prediction`, brought in line with the photograph, as a palette PNG.

        Args:
            image: the photograph, H x W.
            prediction: a .npy or .npz of C x H x W probabilities or scores, an .npz of activation maps (H x W, called by their
                labels), or a palette or grey PNG of H x W labels, 255 where unknown.
            output: the .png to write; its folder is made if need be.

        Raises:
            CaffeError: a file cannot be read or written, the output has another ending, sizes or numbers of classes differ, a value
                is out of range, or a label map says nothing: it is void all over, or 0 and void with `classes` not given, as
                masks are whose object is 255.
        """
        if output.suffix.lower() != ".png":
            raise CaffeError(f"{str(output)!r}: labels are written as PNG, so the name must end in .png")
        self.write(output, self.refined(image, prediction))

    def write(self, output: Path, labels: np.ndarray, origin: str | None = None) -> None:
        """Write labels, which tell their origin if it is given, in a folder that is made if need be. Raises CaffeError."""
        make_folder(output.parent)
        write_labels(output, labels, self.palette, origin)

    def refined(self, image: str | os.PathLike[str], prediction: str | os.PathLike[str]) -> np.ndarray:
        """The labels that refine writes, H x W."""
        photograph = read_image(image, self.upright)
        height, width = photograph.shape[:2]
        name = os.fspath(prediction)
        numbers, energies, grid = self._start(name)
        if grid != (height, width):
            remark = transposed_remark(grid[1]) if (len(energies), grid[0]) == (height, width) else ""
            raise CaffeError(
                f"{name!r} is {grid[0]} x {grid[1]}, but the photograph {os.fspath(image)!r} is {height} x {width}"
                f"{remark or exif_remark(image, self.upright)}"
            )
        labels = self.settings.labels(photograph, energies, self.min_probability)
        return labels if numbers is None else numbers[labels]

    def recipe(self) -> str:
        """What identifies all that results depend on but the files."""
        palette = None if self.palette is None else self.palette.tolist()
        return digest(
            *(palette if part.name == "palette" else getattr(self, part.name) for part in fields(self)), files=[]
        )

    def _start(self, name: str) -> tuple[np.ndarray | None, np.ndarray, tuple[int, ...]]:
        """What each row stands for (None: its own number), energies of all rows and pixels, and the grid's height and width."""
        if Path(name).suffix.lower() not in (".npy", ".npz"):
            return None, *self._from_labels(name)
        if are_activation_maps(name):
            return self._from_activation_maps(name)
        probabilities = read_probabilities(name, scores=self.scores)
        if self.classes not in (None, len(probabilities)):
            what = "scores" if self.scores else "probabilities"
            remark = transposed_remark(self.classes) if probabilities.shape[2] == self.classes else ""
            raise CaffeError(
                f"{name!r} has {what} of {len(probabilities)} classes, but there are {self.classes}{remark}"
            )
        return None, unary_from_softmax(probabilities), probabilities.shape[1:]

    def _from_activation_maps(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        if self.scores:
            raise CaffeError(f"{name!r} has activation maps, which are no scores: they go from 0 to 1")
        numbers, maps = read_activation_maps(name, self.background)
        if self.classes is not None and numbers[-1] >= self.classes:
            raise CaffeError(f"{name!r} has a map for label {numbers[-1]}, but there are {self.classes} classes")
        if self.void in numbers:
            raise CaffeError(f"{name!r} has a map for label {self.void}, which means unknown")
        return numbers, unary_from_softmax(maps), maps.shape[1:]

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


def refine_folder(
    how: Refinement,
    images: Sequence[Path],
    predictions: Path,
    output: Path,
    *,
    processes: int | None = None,
    part: tuple[int, int] = (1, 1),
    again: bool = False,
) -> int:
    """Refine what a folder holds for photographs, to `output`/<name>.png; returns the exit status.

    Photographs and predictions belong together by name, see pairs. processes, part, again: as segment_files has them. What cannot
    be read is told at the end, on stderr, and the others are still refined; the status then is 1. Raises CaffeError, before
    anything is written, where nothing belongs together or a file that is to be read would be overwritten, and as soon as a
    result cannot be written.
    """
    refuse_picture_as_folder(output)
    found, alone = pairs(images, predictions)
    refuse_to_overwrite((output / f"{image.stem}.png" for image, _ in found), (path for pair in found for path in pair))
    work = _Refining(how, output)
    tasks = share(found, part)
    left = tasks if again else unfinished(tasks, work.is_done)
    make_folder(output)
    status = carry_out(work, left, processes, what="densecrf", done=len(tasks) - len(left))
    if alone:
        print(
            f"note: nothing in {str(predictions)!r} for {counted(len(alone), 'photograph')}, e.g. {str(alone[0])!r}",
            file=sys.stderr,
        )
    return status


@dataclass(frozen=True)
class _Refining:
    """What is done with every photograph and its prediction."""

    how: Refinement
    output: Path

    def __call__(self, pair: tuple[Path, Path]) -> str:
        """Write the result; returns a line that tells of it."""
        labels, origin, result = self.how.refined(*pair), self._origin(pair), self._result(pair)
        with cannot_be_written():
            self.how.write(result, labels, origin)
        return f"{pair[0]}, {pair[1]} -> {result}"

    def is_done(self, pair: tuple[Path, Path]) -> bool:
        """Whether the result is there and made from these."""
        result = self._result(pair)
        return result.is_file() and made_from(result) == self._origin(pair)

    def _result(self, pair: tuple[Path, Path]) -> Path:
        return self.output / f"{pair[0].stem}.png"

    def _origin(self, pair: tuple[Path, Path]) -> str:
        return digest(self.how.recipe(), files=pair)


def pairs(images: Sequence[Path], predictions: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """The photographs with the files in a folder that belong to them, and those without one.

    To x.jpg belongs the first that there is of x.npy, x.npz, x_probabilities.npy, x.png and x_labels.png.
    Raises CaffeError where there is none at all.
    """
    found: list[tuple[Path, Path]] = []
    alone = []
    for image in images:
        files = [predictions / f"{image.stem}{end}" for end in (*ENDINGS, ".png", "_labels.png")]
        prediction = next((file for file in files if file.is_file() and not file.samefile(image)), None)
        if prediction is None:
            alone.append(image)
        else:
            found.append((image, prediction))
    if not found:
        named = " (x.npy, x.npz, x_probabilities.npy, x.png or x_labels.png for x.jpg)"
        raise FileError(
            f"nothing in {str(predictions)!r} belongs to one of {counted(len(images), 'photograph')}{named}"
        )
    return found, alone
