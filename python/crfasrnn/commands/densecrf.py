"""The command `crfasrnn densecrf`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from crfasrnn.commands import options


def add_arguments(parser: options.Parser) -> None:
    """What `densecrf` takes."""
    parser.epilog = "example: crfasrnn densecrf photo.jpg labels.png -o refined.png --bilateral 60 10 5"
    parser.add_argument("image", type=Path, metavar="IMAGE", help="the photograph")
    parser.add_argument("prediction", type=Path, metavar="LABELS_OR_PROBS", help="PNG of labels, or .npy of C x H x W")
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG of labels to write")
    parser.add_argument(
        "--classes", type=options.class_count, help="number of labels of a label map (those that occur)"
    )
    parser.add_argument("--certainty", type=options.number, default=0.7, help="of each label of a label map (0.7)")
    parser.add_argument("--settings", type=Path, metavar="JSON", help="of the CRF, as crfasrnn tune writes them")
    parser.add_argument("--iterations", type=options.positive, help="of mean field (10)")
    parser.add_argument("--spatial", type=options.number, nargs=2, metavar=("PIXELS", "WEIGHT"), help="(3 3)")
    parser.add_argument(
        "--bilateral", type=options.number, nargs=3, metavar=("PIXELS", "COLOUR", "WEIGHT"), help="(80 13 10)"
    )
    options.add_exif(parser)
    parser.set_defaults(run=_refine)


def _refine(arguments: argparse.Namespace) -> int:
    from crfasrnn.postprocessing.refine import refine_file
    from crfasrnn.postprocessing.settings import CrfSettings

    given = {name: getattr(arguments, name) for name in ("iterations", "spatial", "bilateral")}
    stated: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v is not None
    }
    refine_file(
        arguments.image,
        arguments.prediction,
        arguments.output,
        classes=arguments.classes,
        upright=arguments.exif == "apply",
        certainty=arguments.certainty,
        settings=replace(CrfSettings.read(arguments.settings) if arguments.settings else CrfSettings(), **stated),
    )
    return 0
