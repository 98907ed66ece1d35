"""The command `crfasrnn compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from crfasrnn.commands.shared import options


def add_arguments(parser: options.Parser) -> None:
    """What `compare` takes."""
    parser.epilog = "example: crfasrnn compare fcn.npz crf.npz --resamples 2000"
    parser.add_argument("first", type=Path, metavar="FIRST.npz", help="of evaluate --per-image")
    parser.add_argument("second", type=Path, metavar="SECOND.npz", help="the same for another model")
    parser.add_argument("--resamples", type=options.resamples, default=10_000, help="of the images (10000)")
    parser.add_argument(
        "--mean-over",
        type=options.class_ids,
        metavar="LABELS",
        help="mean IU of these labels alone, e.g. 0,8,12 (all classes)",
    )
    parser.add_argument("--level", type=options.fraction, default=0.95, help="of the interval (0.95)")
    parser.add_argument("--seed", type=options.seed, default=0, help="of the resampling (0)")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from crfasrnn.evaluation.bootstrap import ImageConfusions, compare, comparison_text

    first, second = (ImageConfusions.load(path) for path in (arguments.first, arguments.second))
    found = compare(first, second, arguments.resamples, arguments.level, arguments.seed, arguments.mean_over)
    print(comparison_text(found))
    return 0
