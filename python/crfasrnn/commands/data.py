"""The commands `crfasrnn data ...`: look into data sets, check them, and make training databases of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from caffe.errors import CaffeError
from caffe.files import make_folder, write_text
from caffe.logs.progress_bar import progress
from caffe.logs.wording import counted
from crfasrnn.classes import VOID, classes_text
from crfasrnn.commands.shared import dataset_options, options

if TYPE_CHECKING:
    from crfasrnn.datasets import Dataset
    from crfasrnn.datasets.check import Counts


def add_arguments(parser: options.Parser) -> None:
    """The kinds of `data`, and what each takes."""
    kinds = parser.add_subparsers(required=True, metavar="KIND", parser_class=options.Parser)

    sources = kinds.add_parser(
        "sources",
        help="where public data sets and VGG-16 are, and how to check them; downloads nothing",
        epilog="example: crfasrnn data sources",
    )
    sources.set_defaults(run=_sources)

    listing = kinds.add_parser(
        "list",
        help="print the names of a data set's images, e.g. of the paper's sets",
        epilog="example: crfasrnn data list --voc VOCdevkit/VOC2012 --sbd benchmark_RELEASE/dataset --list val",
    )
    dataset_options.add_dataset(listing)
    listing.set_defaults(run=_list)

    split = kinds.add_parser(
        "split",
        help="draw train.txt and val.txt from a data set's images, for --list; with --names, classes.txt for both",
        epilog="example: crfasrnn data split --images photos --masks masks --output own",
    )
    dataset_options.add_dataset(split)
    split.add_argument("--output", type=Path, required=True, help="folder for the two lists")
    split.add_argument("--share", type=options.fraction, default=0.2, help="of the images that go to val.txt (0.2)")
    split.add_argument("--seed", type=options.seed, default=1, help="of the draw (1)")
    split.set_defaults(run=_split)

    check = kinds.add_parser(
        "check",
        help="read a whole data set: every problem, and the counts of each class",
        epilog="example: crfasrnn data check --images photos --masks masks --names names.txt --void 11",
    )
    dataset_options.add_dataset(check)
    check.set_defaults(run=_check)

    databases = kinds.add_parser(
        "lmdb",
        help="make image_lmdb and label_lmdb for Caffe's Data layer",
        epilog="example: crfasrnn data lmdb --images photos --masks masks --list own/train.txt --size 384 --output own/train",
    )
    dataset_options.add_dataset(databases)
    databases.add_argument("--output", type=Path, required=True, help="folder that will hold the two databases")
    databases.add_argument(
        "--size",
        type=options.native_or_sizes,
        default=[None],
        help="largest side in pixels to which larger images are reduced; several, e.g. 256,384: one entry for each (native)",
    )
    databases.add_argument("--mirror", action="store_true", help="add every image mirrored left to right, too")
    databases.add_argument("--seed", type=options.seed, default=1, help="of the order of the entries (1)")
    databases.set_defaults(run=_lmdb)

    masks = kinds.add_parser(
        "masks",
        help="make label PNGs, as all commands read them, of masks in colours, black and white or other kinds of files",
        description="Writes x.png for every mask x.png, x.bmp, x.tif ...: each pixel the number of its class. With --palette the "
        "colour says which, and classes.txt names them; without, the number that is there. All masks are written or, after an "
        "error, none.",
        epilog="example: crfasrnn data masks colour_masks/ --palette classes.csv --output masks",
    )
    masks.add_argument(
        "masks",
        nargs="+",
        type=Path,
        metavar="MASK",
        help="masks, folders of them, or patterns such as 'masks/*_L.png'",
    )
    masks.add_argument("--output", type=Path, required=True, help="folder for the label PNGs")
    masks.add_argument(
        "--palette",
        metavar="FILE",
        help="the classes' colours, one a line: name,red,green,blue or name,#rrggbb; or voc; or binary: black is the background, "
        "white the object (pixels are numbers already)",
    )
    masks.add_argument(
        "--nearest", action="store_true", help="take other colours for the nearest of the palette (error)"
    )
    masks.add_argument(
        "--void",
        action="append",
        metavar="NAME",
        help="a class of the palette that counts nowhere; repeatable (none)",
    )
    masks.add_argument(
        "--ending", metavar="TEXT", help="of the masks' names behind the photographs': _mask for x_mask.png"
    )
    masks.set_defaults(run=_masks)


def _sources(arguments: argparse.Namespace) -> int:
    from crfasrnn.datasets.sources import instructions

    print(instructions())
    return 0


def _list(arguments: argparse.Namespace) -> int:
    for example in dataset_options.dataset_of(arguments):
        print(example.name)
    return 0


def _split(arguments: argparse.Namespace) -> int:
    from crfasrnn.datasets.folder import split

    dataset = dataset_options.dataset_of(arguments)
    names = [example.name for example in dataset.complete()]
    lists = dict(zip(("train.txt", "val.txt"), split(names, arguments.share, arguments.seed)))
    files = {arguments.output / file: "".join(f"{name}\n" for name in part) for file, part in lists.items()}
    if arguments.names is not None:
        files[arguments.output / "classes.txt"] = classes_text(dataset.names)
    _check_kept(files)
    make_folder(arguments.output)
    for path, content in files.items():
        write_text(path, content)
    for file, part in lists.items():
        print(f"{arguments.output / file}: {counted(len(part), 'image')}")
    _print_left_out([example.name for example in dataset if example.missing()])
    return 0


def _check_kept(files: Mapping[Path, str]) -> None:
    """Raise CaffeError if one of the files is there with other content: a training or a test may rest on it."""
    for path, content in files.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content.encode()):
            raise CaffeError(f"{str(path)!r} exists already with other content: remove it or give another --output")


def _print_left_out(names: Sequence[str]) -> None:
    if names:
        few = f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        print(
            f"note: {counted(len(names), 'image')} without a photograph or a mask left out: {few}",
            file=sys.stderr,
        )


def _check(arguments: argparse.Namespace) -> int:
    from crfasrnn.datasets.check import check

    dataset = dataset_options.selected(dataset_options.dataset_of(arguments), arguments)
    if not len(dataset):
        raise CaffeError(f"{dataset.title} is empty")
    counts, problems = check(dataset)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    _print_counts(counts, dataset)
    print(f"{counted(len(dataset), 'image')}, {counted(len(problems), 'problem')}")
    return 1 if problems else 0


def _lmdb(arguments: argparse.Namespace) -> int:
    from crfasrnn.datasets.databases import IMAGES, LABELS, variants, write_databases

    dataset = dataset_options.selected(dataset_options.dataset_of(arguments), arguments).require_files()
    entries = variants(dataset, arguments.size, arguments.mirror, arguments.seed)
    _print_counts(write_databases(arguments.output, entries, dataset.names), dataset)
    made = f"{counted(len(entries), 'entry', 'entries')} from {counted(len(dataset), 'image')}"
    print(f"{made} in {arguments.output / IMAGES} and {LABELS}")
    return 0


# What labelling programs call pixels that nobody labelled.
_VOIDS = ("void", "ignore", "unlabeled", "unlabelled", "unknown")


def _masks(arguments: argparse.Namespace) -> int:
    from crfasrnn.datasets.check import Counts
    from crfasrnn.datasets.photographs import photographs
    from crfasrnn.pictures.colour_masks import CLASSES, convert_masks
    from crfasrnn.pictures.palettes import palette
    from crfasrnn.pictures.photographs import MASK_SUFFIXES

    if arguments.palette is None and (arguments.void or arguments.nearest):
        raise options.UsageError("--void and --nearest are for a --palette")
    meant = None if arguments.palette is None else palette(arguments.palette, arguments.void or ())
    files = photographs(arguments.masks, suffixes=MASK_SUFFIXES)
    counts, replaced, furthest = Counts(), 0, 0.0
    conversion = convert_masks(files, arguments.output, meant, arguments.nearest, arguments.ending or "")
    for mask in progress(conversion, total=len(files), what="masks", unit="mask"):
        counts.add(mask.labels)
        replaced, furthest = replaced + mask.replaced, max(furthest, mask.furthest)
    names = () if meant is None else meant.names
    print(counts.table(names))
    print(
        f"{counted(len(files), 'mask')} -> {arguments.output}{f' (--names {arguments.output / CLASSES})' if meant else ''}"
    )
    notes = []
    if meant is None and counts.is_void_beside_0():
        notes.append(f"there is nothing but 0 and {VOID}, which is void; if {VOID} marks the object: --palette binary")
    if replaced:
        notes.append(
            f"{counted(replaced, 'pixel')} had other colours and took the nearest, {furthest:.0f} away at most"
        )
    notes += [
        f"{name!r} is a class here; --void {name} lets it count nowhere" for name in names if name.lower() in _VOIDS
    ]
    for note in notes:
        print(f"note: {note}")
    return 0


def _print_counts(counts: Counts, dataset: Dataset) -> None:
    from crfasrnn.datasets.check import exif_note, remark

    classes = len(dataset.names) or counts.num_classes()
    print(counts.table(dataset.names))
    if classes:
        print(f"{counted(classes, 'class', 'classes')}: a net for them needs num_output: {classes} in its scores")
    for hint in (remark(counts, dataset.names), exif_note(dataset)):
        if hint is not None:
            print(f"note: {hint}")
