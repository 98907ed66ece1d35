"""The command `crfasrnn tune`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from crfasrnn.commands import options


def add_commands(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add it to the commands of crfasrnn."""
    tune = commands.add_parser(
        "tune", help="find the settings of dense CRF post-processing that suit a model, on labelled images"
    )
    tune.add_argument("--output", type=Path, required=True, help="folder of the search; the same again goes on with it")
    options.add_dataset(tune)
    options.add_model(tune)
    tune.add_argument(
        "--probabilities", type=Path, metavar="DIR", help="<name>.npy or .npz, C x H x W, instead of a model's"
    )
    tune.add_argument("--cache-limit", type=int, default=8192, metavar="MIB", help="for a model's probabilities (8192)")
    tune.add_argument("--coarse", type=int, default=50, help="settings to draw at random (50)")
    tune.add_argument("--fine", type=int, default=50, help="settings to try around the best, at most (50)")
    tune.add_argument("--folds", type=int, default=5, help="of the cross-validation (5)")
    tune.add_argument("--iterations", type=options.sizes, default=[5, 10], help="of mean field, to draw from (5,10)")
    tune.add_argument("--seed", type=int, default=1, help="of the draws and folds (1)")
    tune.add_argument(
        "--processes", type=options.positive, default=os.cpu_count() or 1, help="to share the images among (all CPUs)"
    )
    tune.set_defaults(run=_tune)


def _tune(arguments: argparse.Namespace) -> int:
    from crfasrnn.claims import digest
    from crfasrnn.datasets import Dataset
    from crfasrnn.postprocessing import probability_cache as unaries
    from crfasrnn.postprocessing.search import search
    from crfasrnn.segmentation.models import find_model
    from crfasrnn.segmentation.segmenter import Segmenter

    dataset: Dataset = options.selected(options.dataset_of(arguments), arguments).require_files()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.probabilities is not None:
        samples = unaries.given(dataset.examples, arguments.probabilities)
    else:
        how = {"size": arguments.size, "pad": arguments.pad, "precision": arguments.precision}
        files = find_model(arguments.model, arguments.weights)
        samples = unaries.cached(
            dataset.examples,
            arguments.output / "probabilities",
            digest(how, files=[files.prototxt, files.weights]),
            lambda: Segmenter(arguments.model, arguments.weights, **how),
            arguments.cache_limit << 20,
        )
    result = search(
        samples,
        arguments.output / "evaluated.jsonl",
        coarse=arguments.coarse,
        fine=arguments.fine,
        folds=arguments.folds,
        iterations=arguments.iterations,
        seed=arguments.seed,
        processes=arguments.processes,
    )
    best = arguments.output / "best.json"
    result.save(best)
    spatial, bilateral = (
        " ".join(f"{v:g}" for v in values) for values in (result.settings.spatial, result.settings.bilateral)
    )
    print(f"--spatial {spatial} --bilateral {bilateral} --iterations {result.settings.iterations}")
    for title, value in (
        ("mean IU without CRF", result.without_crf),
        ("mean IU with it, chosen on the same images", result.mean_iu),
        (f"mean IU with it, held out ({arguments.folds} folds)", result.held_out),
    ):
        print(f"{title}: {100 * value:.2f} %")
    print(f"{result.evaluated} settings on {len(samples)} images -> {best}")
    return 0
