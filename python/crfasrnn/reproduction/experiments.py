"""What has to be trained for a table: experiments, each from the result of another one, for every seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from caffe.errors import CaffeError
from caffe.files import write_text
from crfasrnn.datasets import Dataset, voc
from crfasrnn.datasets.folder import split
from crfasrnn.datasets.voc import MASKS
from crfasrnn.figures.curves import speed
from crfasrnn.networks.crfrnn import Variant
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.training.job import Job

TABLES = ("table1", "ablations", "iterations")
LONGEST_SWEEP = 20
TESTED = (1, 2, 5, 10, 15)  # iterations in testing that the table of ablations shows
_SETTINGS = "settings.json"
# Steps per second where nothing was measured yet: the slim networks at 256 and 384 pixels on two CPU cores.
_ASSUMED_SPEED = {"slim": 2.0, "voc21": 0.1}


@dataclass(frozen=True)
class Settings:
    """What all experiments of a folder share. They are written there; another call must agree or leave them out.

    voc: folder like VOC2012. weights: VGG-16's trunk, None for random weights. family: "slim" or "voc21" (the papers').
    classes: VOC's numbers. train_lists, val_list: of ImageSets/Segmentation. held_out: number of images of the first train list
    that are left out of training, for the settings of the dense CRF and the curves. scales: largest sides in training.
    size: and in testing. fcn_iterations, crf_iterations: steps. width: factor of the channels. tune_settings: how many
    settings of the dense CRF are tried, at random and around the best. masks: folder of the label maps in `voc`.
    precision: of the wide convolutions.
    """

    voc: str
    weights: str | None
    family: str = "slim"
    classes: tuple[int, ...] = (0, 8, 10, 12, 13, 15, 17)
    train_lists: tuple[str, ...] = ("train", "train_sbd")
    val_list: str = "val"
    held_out: int = 60
    scales: tuple[int, ...] = (256, 384)
    size: int = 384
    fcn_iterations: int = 3500
    crf_iterations: int = 1000
    width: float = 1
    tune_settings: tuple[int, int] = (40, 40)
    masks: str = MASKS
    precision: str = "float32"

    def save(self, folder: Path) -> None:
        """Write them, or raise CaffeError if the folder's are others."""
        path = folder / _SETTINGS
        content = json.loads(json.dumps(asdict(self)))
        if path.is_file():
            for name, value in json.loads(path.read_text(encoding="utf-8")).items():
                if content.get(name) != value:
                    raise CaffeError(
                        f"{str(folder)!r} holds experiments with {name} {value!r}, now {content.get(name)!r}: leave the option "
                        "out, or give another --output"
                    )
            return
        write_text(path, json.dumps(content, indent=1) + "\n")

    @staticmethod
    def stored(folder: Path) -> dict[str, object]:
        """The fields that a folder's experiments have; empty if there are none yet. Raises CaffeError if they are damaged."""
        path = folder / _SETTINGS
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
        except (ValueError, AttributeError) as problem:
            raise CaffeError(f"{path}: {problem}") from problem

    def check(self) -> None:
        """Raise CaffeError naming the first file of the data, or the weights, that is missing."""
        if self.weights is not None and not Path(self.weights).is_file():
            raise CaffeError(f"no weights {self.weights!r}: VGG-16's trunk is needed, or --scratch")
        self.validation().require_files()
        for part in self.training():
            part.require_files()

    # The data. `val` is read for the reported figures alone.

    def _selected(self, lists: Sequence[str]) -> Dataset:
        return voc(Path(self.voc), lists, self.masks).select(self.classes)

    def validation(self) -> Dataset:
        """The images of the reported figures."""
        return self._selected([self.val_list])

    def training(self) -> tuple[Dataset, Dataset]:
        """The images to train on, and those held out of them. Raises CaffeError if one of them is also a validation image."""
        everything = self._selected(self.train_lists)
        first = [example.name for example in self._selected(self.train_lists[:1])]
        if self.held_out >= len(first):
            raise CaffeError(
                f"{self.train_lists[0]!r} has {len(first)} images, too few to hold {self.held_out} out of training"
            )
        held = set(split(first, self.held_out / len(first), seed=1)[1])
        both = {example.name for example in self.validation()} & {example.name for example in everything}
        if both:
            raise CaffeError(f"{sorted(both)[0]!r} is in the training lists and in {self.val_list!r}")
        return _named(everything, held, False), _named(everything, held, True)


def _named(dataset: Dataset, names: set[str], wanted: bool) -> Dataset:
    examples = tuple(example for example in dataset if (example.name in names) == wanted)
    return Dataset(dataset.title, examples, dataset.names)


@dataclass(frozen=True)
class Experiment:
    """One training: name, title in tables, recipe (without the family's prefix), what it starts from, and its options."""

    name: str
    title: str
    recipe: str
    start: str | None
    options: RecipeOptions = field(default_factory=RecipeOptions)


