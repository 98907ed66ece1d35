"""The command `crfasrnn train`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from caffe import mode
from caffe.errors import CaffeError
from crfasrnn.classes import Classes, read_classes, unnamed_classes
from crfasrnn.commands.shared import options
from crfasrnn.crf import options as words

if TYPE_CHECKING:
    from crfasrnn.networks.recipes import Recipe, RecipeOptions
    from crfasrnn.training.job import Job


def add_arguments(parser: options.Parser) -> None:
    """What `train` takes."""
    parser.description = (
        "Recipes: fcn32s, fcn16s, fcn8s, fcn8s-longer, crfrnn, crf-only (the papers', a GPU's work), and slim-fcn8s, "
        "slim-fcn8s-longer, slim-crfrnn, slim-crf-only (small data sets and computers). Each starts from the one before it; "
        "deeplab, deeplab-crfrnn, deeplab-crf-only from the bundled voc21-deeplab."
    )
    parser.epilog = "example: crfasrnn train slim-fcn8s --data own --weights VGG_ILSVRC_16_layers.caffemodel"
    parser.add_argument("recipe", metavar="RECIPE", help="e.g. slim-fcn8s, then slim-crfrnn")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with train/ and, for mean IU on the way, val/: each by `crfasrnn data lmdb`",
    )
    parser.add_argument("--output", type=Path, help="folder for everything that is written (DATA/RECIPE)")
    parser.add_argument(
        "--weights",
        type=Path,
        help="to start from: .caffemodel, .caffemodel.h5, or VGG-16 as .caffemodel, .pth or .npz, see `crfasrnn data sources` "
        "(the result of the recipe before, in DATA; for deeplab recipes the bundled model)",
    )
    parser.add_argument("--scratch", action="store_true", help="start from random weights instead")
    classes = parser.add_argument_group("classes (found in the data)").add_mutually_exclusive_group()
    classes.add_argument("--num-classes", type=options.class_count, help="how many, background included")
    classes.add_argument("--names", type=Path, metavar="FILE", help="their names, one a line")
    parser.add_argument(
        "--from-classes",
        type=options.class_ids,
        metavar="IDS",
        help="of --weights with other classes: its number of each of ours, e.g. 0,8,12 (by name)",
    )
    run = parser.add_argument_group("how long, and where")
    run.add_argument(
        "--steps", type=options.positive_count, help="one image each (the recipe's); more lengthen what is done"
    )
    run.add_argument("--learning-rate", type=options.positive_number, metavar="LR", help="base_lr (the recipe's)")
    run.add_argument(
        "--test-interval", type=options.positive_count, metavar="STEPS", help="between tests (a tenth of all)"
    )
    run.add_argument(
        "--test-images",
        type=options.positive_count,
        metavar="N",
        help="of val/ in tests on the way (so many that tests take at most a quarter of the time; the last one takes all)",
    )
    run.add_argument(
        "--snapshot-interval", type=options.positive_count, metavar="STEPS", help="between snapshots (the recipe's)"
    )
    run.add_argument("--seed", type=options.seed, default=1, help="of dropout and random weights (1)")
    run.add_argument("--threads", type=options.positive, help="to compute with (all cores)")
    options.add_gpu(run)
    run.add_argument(
        "--precision", choices=mode.PRECISIONS, default="float32", help="of the wide convolutions (float32)"
    )
    run.add_argument(
        "--no-score-cache",
        action="store_true",
        help="of crf-only recipes: compute what the frozen network says anew in every step, without DATA/scores",
    )
    run.add_argument(
        "--budget-minutes", type=options.positive_number, help="stop after so long, with a snapshot and exit status 3"
    )
    add_variant(parser)
    parser.set_defaults(run=_train)


def add_variant(parser: argparse.ArgumentParser) -> None:
    """The options of section 7.1 and of what the paper leaves open, and the network's width."""
    crf = parser.add_argument_group("what the paper's section 7.1 varies, and what it leaves open")
    crf.add_argument(
        "--mean-field-iterations",
        type=options.mean_field_iterations,
        default=5,
        metavar="T",
        help="in training (5); in testing 10",
    )
    crf.add_argument(
        "--kernel-weights",
        choices=words.on_command_line(words.WEIGHTS),
        default="full",
        help="weights of the kernels: one, one for each class, C x C (full)",
    )
    crf.add_argument(
        "--compatibility",
        choices=words.on_command_line(words.COMPATIBILITIES),
        default="full",
        help="fixed, learned with its transpose's mean, or learned freely (full)",
    )
    crf.add_argument(
        "--crf-rate",
        type=options.positive_number,
        default=1,
        metavar="FACTOR",
        help="of the CRF's own learning rates (1: the recipe's); the log says how far its weights move",
    )
    crf.add_argument("--untied", action="store_true", help="every iteration has parameters of its own")
    crf.add_argument("--relu", action="store_true", help="scores become Q by ReLU instead of softmax (section 6)")
    crf.add_argument(
        "--learn-bandwidths", action="store_true", help="learn the kernels' widths, too (several times slower)"
    )
    crf.add_argument(
        "--bilateral",
        type=options.bilateral,
        action="append",
        metavar="ALPHA,BETA",
        help="one more bilateral kernel of these widths, in pixels and grey levels; repeatable (section 4.2: one)",
    )
    crf.add_argument(
        "--refiner",
        choices=words.REFINERS,
        default="crf",
        help="gru: a convolutional GRU of as many iterations instead of the CRF (crf)",
    )
    crf.add_argument(
        "--loss",
        choices=words.LOSSES,
        default="softmax",
        help="softmax, robust log-likelihood, Lovász-softmax (softmax)",
    )
    crf.add_argument(
        "--width",
        type=options.positive_number,
        default=1,
        help="factor of the channels (1); other networks start from scratch",
    )


