"""The command `crfasrnn`: segment images, refine labels, evaluate a model, make training databases.

Nothing heavy is imported before the command line is understood, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crfasrnn.commands import (
    data as cli_data,
)
from crfasrnn.commands import (
    evaluate as cli_evaluate,
)
from crfasrnn.commands import (
    figures as cli_figures,
)
from crfasrnn.commands import (
    model as cli_model,
)
from crfasrnn.commands import options
from crfasrnn.commands import (
    reproduce as cli_reproduce,
)
from crfasrnn.commands import (
    train as cli_train,
)
from crfasrnn.commands import (
    tune as cli_tune,
)


def _parser() -> argparse.ArgumentParser:
    parser = options.Parser(prog="crfasrnn", description="Semantic segmentation with CRF-RNN.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=options.Parser)

    segment = commands.add_parser("segment", help="label every pixel of photographs")
    segment.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    options.add_model(segment)
    segment.add_argument("--output", type=Path, default=Path("segmented"), help="folder for the results (segmented)")
    segment.add_argument("--probabilities", action="store_true", help="also write <image>_probabilities.npy, C x H x W")
    segment.set_defaults(run=_segment)

    refine = commands.add_parser("densecrf", help="bring any labels or probabilities in line with the photograph")
    refine.add_argument("image", type=Path, metavar="IMAGE", help="the photograph")
    refine.add_argument("prediction", type=Path, metavar="LABELS_OR_PROBS", help="PNG of labels, or .npy of C x H x W")
    refine.add_argument("-o", "--output", type=Path, required=True, help="PNG of labels to write")
    refine.add_argument(
        "--classes", type=options.class_count, help="number of labels of a label map (those that occur)"
    )
    refine.add_argument("--certainty", type=float, default=0.7, help="of each label of a label map (0.7)")
    refine.add_argument("--settings", type=Path, metavar="JSON", help="of the CRF, as crfasrnn tune writes them")
    refine.add_argument("--iterations", type=options.positive, help="of mean field (10)")
    refine.add_argument("--spatial", type=float, nargs=2, metavar=("PIXELS", "WEIGHT"), help="(3 3)")
    refine.add_argument("--bilateral", type=float, nargs=3, metavar=("PIXELS", "COLOUR", "WEIGHT"), help="(80 13 10)")
    refine.set_defaults(run=_refine)

    cli_evaluate.add_commands(commands)
    cli_data.add_commands(commands)
    cli_figures.add_commands(commands)
    cli_model.add_commands(commands)
    cli_tune.add_commands(commands)
    cli_train.add_commands(commands)
    cli_reproduce.add_commands(commands)
    return parser


def _segment(arguments: argparse.Namespace) -> int:
    from crfasrnn.segmentation.files import segment_files

    return segment_files(
        arguments.images,
        arguments.output,
        model=arguments.model,
        weights=arguments.weights,
        size=arguments.size,
        pad=arguments.pad,
        probabilities=arguments.probabilities,
        precision=arguments.precision,
    )


def _refine(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

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
        certainty=arguments.certainty,
        settings=replace(CrfSettings.read(arguments.settings) if arguments.settings else CrfSettings(), **stated),
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0, 1 after an error (one line on stderr), 130 after Ctrl-C."""
    try:
        arguments = _parser().parse_args(argv)
        from caffe.errors import CaffeError
        from caffe.logs.glog import init_log

        init_log(min_level=1)  # warnings, above all: layers that got no weights
        try:
            return int(arguments.run(arguments))
        except (CaffeError, OSError) as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
