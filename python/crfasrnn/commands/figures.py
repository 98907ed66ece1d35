"""The commands `crfasrnn figures ...`: the paper's figures, and curves of trainings, from files."""

from __future__ import annotations

import argparse
from pathlib import Path

from caffe.errors import CaffeError
from crfasrnn.classes import read_classes, unnamed_classes
from crfasrnn.commands.shared import dataset_options, options


def _titled_folder(text: str) -> tuple[str, Path]:
    title, _, folder = text.partition("=")
    if not (title and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not TITLE=FOLDER")
    return title, Path(folder)


def add_arguments(parser: options.Parser) -> None:
    """The kinds of `figures`, and what each takes."""
    kinds = parser.add_subparsers(required=True, metavar="KIND", parser_class=options.Parser)

    cases = kinds.add_parser(
        "cases",
        help="results side by side: largest gain, median and largest loss of last over first",
        epilog="example: crfasrnn figures cases --voc VOC2012 --predictions FCN=labels/fcn --predictions CRF=labels/crf -o c.png",
    )
    dataset_options.add_dataset(cases, default_list="val")
    cases.add_argument(
        "--predictions",
        type=_titled_folder,
        action="append",
        required=True,
        metavar="TITLE=DIR",
        help="label maps x.png of one method (evaluate --save-labels); repeat in the order of the columns",
    )
    options.add_colours(cases)
    cases.add_argument(
        "--count",
        type=options.positive,
        default=2,
        help="images of each of the three kinds (2); the data set must have three times as many or more",
    )
    cases.add_argument("-o", "--output", type=Path, required=True, help="picture to write, e.g. .png or .svg")
    cases.set_defaults(run=_cases)

    crf = kinds.add_parser(
        "crf",
        help="learned compatibility matrix against Potts, and the kernel weights of each class",
        epilog="example: crfasrnn figures crf own/slim-crfrnn -o crf.png",
    )
    crf.add_argument(
        "weights", type=Path, metavar="CAFFEMODEL", help="of a network with CRF-RNN, or a training's folder"
    )
    crf.add_argument("--layer", default="inference1", help="its MultiStageMeanfield layer (inference1)")
    crf.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="of the classes, one a line, or a classes.txt (that beside the weights, else numbers)",
    )
    crf.add_argument("-o", "--output", type=Path, required=True, help="picture to write, e.g. .png or .svg")
    crf.set_defaults(run=_crf)

    curves = kinds.add_parser(
        "curves",
        help="loss and, where it was logged, mean IU over the iterations, a panel for each log",
        epilog="example: crfasrnn figures curves own/slim-fcn8s own/slim-crfrnn -o loss.png",
    )
    curves.add_argument(
        "logs",
        nargs="+",
        type=Path,
        metavar="LOG",
        help="text or JSON log of `caffe train` or `crfasrnn train`, or a training's folder",
    )
    curves.add_argument("-o", "--output", type=Path, required=True, help="picture to write, e.g. .png or .svg")
    curves.set_defaults(run=_curves)


def _cases(arguments: argparse.Namespace) -> int:
    from crfasrnn.evaluation.labellers import saved_classes, saved_labels
    from crfasrnn.figures.cases import choose_cases, draw_cases
    from crfasrnn.pictures.colours import coloured

    dataset = dataset_options.selected(dataset_options.dataset_of(arguments), arguments)
    classes = saved_classes(dataset.require_files(), arguments.classes)
    if arguments.colours is not None:
        classes = coloured(classes, arguments.colours)
    methods = [(title, saved_labels(folder, classes)) for title, folder in arguments.predictions]
    cases = choose_cases(dataset, methods[0][1], methods[-1][1], len(classes), arguments.count)
    draw_cases(arguments.output, cases, methods, classes)
    for case in cases:
        print(f"{case.kind:<12}  {case.example.name}  {100 * case.first:.1f} -> {100 * case.last:.1f}")
    return 0


def _crf(arguments: argparse.Namespace) -> int:
    from crfasrnn.figures.crf import draw_crf, read_crf
    from crfasrnn.segmentation.models import final_weights

    weights: Path = final_weights(arguments.weights) if arguments.weights.is_dir() else arguments.weights
    parameters = read_crf(weights, arguments.layer)
    beside = weights.parent / "classes.txt"
    file = arguments.names or (beside if beside.is_file() else None)
    classes = unnamed_classes(len(parameters.compatibility)) if file is None else read_classes(file)
    draw_crf(arguments.output, parameters, classes.names)
    print(f"{arguments.output}")
    return 0


def _curves(arguments: argparse.Namespace) -> int:
    from crfasrnn.figures.curves import draw_training, read_curves

    logs = [log / "log.jsonl" if log.is_dir() else log for log in arguments.logs]
    trainings = [(_title(log), read_curves(log)) for log in logs]
    for log, (_, curves) in zip(logs, trainings):
        if not curves.loss:
            raise CaffeError(f"log {str(log)!r} has no line 'Iteration ..., loss = ...', nor a JSON event that says so")
    draw_training(arguments.output, trainings)
    print(f"{arguments.output}")
    return 0


def _title(log: Path) -> str:
    """A log's name, or its folder's where that says more."""
    return log.parent.name if log.name in ("log.jsonl", "train.log") and log.parent.name else log.stem
