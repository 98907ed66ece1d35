"""The command `crfasrnn reproduce`."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe import mode
from caffe.errors import CaffeError
from caffe.files import system
from crfasrnn.commands.shared import options

if TYPE_CHECKING:
    from crfasrnn.reproduction.settings import Settings


_FAMILY = "slim"


def _counts(text: str) -> tuple[int, int]:
    """Two numbers of settings between a comma."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers like 40,40")
    return int(parts[0]), int(parts[1])


def _names(text: str) -> list[str]:
    """Names between commas."""
    return text.split(",")


def add_arguments(parser: options.Parser) -> None:
    """What `reproduce` takes."""
    parser.description = (
        "The same command again goes on where it was, and in another terminal shares the work. Once given, --voc, --weights and "
        "the options about data and length are remembered in --output."
    )
    parser.epilog = (
        "example: crfasrnn reproduce table1 --voc VOC2012 --weights VGG_ILSVRC_16_layers.caffemodel --dry-run"
    )
    parser.add_argument(
        "table",
        choices=("table1", "table2", "table3", "alone", "ablations", "iterations", "schedules"),
        help="table 1; archives for VOC's server (tables 2 and 4); Pascal Context; what sections 6 and 7.1 vary, with the CRF "
        "learned alone or end to end; T in testing; losses and rates",
    )
    parser.add_argument(
        "--family", choices=("slim", "deeplab", "voc21"), help="FCN-8s slim, DeepLab, or the paper's FCN-8s (slim)"
    )
    parser.add_argument("--output", type=Path, help="folder (work/FAMILY)")
    parser.add_argument(
        "--networks", type=options.counts, default=[1], help="seeds of the FCN that all starts from (1)"
    )
    parser.add_argument(
        "--seeds",
        type=options.counts,
        default=[1, 2, 3],
        help="of all that starts from each, one training each (1,2,3)",
    )
    parser.add_argument(
        "--variants", type=_names, metavar="LIST", help="of the rows behind the first, e.g. per-class,untied (all)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be trained, and how long it takes")
    parser.add_argument(
        "--budget-minutes",
        type=options.positive_number,
        help="stop after so long, with snapshots; exit status 3 (searches end first)",
    )
    parser.add_argument("--threads", type=options.positive, help="to compute with (all cores)")
    options.add_gpu(parser)
    parser.add_argument(
        "--write-docs",
        type=Path,
        metavar="FILE",
        help="also write all tables and pictures so far as one page, those of other families beside --output, too",
    )
    data = parser.add_argument_group("data and length (remembered)", argument_default=argparse.SUPPRESS)
    data.add_argument("--voc", help="folder like VOC2012")
    data.add_argument("--weights", help="VGG-16, or DeepLab's: see `crfasrnn data sources`")
    data.add_argument("--scratch", dest="weights", action="store_const", const=None, help="random weights instead")
    data.add_argument("--classes", type=options.class_ids, help="VOC's numbers (0,8,10,12,13,15,17; deeplab all)")
    data.add_argument(
        "--mean-over",
        type=options.class_ids,
        metavar="LABELS",
        help="mean IU of these labels alone (all; deeplab 0,8,10,12,13,15,17)",
    )
    data.add_argument(
        "--list",
        dest="train_lists",
        action="append",
        help="of training images; repeatable, held out from the first (train, train_sbd)",
    )
    data.add_argument("--val-list", help="of the images for the reported figures (val)")
    data.add_argument("--test-list", help="of the images for table2 (test)")
    data.add_argument(
        "--context", metavar="FOLDER", help="Pascal Context's annotations, for table3; --voc is then VOC2010"
    )
    data.add_argument("--masks", help="folder of the label maps (SegmentationClass)")
    data.add_argument("--held-out", type=options.positive, help="images held out of the first list (150)")
    data.add_argument(
        "--train-size", dest="scales", type=options.sizes, help="largest sides in training (256,384; deeplab 384,500)"
    )
    data.add_argument("--size", type=options.pixels, help="and in testing (384; deeplab 500)")
    data.add_argument("--fcn-steps", type=options.positive_count, help="steps of each FCN (8000)")
    data.add_argument("--crf-steps", type=options.positive_count, help="steps of all that starts from it (1000)")
    data.add_argument("--tune-settings", type=_counts, metavar="N,M", help="of the dense CRF to try (12,12)")
    data.add_argument("--width", type=options.positive_number, help="factor of the channels (1)")
    data.add_argument("--precision", choices=mode.PRECISIONS, help="of wide convolutions (float32)")
    parser.set_defaults(run=_reproduce)


def _settings(arguments: argparse.Namespace, output: Path) -> Settings:
    """The folder's settings with those of the command line. Raises CaffeError if the data are not named."""
    from crfasrnn.reproduction.families import FAMILIES
    from crfasrnn.reproduction.settings import Settings

    stored: dict[str, Any] = Settings.stored(output)
    family = arguments.family or stored.get("family", _FAMILY)
    chosen = stored or FAMILIES[family].defaults
    chosen = {**chosen, "family": family}
    for field in fields(Settings):
        if field.name in vars(arguments) and field.name != "family":
            value = getattr(arguments, field.name)
            chosen[field.name] = tuple(value) if isinstance(value, list) else value
    if not {"voc", "weights"} <= set(chosen):
        raise CaffeError(
            f"the first time, give --voc VOC2012 and --weights FILE with {FAMILIES[family].origin} (or --scratch)"
        )
    if chosen.get("context") and not stored and "mean_over" not in vars(arguments):
        chosen["mean_over"] = None
    if set(chosen) - {field.name for field in fields(Settings)}:
        raise CaffeError(f"{str(output)!r} was written by another version: give another --output")
    return Settings(**chosen)


def _reproduce(arguments: argparse.Namespace) -> int:
    from crfasrnn.reproduction import report, schedule
    from crfasrnn.reproduction.families import FAMILIES
    from crfasrnn.reproduction.runs import Seeds
    from crfasrnn.reproduction.tables import Reproduction
    from crfasrnn.training.limits import StoppedError, budget, threads

    output = arguments.output or Path("work") / (arguments.family or _FAMILY)
    settings = _settings(arguments, output)
    seeds = Seeds(tuple(arguments.networks), tuple(arguments.seeds))
    if arguments.dry_run:
        settings.check()
        for line in schedule.lines(output, settings, arguments.table, seeds, arguments.variants):
            print(line)
        return 0
    options.use_gpu(arguments)
    with threads(arguments.threads):
        reproduction = Reproduction(
            output,
            settings,
            seeds,
            variants=arguments.variants,
            processes=arguments.threads or system.processors(),
            stop=budget(arguments.budget_minutes),
        )
        try:
            path = reproduction.make(arguments.table)
        except StoppedError:
            print("stopped before the table is done; the same command goes on from here")
            return options.OUT_OF_TIME
    print(path.read_text(encoding="utf-8"), end="")
    if arguments.write_docs is not None:
        beside = [output.with_name(name) for name in FAMILIES if output.with_name(name) != output]
        report.write_docs([output, *beside], arguments.write_docs)
    print(f"{path}")
    return 0
