"""The command `crfasrnn densecrf`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe.errors import CaffeError
from crfasrnn.classes import VOID, read_classes, unnamed_classes
from crfasrnn.commands.shared import options

if TYPE_CHECKING:
    from crfasrnn.postprocessing.refine import Refinement
    from crfasrnn.postprocessing.settings import CrfSettings


def add_arguments(parser: options.Parser) -> None:
    """What `densecrf` takes."""
    parser.epilog = "example: crfasrnn densecrf photo.jpg labels.png -o refined.png --bilateral 60 10 5"
    parser.add_argument(
        "image",
        type=Path,
        metavar="IMAGE",
        help="the photograph, a folder of them, or a pattern such as 'photos/a*.jpg'",
    )
    parser.add_argument(
        "prediction",
        type=Path,
        metavar="LABELS_OR_PROBS",
        help="PNG of labels, .npy or .npz of C x H x W, or .npz of activation maps, H x W called by their labels; or a folder: to "
        "x.jpg belongs x.npy, x.npz, x_probabilities.npy, x.png or x_labels.png",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG of labels to write, or folder of x.png")
    labels = parser.add_argument_group("what the labels are").add_mutually_exclusive_group()
    labels.add_argument(
        "--num-classes", type=options.class_count, metavar="N", help="how many classes there are (as many as occur)"
    )
    labels.add_argument(
        "--names", type=Path, metavar="FILE", help="of the classes, one a line, or a classes.txt (numbers)"
    )
    parser.add_argument(
        "--void", type=options.label, default=VOID, metavar="LABEL", help="means unknown, as 255 always does (255)"
    )
    parser.add_argument("--certainty", type=options.fraction, default=0.7, help="of each label of a label map (0.7)")
    parser.add_argument("--scores", action="store_true", help="arrays hold scores before the soft-max (probabilities)")
    parser.add_argument(
        "--background",
        type=options.positive_number,
        default=4.0,
        metavar="POWER",
        help="of activation maps without a label 0: its probability is (1 - the largest of the others) ** POWER (4.0)",
    )
    parser.add_argument(
        "--settings", type=Path, metavar="JSON", help="of the CRF, as crfasrnn tune writes them (as below)"
    )
    parser.add_argument(
        "--mean-field-iterations",
        type=options.mean_field_iterations_or_none,
        metavar="T",
        help="of the CRF; 0 leaves the most probable labels as they are (10)",
    )
    parser.add_argument(
        "--spatial", type=options.number, nargs=2, metavar=("PIXELS", "WEIGHT"), help="the kernel of positions (3 3)"
    )
    parser.add_argument(
        "--bilateral",
        type=options.number,
        nargs=3,
        metavar=("PIXELS", "COLOUR", "WEIGHT"),
        help="that of positions and colours (80 13 10)",
    )
    options.add_min_probability(parser)
    options.add_exif(parser)
    options.add_colours(parser)
    options.add_gpu(parser)
    options.add_many(parser)
    parser.set_defaults(run=_refine)


def _refine(arguments: argparse.Namespace) -> int:
    from crfasrnn.datasets.photographs import photographs
    from crfasrnn.postprocessing.refine import refine_folder

    options.use_gpu(arguments)
    how, image, prediction = _refinement(arguments), arguments.image, arguments.prediction
    several = has_magic(str(image)) and not image.exists()
    if (image.is_dir() or several) != prediction.is_dir():
        raise options.UsageError("IMAGE and LABELS_OR_PROBS are two files or two folders (for IMAGE also a pattern)")
    if prediction.is_dir():
        return refine_folder(
            how,
            photographs([image], arguments.lists or ()),
            prediction,
            arguments.output,
            processes=arguments.processes,
            part=arguments.shard or (1, 1),
            again=arguments.again,
        )
    how.refine(image, prediction, arguments.output)
    print(f"{image}, {prediction} -> {arguments.output}")
    return 0


def _refinement(arguments: argparse.Namespace) -> Refinement:
    from crfasrnn.pictures.colours import coloured
    from crfasrnn.pictures.label_maps import class_palette
    from crfasrnn.postprocessing.refine import Refinement

    classes = (
        unnamed_classes(arguments.num_classes or VOID) if arguments.names is None else read_classes(arguments.names)
    )
    if arguments.colours is not None:
        classes = coloured(classes, arguments.colours)
    return Refinement(
        _settings(arguments),
        arguments.num_classes if arguments.names is None else len(classes),
        void=arguments.void,
        certainty=arguments.certainty,
        upright=arguments.exif == "apply",
        palette=class_palette(classes),
        scores=arguments.scores,
        background=arguments.background,
        min_probability=arguments.min_probability,
    )


def _settings(arguments: argparse.Namespace) -> CrfSettings:
    """Those of the file or the defaults, and what the command line says instead."""
    from crfasrnn.postprocessing.settings import CrfSettings

    base = CrfSettings.read(arguments.settings) if arguments.settings else CrfSettings()
    given = {
        "iterations": arguments.mean_field_iterations,
        "spatial": arguments.spatial,
        "bilateral": arguments.bilateral,
    }
    stated: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v is not None
    }
    try:
        return replace(base, **stated)
    except CaffeError as problem:
        raise options.UsageError(str(problem)) from problem
