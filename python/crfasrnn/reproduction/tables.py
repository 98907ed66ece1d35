"""Making a table: data, trainings, scores, and the files that show them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from caffe.files import write_text
from crfasrnn.datasets import Dataset
from crfasrnn.datasets.databases import have_databases, variants, write_databases
from crfasrnn.evaluation import bootstrap
from crfasrnn.evaluation.evaluate import saved_labels
from crfasrnn.figures import cases as sheets
from crfasrnn.figures import crf, curves, scores
from crfasrnn.reproduction import experiments as plan
from crfasrnn.reproduction import paper, report
from crfasrnn.reproduction.experiments import Experiment, Settings
from crfasrnn.reproduction.report import Difference, Row
from crfasrnn.reproduction.scoring import Scored, Scorer, StoppedError
from crfasrnn.segmentation.models import read_classes, write_classes
from crfasrnn.training.job import Job
from crfasrnn.training.monitors import DivergedError
from crfasrnn.training.train import train

_DIVERGED = "diverged.txt"
_NEEDED = ("fcn32s", "fcn16s", "fcn8s", plan.END_TO_END.name)


def _divergence(job: Job) -> str:
    """Why an ablation's training ended; empty if it did not diverge."""
    note = job.output / _DIVERGED
    return note.read_text(encoding="utf-8").strip() if note.is_file() else ""


