"""Making a table: trainings, scores, and the files that show them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from caffe.errors import CaffeError
from caffe.files import make_folder, write_text
from crfasrnn.classes import read_classes
from crfasrnn.evaluation.bootstrap import compare_runs
from crfasrnn.evaluation.labellers import saved_labels
from crfasrnn.figures import cases as sheets
from crfasrnn.figures import crf, curves, scores
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.reproduction import report, results
from crfasrnn.reproduction.experiments import END_TO_END, LONGEST_SWEEP, Experiment, of_table
from crfasrnn.reproduction.families import FAMILIES
from crfasrnn.reproduction.methods import PUBLISHED, TUNED, Method, claims, methods
from crfasrnn.reproduction.results import Difference, Row
from crfasrnn.reproduction.runs import Run, Seeds, runs
from crfasrnn.reproduction.scoring import Scorer, Tuning
from crfasrnn.reproduction.settings import Settings
from crfasrnn.reproduction.tasks import Task, work_off
from crfasrnn.reproduction.trainings import Trainings

ON_HELD_OUT = {"schedules"}  # tables that choose: they never see the validation images


@dataclass(frozen=True)
class Result:
    """One method's labels by one training. tuning: of the dense CRF behind it, if that is tuned."""

    method: Method
    run: Run
    tuning: Run | None = None

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.method.name}-{self.run.label}"


