"""The commands `crfasrnn data ...`: look into data sets, check them, and make training databases of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import arguments as options


def add_commands(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add `data` with its kinds to the commands of crfasrnn."""
    data = commands.add_parser("data", help="prepare training data")
    kinds = data.add_subparsers(required=True, metavar="KIND", parser_class=options.Parser)

    sources = kinds.add_parser(
        "sources", help="where the public data sets are, and how to check them; downloads nothing"
    )
    sources.set_defaults(run=_sources)

    listing = kinds.add_parser("list", help="print the names of a data set's images, e.g. of the paper's sets")
    options.add_dataset(listing)
    listing.set_defaults(run=_list)

    check = kinds.add_parser("check", help="read a whole data set: every problem, and the counts of each class")
    options.add_dataset(check)
    check.set_defaults(run=_check)

    databases = kinds.add_parser("lmdb", help="make image_lmdb and label_lmdb for Caffe's Data layer")
    options.add_dataset(databases)
    databases.add_argument("--output", type=Path, required=True, help="folder that will hold the two databases")
    sizes = databases.add_mutually_exclusive_group()
    sizes.add_argument("--max-side", type=options.positive, help="reduce larger images to this largest side")
    sizes.add_argument("--scales", type=options.sizes, help="several such sides, e.g. 256,384: one entry for each")
    databases.add_argument("--mirror", action="store_true", help="add every image mirrored left to right, too")
    databases.add_argument("--seed", type=int, default=1, help="of the order of the entries (1)")
    databases.set_defaults(run=_lmdb)


def _sources(arguments: argparse.Namespace) -> int:
    from .datasets.sources import instructions

    print(instructions())
    return 0


def _list(arguments: argparse.Namespace) -> int:
    for example in options.dataset_of(arguments):
        print(example.name)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from .datasets.check import check, remark

    dataset = options.selected(options.dataset_of(arguments), arguments)
    counts, problems = check(dataset)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(counts.table(dataset.names))
    hint = remark(counts)
    if hint is not None:
        print(f"note: {hint}")
    print(f"{len(dataset)} images, {len(problems)} problems")
    return 1 if problems or not len(dataset) else 0


def _lmdb(arguments: argparse.Namespace) -> int:
    from .databases import variants, write_databases
    from .datasets.check import remark

    dataset = options.selected(options.dataset_of(arguments), arguments).require_files()
    sides = arguments.scales or [arguments.max_side]
    entries = variants(dataset, sides, arguments.mirror, arguments.seed)
    counts = write_databases(arguments.output, entries)
    print(counts.table(dataset.names))
    hint = remark(counts)
    if hint is not None:
        print(f"note: {hint}")
    print(f"{len(entries)} entries from {len(dataset)} images in {arguments.output / 'image_lmdb'} and label_lmdb")
    return 0
