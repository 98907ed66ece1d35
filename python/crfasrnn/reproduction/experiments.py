"""What has to be trained for a table: experiments, each from the result of another one, for every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from caffe.errors import CaffeError
from crfasrnn.networks.crfrnn import Variant
from crfasrnn.networks.recipes import RecipeOptions
from crfasrnn.reproduction.settings import Settings
from crfasrnn.segmentation.models import FINAL
from crfasrnn.training.job import Job

LONGEST_SWEEP = 20
TESTED = (1, 2, 5, 10, 15)  # iterations in testing that the table of ablations shows


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
    _crf("shared", "one weight per kernel, Potts", kernel_weights="shared", compatibility="potts"),
    _crf("per-class", "weights per class, Potts", kernel_weights="per_class", compatibility="potts"),
    _crf("per-class-full", "weights per class, full compatibility", kernel_weights="per_class"),
    _crf("potts", "full weights, Potts", compatibility="potts"),
    _crf("symmetric", "full weights, symmetric compatibility", compatibility="symmetric"),
    _crf("crf-only", "CRF learned alone, network frozen", "crf-only"),
    _crf("train-t10", "T = 10 in training", iterations=10),
    _crf("untied", "untied iterations, T = 5", untied=True),
    _crf("relu", "ReLU instead of softmax", activation="relu"),
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
    steps = settings.fcn_steps if experiment.start in (None, "fcn32s", "fcn16s") else settings.crf_steps
    weights = (
        None
        if experiment.start is None and settings.weights is None
        else Path(str(settings.weights))
        if experiment.start is None
        else folder_of(output, experiment.start, seed) / FINAL
    )
    return Job(
        prefix + experiment.recipe,
        output / "data",
        folder_of(output, experiment.name, seed),
        weights=weights,
        train_data=output / "data" / f"train-seed{seed}",
        steps=steps,
        test_interval=max(1, steps // 5),
        seed=seed,
        options=replace(experiment.options, width=settings.width),
        precision=settings.precision,
    )