class Reproduction:
    """All tables of one folder.

    variants: the ablations' names, None for all.
    seeds: each gives every row a training of its own: order of the images, dropout and random weights.
    stop: asked often whether the time is over; then StoppedError is raised. show: gets one line now and then.
    """

    def __init__(
        self,
        output: Path,
        settings: Settings,
        seeds: Sequence[int],
        *,
        variants: Sequence[str] | None = None,
        processes: int = 1,
        stop: Callable[[], bool] = lambda: False,
        show: Callable[[str], object] = print,
    ) -> None:
        self._ablations, self._variants = plan.ablations(variants), variants
        settings.check()  # before they are written: a mistyped path must not stay
        output.mkdir(parents=True, exist_ok=True)
        settings.save(output)
        self._output, self._settings, self._seeds = output, settings, list(seeds)
        self._processes, self._stop, self._show = processes, stop, show
        self._fit, self._held_out = settings.training()
        self._scorer = Scorer(output / "scores", settings.validation(), settings.size, stop)
        self._scorer.folder.mkdir(exist_ok=True)

    # Data and trainings.

    def _prepare(self) -> None:
        """Make the databases that are missing."""
        sides: list[int | None] = [*self._settings.scales]
        for seed in self._seeds:
            self._databases(self._output / "data" / f"train-seed{seed}", self._fit, sides, True, seed)
        self._databases(self._output / "data" / "val", self._held_out, [self._settings.size], False, 1)

    def _databases(self, folder: Path, dataset: Dataset, sides: list[int | None], mirror: bool, seed: int) -> None:
        if have_databases(folder):
            return
        self._show(f"{folder}: databases of {len(dataset)} images")
        write_databases(folder, variants(dataset, sides, mirror, seed))
        write_classes(folder / "classes.txt", dataset.names)

    def _train(self, table: str) -> None:
        self._prepare()
        for seed in self._seeds:
            for experiment in plan.experiments(table, self._settings.family, self._variants):
                job = self._job(experiment, seed)
                if job.final.is_file() or _divergence(job):
                    continue
                self._show(f"{job.output}: training by {job.recipe}, {job.iterations} steps")
                try:
                    if not train(job, self._stop, self._show):
                        raise StoppedError
                except DivergedError as problem:
                    if table != "ablations" or experiment.name in _NEEDED:
                        raise
                    self._show(f"{job.output}: {problem}")
                    write_text(job.output / _DIVERGED, f"{problem}\n")

    def _job(self, experiment: Experiment, seed: int) -> Job:
        return plan.job(self._output, self._settings, experiment, seed)

    def _row(self, name: str, title: str, score: Callable[[int], Scored], paper_says: Sequence[float] = ()) -> Row:
        results = {}
        for seed in self._seeds:
            results[seed] = score(seed)
            self._show(f"{title}, seed {seed}: mean IU {100 * results[seed].mean_iu:.2f} %")
        return Row(name, title, results, tuple(paper_says))

    # Tables.

    def table1(self) -> Path:
        """FCN-8s alone, with a disconnected dense CRF, and with CRF-RNN; FCN-8s trained on tells the layer's gain apart."""
        self._train("table1")
        first = plan.experiments("table1", self._settings.family)[-3]
        rows = [
            self._network_row("fcn8s", "plain FCN-8s", first),
            self._dense_row("fcn8s-dense", "FCN-8s and dense CRF, disconnected", first),
            self._network_row("longer", plan.LONGER.title, plan.LONGER),
            self._dense_row("longer-dense", "the same and dense CRF, disconnected", plan.LONGER),
            self._network_row("crfrnn", "end-to-end CRF-RNN", plan.END_TO_END),
        ]
        pairs = [
            ("fcn8s", "fcn8s-dense"),
            ("fcn8s-dense", "crfrnn"),
            ("longer", "longer-dense"),
            ("longer", "crfrnn"),
            ("longer-dense", "crfrnn"),
        ]
        self._draw([rows[0], rows[1], rows[-1]])
        return self._write("table1", rows, pairs, self._experiment_seconds("table1"))

    def _draw(self, rows: Sequence[Row]) -> None:
        """Labels of these rows side by side (the paper's figure 4) and what the CRF learned (figure 5), of the first seed."""
        seed, dataset = self._seeds[0], self._scorer.dataset
        job = self._job(plan.END_TO_END, seed)
        classes = read_classes(job.output / "classes.txt")
        methods = [(row.title, saved_labels(self._scorer.labels(f"{row.name}-seed{seed}"))) for row in rows]
        if len(dataset) >= len(sheets.KINDS):
            cases = sheets.choose_cases(dataset, methods[0][1], methods[-1][1], len(classes), 1)
            path = self._output / "table1_cases.png"
            sheets.draw_cases(path, cases, methods, classes.names, classes.voc_ids)
        crf.draw_crf(self._output / "table1_crf.png", crf.read_crf(job.final), classes.names)

    def _network_row(self, name: str, title: str, experiment: Experiment) -> Row:
        def score(seed: int) -> Scored:
            return self._scorer.network(f"{name}-seed{seed}", self._job(experiment, seed))

        return self._row(name, title, score, paper.TABLE_1.get(name, ()))

    def _dense_row(self, name: str, title: str, experiment: Experiment) -> Row:
        def score(seed: int) -> Scored:
            job = self._job(experiment, seed)
            settings = self._scorer.tuned(
                f"{name}-seed{seed}", job, self._held_out, self._settings.tune_settings, self._processes
            )
            return self._scorer.dense_crf(f"{name}-seed{seed}", job, settings)

        return self._row(name, title, score, paper.TABLE_1.get(name, ()))

    def ablations(self) -> Path:
        """The variants of section 7.1, and the number of iterations in testing, against CRF-RNN end to end."""
        self._train("ablations")
        failed = {item.title: reason for item in self._ablations for reason in self._divergences(item)}
        rows = [self._network_row(item.name, item.title, item) for item in self._ablations if item.title not in failed]
        sweeps = {seed: self._sweep(seed) for seed in self._seeds}
        rows += [
            self._row(f"test-t{count}", f"T = {count} in testing", lambda seed, count=count: sweeps[seed][count - 1])  # type: ignore[misc]
            for count in plan.TESTED
        ]
        pairs = [(plan.END_TO_END.name, row.name) for row in rows[1:]]
        return self._write("ablations", rows, pairs, self._experiment_seconds("ablations"), failed=failed)

    def _divergences(self, experiment: Experiment) -> list[str]:
        return [reason for seed in self._seeds if (reason := _divergence(self._job(experiment, seed)))]

    def iterations(self) -> Path:
        """Mean IU of CRF-RNN end to end over the number of mean-field iterations in testing."""
        self._train("iterations")
        sweeps = {seed: self._sweep(seed) for seed in self._seeds}
        rows = [
            self._row(f"test-t{count}", f"T = {count}", lambda seed, count=count: sweeps[seed][count - 1])  # type: ignore[misc]
            for count in range(1, plan.LONGEST_SWEEP + 1)
        ]
        series = {f"seed {seed}": [result.mean_iu for result in sweep] for seed, sweep in sweeps.items()}
        scores.draw_iterations(self._output / "iterations.png", series, plan.END_TO_END.options.iterations)
        pairs = [("test-t5", "test-t10")]
        return self._write("iterations", rows, pairs, self._experiment_seconds("iterations"), picture=False)

    def _sweep(self, seed: int) -> list[Scored]:
        job = self._job(plan.END_TO_END, seed)
        return self._scorer.sweep(f"crfrnn-seed{seed}", job, plan.LONGEST_SWEEP)

    # Files.

    def _experiment_seconds(self, table: str) -> dict[str, float]:
        """Seconds of training behind a table, by folder."""
        jobs = [
            self._job(item, seed)
            for seed in self._seeds
            for item in plan.experiments(table, self._settings.family, self._variants)
        ]
        return {job.output.name: curves.seconds(job.log) for job in jobs}

    def _write(
        self,
        table: str,
        rows: Sequence[Row],
        pairs: Sequence[tuple[str, str]],
        seconds: dict[str, float],
        picture: bool = True,
        failed: dict[str, str] | None = None,
    ) -> Path:
        """Write the table's .json, .md and .png; returns the path of the .md."""
        by_name = {row.name: row for row in rows}
        differences = [
            Difference(
                a,
                b,
                {
                    s: bootstrap.compare(by_name[a].seeds[s].per_image, by_name[b].seeds[s].per_image)
                    for s in self._seeds
                },
            )
            for a, b in pairs
        ]
        content: dict[str, Any] = report.to_json(
            table, rows, differences, {**self._facts(seconds), "diverged": failed or {}}
        )
        write_text(self._output / f"{table}.json", json.dumps(content, indent=1) + "\n")
        path = self._output / f"{table}.md"
        write_text(path, report.markdown(content))
        if picture:
            bars = {row.title: [result.mean_iu for result in row.seeds.values()] for row in rows}
            scores.draw_rows(self._output / f"{table}.png", bars)
        read = [
            (name, curves.read_curves(self._output / name / "log.jsonl"))
            for name in seconds
            if name.endswith(f"seed{self._seeds[0]}")
        ]
        curves.draw_training(self._output / f"{table}_training.png", read)
        return path

    def _facts(self, seconds: dict[str, float]) -> dict[str, Any]:
        settings = self._settings
        return {
            "family": settings.family,
            "classes": list(self._fit.names),
            "images": {
                "training": len(self._fit),
                "held_out": len(self._held_out),
                "validation": len(self._scorer.dataset),
            },
            "scales": list(settings.scales),
            "size": settings.size,
            "width": settings.width,
            "precision": settings.precision,
            "iterations": {"fcn": settings.fcn_iterations, "crf": settings.crf_iterations},
            "start": "VGG-16's trunk" if settings.weights else "random weights",
            "seeds": self._seeds,
            "training_seconds": seconds,
            "hardware": report.hardware(),
        }
