"""The command `crfasrnn evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from caffe.errors import CaffeError
from caffe.files import make_folder, refuse_to_overwrite
from caffe.logs.wording import counted
from crfasrnn.classes import Classes, unnamed_classes
from crfasrnn.commands.shared import dataset_options, options

if TYPE_CHECKING:
    import numpy as np

    from crfasrnn.datasets import Dataset
    from crfasrnn.evaluation.labellers import Labeller
    from crfasrnn.evaluation.scores import Scores
    from crfasrnn.many import Failure

    Keep = Callable[[str, np.ndarray], None]


def add_arguments(parser: options.Parser) -> None:
    """What `evaluate` takes."""
    parser.epilog = "example: crfasrnn evaluate --images photos --masks masks --names names.txt --predictions segmented"
    options.add_model(parser)
    dataset_options.add_dataset(parser, default_list="val")
    result = parser.add_argument_group("what is scored, and how")
    result.add_argument(
        "--predictions", type=Path, metavar="DIR", help="label maps x.png to score instead of a model's"
    )
    result.add_argument("--trimap", action="store_true", help="also in bands of 1 to 40 pixels around void")
    result.add_argument("--boundary", action="store_true", help="also the boundary F measure of every class")
    result.add_argument(
        "--mean-over",
        type=options.class_ids,
        metavar="LABELS",
        help="also the mean IU of these alone: the model's labels, e.g. 0,8,12",
    )
    result.add_argument("--json", type=Path, help="also write the scores and the confusion matrix here")
    result.add_argument(
        "--per-image", type=Path, metavar="NPZ", help="write a confusion matrix per image, for `compare`"
    )
    result.add_argument("--save-labels", type=Path, metavar="DIR", help="write every image's labels there as x.png")
    result.add_argument(
        "--archive", type=Path, metavar="TGZ", help="write the labels as VOC's evaluation server wants them"
    )
    options.add_colours(result)
    options.add_processes(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from crfasrnn.datasets.check import exif_note
    from crfasrnn.evaluation.bootstrap import check_numbers
    from crfasrnn.evaluation.evaluate import evaluate
    from crfasrnn.evaluation.labellers import numbers_note
    from crfasrnn.evaluation.scores import unused_classes_note, void_note
    from crfasrnn.many import tell
    from crfasrnn.pictures.colours import coloured

    options.use_gpu(arguments)
    if arguments.archive is not None and arguments.voc is None:
        raise options.UsageError("--archive is for VOC's evaluation server: it needs --voc")
    dataset = dataset_options.dataset_of(arguments)
    if arguments.archive is None or any(example.label_path.is_file() for example in dataset):
        dataset.require_files()
    if arguments.save_labels is not None:
        _check_saved(arguments.save_labels, dataset, arguments.predictions)
    label, dataset, classes = _subject(arguments, dataset)
    if arguments.colours is not None:
        classes = coloured(classes, arguments.colours)
    check_numbers(classes.names, arguments.mean_over)
    # An archive of some of the images is of no use to anybody.
    failures: list[Failure] | None = None if arguments.archive is not None else []
    with _keepers(arguments, classes) as keep:
        if keep is not None and not any(example.label_path.is_file() for example in dataset):
            return _label_alone(arguments, label, dataset, keep)
        scores = evaluate(
            label,
            dataset,
            classes,
            trimap=arguments.trimap,
            boundary=arguments.boundary,
            keep=keep,
            processes=arguments.processes,
            failures=failures,
        )
    if failures and not scores.images:
        raise CaffeError(failures[0].reason)
    _tell_scores(arguments, replace(scores, over=arguments.mean_over and tuple(arguments.mean_over)))
    for note in (
        void_note(scores),
        unused_classes_note(scores) if arguments.predictions is not None else None,
        numbers_note(dataset, classes) if arguments.classes is None else None,
        exif_note(dataset),
    ):
        if note is not None:
            print(f"note: {note}")
    return tell(failures or (), len(dataset))


def _tell_scores(arguments: argparse.Namespace, scores: Scores) -> None:
    from crfasrnn.evaluation.scores import report, write_json

    if arguments.json is not None:
        write_json(arguments.json, scores)
    if arguments.per_image is not None and scores.per_image is not None:
        scores.per_image.save(arguments.per_image)
    print(report(scores))


def _label_alone(arguments: argparse.Namespace, label: Labeller, dataset: Dataset, keep: Keep) -> int:
    """Label images without truth, as those of a test set are; the first that cannot be read raises CaffeError."""
    from crfasrnn.many import Failure, each

    with closing(each(label, list(dataset), arguments.processes, what="label")) as results:
        for example, labels in results:
            if isinstance(labels, Failure):
                raise CaffeError(labels.reason)
            keep(example.name, labels)
    images = counted(len(dataset), "image")
    print(f"{images} without label maps: nothing to score, {arguments.archive} written")
    return 0


def _check_saved(folder: Path, dataset: Dataset, predictions: Path | None) -> None:
    """Raise CaffeError if a label map to be saved would overwrite a photograph, the truth, or a prediction."""
    saved = [folder / f"{example.name}.png" for example in dataset]
    given = [] if predictions is None else [predictions / path.name for path in saved]
    refuse_to_overwrite(saved, [*given, *(p for example in dataset for p in (example.image_path, example.label_path))])


@contextmanager
def _keepers(arguments: argparse.Namespace, classes: Classes) -> Iterator[Keep | None]:
    """What takes each image's name and labels: it writes what --archive and --save-labels ask for; None if they do not."""
    from crfasrnn.evaluation.voc_archive import voc_archive
    from crfasrnn.pictures.label_maps import class_palette, write_labels

    folder = arguments.save_labels
    if folder is not None:
        make_folder(folder)
    with nullcontext() if arguments.archive is None else voc_archive(arguments.archive, classes.voc_ids) as add:

        def keep(name: str, labels: np.ndarray) -> None:
            if add is not None:
                add(name, labels)
            if folder is not None:
                write_labels(folder / f"{name}.png", labels, class_palette(classes))

        yield None if add is None and folder is None else keep


def _subject(arguments: argparse.Namespace, dataset: Dataset) -> tuple[Labeller, Dataset, Classes]:
    """What labels the images, the data set with the labels that it means, and what they are called."""
    from crfasrnn.evaluation.labellers import for_model, model_labels, saved_classes, saved_labels
    from crfasrnn.segmentation.segmenter import Segmenter

    chosen = dataset_options.selected(dataset, arguments)
    if arguments.predictions is None:
        segmenter = Segmenter(arguments.model, arguments.weights, **options.preparation(arguments))
        classes = segmenter.classes
        if arguments.classes is not None and len(arguments.classes) != len(classes):
            raise CaffeError(
                f"the model has {len(classes)} classes ({', '.join(classes.names)}), --classes names {len(arguments.classes)}"
            )
        chosen = for_model(chosen, classes)
        if chosen.names and classes == unnamed_classes(len(classes)):  # the model does not know their names
            classes = replace(classes, names=chosen.names)
        return model_labels(segmenter), chosen, replace(classes, voc_ids=tuple(arguments.classes or classes.voc_ids))
    classes = saved_classes(chosen, arguments.classes)
    return saved_labels(arguments.predictions, classes), chosen, classes
