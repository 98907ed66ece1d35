"""The figures of a table as JSON: rows, differences with their intervals, and the machine that computed them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from crfasrnn.evaluation.bootstrap import Comparison
from crfasrnn.reproduction.scoring import Scored


@dataclass(frozen=True)
class Row:
    """One method: its result for each seed, and the paper's mean IU in per cent (empty: the paper has none)."""

    name: str
    title: str
    seeds: Mapping[int, Scored]
    paper: tuple[float, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Two rows, by name, compared with each seed."""

    first: str
    second: str
    seeds: Mapping[int, Comparison]


def to_json(
    table: str, rows: Sequence[Row], differences: Sequence[Difference], facts: dict[str, Any]
) -> dict[str, Any]:
    """All figures of a table, fractions; paper's in per cent."""
    return {
        "table": table,
        **facts,
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "mean_iu": float(np.mean([result.mean_iu for result in row.seeds.values()])),
                "seeds": {
                    str(seed): {"mean_iu": result.mean_iu, **_details(result.figures)}
                    for seed, result in row.seeds.items()
                },
                "paper": list(row.paper),
            }
            for row in rows
        ],
        "differences": [
            {
                "first": item.first,
                "second": item.second,
                "seeds": {
                    str(seed): {
                        "difference": result.difference,
                        "low": result.low,
                        "high": result.high,
                        "level": result.level,
                        "not_better": result.worse,
                    }
                    for seed, result in item.seeds.items()
                },
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
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} cores"
    return f"{model}, {device}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