def _crf(name: str, title: str, recipe: str = "crfrnn", iterations: int = 5, **variant: object) -> Experiment:
    options = RecipeOptions(iterations=iterations, variant=Variant(**variant))  # type: ignore[arg-type]
    return Experiment(name, title, recipe, "fcn8s", options)


FCN_CHAIN = {"slim": ("fcn8s",), "voc21": ("fcn32s", "fcn16s", "fcn8s")}
TITLES = {"fcn32s": "FCN-32s", "fcn16s": "FCN-16s", "fcn8s": "FCN-8s"}
LONGER = Experiment("longer", "FCN-8s, trained on for as long as the CRF-RNN", "fcn8s-longer", "fcn8s")
END_TO_END = _crf("crfrnn", "FCN-8s + CRF-RNN, end to end")
ABLATIONS = (
    END_TO_END,
    _crf("shared", "one weight per kernel, Potts", kernel_weights="SHARED", compatibility="potts"),
    _crf("per-class", "weights per class, Potts", kernel_weights="PER_CLASS", compatibility="potts"),
    _crf("per-class-full", "weights per class, full compatibility", kernel_weights="PER_CLASS"),
    _crf("potts", "full weights, Potts", compatibility="potts"),
    _crf("symmetric", "full weights, symmetric compatibility", compatibility="symmetric"),
    _crf("crf-only", "CRF learned alone, network frozen", "crf-only"),
    _crf("train-t10", "T = 10 in training", iterations=10),
    _crf("untied", "untied iterations, T = 5", untied=True),
    _crf("relu", "ReLU instead of softmax", activation="RELU"),
)


def experiments(table: str, family: str, variants: Sequence[str] | None = None) -> list[Experiment]:
    """What a table needs, each after what it starts from. variants: the ablations' names, None for all."""
    chain = FCN_CHAIN[family]
    first = [Experiment(name, TITLES[name], name, start) for start, name in zip((None, *chain), chain)]
    if table == "table1":
        return [*first, LONGER, END_TO_END]
    return [*first, *(ablations(variants) if table == "ablations" else (END_TO_END,))]


def ablations(variants: Sequence[str] | None = None) -> list[Experiment]:
    """CRF-RNN end to end, then the variants of these names (None: all). Raises CaffeError for a name that is none."""
    known = {item.name: item for item in ABLATIONS[1:]}
    unknown = set(variants or ()) - set(known)
    if unknown:
        raise CaffeError(f"no variant {sorted(unknown)[0]!r}: one of {', '.join(known)}")
    return [END_TO_END, *(item for name, item in known.items() if variants is None or name in variants)]


def folder_of(output: Path, name: str, seed: int) -> Path:
    """Where an experiment's training lies."""
    return output / f"{name}-seed{seed}"


def job(output: Path, settings: Settings, experiment: Experiment, seed: int) -> Job:
    """The training of an experiment."""
    prefix = "slim-" if settings.family == "slim" else ""
    iterations = settings.fcn_iterations if experiment.start in (None, "fcn32s", "fcn16s") else settings.crf_iterations
    weights = (
        None
        if experiment.start is None and settings.weights is None
        else Path(str(settings.weights))
        if experiment.start is None
        else folder_of(output, experiment.start, seed) / "final.caffemodel"
    )
    return Job(
        prefix + experiment.recipe,
        output / "data",
        folder_of(output, experiment.name, seed),
        weights=weights,
        train_data=output / "data" / f"train-seed{seed}",
        iterations=iterations,
        test_interval=max(1, iterations // 5),
        seed=seed,
        options=replace(experiment.options, width=settings.width),
        precision=settings.precision,
    )


def lines(
    output: Path, settings: Settings, table: str, seeds: Sequence[int], variants: Sequence[str] | None = None
) -> Iterator[str]:
    """The plan in words: what is done, what is not, and how long that takes."""
    total = 0.0
    for seed in seeds:
        for experiment in experiments(table, settings.family, variants):
            planned = job(output, settings, experiment, seed)
            if planned.final.is_file():
                yield f"{planned.output}: done"
                continue
            assert planned.iterations is not None
            measured = speed(planned.log) or _neighbours_speed(output, settings, experiment)
            rate = measured or _ASSUMED_SPEED[settings.family]
            minutes = planned.iterations / rate / 60
            total += minutes
            yield (
                f"{planned.output}: {planned.recipe}, {planned.iterations} steps, {minutes:.0f} minutes at {rate:.2g} steps/s "
                f"({'measured' if measured else 'assumed'})"
            )
    yield f"about {total:.0f} minutes of training in all, without tests, dense CRF search and scoring"


def _neighbours_speed(output: Path, settings: Settings, experiment: Experiment) -> float | None:
    """How fast a training of the same recipe ran here."""
    for other in (LONGER, *ABLATIONS, *experiments("table1", settings.family)):
        if other.recipe == experiment.recipe:
            for folder in sorted(output.glob(f"{other.name}-seed*")):
                found = speed(folder / "log.jsonl")
                if found is not None:
                    return found
    return None
