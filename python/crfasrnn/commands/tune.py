"""The command `crfasrnn tune`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from caffe.files import make_folder
from caffe.logs.wording import counted
from crfasrnn.claims import claim, digest
from crfasrnn.commands.shared import dataset_options, options

if TYPE_CHECKING:
    from crfasrnn.postprocessing.search import Result, Sample


def add_arguments(parser: options.Parser) -> None:
    """What `tune` takes."""
    parser.epilog = "example: crfasrnn tune --images photos --masks masks --probabilities segmented --output tuned"
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the search; the same again goes on with it"
    )
    dataset_options.add_dataset(parser)
    options.add_model(parser)
    parser.add_argument(
        "--probabilities",
        type=Path,
        metavar="DIR",
        help="<name>.npy, .npz, or _probabilities.npy as segment writes them, C x H x W (those of --model)",
    )
    parser.add_argument(
        "--cache-limit",
        type=options.mebibytes,
        default=8192,
        metavar="MIB",
        help="for a model's probabilities (8192)",
    )
    parser.add_argument("--coarse", type=options.settings, default=50, help="settings to draw at random (50)")
    parser.add_argument(
        "--fine", type=options.settings, default=50, help="settings to try around the best, at most (50)"
    )
    parser.add_argument("--folds", type=options.folds, default=5, help="of the cross-validation (5)")
    parser.add_argument(
        "--mean-field-iterations",
        type=options.mean_field_counts,
        default=[5, 10],
        metavar="T,T",
        help="to draw from (5,10)",
    )
    parser.add_argument("--seed", type=options.seed, default=1, help="of the draws and folds (1)")
    options.add_processes(parser)
    parser.set_defaults(run=_tune)


def _tune(arguments: argparse.Namespace) -> int:
    from crfasrnn.many import best_number
    from crfasrnn.postprocessing.search import search

    options.use_gpu(arguments)
    samples = _samples(arguments)
    result = search(
        samples,
        arguments.output / "evaluated.jsonl",
        coarse=arguments.coarse,
        fine=arguments.fine,
        folds=arguments.folds,
        iterations=arguments.mean_field_iterations,
        seed=arguments.seed,
        processes=arguments.processes or min(len(samples), best_number(len(samples) * (2 + arguments.coarse))),
    )
    best = arguments.output / "best.json"
    result.save(best)
    _print(result, arguments.folds)
    print(f"{counted(result.evaluated, 'setting')} on {counted(len(samples), 'image')} -> {best}")
    return 0


def _samples(arguments: argparse.Namespace) -> list[Sample]:
    """The images with their probabilities: those of --probabilities, or a model's, computed as far as they are missing."""
    from crfasrnn.postprocessing.probability_cache import cached, given
    from crfasrnn.segmentation.models import find_model
    from crfasrnn.segmentation.segmenter import Segmenter

    dataset = dataset_options.selected(dataset_options.dataset_of(arguments), arguments).require_files()
    make_folder(arguments.output)
    claim(
        arguments.output / "photographs.json",
        {"exif": arguments.exif},
        "the search in {where} read photographs with --{fact} {there}, not {now}: go on with that, or give another folder",
    )
    if arguments.probabilities is not None:
        return given(dataset.examples, arguments.probabilities)
    how, files = options.preparation(arguments), find_model(arguments.model, arguments.weights)
    return cached(
        dataset.examples,
        arguments.output / "probabilities",
        digest(how, files=[files.prototxt, files.weights]),
        lambda: Segmenter(arguments.model, arguments.weights, **how),
        arguments.cache_limit << 20,
        arguments.processes,
    )


def _print(result: Result, folds: int) -> None:
    """The settings as options of `densecrf`, and their scores."""
    settings = result.settings
    spatial, bilateral = (" ".join(f"{v:g}" for v in values) for values in (settings.spatial, settings.bilateral))
    if settings.iterations:
        print(f"--spatial {spatial} --bilateral {bilateral} --mean-field-iterations {settings.iterations}")
    else:
        print("no CRF that was tried is better than the most probable labels as they are")
    for title, value in (
        ("mean IU without CRF", result.without_crf),
        ("mean IU with it, chosen on the same images", result.mean_iu),
        (f"mean IU with it, held out ({folds} folds)", result.held_out),
    ):
        print(f"{title}: {100 * value:.2f} %")
