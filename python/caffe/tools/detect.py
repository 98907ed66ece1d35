"""detect: scores of windows of images, stored as CSV or HDF5 (pycaffe detect.py)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np

import caffe
from caffe.errors import CaffeError, FileError
from caffe.files import write_text
from caffe.inputs.limits import MAX_LIST
from caffe.inputs.reading import read_text
from caffe.proto.binary_file import writing
from caffe.proto.hdf5_file import written
from caffe.tools.classify import choose_mode, needs_model, read_mean, whole_numbers
from caffe.tools.flags import run_tool

USAGE = """Score windows of images.
usage: caffe-detect --model_def FILE --pretrained_model FILE [FLAGS] input_file output_file

input_file: CSV with the columns filename,ymin,xmin,ymax,xmax, a window a line.
output_file: .csv with the scores class0,class1,... before these columns (ymin,xmin,ymax,xmax,filename), or .h5 with the datasets
filename, window (n x 4) and prediction (n x classes).

flags:
  --model_def FILE, --pretrained_model FILE   the net and its weights
  --gpu                 compute on the GPU
  --crop_mode list      where windows come from; selective_search needs MATLAB and is not offered
  --mean_file FILE      mean to subtract: .npy, K or K x H x W, or .binaryproto
  --input_scale X       multiply input features by this after the mean is subtracted
  --raw_scale 255.0     multiply raw input by this before
  --channel_swap 2,1,0  order of the channels (the default turns RGB into BGR)
  --context_pad 16      amount of surrounding context to collect in the input window"""

_COLUMNS = ("ymin", "xmin", "ymax", "xmax")


@dataclass
class Flags:
    """The values of the command line's flags."""

    model_def: str = ""
    pretrained_model: str = ""
    gpu: bool = False
    crop_mode: str = "list"
    mean_file: str = ""
    input_scale: float = 1.0
    raw_scale: float = 255.0
    channel_swap: str = "2,1,0"
    context_pad: int = 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, Flags, (2, 2), _detect, arguments)


def _detect(words: list[str], flags: Flags) -> int:
    source, target = words
    needs_model(flags.model_def, flags.pretrained_model)
    if flags.crop_mode != "list":
        raise CaffeError(f"--crop_mode {flags.crop_mode} is not offered: list the windows in the input file")
    if not target.endswith((".csv", ".h5", ".hdf5")):
        raise CaffeError(f"Unknown output file extension: {target}; use .csv or .h5")
    swap = whole_numbers(flags.channel_swap, "channel_swap") if flags.channel_swap else None
    print("Loading input...")
    images = read_windows(source)
    mean = read_mean(flags.mean_file)
    choose_mode(flags.gpu)
    try:
        detector = caffe.Detector(
            flags.model_def, flags.pretrained_model, mean, flags.input_scale, flags.raw_scale, swap, flags.context_pad
        )
        detections = detector.detect_windows(images)
    except (ValueError, IndexError) as error:
        raise CaffeError(f"{source}: {error}") from error
    print(f"Processed {len(detections)} windows.")
    (_write_csv if target.endswith(".csv") else _write_hdf5)(target, detections)
    print(f"Saved to {target}.")
    return 0


def read_windows(path: str) -> list[tuple[str, list[list[int]]]]:
    """(file, windows) of a window list, consecutive lines of one file together. Raises CaffeError, naming a wrong line."""
    try:
        reader = csv.DictReader(StringIO(read_text(path, MAX_LIST)))
        lacking = [name for name in ("filename", *_COLUMNS) if name not in (reader.fieldnames or ())]
        if lacking:
            raise FileError(f"{path}: the first line must name the columns; it lacks {', '.join(lacking)}")
        rows = [(reader.line_num, row) for row in reader]
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path}: is not CSV text: {error}") from error
    images: list[tuple[str, list[list[int]]]] = []
    for number, row in rows:
        try:
            window = [int(float(row[name])) for name in _COLUMNS]
        except (TypeError, ValueError, OverflowError):
            raise FileError(f"{path}, line {number}: a window is four numbers") from None
        if not images or images[-1][0] != row["filename"]:
            images.append((row["filename"], []))
        images[-1][1].append(window)
    if not images:
        raise FileError(f"{path}: lists no windows")
    return images


def _write_csv(path: str, detections: list[dict[str, Any]]) -> None:
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    classes = detections[0]["prediction"].size
    writer.writerow([*(f"class{k}" for k in range(classes)), *_COLUMNS, "filename"])
    for found in detections:
        writer.writerow(
            [*map(repr, found["prediction"].ravel().tolist()), *found["window"].tolist(), found["filename"]]
        )
    write_text(path, buffer.getvalue())


def _write_hdf5(path: str, detections: list[dict[str, Any]]) -> None:
    with writing(path) as temporary, written(temporary) as file:
        file["filename"] = [found["filename"] for found in detections]
        file["window"] = np.stack([found["window"] for found in detections])
        file["prediction"] = np.stack([found["prediction"].ravel() for found in detections])


if __name__ == "__main__":
    sys.exit(main())
