"""The options that name a data set and what becomes of its labels, and the data set that they name."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from crfasrnn.classes import VOID
from crfasrnn.commands.shared import options

if TYPE_CHECKING:
    from crfasrnn.datasets import Dataset


def add_dataset(parser: argparse.ArgumentParser, default_list: str | None = None) -> None:
    """The options that name a data set and what becomes of its labels.

    default_list: taken if --list is not given, but with --images, whose photographs are then all meant.
    """
    source = parser.add_argument_group("data set, one of")
    source.add_argument(
        "--voc", type=Path, metavar="VOC2012", help="PASCAL VOC: a development kit's folder of one year"
    )
    source.add_argument(
        "--sbd",
        type=Path,
        metavar="DATASET",
        help="SBD: its folder `dataset`; with --voc the paper's train and val sets",
    )
    source.add_argument("--coco", type=Path, metavar="JSON", help="MS COCO: instances_*.json, with --images")
    source.add_argument("--context", type=Path, metavar="DIR", help="Pascal Context: its folder, with --voc VOC2010")
    source.add_argument("--images", type=Path, metavar="DIR", help="any photographs, with --masks; or those of --coco")
    detail = parser.add_argument_group("which part of it, and its labels")
    detail.add_argument("--masks", metavar="DIR", help="index or palette PNGs x.png (with --voc: SegmentationClass)")
    detail.add_argument(
        "--list",
        action="append",
        help="name of a list of the data set, or with --voc, --coco or --images a file of names, x.txt (all there are); repeatable"
        + (f" ({default_list})" if default_list else ""),
    )
    detail.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="with --masks: names of the labels, one a line, or a classes.txt (numbers; other data sets have their own)",
    )
    detail.add_argument(
        "--void", type=options.label, metavar="LABEL", help="with --masks: a label that counts nowhere, as 255 does"
    )
    detail.add_argument(
        "--min-labelled",
        type=options.pixel_count,
        help="with --coco: fewest pixels of the classes that an image has (200 of VOC's, 1 of its own)",
    )
    detail.add_argument(
        "--categories",
        choices=("voc", "own"),
        help="with --coco: VOC's classes alone, or the background and all categories of the file, by their numbers (voc)",
    )
    detail.add_argument(
        "--reduce-zero-label", action="store_true", help="label 0 is void, 1 becomes 0, and so on (ADE20K)"
    )
    detail.add_argument(
        "--classes",
        type=options.class_ids,
        metavar="IDS",
        help="numbers of the classes meant, e.g. 0,8,12 or 0-10; they become 0, 1, ... (all)",
    )
    detail.add_argument(
        "--others", choices=("ignore", "background"), default="ignore", help="what other classes are (ignore: void)"
    )
    options.add_exif(detail)
    parser.set_defaults(default_list=default_list)


def dataset_of(arguments: argparse.Namespace) -> Dataset:
    """The data set that the options of add_dataset name; its files are not looked at yet.

    Raises options.UsageError if the options do not go together, and CaffeError if a list is bad.
    """
    default = [arguments.default_list] if arguments.default_list and arguments.images is None else []
    dataset = _source(arguments)(arguments, arguments.list or default)
    dataset = dataset.as_stored() if arguments.exif == "ignore" else dataset
    return dataset.without_zero() if arguments.reduce_zero_label else dataset


def selected(dataset: Dataset, arguments: argparse.Namespace) -> Dataset:
    """The data set with the classes of --classes and --others, or with all of its classes."""
    return dataset if arguments.classes is None else dataset.select(arguments.classes, arguments.others)


def _source(arguments: argparse.Namespace) -> Callable[[argparse.Namespace, list[str]], Dataset]:
    given = {name for name in ("voc", "sbd", "coco", "context", "images") if getattr(arguments, name) is not None}
    readers: dict[frozenset[str], Callable[[argparse.Namespace, list[str]], Dataset]] = {
        frozenset({"voc"}): _voc,
        frozenset({"sbd"}): _sbd,
        frozenset({"voc", "sbd"}): _voc_and_sbd,
        frozenset({"coco", "images"}): _coco,
        frozenset({"context", "voc"}): _context,
        frozenset({"images"}): _folder,
    }
    reader = readers.get(frozenset(given))
    if reader is None:
        raise options.UsageError(
            f"these do not go together: {', '.join('--' + name for name in sorted(given))}"
            if len(given) > 1
            else f"--{next(iter(given))} needs {'--images' if 'coco' in given else '--voc'}, too"
            if given
            else "one of the following arguments is required: --voc, --sbd, --coco, --context, --images"
        )
    if (arguments.categories or arguments.min_labelled is not None) and reader is not _coco:
        raise options.UsageError("--categories and --min-labelled are for --coco")
    for option in ("void", "names"):
        if getattr(arguments, option) is not None and reader is not _folder:
            raise options.UsageError(f"--{option} is for --images with --masks: other data sets have their own")
    return reader


def _lists(lists: list[str], option: str) -> list[str]:
    if not lists:
        raise options.UsageError(f"--{option} needs --list NAME, e.g. --list train")
    return lists


def _voc(arguments: argparse.Namespace, lists: list[str]) -> Dataset:
    from crfasrnn.datasets.voc import MASKS, voc

    return voc(arguments.voc, _lists(lists, "voc"), arguments.masks or MASKS)


def _sbd(arguments: argparse.Namespace, lists: list[str]) -> Dataset:
    from crfasrnn.datasets import sbd

    return sbd(arguments.sbd, _lists(lists, "sbd"))


def _voc_and_sbd(arguments: argparse.Namespace, lists: list[str]) -> Dataset:
    from crfasrnn.datasets import voc_and_sbd

    if len(lists) != 1:
        raise options.UsageError("--voc with --sbd needs one list: --list train or --list val")
    return voc_and_sbd(arguments.voc, arguments.sbd, lists[0])


def _coco(arguments: argparse.Namespace, lists: list[str]) -> Dataset:
    from crfasrnn.datasets.coco import coco

    return coco(arguments.coco, arguments.images, arguments.min_labelled, arguments.categories or "voc", lists)


def _context(arguments: argparse.Namespace, lists: list[str]) -> Dataset:
    from crfasrnn.datasets import pascal_context

    return pascal_context(arguments.context, arguments.voc, _lists(lists, "context"))


def _folder(arguments: argparse.Namespace, lists: list[str]) -> Dataset:
    from crfasrnn.datasets import folder

    if arguments.masks is None:
        raise options.UsageError("--images needs --masks, the folder of the label maps (or --coco)")
    void = VOID if arguments.void is None else arguments.void
    return folder(arguments.images, arguments.masks, lists, arguments.names, void)
