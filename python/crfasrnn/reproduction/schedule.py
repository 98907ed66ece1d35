"""How long the trainings behind a table take that are not done yet, as `crfasrnn reproduce --dry-run` tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from crfasrnn.figures.curves import speed
from crfasrnn.reproduction.experiments import ABLATIONS, LONGER, Experiment, experiments, job
from crfasrnn.reproduction.settings import Settings

# Steps per second where nothing was measured yet: the slim networks at 256 and 384 pixels on two CPU cores.
_ASSUMED_SPEED = {"slim": 2.0, "voc21": 0.1}


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
            assert planned.steps is not None
            measured = speed(planned.log) or _neighbours_speed(output, settings, experiment)
            rate = measured or _ASSUMED_SPEED[settings.family]
            minutes = planned.steps / rate / 60
            total += minutes
            yield (
                f"{planned.output}: {planned.recipe}, {planned.steps} steps, {minutes:.0f} minutes at {rate:.2g} steps/s "
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
