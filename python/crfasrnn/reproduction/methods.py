"""The rows of the tables: what labels the images, and which differences between rows say what the paper says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crfasrnn.reproduction import paper
from crfasrnn.reproduction.experiments import (
    ALONE,
    END_TO_END,
    LONGER,
    LONGEST_SWEEP,
    TESTED,
    UNTRAINED,
    Experiment,
    of_table,
)
from crfasrnn.reproduction.families import FAMILIES
from crfasrnn.reproduction.paper import Claim

PUBLISHED, TUNED = "published", "tuned"


@dataclass(frozen=True)
class Method:
    """One row.

    name, title: in files and in the table. experiment: the network that labels.
    behind: the settings of a dense CRF behind it, PUBLISHED or TUNED; None for none.
    iterations: of mean field in testing, None for as many as the network has.
    """

    name: str
    title: str
    experiment: Experiment
    behind: str | None = None
    iterations: int | None = None

    @property
    def paper(self) -> tuple[float, ...]:
        """The paper's figures, if it has such a row."""
        return paper.TABLE_1.get(self.name, ())


def _of(experiment: Experiment) -> Method:
    return Method(experiment.name, experiment.title, experiment)


def _swept(count: int) -> Method:
    return Method(f"test-t{count}", f"T = {count} in testing", END_TO_END, iterations=count)


def methods(table: str, family: str, variants: Sequence[str] | None = None) -> list[Method]:
    """The rows of a table, in order."""
    base, title = FAMILIES[family].base, FAMILIES[family].title
    plain = Method("plain", f"plain {title}", base)
    if table == "table1":
        return [
            plain,
            Method("plain-published", f"{title} and dense CRF, published settings", base, PUBLISHED),
            Method("plain-dense", f"{title} and dense CRF, tuned", base, TUNED),
            _of(LONGER),
            Method("longer-dense", "the same and dense CRF, tuned", LONGER, TUNED),
            _of(UNTRAINED),
            _of(ALONE),
            _of(END_TO_END),
        ]
    if table == "table2":
        return [plain, _of(END_TO_END)]
    if table == "table3":
        return [
            plain,
            Method("plain-published", f"{title} and dense CRF", base, PUBLISHED),
            _of(LONGER),
            _of(END_TO_END),
        ]
    if table == "iterations":
        return [_swept(count) for count in range(1, LONGEST_SWEEP + 1)]
    rows = [_of(experiment) for experiment in of_table(table, variants)]
    return [*rows, *(_swept(count) for count in TESTED)] if table == "ablations" else [plain, *rows]


def claims(table: str, rows: Sequence[str]) -> list[Claim]:
    """The differences that a table tells, as far as it has the rows (by name)."""
    told = {(claim.first, claim.second): claim for claim in paper.CLAIMS.get(table, ())}
    against = {"ablations": END_TO_END.name, "alone": ALONE.name, "schedules": LONGER.name}.get(table)
    for row in rows if against in rows else ():
        if row not in (against, "plain"):
            told.setdefault((str(against), row), Claim(str(against), row))
    return [claim for (first, second), claim in told.items() if first in rows and second in rows]
