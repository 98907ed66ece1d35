"""How long the trainings behind a table take that are not done yet, as `crfasrnn reproduce --dry-run` tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from crfasrnn.figures.curves import speed
from crfasrnn.reproduction.families import FAMILIES
from crfasrnn.reproduction.runs import Seeds, all_runs, job_of
from crfasrnn.reproduction.settings import Settings


def lines(
    output: Path, settings: Settings, table: str, seeds: Seeds, variants: Sequence[str] | None = None
) -> Iterator[str]:
    """The plan in words: what is done, what is not, and how long that takes."""
    total, measured = 0.0, _measured(output)
    for run in all_runs(table, settings, seeds, variants):
        planned = job_of(run, output, settings)
        if planned.final.is_file() or not run.experiment.trained:
            yield f"{planned.output}: {'done' if planned.final.is_file() else 'weights as they come'}"
            continue
        assert planned.steps is not None
        found = speed(planned.log) or measured.get(run.experiment.name) or measured.get(run.experiment.recipe)
        rate = found or FAMILIES[settings.family].speed
        minutes = planned.steps / rate / 60
        total += minutes
        yield (
            f"{planned.output}: {planned.recipe}, {planned.steps} steps, {minutes:.0f} minutes at {rate:.2g} steps/s "
            f"({'measured' if found else 'assumed'})"
        )
    yield (
        f"about {total / 60:.1f} hours of training in all, without tests, dense CRF search and scoring; the same command in "
        "another terminal shares them"
    )


def _measured(output: Path) -> dict[str, float]:
    """How fast trainings of the experiments of these names ran here."""
    found = {}
    for log in sorted(output.glob("*-*/log.jsonl")):
        rate = speed(log)
        if rate is not None:
            found[log.parent.name.rpartition("-")[0]] = rate
    return found
