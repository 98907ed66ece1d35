"""The databases and the trainings of one folder, each made once, whoever makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from caffe.files import make_folder, write_text
from crfasrnn.datasets import Dataset
from crfasrnn.datasets.databases import have_databases, variants, write_databases
from crfasrnn.figures import curves
from crfasrnn.reproduction.experiments import may_fail
from crfasrnn.reproduction.families import FAMILIES
from crfasrnn.reproduction.runs import Run, Seeds, all_runs, job_of, start_of
from crfasrnn.reproduction.settings import Settings
from crfasrnn.reproduction.tasks import Task
from crfasrnn.training.job import Job
from crfasrnn.training.monitors import DivergedError
from crfasrnn.training.progress import say
from crfasrnn.training.train import train, write_untrained

_DIVERGED = "diverged.txt"
_HELD_OUT = "data/val"


class Trainings:
    """What is trained below `output`.

    stop: asked often whether the time is over. show: gets one line now and then.
    fit, held_out: the images to train on, and those held out of them.
    """

    def __init__(
        self,
        output: Path,
        settings: Settings,
        seeds: Seeds,
        stop: Callable[[], bool] = lambda: False,
        show: Callable[[str], object] = say,
    ) -> None:
        self.output, self.settings, self.seeds = output, settings, seeds
        self._stop, self._show = stop, show
        self.fit, self.held_out = settings.training()
        self._essential = {item.name for item in FAMILIES[settings.family].chain}

    def job(self, run: Run) -> Job:
        """The training of a run."""
        return job_of(run, self.output, self.settings)

    def tasks(self, table: str, variants: Sequence[str] | None = None) -> Iterator[Task]:
        """What a table needs. A training that diverges is noted, and done, where the table is made without it."""
        runs = list(all_runs(table, self.settings, self.seeds, variants))
        yield self._databases(self.output / _HELD_OUT, self.held_out, [self.settings.size], False, 1)
        for folder in dict.fromkeys(self.job(run).train_folder for run in runs):
            here = [run for run in runs if self.job(run).train_folder == folder]
            seed = here[0].seed or here[0].network
            yield self._databases(folder, self.fit, list(self.settings.scales), True, seed, self._most(here))
        for run in runs:
            yield self._training(run, may_fail(table))

    def _most(self, runs: Sequence[Run]) -> int | None:
        """How many entries these trainings read of the same databases: one, for its classes, what is not trained."""
        if not any(run.experiment.trained for run in runs):
            return 1
        return self.settings.crf_steps if runs[0].experiment.seeded else None

    def _training(self, run: Run, may_fail: bool) -> Task:
        job, start = self.job(run), start_of(run, self.settings)
        databases = (_HELD_OUT, str(job.train_folder.relative_to(self.output)))

        def do() -> None:
            if start is not None and (reason := _divergence(self.output / start)):
                make_folder(job.output)
                write_text(job.output / _DIVERGED, f"{start}: {reason}\n")
                return
            if not run.experiment.trained:
                write_untrained(job)
                return
            self._show(f"{job.output}: training by {job.recipe}, {job.steps} steps")
            try:
                train(job, self._stop, self._show)
            except DivergedError as problem:
                if not may_fail or run.experiment.name in self._essential:
                    raise
                self._show(f"{job.output}: {problem}")
                write_text(job.output / _DIVERGED, f"{problem}\n")

        return Task(
            run.name,
            lambda: job.final.is_file() or bool(_divergence(job.output)),
            do,
            databases if start is None else (*databases, start),
        )

    def _databases(
        self, folder: Path, dataset: Dataset, sides: list[int | None], mirror: bool, seed: int, most: int | None = None
    ) -> Task:
        """most: entries that are written, since no training reads more."""

        def do() -> None:
            entries = variants(dataset, sides, mirror, seed)[:most]
            self._show(f"{folder}: databases of {len(entries)} images")
            write_databases(folder, entries, dataset.names)

        return Task(str(folder.relative_to(self.output)), lambda: have_databases(folder), do)

    def divergence(self, run: Run) -> str:
        """Why a training ended early; empty if it did not."""
        return _divergence(self.job(run).output)

    def seconds(self, table: str, variants: Sequence[str] | None = None) -> dict[str, float]:
        """Seconds of training behind a table, by folder."""
        runs = [run for run in all_runs(table, self.settings, self.seeds, variants) if run.experiment.trained]
        logs = {run.name: self.job(run).log for run in runs}
        return {name: curves.seconds(log) for name, log in logs.items() if log.is_file()}


def _divergence(folder: Path) -> str:
    note = folder / _DIVERGED
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""
