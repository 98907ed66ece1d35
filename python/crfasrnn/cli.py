"""The command `crfasrnn`: segment images, refine labels, evaluate a model, make training databases.

Nothing heavy is imported before the command line is understood, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

# Of the classes of VOC, those that the bundled model knows: background and what its training images show.
ANIMAL_CLASSES = (0, 8, 10, 12, 13, 15, 17)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line like every other error: one line, exit status 1."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"error: {message} (see {self.prog} --help)\n")


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 0 < number <= 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size in pixels, 1 to 65536")
    return number


def _class_count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 2 <= number <= 255:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of classes, 2 to 255")
    return number


def _size(text: str) -> int | str:
    return text if text == "native" else _positive(text)


def _sizes(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _class_ids(text: str) -> list[int]:
    parts = text.split(",")
    ids = [int(part) for part in parts if part.strip().isdecimal()]
    if len(ids) != len(parts) or any(number > 254 for number in ids) or len(set(ids)) != len(ids):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different class numbers like 0,8,12")
    return ids


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="voc-animals-slim", help="a bundled model's name or a deploy prototxt")
    parser.add_argument("--weights", type=Path, help=".caffemodel or .caffemodel.h5 (a bundled model has its own)")
    parser.add_argument(
        "--size", type=_size, help="'native', or the largest side in pixels to which larger images are reduced"
    )
    parser.add_argument("--pad", action="store_true", help="pad to a square of --size (500), as the released demo")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="crfasrnn", description="Semantic segmentation with CRF-RNN.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    segment = commands.add_parser("segment", help="label every pixel of photographs")
    segment.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    _add_model(segment)
    segment.add_argument("--output", type=Path, default=Path("segmented"), help="folder for the results (segmented)")
    segment.add_argument("--probabilities", action="store_true", help="also write <image>_probabilities.npy, C x H x W")
    segment.set_defaults(run=_segment)

    refine = commands.add_parser("densecrf", help="bring any labels or probabilities in line with the photograph")
    refine.add_argument("image", type=Path, metavar="IMAGE", help="the photograph")
    refine.add_argument("prediction", type=Path, metavar="LABELS_OR_PROBS", help="PNG of labels, or .npy of C x H x W")
    refine.add_argument("-o", "--output", type=Path, required=True, help="PNG of labels to write")
    refine.add_argument("--classes", type=_class_count, help="number of labels of a label map (those that occur)")
    refine.add_argument("--certainty", type=float, default=0.7, help="of each label of a label map (0.7)")
    refine.add_argument("--iterations", type=_positive, default=10, help="of mean field (10)")
    refine.add_argument(
        "--spatial", type=float, nargs=2, default=(3.0, 3.0), metavar=("PIXELS", "WEIGHT"), help="(3 3)"
    )
    refine.add_argument(
        "--bilateral",
        type=float,
        nargs=3,
        default=(80.0, 13.0, 10.0),
        metavar=("PIXELS", "COLOUR", "WEIGHT"),
        help="(80 13 10)",
    )
    refine.set_defaults(run=_refine)

    evaluate = commands.add_parser("evaluate", help="score a model on a list of PASCAL VOC images")
    _add_model(evaluate)
    evaluate.add_argument("--voc", type=Path, required=True, help="the folder VOC2012 of the development kit")
    evaluate.add_argument("--list", default="val", help="name of a list in ImageSets/Segmentation (val)")
    evaluate.add_argument(
        "--classes",
        type=_class_ids,
        help="VOC's numbers of the model's classes; others are void (the model's)",
    )
    evaluate.add_argument("--json", type=Path, help="also write the scores and the confusion matrix here")
    evaluate.set_defaults(run=_evaluate)

    data = commands.add_parser("data", help="prepare training data")
    kinds = data.add_subparsers(required=True, metavar="KIND", parser_class=_Parser)
    databases = kinds.add_parser("lmdb", help="make image_lmdb and label_lmdb for Caffe's Data layer from PASCAL VOC")
    databases.add_argument("--voc", type=Path, required=True, help="the folder VOC2012 of the development kit")
    databases.add_argument("--list", action="append", required=True, help="list in ImageSets/Segmentation; repeatable")
    databases.add_argument(
        "--classes",
        type=_class_ids,
        default=list(ANIMAL_CLASSES),
        help="VOC's numbers of the classes; others are void",
    )
    databases.add_argument("--output", type=Path, required=True, help="folder that will hold the two databases")
    sizes = databases.add_mutually_exclusive_group()
    sizes.add_argument("--max-side", type=_positive, help="reduce larger images to this largest side")
    sizes.add_argument("--scales", type=_sizes, help="several such sides, e.g. 256,384: one entry for each")
    databases.add_argument("--mirror", action="store_true", help="add every image mirrored left to right, too")
    databases.add_argument("--seed", type=int, default=1, help="of the order of the entries (1)")
    databases.set_defaults(run=_data_lmdb)
    return parser


def _segment(arguments: argparse.Namespace) -> int:
    from .batch import segment_files

    return segment_files(
        arguments.images,
        arguments.output,
        model=arguments.model,
        weights=arguments.weights,
        size=arguments.size,
        pad=arguments.pad,
        probabilities=arguments.probabilities,
    )


def _refine(arguments: argparse.Namespace) -> int:
    from .refine import refine_file

    refine_file(
        arguments.image,
        arguments.prediction,
        arguments.output,
        classes=arguments.classes,
        certainty=arguments.certainty,
        iterations=arguments.iterations,
        spatial=tuple(arguments.spatial),
        bilateral=tuple(arguments.bilateral),
    )
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from .datasets import voc_list
    from .evaluate import evaluate, report, write_json
    from .segmenter import Segmenter

    examples = voc_list(arguments.voc, arguments.list)
    segmenter = Segmenter(arguments.model, arguments.weights, size=arguments.size, pad=arguments.pad)
    scores = evaluate(segmenter, examples, arguments.classes)
    if arguments.json is not None:
        write_json(arguments.json, scores)
    print(report(scores))
    return 0


def _data_lmdb(arguments: argparse.Namespace) -> int:
    from .databases import variants, write_databases
    from .datasets import voc_list

    examples = [example for name in arguments.list for example in voc_list(arguments.voc, name)]
    sides = arguments.scales or [arguments.max_side]
    entries = variants(examples, sides, arguments.mirror, arguments.seed)
    write_databases(arguments.output, entries, arguments.classes)
    print(f"{len(entries)} entries from {len(examples)} images in {arguments.output / 'image_lmdb'} and label_lmdb")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0, 1 after an error (one line on stderr), 130 after Ctrl-C."""
    try:
        arguments = _parser().parse_args(argv)
        from caffe.errors import CaffeError
        from caffe.log import init_log

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
