"""One training of an experiment: for which network, with which seed, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crfasrnn.reproduction.experiments import Experiment, of_table
from crfasrnn.reproduction.families import FAMILIES
from crfasrnn.reproduction.settings import Settings
from crfasrnn.segmentation.models import FINAL
from crfasrnn.training.job import Job


@dataclass(frozen=True)
class Seeds:
    """networks: a network of its own for each, trained with that seed. seeds: a training of its own from each network for each."""

    networks: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = (1, 2, 3)


@dataclass(frozen=True)
class Run:
    """A training of an experiment. seed: None for what is done once for each network."""

    experiment: Experiment
    network: int
    seed: int | None = None

    @property
    def label(self) -> str:
        """The network's seed, and behind a dot the training's own."""
        return f"{self.network}" if self.seed is None else f"{self.network}.{self.seed}"

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.experiment.name}-{self.label}"


def runs(experiment: Experiment, seeds: Seeds) -> list[Run]:
    """All trainings of an experiment."""
    if not experiment.seeded:
        return [Run(experiment, network) for network in seeds.networks]
    return [Run(experiment, network, seed) for network in seeds.networks for seed in seeds.seeds]


def all_runs(table: str, settings: Settings, seeds: Seeds, variants: Sequence[str] | None = None) -> Iterator[Run]:
    """What a table needs, each after what it starts from."""
    for experiment in (*FAMILIES[settings.family].chain, *of_table(table, variants)):
        yield from runs(experiment, seeds)


def start_of(run: Run, settings: Settings) -> str | None:
    """The name of the run whose result this one starts from; None for the weights that are given."""
    family = FAMILIES[settings.family]
    name = family.start(run.experiment)
    if name is None:
        return None
    seeded = name not in {item.name for item in family.chain}
    return f"{name}-{run.label if seeded else run.network}"


def job_of(run: Run, output: Path, settings: Settings) -> Job:
    """The training."""
    start, experiment = start_of(run, settings), run.experiment
    given = None if settings.weights is None else Path(settings.weights)
    steps = settings.crf_steps if experiment.seeded else settings.fcn_steps
    return Job(
        FAMILIES[settings.family].recipe(experiment.recipe),
        output / "data",
        output / run.name,
        weights=given if start is None else output / start / FINAL,
        train_data=output / "data" / (f"seed{run.seed}" if experiment.seeded else f"network{run.network}"),
        steps=steps,
        test_interval=max(1, steps // 5),
        seed=run.network if run.seed is None else run.seed,
        options=replace(experiment.options, width=settings.width),
        precision=settings.precision,
    )
