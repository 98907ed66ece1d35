"""Making a table: trainings, scores, and the files that show them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from caffe.files import make_folder, write_text
from crfasrnn.classes import read_classes
from crfasrnn.evaluation import bootstrap
from crfasrnn.evaluation.labellers import saved_labels
from crfasrnn.figures import cases as sheets
from crfasrnn.figures import crf, curves, scores
from crfasrnn.reproduction import paper, report, results
from crfasrnn.reproduction.experiments import (
    END_TO_END,
    LONGER,
    LONGEST_SWEEP,
    TESTED,
    Experiment,
    ablations,
    experiments,
)
from crfasrnn.reproduction.results import Difference, Row
from crfasrnn.reproduction.scoring import Scored, Scorer
from crfasrnn.reproduction.settings import Settings
from crfasrnn.reproduction.trainings import Trainings


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
        self._ablations, self._variants = ablations(variants), variants
        settings.check()  # before they are written: a mistyped path must not stay
        make_folder(output)
        settings.save(output)
        self._output, self._settings, self._seeds = output, settings, list(seeds)
        self._processes, self._show = processes, show
        self._trainings = Trainings(output, settings, seeds, stop, show)
        self._scorer = Scorer(output / "scores", settings.validation(), settings.size, stop)
        make_folder(self._scorer.folder)

    def _row(self, name: str, title: str, score: Callable[[int], Scored], paper_says: Sequence[float] = ()) -> Row:
        results = {}
        for seed in self._seeds:
            results[seed] = score(seed)
            self._show(f"{title}, seed {seed}: mean IU {100 * results[seed].mean_iu:.2f} %")
        return Row(name, title, results, tuple(paper_says))

    # Tables.

    def table1(self) -> Path:
        """FCN-8s alone, with a disconnected dense CRF, and with CRF-RNN; FCN-8s trained on tells the layer's gain apart."""
        self._trainings.run("table1", self._variants)
        first = experiments("table1", self._settings.family)[-3]
        rows = [
            self._network_row("fcn8s", "plain FCN-8s", first),
            self._dense_row("fcn8s-dense", "FCN-8s and dense CRF, disconnected", first),
            self._network_row("longer", LONGER.title, LONGER),
            self._dense_row("longer-dense", "the same and dense CRF, disconnected", LONGER),
            self._network_row("crfrnn", "end-to-end CRF-RNN", END_TO_END),
        ]
        pairs = [
            ("fcn8s", "fcn8s-dense"),
            ("fcn8s-dense", "crfrnn"),
            ("longer", "longer-dense"),
            ("longer", "crfrnn"),
            ("longer-dense", "crfrnn"),
        ]
        self._draw([rows[0], rows[1], rows[-1]])
        return self._write("table1", rows, pairs)

    def _draw(self, rows: Sequence[Row]) -> None:
        """Labels of these rows side by side (the paper's figure 4) and what the CRF learned (figure 5), of the first seed."""
        seed, dataset = self._seeds[0], self._scorer.dataset
        job = self._trainings.job(END_TO_END, seed)
        classes = read_classes(job.output / "classes.txt")
        methods = [(row.title, saved_labels(self._scorer.labels(f"{row.name}-seed{seed}"), classes)) for row in rows]
        if len(dataset) >= len(sheets.KINDS):
            cases = sheets.choose_cases(dataset, methods[0][1], methods[-1][1], len(classes), 1)
            path = self._output / "table1_cases.png"
            sheets.draw_cases(path, cases, methods, classes)
        crf.draw_crf(self._output / "table1_crf.png", crf.read_crf(job.final), classes.names)

    def _network_row(self, name: str, title: str, experiment: Experiment) -> Row:
        def score(seed: int) -> Scored:
            return self._scorer.network(f"{name}-seed{seed}", self._trainings.job(experiment, seed))

        return self._row(name, title, score, paper.TABLE_1.get(name, ()))

    def _dense_row(self, name: str, title: str, experiment: Experiment) -> Row:
        def score(seed: int) -> Scored:
            job = self._trainings.job(experiment, seed)
            settings = self._scorer.tuned(
                f"{name}-seed{seed}", job, self._trainings.held_out, self._settings.tune_settings, self._processes
            )
            return self._scorer.dense_crf(f"{name}-seed{seed}", job, settings)

        return self._row(name, title, score, paper.TABLE_1.get(name, ()))

    def ablations(self) -> Path:
        """The variants of section 7.1, and the number of iterations in testing, against CRF-RNN end to end."""
        self._trainings.run("ablations", self._variants)
        failed = {item.title: reason for item in self._ablations for reason in self._trainings.divergences(item)}
        rows = [self._network_row(item.name, item.title, item) for item in self._ablations if item.title not in failed]
        sweeps = {seed: self._sweep(seed) for seed in self._seeds}
        rows += [
            self._row(f"test-t{count}", f"T = {count} in testing", lambda seed, count=count: sweeps[seed][count - 1])  # type: ignore[misc]
            for count in TESTED
        ]
        pairs = [(END_TO_END.name, row.name) for row in rows[1:]]
        return self._write("ablations", rows, pairs, failed=failed)

    def iterations(self) -> Path:
        """Mean IU of CRF-RNN end to end over the number of mean-field iterations in testing."""
        self._trainings.run("iterations", self._variants)
        sweeps = {seed: self._sweep(seed) for seed in self._seeds}
        rows = [
            self._row(f"test-t{count}", f"T = {count}", lambda seed, count=count: sweeps[seed][count - 1])  # type: ignore[misc]
            for count in range(1, LONGEST_SWEEP + 1)
        ]
        series = {f"seed {seed}": [result.mean_iu for result in sweep] for seed, sweep in sweeps.items()}
        scores.draw_iterations(self._output / "iterations.png", series, END_TO_END.options.iterations)
        pairs = [("test-t5", "test-t10")]
        return self._write("iterations", rows, pairs, picture=False)

    def _sweep(self, seed: int) -> list[Scored]:
        job = self._trainings.job(END_TO_END, seed)
        return self._scorer.sweep(f"crfrnn-seed{seed}", job, LONGEST_SWEEP)

    # Files.

    def _write(
        self,
        table: str,
        rows: Sequence[Row],
        pairs: Sequence[tuple[str, str]],
        picture: bool = True,
        failed: dict[str, str] | None = None,
    ) -> Path:
        """Write the table's .json, .md and .png; returns the path of the .md."""
        seconds = self._trainings.seconds(table, self._variants)
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
        content: dict[str, Any] = results.to_json(
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
            "classes": list(self._trainings.fit.names),
            "images": {
                "training": len(self._trainings.fit),
                "held_out": len(self._trainings.held_out),
                "validation": len(self._scorer.dataset),
            },
            "scales": list(settings.scales),
            "size": settings.size,
            "width": settings.width,
            "precision": settings.precision,
            "iterations": {"fcn": settings.fcn_steps, "crf": settings.crf_steps},
            "start": "VGG-16's trunk" if settings.weights else "random weights",
            "seeds": self._seeds,
            "training_seconds": seconds,
            "hardware": results.hardware(),
        }
