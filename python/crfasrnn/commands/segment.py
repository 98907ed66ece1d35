"""The command `crfasrnn segment`."""

from __future__ import annotations

import argparse
from pathlib import Path

from crfasrnn.commands.shared import options


def add_arguments(parser: options.Parser) -> None:
    """What `segment` takes."""
    parser.epilog = "example: crfasrnn segment photos/ --model own/slim-crfrnn --output segmented"
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="photographs, folders of them, or patterns such as 'photos/*/a*.jpg'",
    )
    options.add_model(parser)
    parser.add_argument("--output", type=Path, default=Path("segmented"), help="folder for the results (segmented)")
    parser.add_argument("--probabilities", action="store_true", help="also write <image>_probabilities.npy, C x H x W")
    options.add_exif(parser)
    options.add_colours(parser)
    options.add_many(parser)
    parser.set_defaults(run=_segment)


def _segment(arguments: argparse.Namespace) -> int:
    from crfasrnn.datasets.photographs import photographs
    from crfasrnn.segmentation.files import segment_files

    options.use_gpu(arguments)
    return segment_files(
        photographs(arguments.images, arguments.lists or ()),
        arguments.output,
        model=arguments.model,
        weights=arguments.weights,
        probabilities=arguments.probabilities,
        upright=arguments.exif == "apply",
        colours=arguments.colours,
        processes=arguments.processes,
        part=arguments.shard or (1, 1),
        again=arguments.again,
        **options.preparation(arguments),
    )
