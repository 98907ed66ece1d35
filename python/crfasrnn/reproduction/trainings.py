"""The databases and the trainings of one folder, each made once, for every seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from caffe.files import write_text
from crfasrnn.datasets import Dataset
from crfasrnn.datasets.databases import have_databases, variants, write_databases
from crfasrnn.figures import curves
from crfasrnn.reproduction.experiments import END_TO_END, Experiment, experiments, job
from crfasrnn.reproduction.settings import Settings
from crfasrnn.training.job import Job
from crfasrnn.training.monitors import DivergedError
from crfasrnn.training.progress import say
from crfasrnn.training.train import train

_DIVERGED = "diverged.txt"
_NEEDED = ("fcn32s", "fcn16s", "fcn8s", END_TO_END.name)  # by other experiments


class Trainings:
    """What is trained below `output`.

    seeds: each gives every experiment a training of its own: order of the images, dropout and random weights.
    stop: asked often whether the time is over. show: gets one line now and then.
    fit, held_out: the images to train on, and those held out of them.
    """

    def __init__(
        self,
        output: Path,
        settings: Settings,
        seeds: Sequence[int],
        stop: Callable[[], bool] = lambda: False,
        show: Callable[[str], object] = say,
    ) -> None:
        self.output, self.settings, self.seeds = output, settings, list(seeds)
        self._stop, self._show = stop, show
        self.fit, self.held_out = settings.training()

    def job(self, experiment: Experiment, seed: int) -> Job:
        """The training of an experiment with one seed."""
        return job(self.output, self.settings, experiment, seed)

    def run(self, table: str, names: Sequence[str] | None = None) -> None:
        """Do what a table needs and is not done yet. names: of the ablations, None for all.

        An ablation that diverges is noted and passed over. Raises StoppedError when the time is over, and DivergedError if an
        experiment diverges that the table cannot do without.
        """
        self._prepare()
        for seed in self.seeds:
            for experiment in experiments(table, self.settings.family, names):
                training = self.job(experiment, seed)
                if training.final.is_file() or _divergence(training):
                    continue
                self._show(f"{training.output}: training by {training.recipe}, {training.steps} steps")
                try:
                    train(training, self._stop, self._show)
                except DivergedError as problem:
                    if table != "ablations" or experiment.name in _NEEDED:
                        raise
                    self._show(f"{training.output}: {problem}")
                    write_text(training.output / _DIVERGED, f"{problem}\n")

    def divergences(self, experiment: Experiment) -> list[str]:
        """Why trainings of an experiment ended early, if they did."""
        return [reason for seed in self.seeds if (reason := _divergence(self.job(experiment, seed)))]

    def seconds(self, table: str, names: Sequence[str] | None = None) -> dict[str, float]:
        """Seconds of training behind a table, by folder."""
        jobs = [self.job(item, seed) for seed in self.seeds for item in experiments(table, self.settings.family, names)]
        return {training.output.name: curves.seconds(training.log) for training in jobs}

    def _prepare(self) -> None:
        """Make the databases that are missing."""
        sides: list[int | None] = [*self.settings.scales]
        for seed in self.seeds:
            self._databases(self.output / "data" / f"train-seed{seed}", self.fit, sides, True, seed)
        self._databases(self.output / "data" / "val", self.held_out, [self.settings.size], False, 1)

    def _databases(self, folder: Path, dataset: Dataset, sides: list[int | None], mirror: bool, seed: int) -> None:
        if have_databases(folder):
            return
        self._show(f"{folder}: databases of {len(dataset)} images")
        write_databases(folder, variants(dataset, sides, mirror, seed), dataset.names)


def _divergence(training: Job) -> str:
    """Why a training ended; empty if it did not diverge."""
    note = training.output / _DIVERGED
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""
