"""The figures of a table as JSON: rows, differences with their intervals, and the machine that computed them."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from caffe.files import system
from crfasrnn.evaluation.bootstrap import Comparison
from crfasrnn.reproduction.paper import Claim
from crfasrnn.reproduction.runs import Run
from crfasrnn.reproduction.scoring import Scored


@dataclass(frozen=True)
class Row:
    """One method: its result for each training, and the paper's mean IU in per cent (empty: the paper has none)."""

    name: str
    title: str
    runs: Mapping[Run, Scored]
    paper: tuple[float, ...] = ()

    def scored(self, label: str) -> Scored:
        """The result of the training of that label."""
        return next(scored for run, scored in self.runs.items() if run.label == label)

    @property
    def mean_iu(self) -> float:
        """The mean over the trainings, networks alike."""
        networks = {run.network for run in self.runs}
        means = [
            np.mean([scored.mean_iu for run, scored in self.runs.items() if run.network == one]) for one in networks
        ]
        return float(np.mean(means))


@dataclass(frozen=True)
class Difference:
    """What two rows were compared for, and what came out."""

    claim: Claim
    found: Comparison


def to_json(
    table: str, rows: Sequence[Row], differences: Sequence[Difference], facts: dict[str, Any]
) -> dict[str, Any]:
    """All figures of a table, fractions; the paper's in per cent."""
    return {
        "table": table,
        **facts,
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "mean_iu": row.mean_iu,
                "runs": {
                    run.label: {"mean_iu": scored.mean_iu, **_details(scored.figures)}
                    for run, scored in row.runs.items()
                },
                "paper": list(row.paper),
            }
            for row in rows
        ],
        "differences": [
            {
                **asdict(item.claim),
                "difference": item.found.difference,
                "low": item.found.low,
                "high": item.found.high,
                "level": item.found.level,
                "not_better": item.found.worse,
                "of_each": list(item.found.differences),
                "verdict": item.claim.verdict(item.found.low, item.found.high),
            }
            for item in differences
        ],
    }


def _details(figures: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("pixel_accuracy", "mean_accuracy", "frequency_weighted_iu", "per_class_iu", "trimap_mean_iu")
    return {name: figures[name] for name in kept if name in figures}


def hardware() -> str:
    """The machine in words."""
    model = platform.machine()
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{system.processors()} cores"
    return f"{model}, {device}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