class Reproduction:
    """All tables of one folder.

    variants: the names of those rows that are wanted beside the first, None for all.
    seeds: each gives every row a training of its own: order of the images, dropout and random weights.
    stop: asked often whether the time is over; then StoppedError is raised. show: gets one line now and then.
    """

    def __init__(
        self,
        output: Path,
        settings: Settings,
        seeds: Seeds,
        *,
        variants: Sequence[str] | None = None,
        processes: int = 1,
        stop: Callable[[], bool] = lambda: False,
        show: Callable[[str], object] = print,
    ) -> None:
        self._variants = variants
        settings.check()  # before they are written: a mistyped path must not stay
        make_folder(output)
        settings.save(output)
        self._output, self._settings, self._seeds = output, settings, seeds
        self._processes, self._stop, self._show = processes, stop, show
        self._trainings = Trainings(output, settings, seeds, stop, show)

    def make(self, table: str) -> Path:
        """Train and score what a table needs, and write it; returns the path of its page.

        Raises CaffeError for a variant that the table does not have, StoppedError when the time is over, and DivergedError if a
        training diverges that the table cannot do without.
        """
        if table == "table2":
            return self._archives()
        if (table == "table3") != (self._settings.context is not None):
            raise CaffeError(
                "table3 is of Pascal Context, and nothing else is: give --context for it, and an --output of its own"
            )
        rows = methods(table, self._settings.family, self._variants)
        found = {method: self._results(method) for method in rows}
        scorer = self._scorer(table)
        make_folder(scorer.folder)
        work_off(list(self._tasks(table, found, scorer)), self._stop, self._show)
        return self._write(table, found, scorer)

    def _archives(self) -> Path:
        """Table 2: archives for VOC's evaluation server, of the first training of each row."""
        if self._settings.context is not None:
            raise CaffeError(
                "table2 is of PASCAL VOC, and these are experiments on Pascal Context: give another --output"
            )
        scorer = Scorer(self._output / "archives", self._settings.test(), self._settings.size, None, self._stop)
        tasks, files = list(self._trainings.tasks("table2")), {}
        for method in methods("table2", self._settings.family):
            run, path = runs(method.experiment, self._seeds)[0], self._output / f"table2_{method.name}.tgz"
            files[method.title] = path
            archive = partial(scorer.archive, path, self._trainings.job(run))
            tasks.append(Task(path.name, path.is_file, archive, (run.name,)))
        work_off(tasks, self._stop, self._show)
        page = self._output / "table2.md"
        write_text(page, report.archives(files))
        return page

    def _scorer(self, table: str) -> Scorer:
        settings = self._settings
        held_out = table in ON_HELD_OUT
        dataset = self._trainings.held_out if held_out else settings.validation()
        folder = self._output / ("scores-held-out" if held_out else "scores")
        return Scorer(folder, dataset, settings.size, settings.mean_over, self._stop)

    def _results(self, method: Method) -> list[Result]:
        found = runs(method.experiment, self._seeds)
        first = {run.network: run for run in reversed(found)}
        return [Result(method, run, first[run.network] if method.behind == TUNED else None) for run in found]

    # What is to be done.

    def _tasks(self, table: str, found: dict[Method, list[Result]], scorer: Scorer) -> Iterator[Task]:
        """Each training is followed by what it is looked at for: what can be known early is known early."""
        every = [result for results in found.values() for result in results]
        looks: dict[str, list[Task]] = {}
        for run in dict.fromkeys(result.tuning for result in every if result.tuning is not None):
            looks.setdefault(run.name, []).append(self._tuning_task(run))
        for run in dict.fromkeys(result.run for result in every if result.method.iterations is not None):
            looks.setdefault(run.name, []).append(self._sweep_task(run, scorer))
        for result in every:
            if result.method.iterations is None:
                looks.setdefault(result.run.name, []).append(self._score_task(result, scorer))
        for task in self._trainings.tasks(table, self._variants):
            yield task
            yield from looks.get(task.name, ())

    def _tuning(self, run: Run) -> Tuning:
        folder = self._output / "tuned" / run.name
        return Tuning(
            folder, self._trainings.held_out, self._settings.size, self._settings.tune_settings, self._processes
        )

    def _tuning_task(self, run: Run) -> Task:
        tuning, job = self._tuning(run), self._trainings.job(run)
        return Task(f"tuned {run.name}", tuning.best.is_file, lambda: tuning.run(job), (run.name,))

    def _sweep_task(self, run: Run, scorer: Scorer) -> Task:
        names = [f"test-t{count}-{run.label}" for count in range(1, LONGEST_SWEEP + 1)]
        job = self._trainings.job(run)
        return Task(
            f"swept {run.name}",
            lambda: all(map(scorer.is_scored, names)),
            lambda: scorer.sweep(names, job),
            (run.name,),
        )

    def _score_task(self, result: Result, scorer: Scorer) -> Task:
        name, run, job = result.name, result.run, self._trainings.job(result.run)

        def do() -> None:
            if result.method.behind is None:
                scorer.network(name, job)
            else:
                scorer.dense_crf(name, job, self._settings_behind(result))
            self._show(f"{result.method.title}, {run.label}: mean IU {100 * scorer.scored(name).mean_iu:.2f} %")

        needs = (run.name,) if result.tuning is None else (run.name, f"tuned {result.tuning.name}")
        return Task(
            f"scored {name}", lambda: scorer.is_scored(name) or bool(self._trainings.divergence(run)), do, needs
        )

    def _settings_behind(self, result: Result) -> CrfSettings:
        if result.method.behind == PUBLISHED:
            return CrfSettings()
        assert result.tuning is not None
        return CrfSettings.read(self._tuning(result.tuning).best)

    # What is shown.

    def _write(self, table: str, found: dict[Method, list[Result]], scorer: Scorer) -> Path:
        """Write the table's .json, .md and pictures; returns the path of the .md."""
        rows, failed = [], {}
        for method, every in found.items():
            if reason := next(filter(None, (self._trainings.divergence(result.run) for result in every)), ""):
                failed[method.title] = reason
                continue
            by_run = {result.run: scorer.scored(result.name) for result in every}
            rows.append(Row(method.name, method.title, by_run, method.paper))
        by_name = {row.name: row for row in rows}
        differences = [
            Difference(claim, self._compared(by_name[claim.first], by_name[claim.second]))
            for claim in claims(table, list(by_name))
        ]
        seconds = self._trainings.seconds(table, self._variants)
        tuned = {
            result.tuning.name: CrfSettings.read(self._tuning(result.tuning).best).to_json()
            for results in found.values()
            for result in results
            if result.tuning is not None
        }
        facts = {**self._facts(table, scorer, seconds), "tuned": tuned, "diverged": failed}
        content = results.to_json(table, rows, differences, facts)
        write_text(self._output / f"{table}.json", json.dumps(content, indent=1) + "\n")
        path = self._output / f"{table}.md"
        write_text(path, report.markdown(content))
        self._draw(table, rows, scorer)
        return path

    def _compared(self, first: Row, second: Row) -> Any:
        return compare_runs(self._by_network(first), self._by_network(second), over=self._settings.mean_over)

    def _by_network(self, row: Row) -> list[list[Any]]:
        return [
            [scored.per_image for run, scored in row.runs.items() if run.network == network]
            for network in self._seeds.networks
        ]

    def _draw(self, table: str, rows: Sequence[Row], scorer: Scorer) -> None:
        if table == "iterations":
            networks = {
                label: [row.scored(label).mean_iu for row in rows] for label in (run.label for run in rows[0].runs)
            }
            scores.draw_iterations(self._output / "iterations.png", networks, END_TO_END.options.iterations)
        else:
            bars = {row.title: [scored.mean_iu for scored in row.runs.values()] for row in rows}
            scores.draw_rows(self._output / f"{table}.png", bars)
        if table == "table1":
            self._draw_cases([rows[0], rows[2], rows[-1]], scorer)
        self._draw_trainings(table)

    def _draw_cases(self, rows: Sequence[Row], scorer: Scorer) -> None:
        """Labels of these rows side by side (the paper's figure 4) and what the CRF learned (figure 5), of the first training."""
        run = next(iter(rows[-1].runs))
        job = self._trainings.job(run)
        classes = read_classes(job.output / "classes.txt")
        labels = [scorer.labels(f"{row.name}-{next(iter(row.runs)).label}") for row in rows]
        methods = [(row.title, saved_labels(folder, classes)) for row, folder in zip(rows, labels)]
        if len(scorer.dataset) >= len(sheets.KINDS):
            cases = sheets.choose_cases(scorer.dataset, methods[0][1], methods[-1][1], len(classes), 1)
            sheets.draw_cases(self._output / "table1_cases.png", cases, methods, classes)
        crf.draw_crf(self._output / "table1_crf.png", crf.read_crf(job.final), classes.names)

    def _draw_trainings(self, table: str) -> None:
        """The curves of the first training of everything that was trained."""
        shown: list[Experiment] = [*FAMILIES[self._settings.family].chain, *of_table(table, self._variants)]
        logs = [(item.title, self._trainings.job(runs(item, self._seeds)[0]).log) for item in shown if item.trained]
        read = [(title, curves.read_curves(log)) for title, log in logs if log.is_file()]
        if read:
            curves.draw_training(self._output / f"{table}_training.png", read)

    def _facts(self, table: str, scorer: Scorer, seconds: dict[str, float]) -> dict[str, Any]:
        settings, family = self._settings, FAMILIES[self._settings.family]
        over = range(len(scorer.dataset.names)) if settings.mean_over is None else settings.mean_over
        return {
            "family": settings.family,
            "classes": list(self._trainings.fit.names),
            "mean_over": [scorer.dataset.names[label] for label in over],
            "images": {
                "training": len(self._trainings.fit),
                "held_out": len(self._trainings.held_out),
                "scored": len(scorer.dataset),
            },
            "on_held_out": table in ON_HELD_OUT,
            "scales": list(settings.scales),
            "size": settings.size,
            "width": settings.width,
            "precision": settings.precision,
            "steps": {item.title: settings.fcn_steps for item in family.chain if item.trained}
            | {"all that starts from it": settings.crf_steps},
            "start": family.origin if settings.weights else "random weights",
            "networks": list(self._seeds.networks),
            "seeds": list(self._seeds.seeds),
            "training_seconds": seconds,
            "hardware": results.hardware(),
        }
