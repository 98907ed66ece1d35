"""What has to be trained for the tables: experiments, each from the result of another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from caffe.errors import CaffeError
from crfasrnn.networks.crfrnn import Bilateral, Variant
from crfasrnn.networks.recipes import RecipeOptions

LONGEST_SWEEP = 20
TESTED = (1, 2, 5, 10, 15)  # iterations in testing that the table of ablations shows


@dataclass(frozen=True)
class Experiment:
    """One training.

    name, title: in files and in tables. recipe: a part of the family's (see families.Family.recipe).
    start: the experiment whose result it starts from; None for the weights that are given.
    trained: False takes the weights as they come. seeded: done once for each seed, else once for each network.
    """

    name: str
    title: str
    recipe: str
    start: str | None
    options: RecipeOptions = field(default_factory=RecipeOptions)
    trained: bool = True
    seeded: bool = True


BASE = "base"  # the start of all that is done for every seed: the last of a family's chain
PLAIN, LONGER_RECIPE, CRFRNN, CRF_ONLY = "plain", "longer", "crfrnn", "crf-only"  # parts of a family's recipes
PUBLISHED_RATES = "published-rates"


def _crf(name: str, title: str, recipe: str = CRFRNN, start: str = BASE, **changed: Any) -> Experiment:
    fields = {key: changed.pop(key) for key in ("iterations", "loss", "crf_rate", "refiner") if key in changed}
    return Experiment(name, title, recipe, start, RecipeOptions(variant=Variant(**changed), **fields))


LONGER = Experiment("longer", "the network, trained on for as long as the CRF-RNN", LONGER_RECIPE, BASE)
END_TO_END = _crf("crfrnn", "CRF-RNN, end to end")
ALONE = _crf("crf-only", "CRF-RNN, the CRF learned alone", CRF_ONLY)
UNTRAINED = Experiment("untrained", "CRF-RNN, untrained", CRFRNN, BASE, trained=False, seeded=False)

# Section 7.1 and 6, and what the paper leaves open; each with the network learned along and, as "alone-...", frozen.
_VARIANTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("shared", "one weight per kernel, Potts", {"kernel_weights": "shared", "compatibility": "potts"}),
    ("per-class", "weights per class, Potts", {"kernel_weights": "per_class", "compatibility": "potts"}),
    ("per-class-full", "weights per class, full compatibility", {"kernel_weights": "per_class"}),
    ("potts", "full weights, Potts", {"compatibility": "potts"}),
    ("symmetric", "full weights, symmetric compatibility", {"compatibility": "symmetric"}),
    ("train-t10", "T = 10 in training", {"iterations": 10}),
    ("untied", "untied iterations, T = 5", {"untied": True}),
    ("relu", "ReLU instead of softmax", {"activation": "relu"}),
    ("robust", "robust log-likelihood", {"loss": "robust"}),
    ("bandwidths", "kernels' widths learned, too", {"learn_bandwidths": True}),
    ("bilaterals", "two bilateral kernels", {"bilaterals": (Bilateral(80, 13),)}),
    ("gru", "a convolutional GRU instead of the CRF", {"refiner": "gru", "crf_rate": 4}),  # its rate: see SCHEDULES
)
ABLATIONS = (END_TO_END, *(_crf(name, title, **options) for name, title, options in _VARIANTS))
ALONE_ABLATIONS = (
    ALONE,
    *(_crf(f"alone-{name}", f"{title}, alone", CRF_ONLY, **options) for name, title, options in _VARIANTS),
)

# Losses and rates, compared on the images held out of training.
_LOSSES = {"robust": "robust log-likelihood", "lovasz": "Lovász-softmax", "softmax+lovasz": "softmax + Lovász-softmax"}
SCHEDULES = (
    LONGER,
    UNTRAINED,
    ALONE,
    *(_crf(f"alone-{loss}", f"alone, {title}", CRF_ONLY, loss=loss) for loss, title in _LOSSES.items()),
    _crf("alone-slow", "alone, a fifth of the CRF's rates", CRF_ONLY, crf_rate=0.2),
    _crf("alone-fast", "alone, five times the CRF's rates", CRF_ONLY, crf_rate=5),
    *(
        _crf(f"alone-gru-{rate}", f"alone, a GRU, {rate} times the CRF's rates", CRF_ONLY, refiner="gru", crf_rate=rate)
        for rate in (1, 4)
    ),
    END_TO_END,
    *(_crf(f"loss-{loss}", f"end to end, {title}", loss=loss) for loss, title in _LOSSES.items()),
    _crf("slow", "end to end, a fifth of the CRF's rates", crf_rate=0.2),
    _crf("fast", "end to end, five times the CRF's rates", crf_rate=5),
    _crf("crf-first", "the CRF alone, then end to end", start="crf-only"),
    _crf("published-rates", "end to end, the paper's rates carried over", PUBLISHED_RATES),
)

TABLES = {
    "table1": (UNTRAINED, LONGER, ALONE, END_TO_END),
    "ablations": ABLATIONS,
    "alone": ALONE_ABLATIONS,
    "iterations": (END_TO_END,),
    "schedules": SCHEDULES,
    "table2": (END_TO_END,),
    "table3": (LONGER, END_TO_END),
}
_ESSENTIAL = {"table1", "table2", "table3", "iterations"}  # tables that mean nothing with a part missing


def of_table(table: str, variants: Sequence[str] | None = None) -> tuple[Experiment, ...]:
    """What a table shows that starts from the base. variants: the names of those wanted beside the first, None for all.

    Raises CaffeError for a name that the table does not have.
    """
    known = TABLES[table]
    unknown = set(variants or ()) - {item.name for item in known}
    if unknown:
        names = ", ".join(item.name for item in known[1:])
        raise CaffeError(f"{table} has no variant {sorted(unknown)[0]!r}: one of {names or 'none'}")
    if variants is None or table in _ESSENTIAL:
        return known
    started_from = {item.start for item in known if item.name in variants}
    return tuple(item for item in known if item is known[0] or item.name in variants or item.name in started_from)


def may_fail(table: str) -> bool:
    """Whether the table is made without those of its trainings that diverge."""
    return table not in _ESSENTIAL
