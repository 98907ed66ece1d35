"""Segmenting files: photographs from disk to label and overlay pictures on disk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.files import make_folder, refuse_to_overwrite
from caffe.inputs.arrays import write_npy
from caffe.logs.progress_bar import progress
from crfasrnn.pictures.colours import coloured
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import SUFFIXES, photographs_in, read_image, write_image
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
    upright: bool = True,
    colours: Path | None = None,
) -> int:
    """Write <image>_labels.png and <image>_overlay.png (and <image>_probabilities.npy) to `output` for every image.

    images: files, and folders whose photographs are meant.
    upright: turn photographs as their EXIF data asks; False takes them as stored.
    colours: a file of crfasrnn.pictures.colours; None takes VOC's.
    A damaged image is reported on stderr and the others are still segmented. Returns the exit status: 1 if any failed.
    Raises CaffeError, before anything is written, if a file is missing or the model does not load.
    """
    images = [file for path in images for file in _files(path)]
    _check_names(images, output)
    segmenter = Segmenter(model, weights, size=size, pad=pad, precision=precision)
    if colours is not None:
        segmenter.classes = coloured(segmenter.classes, colours)
    make_folder(output)
    status = 0
    with progress(images, what="segment", unit="image") as bar:
        for path in bar:
            try:
                image = read_image(path, upright)
                result = segmenter.segment(image, probabilities)
            except CaffeError as problem:
                bar.write(f"error: {problem}", file=sys.stderr)
                status = 1
                continue
            written = write_results(output, path.stem, image, result)
            found = ", ".join(result.classes.names[label] for label in result.present())
            with bar.external_write_mode():
                print(f"{path}: {found} -> {', '.join(str(file) for file in written)}")
    return status


def _files(path: Path) -> list[Path]:
    """The photographs of a folder, or the file itself."""
    found = photographs_in(path) if path.is_dir() else [path]
    if not found:
        raise FileError(f"no images in {str(path)!r} (known are {' '.join(SUFFIXES)})")
    return found


def _check_names(images: Sequence[Path], output: Path) -> None:
    """Refuse, before any work, files that are missing, and those whose results would have one name or that of an image."""
    seen: dict[str, Path] = {}
    for path in images:
        if not path.is_file():
            raise FileError(f"cannot read image {str(path)!r}: no such file")
        if path.stem in seen:
            raise CaffeError(f"{str(seen[path.stem])!r} and {str(path)!r} would write results of the same name")
        seen[path.stem] = path
    refuse_to_overwrite((result for path in images for result in _results(output, path.stem)), images)


def _results(output: Path, stem: str) -> list[Path]:
    """Where labels, overlay and probabilities of an image go."""
    return [output / f"{stem}_{what}" for what in ("labels.png", "overlay.png", "probabilities.npy")]


def write_results(output: Path, stem: str, image: np.ndarray, result: Segmentation) -> list[Path]:
    """Write the pictures of one result; returns their paths."""
    labels, picture, planes = _results(output, stem)
    write_labels(labels, result.labels, result.palette)
    write_image(picture, overlay(image, result))
    if result.probabilities is None:
        return [labels, picture]
    write_npy(planes, result.probabilities)
    return [labels, picture, planes]