def options_of(arguments: argparse.Namespace) -> RecipeOptions:
    """What add_variant's options say."""
    from crfasrnn.networks.crfrnn import Bilateral, Variant
    from crfasrnn.networks.recipes import RecipeOptions

    variant = Variant(
        kernel_weights=words.from_command_line(arguments.kernel_weights),
        compatibility=words.from_command_line(arguments.compatibility),
        untied=arguments.untied,
        activation="relu" if arguments.relu else "softmax",
        learn_bandwidths=arguments.learn_bandwidths,
        bilaterals=tuple(Bilateral(*widths) for widths in arguments.bilateral or ()),
    )
    if arguments.refiner != "crf" and variant != Variant():
        raise options.UsageError(
            f"--refiner {arguments.refiner} is no CRF: --kernel-weights, --compatibility, --untied, --relu, --learn-bandwidths and "
            "--bilateral have no meaning for it"
        )
    return RecipeOptions(
        arguments.width,
        arguments.mean_field_iterations,
        None,
        variant,
        arguments.loss,
        arguments.crf_rate,
        refiner=arguments.refiner,
    )


def _train(arguments: argparse.Namespace) -> int:
    from crfasrnn.networks.recipes import recipe
    from crfasrnn.training.job import Job
    from crfasrnn.training.limits import StoppedError, budget, threads
    from crfasrnn.training.note import NOTE
    from crfasrnn.training.train import train

    options.use_gpu(arguments)
    _check(arguments, recipe(arguments.recipe))
    output = arguments.output or arguments.data / arguments.recipe
    resumed = arguments.weights is None and not arguments.scratch and (output / NOTE).is_file()
    job = Job(
        arguments.recipe,
        arguments.data,
        output,
        weights=None if resumed else _weights(arguments, recipe(arguments.recipe)),
        resumed=resumed,
        classes=_classes(arguments),
        from_classes=tuple(arguments.from_classes) if arguments.from_classes else None,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        snapshot_interval=arguments.snapshot_interval,
        test_interval=arguments.test_interval,
        test_images=arguments.test_images,
        seed=arguments.seed,
        options=options_of(arguments),
        precision=arguments.precision,
        score_cache=not arguments.no_score_cache,
    )
    try:
        with threads(arguments.threads):
            train(job, budget(arguments.budget_minutes))
    except StoppedError:
        return options.OUT_OF_TIME
    for line in _next(job):
        print(line)
    return 0


def _check(arguments: argparse.Namespace, recipe: Recipe) -> None:
    """Raise CaffeError for data that are not there, and for options of the CRF where there is none."""
    if not arguments.data.is_dir():
        raise CaffeError(
            f"no folder {str(arguments.data)!r}: `crfasrnn data lmdb --output {arguments.data}/train` makes what it needs"
        )
    from crfasrnn.networks.recipes import RecipeOptions

    asked, without = options_of(arguments), RecipeOptions(arguments.width, loss=arguments.loss)
    if recipe.crf_rates is None and asked != without:
        raise options.UsageError(f"{arguments.recipe} has no CRF: what section 7.1 varies has no meaning for it")


def _next(job: Job) -> Iterator[str]:
    """Commands that go on from a training that is done."""
    from crfasrnn.networks.recipes import RECIPES
    from crfasrnn.training.note import planned_steps

    model, data = shlex.quote(str(job.output)), shlex.quote(str(job.data))
    yield f"segment:     crfasrnn segment IMAGES --model {model}"
    yield f"evaluate:    crfasrnn evaluate --model {model} --images IMAGES --masks MASKS"
    yield "             (with the --classes, --void and --names that made the databases, if any)"
    yield f"train more:  the same command with --steps {2 * planned_steps(job)}"
    after = [name for name, recipe in RECIPES.items() if recipe.start == job.recipe]
    crf = [name for name in after if RECIPES[name].crf_rates and not RECIPES[name].frozen]
    if after and job.output == job.data / job.recipe:
        yield f"next recipe: crfasrnn train {(crf or after)[0]} --data {data}"


def _weights(arguments: argparse.Namespace, recipe: Recipe) -> Path | None:
    """What to start from; raises CaffeError if that is not to be found."""
    from crfasrnn.segmentation.models import FINAL, find_model

    if arguments.scratch and arguments.weights is not None:
        raise options.UsageError("give --weights or --scratch, not both")
    if arguments.weights is not None and arguments.weights.is_dir():
        return Path(arguments.weights / FINAL)
    if arguments.scratch or arguments.weights is not None:
        return arguments.weights
    if recipe.model is not None:
        return find_model(recipe.model).weights
    if recipe.start is None:
        raise CaffeError(
            f"{arguments.recipe} starts from {recipe.origin}: give it with --weights (`crfasrnn data sources` says where it is "
            "published), or --scratch for random weights"
        )
    path = arguments.data / recipe.start / FINAL
    if not path.is_file():
        raise CaffeError(
            f"{arguments.recipe} starts from the result of {recipe.start}, and {str(path)!r} is not there: train that first, "
            "or give --weights"
        )
    return path


def _classes(arguments: argparse.Namespace) -> Classes | None:
    if arguments.names is not None:
        return read_classes(arguments.names)
    return None if arguments.num_classes is None else unnamed_classes(arguments.num_classes)
